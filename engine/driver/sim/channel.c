/* The way into the simulated guest: connections, and the faults of what goes over them. */
#include <math.h>

#include "core/mem.h"
#include "driver/sim/instance.h"

static void unlink_op(struct vt__sim_op *self)
{
    if (!self->ch)
        return;
    if (self->prev)
        self->prev->next = self->next;
    else
        self->ch->ops = self->next;
    if (self->next)
        self->next->prev = self->prev;
    self->next = self->prev = NULL;
    self->ch = NULL;
}

void vt__sim_op_leave(struct vt__sim_op *self)
{
    vt__sim_timer_clear(&self->wait);
    vt__sim_timer_clear(&self->strike);
    if (self->let_go)
        self->let_go(self);
    unlink_op(self);
}

void vt__sim_op_abort(struct vt_op *op, struct vt_error *why)
{
    (void)why;
    vt__sim_op_leave((struct vt__sim_op *)(void *)op);
}

/* Ends what is under way. Only marks operations as ended: callbacks come from the loop. */
void vt__sim_channel_cut(struct vt__sim_channel *ch, const struct vt_error *why)
{
    ch->connected = false;
    while (ch->ops) {
        struct vt__sim_op *self = ch->ops;
        vt__sim_op_leave(self);
        vt_op_fail(&self->op, why);
    }
}

static void on_strike(struct vt__sim_timer *timer)
{
    struct vt__sim_op *self = timer->user;
    struct vt__sim *sim = self->ch->sim;
    const struct vt__sim_fault *fault = self->fault;
    struct vt_error why = VT_ERROR_INIT;
    switch (fault->kind) {
    case VT__SIM_FAIL:
        vt_fail(&why, VT_EIO, self->op.cls->name, "%s", fault->message);
        vt__sim_op_leave(self);
        vt_op_fail(&self->op, &why);
        break;
    case VT__SIM_HANG: /* it stays in the channel, and nothing will ever end it */
        vt__sim_timer_clear(&self->wait);
        if (self->let_go)
            self->let_go(self);
        break;
    case VT__SIM_DROP:
        vt_fail(&why, VT_EGUEST, self->op.cls->name, "the connection to the guest was lost: %s",
                fault->message);
        vt__sim_channel_cut(self->ch, &why);
        break;
    default:
        vt__sim_crash(sim, fault->message);
        break;
    }
}

void *vt__sim_op_new(struct vt__sim_channel *ch, size_t size, const struct vt_op_class *cls,
                     enum vt__sim_point at, double timeout, vt_op_fn done, void *user)
{
    struct vt__sim_op *self = vt_op_new(size, cls, ch->base.loop, timeout, done, user);
    self->ch = ch;
    self->next = ch->ops;
    if (ch->ops)
        ch->ops->prev = self;
    ch->ops = self;
    if (at != VT__SIM_POINT_COUNT_)
        self->fault = vt__sim_script_pass(&ch->sim->script, at);
    return self;
}

double vt__sim_op_delay(struct vt__sim_op *self)
{
    struct vt__sim *sim = self->ch->sim;
    const struct vt__sim_fault *fault = self->fault;
    if (fault && fault->kind == VT__SIM_SLOW)
        return sim->script.latency + fault->after;
    if (fault)
        vt__sim_timer_set(&self->strike, &sim->guest.clock, fault->after, on_strike, self);
    return sim->script.latency;
}

void vt__sim_op_run(struct vt__sim_op *self, double seconds, void (*go)(struct vt__sim_timer *))
{
    double delay = vt__sim_op_delay(self) + seconds;
    vt__sim_timer_set(&self->wait, &self->ch->sim->guest.clock, delay, go, self);
}

/* ---- connecting ---- */

static void on_answer(struct vt__sim_timer *timer)
{
    struct vt__sim_op *self = timer->user;
    const struct vt__sim_fault *fault = self->ch->sim->boot_fault;
    struct vt__sim_channel *ch = self->ch;
    struct vt_error why = VT_ERROR_INIT;
    vt__sim_op_leave(self);
    if (fault && fault->kind == VT__SIM_AUTH)
        vt_fail(&why, VT_EAUTH, "guest.connect", "the guest refused every credential: %s",
                fault->message);
    else if (fault && fault->kind == VT__SIM_FAIL)
        vt_fail(&why, VT_EGUEST, "guest.connect", "the guest refused the connection: %s",
                fault->message);
    if (why.code) {
        vt_op_fail(&self->op, &why);
        return;
    }
    ch->connected = true;
    vt_op_succeed(&self->op, NULL);
}

