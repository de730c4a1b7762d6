/* Going back to a snapshot, and what a guest needs after time has stood still for it. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vm/internal.h"
#include "vm/snapshot.h"

#define OP "vm.restore"
#define RESTORE_S 60.0 /* scaled */
#define REFRESH_S 30.0 /* of that, for the guest's clock; scaled */
#define SEED_DIGITS 128
#define CLOCK_OFF_MAX 2.0 /* of whole seconds against a time with its fraction */
#define CLOCK_TRIES 4 /* a busy guest is late to run the command, and its clock then by as much */

/* --- a guest that was held --- */

static void fail_settling(struct vm_op *self, const char *what, const char *said)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EGUEST, self->op.cls->name,
            "VM %s answers again, but the time and the random pool of its guest could not be set "
            "right: %s%s%.300s",
            self->vm->config.name, what, *said ? ": " : "", said);
    vt_hint(
        &why,
        "its user is to be root (on macOS: may use sudo without a password), or the image is to "
        "have vmtest's agent");
    vt_op_fail(&self->op, &why);
}

/* Its address on an isolated network, and the names of the others, may be new ones. */
static void set_up_network(struct vm_op *self)
{
    self->inner = vt__vm_network_setup(self->vm, vt__vm_op_relay, self);
    if (!self->inner)
        vt_op_succeed(&self->op, self->result);
}

static void on_refreshed(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    const struct vt_error *why = vt_op_error(inner);
    self->inner = NULL;
    if (why)
        fail_settling(self, why->message, "");
    else
        set_up_network(self);
}

static void refresh_by(struct vm_op *self, struct vt_channel *ch);

/* What a command said of the guest's clock, which it had set. */
static void check_clock(struct vm_op *self, double guest, const char *said)
{
    double late = vt_wall() - 0.5 - guest;
    if (guest < self->clock_given - CLOCK_OFF_MAX || late < -CLOCK_OFF_MAX)
        fail_settling(self, "its clock did not take the time it was given", said);
    else if (late > CLOCK_OFF_MAX && self->clock_tries < CLOCK_TRIES)
        refresh_by(self, self->vm->channel);
    else
        set_up_network(self);
}

static void on_refresh_command(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    const struct vt_error *why = vt_op_error(inner);
    const struct vt_exec_result *r = vt_op_result(inner);
    long guest = 0;
    self->inner = NULL;
    if (why)
        fail_settling(self, why->message, "");
    else if (r->status || sscanf(r->out, "%ld", &guest) != 1)
        fail_settling(self, "its commands failed", r->err);
    else
        check_clock(self, (double)guest, r->err);
}

/* Without a channel that can do it: by commands that any guest has. What is written to the random
 * device counts only when the kernel takes it up, which a program can ask for at once
 * (RNDRESEEDCRNG is 0x5207) and the kernel does by itself within a minute. */
static struct vt_op *refresh_by_command(struct vm_op *self, struct vt_channel *ch,
                                        struct vt_error *err)
{
    static const char reseed[] =
        "cat > /dev/urandom || exit; "
        "perl -e 'open(F,\">\",\"/dev/urandom\") && ioctl(F,0x5207,0)' 2>/dev/null || "
        "python3 -c 'import fcntl;fcntl.ioctl(open(\"/dev/urandom\",\"wb\"),0x5207)' 2>/dev/null; "
        "date -u +%s";
    char seed[SEED_DIGITS + 1];
    struct vt_buf line = VT_BUF_INIT;
    double now = self->clock_given = vt_wall();
    self->clock_tries++;
    vt_random_hex(seed, SEED_DIGITS);
    time_t seconds = (time_t)now;
    struct tm utc;
    char stamp[24];
    gmtime_r(&seconds, &utc);
    strftime(stamp, sizeof stamp, "%m%d%H%M%Y.%S", &utc);
    /* macOS has another `date`, and takes up what its random device is given by itself */
    vt_buf_printf(&line,
                  "if [ \"$(uname)\" = Darwin ]; then sudo -n date -u %s >/dev/null || exit; "
                  "cat > /dev/urandom; exec date -u +%%s; fi; "
                  "date -u -s @%.3f >/dev/null 2>&1 || date -u -s @%.0f >/dev/null || exit; ",
                  stamp, now, now);
    vt_buf_puts(&line, reseed);
    const struct vt_exec_opts opts = {.command = line.data,
                                      .input = seed,
                                      .input_size = SEED_DIGITS,
                                      .timeout = REFRESH_S * vt_vm_time_scale(self->vm)};
    struct vt_op *op = ch->cls->exec(ch, &opts, on_refresh_command, self, err);
    vt_buf_free(&line);
    return op;
}

