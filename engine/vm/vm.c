/* The VM object: its state, its configuration, and what drivers tell. */
#include "vmtest/vm.h"

#include <math.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "vm/internal.h"

#define MAX_DRIVERS 16

static const struct vt_driver *drivers[MAX_DRIVERS + 1];
static const char *driver_names[MAX_DRIVERS + 1];

static const char *const state_names[] = {
    [VT_VM_DEFINED] = "defined", [VT_VM_STARTING] = "starting", [VT_VM_RUNNING] = "running",
    [VT_VM_PAUSED] = "paused",   [VT_VM_STOPPING] = "stopping", [VT_VM_STOPPED] = "stopped",
    [VT_VM_CRASHED] = "crashed",
};

static const char *const capability_names[VT_CAP_COUNT_] = {
    [VT_CAP_START] = "start",
    [VT_CAP_STOP] = "stop",
    [VT_CAP_KILL] = "kill",
    [VT_CAP_PAUSE] = "pause",
    [VT_CAP_RESET] = "reset",
    [VT_CAP_CONSOLE] = "console",
    [VT_CAP_CONSOLE_WRITE] = "console_write",
    [VT_CAP_EXEC] = "exec",
    [VT_CAP_FILES] = "files",
    [VT_CAP_SNAPSHOT] = "snapshot",
    [VT_CAP_COPY] = "copy",
    [VT_CAP_SCREENSHOT] = "screenshot",
    [VT_CAP_KEYS] = "keys",
    [VT_CAP_VNC] = "vnc",
    [VT_CAP_DISKS] = "disks",
    [VT_CAP_NBD] = "nbd",
    [VT_CAP_RESIZE] = "resize_disk",
    [VT_CAP_HOT_DISK] = "hot_disk",
    [VT_CAP_SHARES] = "shares",
    [VT_CAP_HOT_SHARE] = "hot_share",
    [VT_CAP_NAT] = "nat",
    [VT_CAP_FORWARD] = "forward",
    [VT_CAP_ISOLATED] = "isolated",
    [VT_CAP_BRIDGED] = "bridged",
    [VT_CAP_NO_NETWORK] = "no_network",
};

const char *vt_vm_state_name(enum vt_vm_state state)
{
    return (unsigned)state <= VT_VM_CRASHED ? state_names[state] : "unknown";
}

const char *vt_capability_name(enum vt_capability cap)
{
    return (unsigned)cap < VT_CAP_COUNT_ ? capability_names[cap] : "unknown";
}

void vt_driver_register(const struct vt_driver *driver)
{
    int n = 0;
    while (n < MAX_DRIVERS && drivers[n] && drivers[n] != driver)
        n++;
    if (n == MAX_DRIVERS)
        return;
    drivers[n] = driver;
    driver_names[n] = driver->name;
}

const struct vt_driver *const *vt_drivers(void)
{
    return drivers;
}

void vt__drivers_sweep(void)
{
    for (size_t i = 0; drivers[i]; i++)
        if (drivers[i]->sweep)
            drivers[i]->sweep();
}

const char *const *vt_driver_names(void)
{
    return driver_names;
}

static const char *const channel_names[] = {"agent", "ssh", "qga", NULL};

const char *const *vt_channel_names(void)
{
    return channel_names;
}

static const struct vt_driver *find_driver(const char *name, struct vt_error *err)
{
    size_t n = 0;
    for (; drivers[n]; n++)
        if (!strcmp(drivers[n]->name, name))
            return drivers[n];
    vt_fail(err, VT_EINVAL, "vm.new", "there is no driver \"%s\"", name);
    const char *near = vt_nearest(name, driver_names, n);
    if (near)
        vt_hint(err, "did you mean \"%s\"?", near);
    return NULL;
}

/* What it is made of is copied as it is saved: by its JSON form. */
static enum vt_code copy_config(struct vt_vm *vm, const struct vt_vm_config *c,
                                struct vt_error *err)
{
    struct vt_vm_config *own = &vm->config;
    json_t *object = vt_vm_config_to_json(c);
    enum vt_code code = vt_vm_config_from_json(object, false, own, err);
    json_decref(object);
    if (code)
        return code;
    if (!own->driver)
        own->driver = vt_strdup(vm->driver->name);
    if (!own->accel)
        own->accel = vt_strdup("auto");
    own->image = c->image;
    if (!own->memory && c->image)
        own->memory = c->image->memory;
    if (!own->cpus)
        own->cpus = c->image ? c->image->cpus : 1;
    own->screen = c->screen || c->vnc;
    own->state_dir = vt_strdup(c->state_dir);
    own->scratch_dir = vt_strdup(c->scratch_dir);
    own->console_log = vt_strdup(c->console_log);
    own->keep = c->keep;
    own->persistent = c->persistent;
    own->run = vt_strdup(c->run);
    own->wait = c->wait;
    return VT_OK;
}