static const struct vt_op_class connect_class = {.name = "guest.connect",
                                                 .abort = vt__sim_op_abort};

static struct vt_op *channel_connect(struct vt_channel *base, double timeout, vt_op_fn done,
                                     void *user, struct vt_error *err)
{
    struct vt__sim_channel *ch = (struct vt__sim_channel *)(void *)base;
    if (!(timeout > 0)) {
        vt_fail(err, VT_EINVAL, "guest.connect", "connecting needs a time-out above 0");
        return NULL;
    }
    struct vt__sim_op *self =
        vt__sim_op_new(ch, sizeof *self, &connect_class, VT__SIM_POINT_COUNT_, timeout, done, user);
    if (ch->connected) {
        vt__sim_op_leave(self);
        vt_op_succeed(&self->op, NULL);
    } else if (ch->sim->phase == VT__SIM_UP && ch->sim->script.ready) {
        vt__sim_op_run(self, 0, on_answer);
    }
    return &self->op;
}

void vt__sim_channel_up(struct vt__sim *sim)
{
    if (!sim->script.ready)
        return;
    for (struct vt__sim_channel *ch = sim->channels; ch; ch = ch->next)
        for (struct vt__sim_op *self = ch->ops; self; self = self->next)
            if (self->op.cls == &connect_class)
                vt__sim_op_run(self, 0, on_answer);
}

/* Its clock is the host's, and it has no random pool: what is left is that it answers. */
static const struct vt_op_class refresh_class = {.name = "guest.refresh",
                                                 .abort = vt__sim_op_abort};

static void on_fresh(struct vt__sim_timer *timer)
{
    struct vt__sim_op *self = timer->user;
    vt__sim_op_leave(self);
    vt_op_succeed(&self->op, NULL);
}

static struct vt_op *channel_refresh(struct vt_channel *base, double timeout, vt_op_fn done,
                                     void *user, struct vt_error *err)
{
    struct vt__sim_channel *ch = (struct vt__sim_channel *)(void *)base;
    if (!ch->connected) {
        vt_fail(err, VT_ESTATE, "guest.refresh", "there is no connection to the guest");
        return NULL;
    }
    struct vt__sim_op *self =
        vt__sim_op_new(ch, sizeof *self, &refresh_class, VT__SIM_POINT_COUNT_, timeout, done, user);
    vt__sim_op_run(self, 0, on_fresh);
    return &self->op;
}

static bool channel_connected(const struct vt_channel *base)
{
    return ((const struct vt__sim_channel *)(const void *)base)->connected;
}

static void channel_drop(struct vt_channel *base, const struct vt_error *why)
{
    vt__sim_channel_cut((struct vt__sim_channel *)(void *)base, why);
}

static void channel_free(struct vt_channel *base)
{
    struct vt__sim_channel *ch = (struct vt__sim_channel *)(void *)base;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EGUEST, "guest", "the connection to the guest was closed");
    vt__sim_channel_cut(ch, &why);
    if (ch->sim) {
        struct vt__sim_channel **at = &ch->sim->channels;
        while (*at != ch)
            at = &(*at)->next;
        *at = ch->next;
    }
    vt_free(ch);
}

static const struct vt_channel_class channel_class = {
    .name = "sim",
    .connect = channel_connect,
    .refresh = channel_refresh,
    .exec = vt__sim_exec,
    .transfer = vt__sim_transfer,
    .connected = channel_connected,
    .drop = channel_drop,
    .free = channel_free,
};

struct vt_channel *vt__sim_channel_new(struct vt__sim *sim)
{
    struct vt__sim_channel *ch = vt_calloc(1, sizeof *ch);
    ch->base.cls = &channel_class;
    ch->base.loop = sim->loop;
    ch->sim = sim;
    ch->next = sim->channels;
    sim->channels = ch;
    return &ch->base;
}

void vt__sim_channel_gone(struct vt__sim *sim)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EGUEST, "guest", "VM %s is gone", sim->config->name);
    for (struct vt__sim_channel *ch = sim->channels, *next; ch; ch = next) {
        next = ch->next;
        vt__sim_channel_cut(ch, &why);
        ch->sim = NULL;
    }
    sim->channels = NULL;
}
