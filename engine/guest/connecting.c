#include "guest/connecting.h"

#include <string.h>

static const double retry_most = 2, retry_growth = 1.6; /* seconds */

struct vt__connect_op {
    struct vt_op op;
    struct vt__connecting *in; /* NULL once it has ended */
    struct vt__connect_op *next;
};

void vt__connecting_abort(struct vt_op *op, struct vt_error *why)
{
    struct vt__connect_op *x = (struct vt__connect_op *)(void *)op;
    struct vt__connecting *c = x->in;
    if (!c)
        return;
    struct vt__connect_op **at = &c->waiting;
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    x->in = NULL;
    if (why->code == VT_ETIMEDOUT)
        c->cls->timed_out(c->ch, why);
    if (!c->waiting)
        c->cls->stop(c->ch);
}

void vt__connecting_free(struct vt_op *op)
{
    vt_loop_release(op->loop);
}

void vt__connecting_end(struct vt__connecting *c, const struct vt_error *why)
{
    while (c->waiting) {
        struct vt__connect_op *x = c->waiting;
        c->waiting = x->next;
        x->in = NULL;
        if (why)
            vt_op_fail(&x->op, why);
        else
            vt_op_succeed(&x->op, NULL);
    }
}

void vt__connecting_set_reason(struct vt__connecting *c, const char *text)
{
    size_t n = strlen(text);
    if (n >= sizeof c->reason)
        n = sizeof c->reason - 1;
    memcpy(c->reason, text, n);
    c->reason[n] = '\0';
}

static void on_retry(struct vt_timer *timer)
{
    const struct vt__connecting *c = timer->user;
    c->cls->attempt(c->ch);
}

void vt__connecting_again(struct vt__connecting *c, const struct vt_error *why)
{
    vt__connecting_set_reason(c, why->message);
    vt_timer_set(&c->retry, c->ch->loop, c->pause, on_retry, c);
    c->pause = c->pause * retry_growth < retry_most ? c->pause * retry_growth : retry_most;
}

struct vt_op *vt__connecting_add(struct vt__connecting *c, bool connected, double timeout,
                                 vt_op_fn done, void *user, struct vt_error *err)
{
    if (!(timeout > 0)) {
        vt_fail(err, VT_EINVAL, c->cls->op.name, "a connection needs a time-out of more than 0");
        return NULL;
    }
    struct vt__connect_op *x = vt_op_new(sizeof *x, &c->cls->op, c->ch->loop, timeout, done, user);
    vt_loop_hold(c->ch->loop);
    if (connected) {
        vt_op_succeed(&x->op, NULL);
        return &x->op;
    }
    bool idle = !c->waiting;
    x->in = c;
    x->next = c->waiting;
    c->waiting = x;
    if (idle) {
        c->reason[0] = '\0';
        c->pause = c->cls->retry_first;
        c->cls->attempt(c->ch);
    }
    return &x->op;
}
