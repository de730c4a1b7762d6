/* The connect operations of a channel that tries, ever less often, until the guest answers. */
#ifndef VT_GUEST_CONNECTING_H
#define VT_GUEST_CONNECTING_H

#include "guest/channel.h"
#include "loop/op.h"

struct vt__connecting_class {
    struct vt_op_class op; /* name; vt__connecting_abort, vt__connecting_free */
    double retry_first;    /* seconds */
    void (*attempt)(struct vt_channel *ch);
    /* Nobody waits any more: lets go of what was begun. */
    void (*stop)(struct vt_channel *ch);
    /* Adds to the message of a time-out what was waited for. */
    void (*timed_out)(const struct vt_channel *ch, struct vt_error *why);
};

/* A part of the channel; zeroed but for the first two. */
struct vt__connecting {
    const struct vt__connecting_class *cls; /* static */
    struct vt_channel *ch;
    struct vt__connect_op *waiting; /* the operations under way */
    struct vt_timer retry;
    double pause;
    char reason[300]; /* why the latest attempt did not work */
};

/* A channel's connect(): makes the first attempt where nobody waits yet. `connected`: it completes
 * at once. NULL with *err set on a wrong time-out. */
struct vt_op *vt__connecting_add(struct vt__connecting *c, bool connected, double timeout,
                                 vt_op_fn done, void *user, struct vt_error *err);

/* The attempt failed: another one follows after a pause. */
void vt__connecting_again(struct vt__connecting *c, const struct vt_error *why);
void vt__connecting_set_reason(struct vt__connecting *c, const char *text);

/* Ends all operations: with success where why is NULL. */
void vt__connecting_end(struct vt__connecting *c, const struct vt_error *why);

void vt__connecting_abort(struct vt_op *op, struct vt_error *why);
void vt__connecting_free(struct vt_op *op);

#endif