static void free_vm(struct vt_vm *vm)
{
    struct vt_vm_config *own = &vm->config;
    vt_free_const(own->state_dir);
    vt_free_const(own->scratch_dir);
    vt_free_const(own->console_log);
    vt_free_const(own->run);
    own->image = NULL; /* the caller's */
    vt_vm_config_clear(own);
    vt_buf_free(&vm->console.text);
    vt_free(vm->came_from);
    vt_free(vm->reason);
    vt_free(vm);
}

enum vt_code vt_vm_new(struct vt_loop *loop, const struct vt_vm_config *config, struct vt_vm **out,
                       struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    *out = NULL;
    const struct vt_driver *driver = find_driver(config->driver ? config->driver : "qemu", &own);
    if (!driver || vt__vm_config_check(config, driver, &own))
        return vt_error_copy(err, &own);
    if (driver->virtual_clock ? vt_loop_set_virtual(loop, &own) != VT_OK
                              : vt_loop_is_virtual(loop)) {
        vt_fail(&own, VT_EUNSUPPORTED, "vm.new",
                "VM %s: one suite cannot mix simulated and real VMs: their clocks differ",
                config->name);
        vt_hint(&own, "put them into two suites");
        return vt_error_copy(err, &own);
    }
    struct vt_vm *vm = vt_calloc(1, sizeof *vm);
    vm->loop = loop;
    vm->driver = driver;
    if (copy_config(vm, config, &own) || driver->create(vm, &vm->config, &vm->instance, &own)) {
        free_vm(vm);
        return vt_error_copy(err, &own);
    }
    vt__vm_network_add(vm);
    *out = vm;
    return VT_OK;
}

void vt_vm_free(struct vt_vm *vm, bool leave_running)
{
    if (!vm)
        return;
    bool kept = leave_running && vm->config.state_dir &&
                vm->driver->support[VT_CAP_KILL].can != VT_NO && /* else nothing of ours runs */
                (vm->state == VT_VM_RUNNING || vm->state == VT_VM_PAUSED);
    bool elsewhere = vm->elsewhere;
    vm->on_state = NULL;
    vt__vm_network_remove(vm);
    while (vm->ops) {
        struct vm_op *self = vm->ops;
        vt_op_cancel(&self->op);
        vt__vm_op_detach(&self->op);
    }
    vt__vm_forget_driver_ops(vm);
    vt__vm_channel_free(vm);
    vm->driver->destroy(vm->instance, kept || elsewhere);
    vt__vm_dismiss(vm);
    if (kept)
        vt__registry_keep(vm);
    else if (!elsewhere)
        vt__registry_remove(vm);
    if (!kept && vm->driver->sweep)
        vm->driver->sweep(); /* its snapshots went with its folders */
    free_vm(vm);
}

void vt_vm_on_state(struct vt_vm *vm, vt_vm_state_fn fn, void *user)
{
    vm->on_state = fn;
    vm->on_state_user = user;
}

const char *vt_vm_name(const struct vt_vm *vm)
{
    return vm->config.name;
}

enum vt_vm_state vt_vm_state(const struct vt_vm *vm)
{
    return vm->state;
}

const char *vt_vm_reason(const struct vt_vm *vm)
{
    return vm->reason;
}

struct vt_loop *vt_vm_loop(const struct vt_vm *vm)
{
    return vm->loop;
}

bool vt_vm_supports(const struct vt_vm *vm, enum vt_capability cap, struct vt_error *why)
{
    const struct vt_support *support = &vm->driver->support[cap];
    if (support->can == VT_YES)
        return true;
    if (support->can == VT_SOMETIMES)
        return vm->driver->supports(vm->instance, cap, why);
    vt__vm_unsupported(&vm->config, vm->driver, cap, "vm", why);
    return false;
}

