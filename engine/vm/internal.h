/* What the files of this folder share. */
#ifndef VT_VM_INTERNAL_H
#define VT_VM_INTERNAL_H

#include "core/buf.h"
#include "vm/driver.h"

#define CONSOLE_KEPT ((size_t)64 << 10) /* bytes of the console kept in memory */

/* The end of the serial console, and the search for the image's ready text in it. */
struct console {
    struct vt_buf text; /* at most 2 * CONSOLE_KEPT */
    size_t searched;    /* bytes of `text` already looked at for the ready text */
    bool ready;         /* it was seen since the guest last started */
};

/* An operation on a VM. `step` goes on when the thing it waits for happened. */
struct vm_op {
    struct vt_op op;
    struct vt_vm *vm; /* NULL once the VM was freed */
    struct vm_op *next, *prev;
    struct vt_op *inner;               /* the driver's or the channel's part under way, or NULL */
    bool waits_restart;                /* goes on at vt_vm_restarted() */
    bool waits_ready;                  /* goes on when the ready text was seen */
    void (*ended)(struct vm_op *self); /* the VM stopped or crashed; never NULL */
    void (*restarted)(struct vm_op *self); /* or NULL */
    void (*ready)(struct vm_op *self);     /* or NULL */
};

struct vt_vm {
    struct vt_loop *loop;
    struct vt_vm_config config; /* own copies */
    const struct vt_driver *driver;
    void *instance;
    enum vt_vm_state state;
    bool kill_asked;     /* the end that comes is the one asked for */
    struct vt_error end; /* why it stopped or crashed */
    char *reason;
    struct vt_channel *channel;
    struct console console;
    struct vm_op *ops;
    struct driver_op *driver_ops; /* parts of those, or what a cancelled one left to be done */
    vt_vm_state_fn on_state;
    void *on_state_user;
};

/* vm.c */
void vt__vm_set_state(struct vt_vm *vm, enum vt_vm_state state, const char *reason);
struct vm_op *vt__vm_op_new(struct vt_vm *vm, size_t size, const struct vt_op_class *cls,
                            double timeout, vt_op_fn done, void *user);
void vt__vm_op_detach(struct vt_op *op); /* every class's free() ends with it */
enum vt_code vt__vm_need_state(const struct vt_vm *vm, unsigned mask, const char *op,
                               struct vt_error *err);
/* The channel, made on first use. NULL with *err set on failure. */
struct vt_channel *vt__vm_channel(struct vt_vm *vm, struct vt_error *err);
/* Forgets the inner operation, if any: for abort(). */
void vt__vm_op_forget_inner(struct vm_op *self);
/* Adds the console's last lines to an error. */
void vt__vm_add_console(const struct vt_vm *vm, struct vt_error *why);

/* lifecycle.c: the VM is freed. */
void vt__vm_forget_driver_ops(struct vt_vm *vm);

/* console.c */
void vt__console_add(struct console *c, const char *data, size_t n);
bool vt__console_search(struct console *c, const char *needle);
void vt__console_restart(struct console *c);

/* registry.c */
void vt__registry_write(const struct vt_vm *vm);
/* Marks it as kept, so that nobody cleans it up while its hypervisor lives. */
void vt__registry_keep(const struct vt_vm *vm);
void vt__registry_remove(const struct vt_vm *vm);

#endif
