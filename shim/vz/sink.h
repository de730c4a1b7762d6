/* What the backend reports, from its threads to the core's. */
#ifndef VT_VZ_SINK_H
#define VT_VZ_SINK_H

#include <stdbool.h>

#include "vz/backend.h"

struct vtz_report {
    bool is_event;
    uint64_t token; /* the call that is done */
    struct vtz_outcome outcome;
    struct vtz_event event;
};

/* Begins to take reports. A descriptor that is readable when there is one (owned by the sink), or
 * -1. */
int vtz_sink_open(void);

/* Takes the oldest; false: there is none. The report's texts and descriptor are the caller's then.
 */
bool vtz_sink_take(struct vtz_report *report);

/* What is reported from now on is dropped. */
void vtz_sink_close(void);

void vtz_outcome_clear(struct vtz_outcome *outcome); /* closes its descriptor, too */

#endif
