/* The session with a hypervisor's monitor: one JSON object per line, a greeting, then requests with
 * replies, in any order, and events at any time. This is the session alone: bytes come by
 * vt_monitor_feed() and go by the `write` callback; what the lines look like is the dialect's. In
 * every dialect an event has its name in "event", and a reply the number of its request in "id".
 *
 * A peer breaks the protocol by a line that is too long or no such object, by anything before its
 * greeting, and by a reply to no request. Then all requests under way fail, every later byte is
 * ignored, and the `broken` callback comes, once at most. Lines of nothing are passed over. */
#ifndef VT_VM_MONITOR_H
#define VT_VM_MONITOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmtest/error.h"

struct vt_monitor;
struct vt_op;

struct vt_monitor_dialect {
    const char *op;   /* of its errors */
    const char *peer; /* what messages call the other side: "QEMU" */
    size_t line_max;  /* bytes; a longer line is VT_EPROTO */
    /* Adds to `line`, which has the id, what asks for `name`. `arguments` stays the caller's and
     * may be NULL. */
    void (*request)(json_t *line, const char *name, json_t *arguments);
    /* Is this a greeting? Where it is one that will not do, *why is set and the answer false. */
    bool (*greeting)(const json_t *message, struct vt_error *why);
    /* The result in a reply to `name`; NULL with *why set where that was refused; NULL alone where
     * this is no reply at all. */
    const json_t *(*result)(const json_t *message, const char *name, struct vt_error *why);
};

struct vt_monitor_handler {
    void (*write)(const char *data, size_t n, void *user);
    /* It greeted, as it should. Called once, before anything else; may be NULL. */
    void (*greeted)(const json_t *greeting, void *user);
    void (*event)(const char *name, const json_t *event, void *user);
    void (*broken)(const struct vt_error *why, void *user);
    void *user;
};

/* One of result and why is NULL. Both belong to the session and are gone on return. */
typedef void (*vt_monitor_reply_fn)(const json_t *result, const struct vt_error *why, void *user);

/* Copies the handler; the dialect stays the caller's. */
struct vt_monitor *vt_monitor_new(const struct vt_monitor_dialect *dialect,
                                  const struct vt_monitor_handler *handler);

/* Drops every request under way, without a reply. Also from within a callback of this session. */
void vt_monitor_free(struct vt_monitor *monitor);

/* Sends a request. Takes over `arguments` (may be NULL). fn may be NULL. */
void vt_monitor_request(struct vt_monitor *monitor, const char *name, json_t *arguments,
                        vt_monitor_reply_fn fn, void *user);

/* Sends a request without arguments whose reply ends `op`. Where `monitor` is NULL the VM `vm` does
 * not run, and the operation fails with VT_ESTATE. */
void vt_monitor_request_op(struct vt_monitor *monitor, const char *name, struct vt_op *op,
                           const char *vm);

/* Replies for this `user` are dropped from now on. */
void vt_monitor_forget(struct vt_monitor *monitor, const void *user);

/* Fails every request under way with `why`: the connection is gone. */
void vt_monitor_fail(struct vt_monitor *monitor, const struct vt_error *why);

void vt_monitor_feed(struct vt_monitor *monitor, const char *data, size_t n);

#endif
