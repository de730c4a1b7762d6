/* Starting, stopping, pausing and restarting, as operations over the driver. */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "vm/internal.h"

#define DRIVER_START_S 60.0 /* for the hypervisor's own start, acceleration probe included */
#define DRIVER_CALL_S 30.0  /* for pause, resume, reset, kill */
#define SETTLE_S 60.0       /* for a guest that was restored paused; scaled */
#define STOP_S 30.0         /* for a guest to power off; scaled */
#define BOOT_S 60.0         /* where an image does not say; scaled */

#define STATE(name) (1u << VT_VM_##name)

/* The driver's part of an operation: its own op, so that the driver never sees ours. */
struct driver_op {
    struct vt_op op;
    struct vt_vm *vm; /* NULL once the VM was freed */
    struct driver_op *next, *prev;
};

static void driver_abort(struct vt_op *op, struct vt_error *why)
{
    (void)why;
    struct vt_vm *vm = ((struct driver_op *)(void *)op)->vm;
    vm->driver->forget(vm->instance, op);
}

static void driver_detach(struct vt_op *op)
{
    struct driver_op *self = (struct driver_op *)(void *)op;
    if (!self->vm)
        return;
    if (self->prev)
        self->prev->next = self->next;
    else
        self->vm->driver_ops = self->next;
    if (self->next)
        self->next->prev = self->prev;
    self->vm = NULL;
}

static const struct vt_op_class driver_class = {
    .name = "driver", .abort = driver_abort, .free = driver_detach};

void vt__vm_forget_driver_ops(struct vt_vm *vm)
{
    while (vm->driver_ops) {
        struct vt_op *op = &vm->driver_ops->op;
        vt_op_forget(op);
        driver_detach(op);
    }
}

struct vt_op *vt__vm_call_driver(struct vt_vm *vm,
                                 void (*fn)(void *instance, struct vt_op *op, void *args),
                                 void *args, vt_op_fn done, void *user)
{
    struct driver_op *inner =
        vt_op_new(sizeof *inner, &driver_class, vm->loop, INFINITY, done, user);
    inner->vm = vm;
    inner->next = vm->driver_ops;
    if (vm->driver_ops)
        vm->driver_ops->prev = inner;
    vm->driver_ops = inner;
    fn(vm->instance, &inner->op, args);
    return &inner->op;
}

struct plain_call {
    void (*fn)(void *instance, struct vt_op *op);
};

static void call_plain(void *instance, struct vt_op *op, void *args)
{
    const struct plain_call *call = args;
    call->fn(instance, op);
}

static struct vt_op *call_driver(struct vt_vm *vm, void (*fn)(void *, struct vt_op *),
                                 vt_op_fn done, void *user)
{
    struct plain_call call = {.fn = fn};
    return vt__vm_call_driver(vm, call_plain, &call, done, user);
}

static void op_free(struct vt_op *op)
{
    vt__vm_op_detach(op);
}

/* Takes the outcome of the inner operation; true where it succeeded and ours still runs. */
static bool inner_succeeded(struct vm_op *self, struct vt_op *inner)
{
    self->inner = NULL;
    const struct vt_error *why = vt_op_error(inner);
    if (why)
        vt_op_fail(&self->op, why);
    return !why && !vt_op_ended(&self->op);
}

static void fail_ended(struct vm_op *self)
{
    vt__vm_op_forget_inner(self);
    vt_op_fail(&self->op, &self->vm->end);
}

/* --- waiting until the guest answers: the last part of start and reboot --- */

static void on_network(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    if (inner_succeeded(self, inner))
        vt_op_succeed(&self->op, NULL);
}

static void on_connected(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    if (!inner_succeeded(self, inner))
        return;
    self->inner = vt__vm_network_setup(self->vm, on_network, self);
    if (!self->inner)
        vt_op_succeed(&self->op, NULL);
}