double vt_vm_time_scale(const struct vt_vm *vm)
{
    return vm->driver->time_scale ? vm->driver->time_scale(vm->instance) : 1;
}

json_t *vt_vm_info(const struct vt_vm *vm)
{
    json_t *facts =
        json_pack("{s:s, s:s}", "driver", vm->driver->name, "state", vt_vm_state_name(vm->state));
    if (vm->config.image) {
        json_object_set_new(facts, "image", json_string(vm->config.image->name));
        json_object_set_new(facts, "image_dir", json_string(vm->config.image->dir));
    }
    if (vm->driver->info)
        vm->driver->info(vm->instance, facts);
    return facts;
}

static void change_reason(struct vt_vm *vm, const char *reason)
{
    char *own = vt_strdup(reason);
    vt_free(vm->reason);
    vm->reason = own;
}

void vt__vm_set_reason(struct vt_vm *vm, const char *reason)
{
    if (!reason && !vm->reason)
        return;
    change_reason(vm, reason);
    if (vm->on_state)
        vm->on_state(vm, vm->state, vm->reason, vm->on_state_user);
}

void vt__vm_set_state(struct vt_vm *vm, enum vt_vm_state state, const char *reason)
{
    if (vm->state == state)
        return;
    vm->state = state;
    change_reason(vm, reason);
    if (state == VT_VM_STOPPED || state == VT_VM_CRASHED)
        vt__vm_dismiss(vm);
    if (state == VT_VM_RUNNING || state == VT_VM_PAUSED)
        vt__registry_write(vm);
    if (vm->on_state)
        vm->on_state(vm, state, vm->reason, vm->on_state_user);
}

void vt_vm_changed(struct vt_vm *vm)
{
    if (vm->state == VT_VM_RUNNING || vm->state == VT_VM_PAUSED)
        vt__registry_write(vm);
}

struct vm_op *vt__vm_op_new(struct vt_vm *vm, size_t size, const struct vt_op_class *cls,
                            double timeout, vt_op_fn done, void *user)
{
    struct vm_op *self = vt_op_new(size, cls, vm->loop, timeout, done, user);
    self->vm = vm;
    self->next = vm->ops;
    if (vm->ops)
        vm->ops->prev = self;
    vm->ops = self;
    return self;
}

void vt__vm_op_detach(struct vt_op *op)
{
    struct vm_op *self = (struct vm_op *)(void *)op;
    if (!self->vm)
        return;
    if (self->prev)
        self->prev->next = self->next;
    else
        self->vm->ops = self->next;
    if (self->next)
        self->next->prev = self->prev;
    self->vm = NULL;
}

void vt__vm_op_forget_inner(struct vm_op *self)
{
    if (self->inner)
        vt_op_forget(self->inner);
    self->inner = NULL;
}

void vt__vm_op_relay(struct vt_op *inner, void *self)
{
    struct vm_op *x = self;
    x->inner = NULL;
    if (vt_op_error(inner))
        vt_op_fail(&x->op, vt_op_error(inner));
    else
        vt_op_succeed(&x->op, x->result);
}

enum vt_code vt__vm_need_state(const struct vt_vm *vm, unsigned mask, const char *op,
                               struct vt_error *err)
{
    if (mask & (1u << vm->state))
        return VT_OK;
    struct vt_buf needed = VT_BUF_INIT;
    for (unsigned s = 0; s <= VT_VM_CRASHED; s++)
        if (mask & (1u << s))
            vt_buf_printf(&needed, "%s%s", needed.len ? " or " : "", state_names[s]);
    vt_fail(err, VT_ESTATE, op, "VM %s is %s%s%s%s; this needs it %s", vm->config.name,
            state_names[vm->state], vm->reason ? " (" : "", vm->reason ? vm->reason : "",
            vm->reason ? ")" : "", needed.data);
    vt_buf_free(&needed);
    if (vm->state == VT_VM_PAUSED)
        vt_hint(err, "resume it first");
    return VT_ESTATE;
}

enum vt_code vt__vm_need_idle(const struct vt_vm *vm, const char *op, struct vt_error *err)
{
    if (!vm->exclusive || vt_op_ended(&vm->exclusive->op))
        return VT_OK;
    return vt_fail(err, VT_EBUSY, op, "VM %s is busy: %s is under way", vm->config.name,
                   vm->exclusive->op.cls->name);
}

