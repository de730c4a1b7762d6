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
    [VT_CAP_START] = "start", [VT_CAP_STOP] = "stop",   [VT_CAP_KILL] = "kill",
    [VT_CAP_PAUSE] = "pause", [VT_CAP_RESET] = "reset", [VT_CAP_CONSOLE] = "console",
    [VT_CAP_EXEC] = "exec",   [VT_CAP_FILES] = "files",
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

const char *const *vt_driver_names(void)
{
    return driver_names;
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

static enum vt_code check_config(const struct vt_vm_config *c, const struct vt_driver *driver,
                                 struct vt_error *err)
{
    if (!c->name || !vt_is_plain_name(c->name))
        return vt_fail(err, VT_EINVAL, "vm.new",
                       "\"%s\" cannot be a VM's name: 1 to 64 letters, digits, '.', '_', '-'",
                       c->name ? c->name : "");
    if (!c->image && !driver->virtual_clock)
        return vt_fail(err, VT_EINVAL, "vm.new", "VM %s: the %s driver needs an image", c->name,
                       driver->name);
    if (c->memory && c->memory < (16u << 20))
        return vt_fail(err, VT_EINVAL, "vm.new",
                       "VM %s: %llu bytes of memory are too few (at least 16M)", c->name,
                       (unsigned long long)c->memory);
    if (c->cpus < 0 || c->cpus > 256)
        return vt_fail(err, VT_EINVAL, "vm.new", "VM %s: %d is no number of processors (1 to 256)",
                       c->name, c->cpus);
    static const char *const accels[] = {"auto", "kvm", "hvf", "tcg"};
    const char *accel = c->accel ? c->accel : "auto";
    size_t i = 0;
    while (i < 4 && strcmp(accel, accels[i]) != 0)
        i++;
    if (i == 4)
        return vt_fail(err, VT_EINVAL, "vm.new",
                       "VM %s: \"%s\" is no acceleration (auto, kvm, hvf, tcg)", c->name, accel);
    for (i = 0; i < c->forward_count; i++)
        if (c->forwards[i].host_port < 0 || c->forwards[i].host_port > 65535 ||
            c->forwards[i].guest_port < 1 || c->forwards[i].guest_port > 65535)
            return vt_fail(err, VT_EINVAL, "vm.new", "VM %s: %d:%d is no pair of ports", c->name,
                           c->forwards[i].host_port, c->forwards[i].guest_port);
    return VT_OK;
}

static void copy_config(struct vt_vm *vm, const struct vt_vm_config *c)
{
    struct vt_vm_config *own = &vm->config;
    *own = *c;
    own->name = vt_strdup(c->name);
    own->driver = vm->driver->name;
    own->accel = vt_strdup(c->accel ? c->accel : "auto");
    own->state_dir = vt_strdup(c->state_dir);
    own->scratch_dir = vt_strdup(c->scratch_dir);
    own->console_log = vt_strdup(c->console_log);
    own->sim = c->sim ? json_deep_copy(c->sim) : NULL;
    if (!own->memory && c->image)
        own->memory = c->image->memory;
    if (!own->cpus)
        own->cpus = c->image ? c->image->cpus : 1;
    struct vt_forward *forwards = vt_calloc(c->forward_count + 1, sizeof *forwards);
    if (c->forward_count)
        memcpy(forwards, c->forwards, c->forward_count * sizeof *forwards);
    own->forwards = forwards;
}

static void free_vm(struct vt_vm *vm)
{
    struct vt_vm_config *own = &vm->config;
    vt_free_const(own->name);
    vt_free_const(own->accel);
    vt_free_const(own->state_dir);
    vt_free_const(own->scratch_dir);
    vt_free_const(own->console_log);
    vt_free_const(own->forwards);
    if (own->sim) {
        union {
            const json_t *from;
            json_t *to;
        } u = {.from = own->sim};
        json_decref(u.to);
    }
    vt_buf_free(&vm->console.text);
    vt_free(vm->reason);
    vt_free(vm);
}

enum vt_code vt_vm_new(struct vt_loop *loop, const struct vt_vm_config *config, struct vt_vm **out,
                       struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    *out = NULL;
    const struct vt_driver *driver = find_driver(config->driver ? config->driver : "qemu", &own);
    if (!driver || check_config(config, driver, &own))
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
    copy_config(vm, config);
    if (driver->create(vm, &vm->config, &vm->instance, &own)) {
        free_vm(vm);
        return vt_error_copy(err, &own);
    }
    *out = vm;
    return VT_OK;
}

void vt_vm_free(struct vt_vm *vm, bool leave_running)
{
    if (!vm)
        return;
    bool kept = leave_running && vm->config.state_dir &&
                (vm->state == VT_VM_RUNNING || vm->state == VT_VM_PAUSED);
    vm->on_state = NULL;
    while (vm->ops) {
        struct vm_op *self = vm->ops;
        vt_op_cancel(&self->op);
        vt__vm_op_detach(&self->op);
    }
    vt__vm_forget_driver_ops(vm);
    if (vm->channel)
        vm->channel->cls->free(vm->channel);
    vm->driver->destroy(vm->instance, kept);
    if (kept)
        vt__registry_keep(vm);
    else
        vt__registry_remove(vm);
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
    return vm->driver->supports(vm->instance, cap, why);
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

void vt__vm_set_state(struct vt_vm *vm, enum vt_vm_state state, const char *reason)
{
    if (vm->state == state)
        return;
    vm->state = state;
    char *own = vt_strdup(reason);
    vt_free(vm->reason);
    vm->reason = own;
    if (state == VT_VM_RUNNING || state == VT_VM_PAUSED)
        vt__registry_write(vm);
    if (vm->on_state)
        vm->on_state(vm, state, vm->reason, vm->on_state_user);
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

struct vt_channel *vt__vm_channel(struct vt_vm *vm, struct vt_error *err)
{
    if (!vm->channel)
        vm->channel = vm->driver->channel(vm->instance, err);
    return vm->channel;
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

void vt_vm_ended(struct vt_vm *vm, bool crashed, const char *reason)
{
    if (vm->state == VT_VM_STOPPED || vm->state == VT_VM_CRASHED || vm->state == VT_VM_DEFINED)
        return;
    if (vm->kill_asked) {
        crashed = false;
        reason = "killed";
    }
    vm->kill_asked = false;
    vm->end = (struct vt_error)VT_ERROR_INIT;
    vt_fail(&vm->end, VT_EGUEST, "vm", "VM %s %s: %s", vm->config.name,
            crashed ? "crashed" : "stopped", reason);
    if (crashed)
        vt__vm_add_console(vm, &vm->end);
    vt__vm_set_state(vm, crashed ? VT_VM_CRASHED : VT_VM_STOPPED, reason);
    for_each_op(vm, wants_any, call_ended);
    if (vm->channel)
        vm->channel->cls->drop(vm->channel, &vm->end);
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
}