static void connect_guest(struct vm_op *self)
{
    self->waits_ready = false;
    struct vt_error why = VT_ERROR_INIT;
    struct vt_channel *ch = vt__vm_channel(self->vm, &why);
    if (ch)
        self->inner = ch->cls->connect(ch, INFINITY, on_connected, self, &why);
    if (!self->inner)
        vt_op_fail(&self->op, &why);
}

static void await_ready(struct vm_op *self)
{
    vt__vm_op_forget_inner(self);
    const struct vt_image *image = self->vm->config.image;
    if (image && image->ready && !self->vm->console.ready) {
        self->waits_ready = true;
        self->ready = connect_guest;
    } else {
        connect_guest(self);
    }
}

static double boot_deadline(const struct vt_vm *vm)
{
    double s = vm->config.image ? vm->config.image->boot_deadline : vm->driver->boot_deadline;
    return (s > 0 ? s : BOOT_S) * vt_vm_time_scale(vm);
}

/* What a guest that does not answer leaves to see. */
static void boot_abort(struct vt_op *op, struct vt_error *why)
{
    struct vm_op *self = (struct vm_op *)(void *)op;
    vt__vm_op_forget_inner(self);
    if (why->code != VT_ETIMEDOUT)
        return;
    const char *what = self->vm->state == VT_VM_STARTING ? "it did not start"
                       : self->waits_ready               ? "it did not finish booting"
                                                         : "it did not answer";
    vt_error_append(why, ": VM %s: %s", self->vm->config.name, what);
    const struct vt_channel *ch = self->vm->channel;
    if (ch && ch->cls->explain && self->vm->state == VT_VM_RUNNING && !self->waits_ready)
        ch->cls->explain(ch, why);
    if (vt_vm_supports(self->vm, VT_CAP_CONSOLE, NULL))
        vt__vm_add_console(self->vm, why);
    vt_hint(why, "%sgive a slow guest a longer time-out",
            vt_vm_supports(self->vm, VT_CAP_CONSOLE, NULL)
                ? "the whole console is in its console.log; "
                : "");
}

/* --- start --- */

struct start_op {
    struct vm_op base;
    bool wait_ready;
    double timeout; /* 0: the boot deadline */
};

static void on_killed_quietly(struct vt_op *inner, void *user)
{
    (void)inner;
    vt_vm_ended(user, false, "killed");
}

void vt__vm_give_up_start(struct vt_vm *vm, const char *reason)
{
    vm->kill_asked = true;
    vt__vm_set_state(vm, VT_VM_STOPPING, reason);
    call_driver(vm, vm->driver->kill, on_killed_quietly, vm);
}

static void start_abort(struct vt_op *op, struct vt_error *why)
{
    struct vm_op *self = (struct vm_op *)(void *)op;
    boot_abort(op, why);
    if (self->vm->state == VT_VM_STARTING) /* nobody else would end it */
        vt__vm_give_up_start(self->vm, "start given up");
}

static const struct vt_op_class start_class = {
    .name = "vm.start", .abort = start_abort, .free = op_free};

static void on_started(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    struct start_op *start = user;
    struct vt_vm *vm = self->vm;
    if (!inner_succeeded(self, inner)) {
        if (vm->state == VT_VM_STARTING) {
            vm->end = self->op.error;
            vt__vm_set_state(vm, VT_VM_CRASHED, self->op.error.message);
        }
        return;
    }
    vt__vm_set_state(vm, VT_VM_RUNNING, NULL);
    if (!start->wait_ready) {
        vt_op_succeed(&self->op, NULL);
        return;
    }
    if (start->timeout == 0)
        vt_op_set_deadline(&self->op, boot_deadline(vm));
    self->restarted = await_ready;
    await_ready(self);
}

static double start_deadline(const struct start_op *start)
{
    return start->timeout > 0 ? start->timeout : DRIVER_START_S;
}

static void start_admitted(struct vm_op *self)
{
    struct vt_vm *vm = self->vm;
    vt_op_set_deadline(&self->op, start_deadline((struct start_op *)(void *)self));
    self->inner = call_driver(vm, vm->driver->start, on_started, self);
}

