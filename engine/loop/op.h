/* How operations are written. Their users' side of the contract is in vmtest/loop.h.
 *
 * An operation is a struct with `struct vt_op` as its first member, allocated by vt_op_new().
 * The code that does the work ends it with vt_op_succeed() or vt_op_fail(), once: a second call
 * is ignored, so two events that both end it need no care. On a deadline or a cancel the class's
 * abort() is called, which must let go of everything at once (close sockets, detach from queues):
 * no event may touch the operation's work afterwards. It may add to *why, e.g. the last console
 * lines. The callback follows from the loop, then free() for what the struct still owns. */
#ifndef VT_LOOP_OP_H
#define VT_LOOP_OP_H

#include <stddef.h>

#include "loop/timer.h"
#include "vmtest/loop.h"

struct vt_op_class {
    const char *name;                                      /* "vm.start": the `op` of errors */
    void (*abort)(struct vt_op *op, struct vt_error *why); /* may be NULL: nothing to let go of */
    void (*free)(struct vt_op *op);                        /* may be NULL; frees members, not op */
};

enum vt_op_state { VT_OP_RUNNING, VT_OP_ENDED, VT_OP_CALLED_BACK };

struct vt_op {
    const struct vt_op_class *cls;
    struct vt_loop *loop;
    struct vt_op *next, *prev; /* all of the loop's */
    struct vt_op *done_next;   /* those that wait for their callback */
    struct vt_timer deadline;
    double timeout; /* seconds, as last set */
    double started; /* loop time */
    enum vt_op_state state;
    bool kept;
    struct vt_error error;
    void *result;
    vt_op_fn done; /* NULL: forgotten */
    void *user;
};

/* A zeroed struct of `size` bytes whose first member is the struct vt_op. timeout: seconds, 0 or
 * more; at that age it is aborted with VT_ETIMEDOUT. Pass INFINITY only where another operation
 * with a deadline owns this one. */
void *vt_op_new(size_t size, const struct vt_op_class *cls, struct vt_loop *loop, double timeout,
                vt_op_fn done, void *user);

void vt_op_succeed(struct vt_op *op, void *result);
void vt_op_fail(struct vt_op *op, const struct vt_error *why);
bool vt_op_ended(const struct vt_op *op);

/* For an operation made of others. vt_op_keep(), called in the inner one's callback or before it
 * is cancelled, keeps it and its result alive until vt_op_drop(). */
void vt_op_keep(struct vt_op *op);
void vt_op_drop(struct vt_op *op);

#endif
