/* A request of a client: one line of protocol.md, read and checked. */
#ifndef VT_VZ_REQUEST_H
#define VT_VZ_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "vz/backend.h"

struct vtz_request {
    bool has_id;
    int64_t id;
    struct vtz_call call;      /* without a token */
    struct vtz_config *config; /* what call.config is, till somebody takes it over */
    struct vtz_provisioning provisioning;
    json_t *json; /* what the texts lie in */
};

/* Reads line[0..n), which is UTF-8. 0, or -1 with *failure set; has_id and id are also set then,
 * where they could be read. vtz_request_clear() in both cases. Reads no file but a password's. */
int vtz_request_read(struct vtz_request *request, const char *line, size_t n,
                     struct vtz_failure *failure);

/* call.provisioning and the like point into *request, which therefore must not be moved. */
void vtz_request_clear(struct vtz_request *request);

const char *vtz_op_name(enum vtz_op op); /* as protocol.md writes it; "connect" for ours */

#endif