struct vt_op *vt_vm_start(struct vt_vm *vm, bool wait_ready, double timeout, vt_op_fn done,
                          void *user, struct vt_error *err)
{
    if (vt__vm_need_state(vm, STATE(DEFINED) | STATE(STOPPED) | STATE(CRASHED), "vm.start", err))
        return NULL;
    struct vm_op *self =
        vt__vm_op_new(vm, sizeof(struct start_op), &start_class, INFINITY, done, user);
    struct start_op *start = (struct start_op *)(void *)self;
    start->wait_ready = wait_ready;
    start->timeout = timeout;
    vt_op_set_deadline(&self->op, start_deadline(start) + vm->config.wait);
    self->ended = fail_ended;
    vm->kill_asked = vm->held = false;
    vt__console_restart(&vm->console);
    vt__vm_channel_free(vm);
    vt__vm_set_state(vm, VT_VM_STARTING, NULL);
    vt__vm_admit(self, start_admitted);
    return &self->op;
}

/* --- stop --- */

static void stop_ended(struct vm_op *self)
{
    vt__vm_op_forget_inner(self);
    if (self->vm->state == VT_VM_STOPPED)
        vt_op_succeed(&self->op, NULL);
    else
        vt_op_fail(&self->op, &self->vm->end);
}

static void stop_abort(struct vt_op *op, struct vt_error *why)
{
    struct vm_op *self = (struct vm_op *)(void *)op;
    vt__vm_op_forget_inner(self);
    if (self->vm->state == VT_VM_STOPPING)
        vt__vm_set_state(self->vm, VT_VM_RUNNING, "it did not power off when asked");
    if (why->code != VT_ETIMEDOUT)
        return;
    vt_error_append(why, ": VM %s did not power off when asked", self->vm->config.name);
    vt__vm_add_console(self->vm, why);
    vt_hint(why, "vm:kill() ends it hard");
}

static const struct vt_op_class stop_class = {
    .name = "vm.stop", .abort = stop_abort, .free = op_free};

/* Handed over: what comes next is vt_vm_ended(). */
static void on_stop_asked(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    self->inner = NULL;
    const struct vt_error *why = vt_op_error(inner);
    if (!why)
        return;
    if (self->vm->state == VT_VM_STOPPING)
        vt__vm_set_state(self->vm, VT_VM_RUNNING, NULL);
    vt_op_fail(&self->op, why);
}

/* The guest's own shutdown command was sent, or could not be: a lost connection is what a guest
 * that powers off looks like, anything else leaves it to the driver. */
static void on_shutdown_command(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    self->inner = NULL;
    const struct vt_error *why = vt_op_error(inner);
    if (why && why->code != VT_EGUEST && !vt_op_ended(&self->op))
        self->inner = call_driver(self->vm, self->vm->driver->stop, on_stop_asked, self);
}

/* Runs one of the image's own commands over the channel; NULL where there is no connection. */
static struct vt_op *guest_command(struct vm_op *self, const char *command, vt_op_fn done)
{
    struct vt_channel *ch = self->vm->channel;
    if (!command || !ch || !ch->cls->connected(ch))
        return NULL;
    const struct vt_exec_opts opts = {.command = command, .timeout = DRIVER_CALL_S};
    return ch->cls->exec(ch, &opts, done, self, NULL);
}

struct vt_op *vt_vm_stop(struct vt_vm *vm, double timeout, vt_op_fn done, void *user,
                         struct vt_error *err)
{
    if (!vt_vm_supports(vm, VT_CAP_STOP, err) ||
        vt__vm_need_state(vm, STATE(RUNNING), "vm.stop", err))
        return NULL;
    double s = timeout > 0 ? timeout : STOP_S * vt_vm_time_scale(vm);
    struct vm_op *self = vt__vm_op_new(vm, sizeof *self, &stop_class, s, done, user);
    self->ended = stop_ended;
    vt__vm_set_state(vm, VT_VM_STOPPING, NULL);
    const char *command = vm->config.image ? vm->config.image->shutdown : NULL;
    self->inner = guest_command(self, command, on_shutdown_command);
    if (!self->inner)
        self->inner = call_driver(vm, vm->driver->stop, on_stop_asked, self);
    return &self->op;
}

