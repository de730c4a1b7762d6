/* Taking a lease, as an operation: at once, or when its turn has come. */
#include "vm/lease.h"

#include <math.h>
#include <string.h>
#include <uv.h>

#include "core/mem.h"
#include "core/sys.h"
#include "vmtest/units.h"

#define POLL_S 0.25   /* what ends is noticed by looking: a killed process tells nobody */
#define LOCKED_S 0.01 /* another process reads the folder; it is done in no time */
#define LOCKED_MOST_S 10.0

/* A timer of libuv's own: other processes do not wait by a virtual clock, so this one does not
 * either. Freed by libuv. */
struct tick {
    uv_timer_t timer; /* first */
    struct take_op *owner;
};

struct take_op {
    struct vt_op op;                 /* first */
    struct vt_lease_request request; /* own copies */
    struct vt_lease *lease;          /* a place in the queue, then the lease itself */
    struct tick *tick;               /* NULL: it waits no more */
    double began;                    /* real seconds */
    char *told;                      /* the last reason for waiting */
};

static void free_tick(uv_handle_t *handle)
{
    vt_free(handle);
}

static void end_waiting(struct take_op *self)
{
    if (!self->tick)
        return;
    uv_close((uv_handle_t *)&self->tick->timer, free_tick);
    self->tick = NULL;
    vt_loop_release(self->op.loop);
}

static void clear(struct take_op *self)
{
    end_waiting(self);
    vt_lease_release(self->lease);
    self->lease = NULL;
}

static void take_abort(struct vt_op *op, struct vt_error *why)
{
    struct take_op *self = (struct take_op *)(void *)op;
    (void)why;
    clear(self);
}

static void take_free(struct vt_op *op)
{
    struct take_op *self = (struct take_op *)(void *)op;
    clear(self);
    vt_free_const(self->request.run);
    vt_free_const(self->request.vm);
    vt_free_const(self->request.place);
    vt_free_const(self->request.needs.disk_dir);
    vt_free_const(self->request.needs.slot);
    vt_free(self->told);
}

static const struct vt_op_class take_class = {
    .name = "lease", .abort = take_abort, .free = take_free};

static void attempt(struct take_op *self);

static void on_tick(uv_timer_t *timer)
{
    attempt(((struct tick *)(void *)timer)->owner);
}

static double waited(const struct take_op *self)
{
    return vt_monotonic() - self->began;
}

static void again(struct take_op *self, double seconds)
{
    uv_update_time(self->tick->timer.loop);
    uv_timer_start(&self->tick->timer, on_tick, (uint64_t)ceil(seconds * 1000), 0);
}

static void give_up(struct take_op *self, struct vt_error *why)
{
    char text[32];
    if (self->lease)
        vt_error_append(why, " (waited %s)", vt_format_duration(text, sizeof text, waited(self)));
    clear(self);
    vt_op_fail(&self->op, why);
}

static void tell_waiting(struct take_op *self, const char *reason)
{
    if (!self->request.waiting || (self->told && !strcmp(self->told, reason)))
        return;
    vt_free(self->told);
    self->told = vt_strdup(reason);
    self->request.waiting(reason, self->op.user);
}

/* The folder is locked meanwhile: nobody else can take the same room. */
static void take_or_queue(struct take_op *self, struct vt__lease_table *t)
{
    struct vt_error why = VT_ERROR_INIT;
    char *reason = NULL;
    enum vt_code code =
        vt__lease_fits(t, vt__lease_name(self->lease), &self->request, &reason, &why);
    bool wait = (code == VT_EBUSY || code == VT_ENOSPC) && waited(self) < self->request.wait;
    if (!code || (wait && !self->lease))
        vt__lease_write(t, &self->lease, &self->request, code != VT_OK, code ? NULL : &why);
    if (!why.code) {
        end_waiting(self);
        vt_op_succeed(&self->op, NULL);
    } else if (!wait) {
        give_up(self, &why);
    } else {
        tell_waiting(self, reason);
        again(self, fmin(POLL_S, fmax(0.001, self->request.wait - waited(self))));
    }
    vt_free(reason);
}

static void attempt(struct take_op *self)
{
    struct vt__lease_table t;
    struct vt_error why = VT_ERROR_INIT;
    enum vt_code code = vt__lease_table_open(&t, &why);
    if (!code)
        take_or_queue(self, &t);
    else if (code == VT_EBUSY && waited(self) < LOCKED_MOST_S + self->request.wait)
        again(self, LOCKED_S);
    else
        give_up(self, &why);
    vt__lease_table_close(&t);
}

struct vt_op *vt_lease_take(struct vt_loop *loop, const struct vt_lease_request *request,
                            vt_op_fn done, void *user, struct vt_error *err)
{
    if (!request->vm || !(request->wait >= 0) || request->needs.cpus < 0 ||
        request->needs.memory > INT64_MAX ||
        (request->needs.slot && request->needs.slot_count < 1)) {
        vt_fail(err, VT_EINVAL, "lease", "a lease needs a VM's name, and amounts that can be");
        return NULL;
    }
    struct take_op *self = vt_op_new(sizeof *self, &take_class, loop, INFINITY, done, user);
    self->request = *request;
    self->request.run = vt_strdup(request->run);
    self->request.vm = vt_strdup(request->vm);
    self->request.place = vt_strdup(request->place);
    self->request.needs.disk_dir = vt_strdup(request->needs.disk_dir);
    self->request.needs.slot = vt_strdup(request->needs.slot);
    self->began = vt_monotonic();
    self->tick = vt_calloc(1, sizeof *self->tick);
    self->tick->owner = self;
    uv_timer_init(vt_loop_uv(loop), &self->tick->timer);
    vt_loop_hold(loop);
    attempt(self);
    return &self->op;
}

struct vt_lease *vt_lease_taken(struct vt_op *op)
{
    struct take_op *self = (struct take_op *)(void *)op;
    struct vt_lease *lease = self->lease;
    self->lease = NULL;
    return lease;
}
