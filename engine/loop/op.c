#include "loop/op.h"

#include <math.h>

#include "core/mem.h"
#include "loop/internal.h"
#include "vmtest/units.h"

static void end(struct vt_op *op)
{
    struct vt_loop *loop = op->loop;
    vt_timer_clear(&op->deadline);
    op->state = VT_OP_ENDED;
    op->done_next = NULL;
    if (loop->done_tail)
        loop->done_tail->done_next = op;
    else
        loop->done_head = op;
    loop->done_tail = op;
    vt__loop_arm(loop);
}

static void stop(struct vt_op *op, struct vt_error *why)
{
    op->state = VT_OP_ENDED; /* events that abort() sets off are late */
    if (op->cls->abort)
        op->cls->abort(op, why);
    op->error = *why;
    end(op);
}

static void on_deadline(struct vt_timer *timer)
{
    struct vt_op *op = timer->user;
    struct vt_error why = VT_ERROR_INIT;
    char text[32];
    vt_fail(&why, VT_ETIMEDOUT, op->cls->name, "timed out after %s",
            vt_format_duration(text, sizeof text, op->timeout));
    stop(op, &why);
}

void *vt_op_new(size_t size, const struct vt_op_class *cls, struct vt_loop *loop, double timeout,
                vt_op_fn done, void *user)
{
    struct vt_op *op = vt_calloc(1, size);
    op->cls = cls;
    op->loop = loop;
    op->done = done;
    op->user = user;
    op->started = vt_loop_now(loop);
    op->next = loop->ops;
    if (loop->ops)
        loop->ops->prev = op;
    loop->ops = op;
    loop->active++;
    vt_op_set_deadline(op, timeout);
    return op;
}

void vt_op_set_deadline(struct vt_op *op, double seconds)
{
    op->timeout = seconds;
    if (op->state != VT_OP_RUNNING)
        return;
    if (isinf(seconds))
        vt_timer_clear(&op->deadline);
    else
        vt_timer_set(&op->deadline, op->loop, seconds, on_deadline, op);
}

void vt_op_succeed(struct vt_op *op, void *result)
{
    if (op->state != VT_OP_RUNNING)
        return;
    op->result = result;
    end(op);
}

void vt_op_fail(struct vt_op *op, const struct vt_error *why)
{
    if (op->state != VT_OP_RUNNING)
        return;
    op->error = *why;
    if (!op->error.code)
        vt_fail(&op->error, VT_EINTERNAL, op->cls->name, "failed without saying why");
    end(op);
}

bool vt_op_ended(const struct vt_op *op)
{
    return op->state != VT_OP_RUNNING;
}

void vt_op_cancel(struct vt_op *op)
{
    if (op->state != VT_OP_RUNNING)
        return;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_ECANCELED, op->cls->name, "cancelled");
    stop(op, &why);
}

void vt_op_forget(struct vt_op *op)
{
    op->done = NULL;
    vt_op_cancel(op);
}

const struct vt_error *vt_op_error(const struct vt_op *op)
{
    return op->error.code ? &op->error : NULL;
}

void *vt_op_result(struct vt_op *op)
{
    return op->result;
}

const char *vt_op_name(const struct vt_op *op)
{
    return op->cls->name;
}

static void release(struct vt_op *op)
{
    struct vt_loop *loop = op->loop;
    if (op->prev)
        op->prev->next = op->next;
    else
        loop->ops = op->next;
    if (op->next)
        op->next->prev = op->prev;
    loop->active--;
    if (op->cls->free)
        op->cls->free(op);
    vt_free(op);
}

void vt_op_keep(struct vt_op *op)
{
    op->kept = true;
}

void vt_op_drop(struct vt_op *op)
{
    op->kept = false;
    if (op->state == VT_OP_CALLED_BACK)
        release(op);
}

/* Calls back what has ended so far; what ends meanwhile waits for the next round. */
void vt__loop_run_completions(struct vt_loop *loop)
{
    struct vt_op *op = loop->done_head;
    loop->done_head = loop->done_tail = NULL;
    while (op) {
        struct vt_op *next = op->done_next;
        if (op->done)
            op->done(op, op->user);
        op->state = VT_OP_CALLED_BACK;
        if (!op->kept)
            release(op);
        op = next;
    }
}

static void on_wake(struct vt_timer *timer)
{
    vt_op_succeed(timer->user, NULL);
}

struct sleep_op {
    struct vt_op op;
    struct vt_timer timer;
};

static void sleep_abort(struct vt_op *op, struct vt_error *why)
{
    (void)why;
    vt_timer_clear(&((struct sleep_op *)(void *)op)->timer);
}

static const struct vt_op_class sleep_op_class = {.name = "sleep", .abort = sleep_abort};

struct vt_op *vt_sleep(struct vt_loop *loop, double seconds, vt_op_fn done, void *user,
                       struct vt_error *err)
{
    if (!(seconds >= 0) || isinf(seconds)) {
        vt_fail(err, VT_EINVAL, "sleep", "a pause cannot last %g seconds", seconds);
        return NULL;
    }
    struct sleep_op *op = vt_op_new(sizeof *op, &sleep_op_class, loop, INFINITY, done, user);
    vt_timer_set(&op->timer, loop, seconds, on_wake, op);
    return &op->op;
}