/* --- kill --- */

/* Where it ended, the driver ends this one too; else it was restored meanwhile. */
static void kill_ended(struct vm_op *self)
{
    if (self->vm->state == VT_VM_STARTING)
        fail_ended(self);
}

static void plain_abort(struct vt_op *op, struct vt_error *why)
{
    struct vm_op *self = (struct vm_op *)(void *)op;
    vt__vm_op_forget_inner(self);
    vt_error_append(why, " (VM %s)", self->vm->config.name);
}

static const struct vt_op_class kill_class = {
    .name = "vm.kill", .abort = plain_abort, .free = op_free};

static void on_killed(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    if (!inner_succeeded(self, inner))
        return;
    vt_vm_ended(self->vm, false, "killed");
    vt_op_succeed(&self->op, NULL);
}

struct vt_op *vt_vm_kill(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    if (!vt_vm_supports(vm, VT_CAP_KILL, err) ||
        vt__vm_need_state(vm, STATE(STARTING) | STATE(RUNNING) | STATE(PAUSED) | STATE(STOPPING),
                          "vm.kill", err))
        return NULL;
    struct vm_op *self = vt__vm_op_new(vm, sizeof *self, &kill_class, DRIVER_CALL_S, done, user);
    self->ended = kill_ended;
    vm->kill_asked = true;
    self->inner = call_driver(vm, vm->driver->kill, on_killed, self);
    return &self->op;
}

/* --- pause, resume --- */

static const struct vt_op_class pause_class = {
    .name = "vm.pause", .abort = plain_abort, .free = op_free};
static const struct vt_op_class resume_class = {
    .name = "vm.resume", .abort = plain_abort, .free = op_free};

static void on_pause(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    if (!inner_succeeded(self, inner))
        return;
    vt__vm_set_state(self->vm, self->op.cls == &pause_class ? VT_VM_PAUSED : VT_VM_RUNNING, NULL);
    if (self->op.cls == &resume_class && self->vm->held) {
        vt_op_set_deadline(&self->op, SETTLE_S * vt_vm_time_scale(self->vm));
        vt__vm_settle(self);
    } else {
        vt_op_succeed(&self->op, NULL);
    }
}

static struct vt_op *pause_or_resume(struct vt_vm *vm, const struct vt_op_class *cls,
                                     unsigned needed, void (*fn)(void *, struct vt_op *),
                                     vt_op_fn done, void *user, struct vt_error *err)
{
    if (!vt_vm_supports(vm, VT_CAP_PAUSE, err) || vt__vm_need_state(vm, needed, cls->name, err) ||
        vt__vm_need_idle(vm, cls->name, err))
        return NULL;
    struct vm_op *self = vt__vm_op_new(vm, sizeof *self, cls, DRIVER_CALL_S, done, user);
    self->ended = fail_ended;
    self->inner = call_driver(vm, fn, on_pause, self);
    return &self->op;
}

struct vt_op *vt_vm_pause(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return pause_or_resume(vm, &pause_class, STATE(RUNNING), vm->driver->pause, done, user, err);
}

struct vt_op *vt_vm_resume(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return pause_or_resume(vm, &resume_class, STATE(PAUSED), vm->driver->resume, done, user, err);
}

/* --- reboot --- */

static void start_again(struct vt_vm *vm, bool on)
{
    if (vm->driver->start_again)
        vm->driver->start_again(vm->instance, on);
}

static void reboot_abort(struct vt_op *op, struct vt_error *why)
{
    boot_abort(op, why);
    start_again(((struct vm_op *)(void *)op)->vm, false);
}

