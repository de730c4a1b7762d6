/* The helper's messages as JSON. All are new references. */
#ifndef VT_VZ_REPLY_H
#define VT_VZ_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "vz/backend.h"

enum { VTZ_PROTOCOL = 1 };

json_t *vtz_hello(enum vtz_state state, bool fake);

/* {"id", "ok", "state", …}; id NULL: null. */
json_t *vtz_reply(const int64_t *id, enum vtz_op op, const struct vtz_outcome *outcome,
                  enum vtz_state state, bool fake);
json_t *vtz_reply_failed(const int64_t *id, const struct vtz_failure *failure,
                         enum vtz_state state);

json_t *vtz_event_message(const struct vtz_event *event);

json_t *vtz_host_message(const struct vtz_host *host, bool fake); /* HOST alone */

#endif
