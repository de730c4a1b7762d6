/* The vtable of a driver, and what vm offers to drivers.
 *
 * vm owns the state machine, the deadlines and the operations; a driver does one thing at a time
 * when asked and tells what happens. A driver never changes a VM's state itself. */
#ifndef VT_VM_DRIVER_H
#define VT_VM_DRIVER_H

#include "guest/channel.h"
#include "loop/op.h"
#include "vmtest/vm.h"

struct vt_driver {
    const char *name;
    bool virtual_clock; /* runs on a virtual clock (sim) */

    /* Checks the configuration and allocates the instance; starts nothing. The configuration is
     * vm's own copy and outlives the instance. */
    enum vt_code (*create)(struct vt_vm *vm, const struct vt_vm_config *config, void **instance,
                           struct vt_error *err);

    /* Kills what runs (unless leave_running) and frees. Must not call vm back afterwards. */
    void (*destroy)(void *instance, bool leave_running);

    /* False with the reason in *why (VT_EUNSUPPORTED) where it cannot. */
    bool (*supports)(void *instance, enum vt_capability cap, struct vt_error *why);

    /* Each ends `op` later with vt_op_succeed(op, NULL) or vt_op_fail(), once: `start` when the
     * guest's processors run, `stop` when the request was handed over (the guest's end is told by
     * vt_vm_ended), `kill` when the process is gone, pause, resume and reset when done. A member
     * may be NULL where supports() says no. */
    void (*start)(void *instance, struct vt_op *op);
    void (*stop)(void *instance, struct vt_op *op);
    void (*kill)(void *instance, struct vt_op *op);
    void (*pause)(void *instance, struct vt_op *op);
    void (*resume)(void *instance, struct vt_op *op);
    void (*reset)(void *instance, struct vt_op *op);

    /* Forget this op: it was cancelled or timed out. The driver must not touch it again. */
    void (*forget)(void *instance, struct vt_op *op);

    /* A new channel into the guest, once started. Owned by vm. */
    struct vt_channel *(*channel)(void *instance, struct vt_error *err);

    double (*time_scale)(void *instance);

    /* Adds its facts to vt_vm_info(). */
    void (*info)(void *instance, json_t *facts);
};

/* Told by drivers, from the loop. */

/* The VM ended by itself. crashed false: the guest powered off; true: a panic, or the hypervisor
 * died. `reason` is shown to users. Also called after stop and kill; vm knows what was asked. */
void vt_vm_ended(struct vt_vm *vm, bool crashed, const char *reason);

/* The guest restarted (by itself or by reset): connections are dead, it will be ready anew. */
void vt_vm_restarted(struct vt_vm *vm);

/* Bytes of the serial console, as they come. */
void vt_vm_console_bytes(struct vt_vm *vm, const char *data, size_t n);

struct vt_loop *vt_vm_loop(const struct vt_vm *vm);

/* Makes a driver known by its name. Called once for each, by vt_drivers_init(). */
void vt_driver_register(const struct vt_driver *driver);

#endif