static void refresh_by(struct vm_op *self, struct vt_channel *ch)
{
    struct vt_error why = VT_ERROR_INIT;
    double s = REFRESH_S * vt_vm_time_scale(self->vm);
    self->inner = ch->cls->refresh ? ch->cls->refresh(ch, s, on_refreshed, self, &why)
                                   : refresh_by_command(self, ch, &why);
    if (!self->inner)
        vt_op_fail(&self->op, &why);
}

static void on_agent_connected(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    self->inner = NULL;
    refresh_by(self, vt_op_error(inner) ? self->vm->channel : self->vm->agent);
}

/* Connects to the agent besides, where the guest has one and is reached by something else. */
static struct vt_op *connect_agent(struct vm_op *self)
{
    struct vt_vm *vm = self->vm;
    if (!vt_image_has_channel(vm->config.image, "agent"))
        return NULL;
    vm->agent = vm->driver->channel(vm->instance, "agent", NULL);
    return vm->agent ? vm->agent->cls->connect(vm->agent, REFRESH_S * vt_vm_time_scale(vm),
                                               on_agent_connected, self, NULL)
                     : NULL;
}

static void on_settle_connected(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    struct vt_channel *ch = self->vm->channel;
    self->inner = NULL;
    if (vt_op_error(inner)) {
        vt_op_fail(&self->op, vt_op_error(inner));
        return;
    }
    self->vm->held = false;
    if (!ch->cls->refresh)
        self->inner = connect_agent(self);
    if (!self->inner)
        refresh_by(self, ch);
}

void vt__vm_settle(struct vm_op *self)
{
    struct vt_error why = VT_ERROR_INIT;
    if (!vt_vm_supports(self->vm, VT_CAP_EXEC, NULL)) { /* nobody can ask it anything */
        vt_op_succeed(&self->op, self->result);
        return;
    }
    struct vt_channel *ch = vt__vm_channel(self->vm, &why);
    if (ch)
        self->inner = ch->cls->connect(ch, INFINITY, on_settle_connected, self, &why);
    if (!self->inner)
        vt_op_fail(&self->op, &why);
}

/* --- restore --- */

struct restore_op {
    struct vm_op base;
    char *dir, *name;
    json_t *facts;
    double timeout;
    bool own_timeout;
};

static void restore_free(struct vt_op *op)
{
    struct restore_op *self = (struct restore_op *)(void *)op;
    vt__vm_leave_exclusive(&self->base);
    vt__vm_op_detach(op);
    json_decref(self->facts);
    vt_free(self->dir);
    vt_free(self->name);
}

static void restore_abort(struct vt_op *op, struct vt_error *why)
{
    struct restore_op *self = (struct restore_op *)(void *)op;
    struct vt_vm *vm = self->base.vm;
    bool starting = vm->state == VT_VM_STARTING;
    vt__vm_op_forget_inner(&self->base);
    if (why->code == VT_ETIMEDOUT) {
        vt_error_append(why, ": VM %s, back at its snapshot \"%s\", %s", vm->config.name,
                        self->name, starting ? "did not start" : "did not answer");
        vt__vm_add_console(vm, why);
    }
    if (starting)
        vt__vm_give_up_start(vm, "restore given up");
}

static const struct vt_op_class restore_class = {
    .name = OP, .abort = restore_abort, .free = restore_free};

static void restore_ended(struct vm_op *self)
{
    vt__vm_op_forget_inner(self);
    vt_op_fail(&self->op, &self->vm->end);
}

