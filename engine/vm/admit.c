/* Before a VM runs: room for it on this host. */
#include "core/mem.h"
#include "vm/internal.h"
#include "vmtest/log.h"

static void on_waiting(const char *reason, void *user)
{
    struct vm_op *self = user;
    struct vt_vm *vm = self->vm;
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "waiting for %s", reason);
    vt_log(VT_LOG_INFO, "VM %s is %s", vm->config.name, vt_buf_str(&text));
    vt__vm_set_reason(vm, vt_buf_str(&text));
    vt_buf_free(&text);
}

static void on_leased(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    struct vt_vm *vm = self->vm;
    self->inner = NULL;
    const struct vt_error *why = vt_op_error(inner);
    if (!why) {
        vm->lease = vt_lease_taken(inner);
        vt__vm_set_reason(vm, NULL);
    } else {
        vm->end = *why;
        if (vm->state == VT_VM_STARTING)
            vt__vm_set_state(vm, VT_VM_STOPPED, why->message);
        vt_op_fail(&self->op, why);
    }
    if (!vt_op_ended(&self->op))
        self->admitted(self);
}

static bool is_nothing(const struct vt_needs *n)
{
    return !n->memory && !n->cpus && !n->disk_dir && !n->slot && !n->macos_guest;
}

void vt__vm_admit(struct vm_op *self, void (*admitted)(struct vm_op *self))
{
    struct vt_vm *vm = self->vm;
    struct vt_lease_request request = {.run = vm->config.run,
                                       .vm = vm->config.name,
                                       .place = vm->config.state_dir,
                                       .wait = vm->config.wait,
                                       .waiting = on_waiting};
    if (vm->driver->needs)
        vm->driver->needs(vm->instance, &request.needs);
    if (vm->lease || is_nothing(&request.needs)) {
        admitted(self);
        return;
    }
    struct vt_error why = VT_ERROR_INIT;
    self->admitted = admitted;
    self->inner = vt_lease_take(vm->loop, &request, on_leased, self, &why);
    if (!self->inner)
        vt_op_fail(&self->op, &why);
}

void vt__vm_dismiss(struct vt_vm *vm)
{
    vt_lease_release(vm->lease);
    vm->lease = NULL;
}

int vt_vm_lease_fd(const struct vt_vm *vm)
{
    return vt_lease_fd(vm->lease);
}
