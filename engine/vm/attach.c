/* Taking up a VM that runs already. */
#include <string.h>

#include "vm/internal.h"

static void attach_abort(struct vt_op *op, struct vt_error *why)
{
    struct vm_op *self = (struct vm_op *)(void *)op;
    vt__vm_op_forget_inner(self);
    vt_error_append(why, " (VM %s)", self->vm->config.name);
}

static const struct vt_op_class attach_class = {
    .name = "vm.attach", .abort = attach_abort, .free = vt__vm_op_detach};

static void attach_ended(struct vm_op *self)
{
    vt__vm_op_forget_inner(self);
    vt_op_fail(&self->op, &self->vm->end);
}

static void call(void *instance, struct vt_op *op, void *user)
{
    const struct vt_vm *vm = user;
    vm->driver->attach(instance, op);
}

struct vt_op *vt_vm_attach(struct vt_vm *vm, double timeout, vt_op_fn done, void *user,
                           struct vt_error *err)
{
    if (!(timeout > 0)) {
        vt_fail(err, VT_EINVAL, "vm.attach", "to attach needs a time-out above 0");
        return NULL;
    }
    if (!vm->driver->attach) {
        vt_fail(err, VT_EUNSUPPORTED, "vm.attach",
                "VM %s: VMs of the %s driver end with the process that made them", vm->config.name,
                vm->driver->name);
        return NULL;
    }
    if (vt__vm_need_state(vm, 1u << VT_VM_DEFINED, "vm.attach", err))
        return NULL;
    struct vm_op *self = vt__vm_op_new(vm, sizeof *self, &attach_class, timeout, done, user);
    self->ended = attach_ended;
    vm->elsewhere = true;
    self->inner = vt__vm_call_driver(vm, call, vm, vt__vm_op_relay, self);
    return &self->op;
}

void vt_vm_attached(struct vt_vm *vm, bool paused)
{
    vm->elsewhere = false;
    vm->console.ready = true; /* said long ago, to another process */
    vt__vm_set_state(vm, paused ? VT_VM_PAUSED : VT_VM_RUNNING, NULL);
}