static void on_restored(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    struct restore_op *restore = user;
    struct vt_vm *vm = self->vm;
    const struct vt_error *why = vt_op_error(inner);
    self->inner = NULL;
    if (why) {
        vm->end = *why;
        if (vm->state == VT_VM_STARTING)
            vt__vm_set_state(vm, VT_VM_CRASHED, why->message);
        vt_op_fail(&self->op, why);
        return;
    }
    char reason[128];
    snprintf(reason, sizeof reason, "restored from \"%s\"", restore->name);
    vt_free(vm->came_from);
    vm->came_from = vt_strdup(restore->dir);
    vm->held = vt_json_bool(restore->facts, "memory", false);
    if (!vm->held) {
        vm->end = (struct vt_error)VT_ERROR_INIT;
        vt_fail(&vm->end, VT_EGUEST, "vm", "VM %s stopped: %s", vm->config.name, reason);
        vt__vm_set_state(vm, VT_VM_STOPPED, reason);
        vt_op_succeed(&self->op, NULL);
    } else if (!strcmp(vt_json_str(restore->facts, "state", ""), "paused")) {
        vt__vm_set_state(vm, VT_VM_PAUSED, reason); /* resume() sets its clock right */
        vt_op_succeed(&self->op, NULL);
    } else {
        vt__vm_set_state(vm, VT_VM_RUNNING, reason);
        if (!restore->own_timeout)
            vt_op_set_deadline(&self->op, RESTORE_S * vt_vm_time_scale(vm));
        vt__vm_settle(self);
    }
}

static void call_restore(void *instance, struct vt_op *op, void *args)
{
    struct restore_op *self = args;
    self->base.vm->driver->restore(instance, self->dir, self->facts, op);
}

static void restore_admitted(struct vm_op *self)
{
    struct restore_op *restore = (struct restore_op *)(void *)self;
    vt_op_set_deadline(&self->op, restore->timeout);
    self->inner = vt__vm_call_driver(self->vm, call_restore, restore, on_restored, self);
}

/* What was going on in the VM is over; its operations say so. */
static void leave_present(struct vt_vm *vm)
{
    vm->end = (struct vt_error)VT_ERROR_INIT;
    vt_fail(&vm->end, VT_EGUEST, "vm", "VM %s was restored meanwhile", vm->config.name);
    vm->kill_asked = false;
    vt__console_restart(&vm->console);
    vt__vm_set_state(vm, VT_VM_STARTING, "restoring");
    vt__vm_end_ops(vm);
    if (vm->channel) { /* its way in may be another one afterwards */
        vm->channel->cls->drop(vm->channel, &vm->end);
        vm->channel->cls->free(vm->channel);
        vm->channel = NULL;
    }
}

static enum vt_code check(const struct vt_vm *vm, const char *dir, json_t **facts,
                          struct vt_error *err)
{
    const char *slash = strrchr(dir, '/'), *name = slash ? slash + 1 : dir;
    enum vt_code code = vt__snapshot_load(dir, facts, err);
    if (!code)
        code = vt__snapshot_matches(vm, name, *facts, err);
    if (!code)
        code = vm->driver->restore_check(vm->instance, dir, *facts, err);
    return code;
}

enum vt_code vt_vm_restore_check(const struct vt_vm *vm, const char *path, struct vt_error *err)
{
    json_t *facts = NULL;
    if (!vt_vm_supports(vm, VT_CAP_SNAPSHOT, err))
        return VT_EUNSUPPORTED;
    char *dir = vt__snapshot_find(vm, path);
    enum vt_code code = check(vm, dir, &facts, err);
    json_decref(facts);
    vt_free(dir);
    return code;
}

struct vt_op *vt_vm_restore(struct vt_vm *vm, const char *path, double timeout, vt_op_fn done,
                            void *user, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    json_t *facts = NULL;
    char *dir = NULL;
    bool busy = vm->exclusive && vm->exclusive->op.cls == &restore_class;
    if (!path || !*path)
        vt_fail(&own, VT_EINVAL, OP, "a restore needs a snapshot's name or folder");
    else if (vt_vm_supports(vm, VT_CAP_SNAPSHOT, &own) &&
             (!busy || vt__vm_need_idle(vm, OP, &own) == VT_OK)) {
        dir = vt__snapshot_find(vm, path);
        check(vm, dir, &facts, &own);
    }
    if (own.code) {
        vt_error_copy(err, &own);
        json_decref(facts);
        vt_free(dir);
        return NULL;
    }
    leave_present(vm);
    double s = timeout > 0 ? timeout : RESTORE_S * vt_vm_time_scale(vm);
    struct vm_op *self =
        vt__vm_op_new(vm, sizeof(struct restore_op), &restore_class, s, done, user);
    struct restore_op *restore = (struct restore_op *)(void *)self;
    restore->dir = dir;
    restore->name = vt_strdup(vt_json_str(facts, "name", path));
    restore->facts = facts;
    restore->timeout = s;
    restore->own_timeout = timeout > 0;
    self->ended = restore_ended;
    vm->exclusive = self;
    vt_op_set_deadline(&self->op, s + vm->config.wait);
    vt__vm_admit(self, restore_admitted);
    return &self->op;
}