static const struct vt_op_class reboot_class = {
    .name = "vm.reboot", .abort = reboot_abort, .free = op_free};

/* The restart itself is told by vt_vm_restarted(); here only a refusal matters. */
static void on_reset_asked(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    self->inner = NULL;
    if (!vt_op_error(inner))
        return;
    start_again(self->vm, false);
    vt_op_fail(&self->op, vt_op_error(inner));
}

static void on_reboot_command(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    self->inner = NULL;
    const struct vt_error *why = vt_op_error(inner);
    const struct vt_exec_result *r = vt_op_result(inner);
    if (why && why->code != VT_EGUEST) {
        start_again(self->vm, false);
        vt_op_fail(&self->op, why);
    } else if (!why && r->status > 0) {
        start_again(self->vm, false);
        struct vt_error refused = VT_ERROR_INIT;
        vt_fail(&refused, VT_EGUEST, "vm.reboot",
                "VM %s: its command to restart ended with status %d: %.200s", self->vm->config.name,
                r->status, r->err);
        vt_op_fail(&self->op, &refused);
    }
}

struct vt_op *vt_vm_reboot(struct vt_vm *vm, bool hard, double timeout, vt_op_fn done, void *user,
                           struct vt_error *err)
{
    const bool again = !hard && vm->driver->start_again;
    const struct vt_image *image = vm->config.image;
    const char *command = !image ? "reboot" : again ? image->shutdown : image->reboot;
    if (vt__vm_need_state(vm, STATE(RUNNING), "vm.reboot", err) ||
        vt__vm_need_idle(vm, "vm.reboot", err) || (hard && !vt_vm_supports(vm, VT_CAP_RESET, err)))
        return NULL;
    if (!hard && !command && !vm->driver->reboot && !again) {
        vt_fail(err, VT_EUNSUPPORTED, "vm.reboot", "the image of VM %s names no reboot command",
                vm->config.name);
        vt_hint(err, "use vm:reboot{hard=true}");
        return NULL;
    }
    double s = timeout > 0 ? timeout : boot_deadline(vm);
    struct vm_op *self = vt__vm_op_new(vm, sizeof *self, &reboot_class, s, done, user);
    self->ended = fail_ended;
    self->restarted = await_ready;
    if (hard || vm->driver->reboot) {
        self->inner =
            call_driver(vm, hard ? vm->driver->reset : vm->driver->reboot, on_reset_asked, self);
        return &self->op;
    }
    start_again(vm, again);
    self->inner = guest_command(self, command, on_reboot_command);
    if (!self->inner && again)
        self->inner = call_driver(vm, vm->driver->stop, on_reset_asked, self);
    if (!self->inner) {
        struct vt_error why = VT_ERROR_INIT;
        vt_fail(&why, VT_EGUEST, "vm.reboot", "VM %s: there is no connection to its guest",
                vm->config.name);
        vt_hint(&why, "use vm:reboot{hard=true}");
        vt_op_fail(&self->op, &why);
    }
    return &self->op;
}

/* --- wait_stopped --- */

static const struct vt_op_class wait_class = {
    .name = "vm.wait_stopped", .abort = plain_abort, .free = op_free};

struct vt_op *vt_vm_wait_stopped(struct vt_vm *vm, double timeout, vt_op_fn done, void *user,
                                 struct vt_error *err)
{
    if (!(timeout > 0)) {
        vt_fail(err, VT_EINVAL, "vm.wait_stopped", "a wait needs a time-out above 0");
        return NULL;
    }
    if (vt__vm_need_state(vm, ~STATE(DEFINED), "vm.wait_stopped", err))
        return NULL;
    struct vm_op *self = vt__vm_op_new(vm, sizeof *self, &wait_class, timeout, done, user);
    self->ended = stop_ended;
    if (vm->state == VT_VM_STOPPED || vm->state == VT_VM_CRASHED)
        stop_ended(self);
    return &self->op;
}