void vt__vm_leave_exclusive(struct vm_op *self)
{
    if (self->vm && self->vm->exclusive == self)
        self->vm->exclusive = NULL;
}

const char *vt_vm_channel_kind(const struct vt_vm_config *config)
{
    const struct vt_image *image = config->image;
    if (config->channel)
        return config->channel;
    return image && image->channels && image->channels[0] ? image->channels[0] : "ssh";
}

bool vt_image_has_channel(const struct vt_image *image, const char *kind)
{
    for (size_t i = 0; image && image->channels && image->channels[i]; i++)
        if (!strcmp(image->channels[i], kind))
            return true;
    return false;
}

struct vt_channel *vt__vm_channel(struct vt_vm *vm, struct vt_error *err)
{
    if (!vm->channel)
        vm->channel = vm->driver->channel(vm->instance, vt_vm_channel_kind(&vm->config), err);
    return vm->channel;
}

void vt__vm_channel_free(struct vt_vm *vm)
{
    if (vm->agent)
        vm->agent->cls->free(vm->agent);
    vm->agent = NULL;
    if (vm->channel)
        vm->channel->cls->free(vm->channel);
    vm->channel = NULL;
}

/* Walks the operations, each of which may end or detach itself or others while it is called. */
static void for_each_op(struct vt_vm *vm, bool (*wants)(const struct vm_op *),
                        void (*call)(struct vm_op *))
{
    for (struct vm_op *self = vm->ops, *next; self; self = next) {
        next = self->next;
        if (!vt_op_ended(&self->op) && wants(self))
            call(self);
    }
}

static bool wants_any(const struct vm_op *self)
{
    (void)self;
    return true;
}

static bool wants_restart(const struct vm_op *self)
{
    return self->restarted != NULL;
}

static bool wants_ready(const struct vm_op *self)
{
    return self->waits_ready;
}

static bool wants_console(const struct vm_op *self)
{
    return self->console != NULL;
}

static void call_console(struct vm_op *self)
{
    self->console(self);
}

static void call_ended(struct vm_op *self)
{
    self->ended(self);
}

static void call_restarted(struct vm_op *self)
{
    self->restarted(self);
}

static void call_ready(struct vm_op *self)
{
    self->ready(self);
}

void vt__vm_end_ops(struct vt_vm *vm)
{
    for_each_op(vm, wants_any, call_ended);
}

static void end(struct vt_vm *vm, bool crashed, enum vt_code code, const char *reason,
                const char *hint)
{
    if (vm->state == VT_VM_STOPPED || vm->state == VT_VM_CRASHED || vm->state == VT_VM_DEFINED)
        return;
    if (vm->kill_asked) {
        crashed = false;
        reason = "killed";
    }
    vm->kill_asked = false;
    vm->end = (struct vt_error)VT_ERROR_INIT;
    vt_fail(&vm->end, crashed ? code : VT_EGUEST, "vm", "VM %s %s: %s", vm->config.name,
            crashed ? "crashed" : "stopped", reason);
    if (crashed && hint)
        vt_hint(&vm->end, "%s", hint);
    if (crashed)
        vt__vm_add_console(vm, &vm->end);
    vt__vm_set_state(vm, crashed ? VT_VM_CRASHED : VT_VM_STOPPED, reason);
    vt__vm_end_ops(vm);
    if (vm->channel)
        vm->channel->cls->drop(vm->channel, &vm->end);
}

void vt_vm_ended(struct vt_vm *vm, bool crashed, const char *reason)
{
    end(vm, crashed, VT_EGUEST, reason, NULL);
}

void vt_vm_failed(struct vt_vm *vm, const struct vt_error *why)
{
    end(vm, true, why->code, why->message, why->hint[0] ? why->hint : NULL);
}

void vt_vm_restarted(struct vt_vm *vm)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EGUEST, "vm", "VM %s restarted", vm->config.name);
    vt__console_restart(&vm->console);
    if (vm->channel)
        vm->channel->cls->drop(vm->channel, &why);
    for_each_op(vm, wants_restart, call_restarted);
}

void vt_vm_console_bytes(struct vt_vm *vm, const char *data, size_t n)
{
    vt__console_add(&vm->console, data, n);
    const char *ready = vm->config.image ? vm->config.image->ready : NULL;
    if (ready && vt__console_search(&vm->console, ready))
        for_each_op(vm, wants_ready, call_ready);
    for_each_op(vm, wants_console, call_console);
}
