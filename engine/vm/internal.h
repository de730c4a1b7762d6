/* What the files of this folder share. */
#ifndef VT_VM_INTERNAL_H
#define VT_VM_INTERNAL_H

#include "core/buf.h"
#include "vm/driver.h"

#define CONSOLE_KEPT ((size_t)64 << 10) /* bytes of the console kept in memory */

/* The end of the serial console, and the search for the image's ready text in it. */
struct console {
    struct vt_buf text; /* at most 2 * CONSOLE_KEPT */
    uint64_t total;     /* bytes that ever came */
    size_t searched;    /* bytes of `text` already looked at for the ready text */
    bool ready;         /* it was seen since the guest last started */
};

/* An operation on a VM. `step` goes on when the thing it waits for happened. */
struct vm_op {
    struct vt_op op;
    struct vt_vm *vm; /* NULL once the VM was freed */
    struct vm_op *next, *prev;
    struct vt_op *inner;               /* the driver's or the channel's part under way, or NULL */
    void *result;                      /* what vt__vm_settle() and vt__vm_op_relay() end it with */
    double clock_given;                /* vt_wall() that the guest was told by a command, */
    int clock_tries;                   /* so many times */
    bool waits_restart;                /* goes on at vt_vm_restarted() */
    bool waits_ready;                  /* goes on when the ready text was seen */
    void (*ended)(struct vm_op *self); /* the VM stopped or crashed; never NULL */
    void (*restarted)(struct vm_op *self); /* or NULL */
    void (*ready)(struct vm_op *self);     /* or NULL */
    void (*admitted)(struct vm_op *self);  /* while it waits for room on the host */
    void (*console)(struct vm_op *self);   /* the console has more bytes; or NULL */
};

struct vt_vm {
    struct vt_loop *loop;
    struct vt_vm_config config; /* own copies */
    const struct vt_driver *driver;
    void *instance;
    enum vt_vm_state state;
    bool kill_asked;     /* the end that comes is the one asked for */
    bool elsewhere;      /* runs in state_dir, and could not be taken up: nothing there is ours */
    struct vt_error end; /* why it stopped or crashed */
    char *reason;
    struct vt_lease *lease; /* of this host's room, while it runs or starts; or NULL */
    struct vt_channel *channel;
    struct vt_channel *agent; /* beside a channel that cannot set a guest right after a restore */
    struct vm_op *exclusive;  /* the snapshot or restore that was begun last, or NULL */
    char *came_from;          /* folder of the snapshot it was last at, or NULL */
    bool held;                /* restored with its memory, and its clock is not set right yet */
    struct console console;
    struct vm_op *ops;
    struct driver_op *driver_ops; /* parts of those, or what a cancelled one left to be done */
    vt_vm_state_fn on_state;
    void *on_state_user;
    struct vt_vm *next_networked; /* network.c's list */
};

/* vm.c */
void vt__vm_set_state(struct vt_vm *vm, enum vt_vm_state state, const char *reason);
/* The state stays, for another reason. */
void vt__vm_set_reason(struct vt_vm *vm, const char *reason);
struct vm_op *vt__vm_op_new(struct vt_vm *vm, size_t size, const struct vt_op_class *cls,
                            double timeout, vt_op_fn done, void *user);
void vt__vm_op_detach(struct vt_op *op); /* every class's free() ends with it */
enum vt_code vt__vm_need_state(const struct vt_vm *vm, unsigned mask, const char *op,
                               struct vt_error *err);
/* The channel, made on first use. NULL with *err set on failure. */
struct vt_channel *vt__vm_channel(struct vt_vm *vm, struct vt_error *err);
/* The next start or restore may lead elsewhere (other ports): the channel is made anew. */
void vt__vm_channel_free(struct vt_vm *vm);
/* Forgets the inner operation, if any: for abort(). */
void vt__vm_op_forget_inner(struct vm_op *self);
/* A callback for the inner operation that is the rest of it: ends as that did. */
void vt__vm_op_relay(struct vt_op *inner, void *self);
/* Adds the console's last lines to an error. */
void vt__vm_add_console(const struct vt_vm *vm, struct vt_error *why);

/* check.c: VT_EINVAL says what is wrong. */
enum vt_code vt__vm_unsupported(const struct vt_vm_config *config, const struct vt_driver *driver,
                                enum vt_capability cap, const char *op, struct vt_error *err);
/* One disk by itself; `place`: its number from 1 on, where it has no name. */
enum vt_code vt__vm_disk_check(const struct vt_vm_config *config, const struct vt_disk *disk,
                               size_t place, const char *op, struct vt_error *err);
enum vt_code vt__vm_config_check(const struct vt_vm_config *config, const struct vt_driver *driver,
                                 struct vt_error *err);

/* VT_EBUSY while a snapshot or a restore is under way. */
enum vt_code vt__vm_need_idle(const struct vt_vm *vm, const char *op, struct vt_error *err);
void vt__vm_leave_exclusive(struct vm_op *self); /* for free() of such an operation */
/* Tells every operation that the VM ended; vm->end says how. */
void vt__vm_end_ops(struct vt_vm *vm);

/* lifecycle.c */
/* Ends hard what was half started. */
void vt__vm_give_up_start(struct vt_vm *vm, const char *reason);
/* Has the driver do one thing, as an operation of its own, so that it never sees ours: fn is called
 * at once, with args, and ends that operation later. */
struct vt_op *vt__vm_call_driver(struct vt_vm *vm,
                                 void (*fn)(void *instance, struct vt_op *op, void *args),
                                 void *args, vt_op_fn done, void *user);
/* The VM is freed. */
void vt__vm_forget_driver_ops(struct vt_vm *vm);

/* admit.c */
/* Has room on this host leased for the VM, waiting for it as configured, and then calls admitted(),
 * maybe at once; else the operation fails, and a VM that was starting is stopped. */
void vt__vm_admit(struct vm_op *self, void (*admitted)(struct vm_op *self));
/* Gives it back; what a process left running took over stays held. */
void vt__vm_dismiss(struct vt_vm *vm);

/* restore.c */
/* The guest runs after it was held: ends the operation when it answers, its clock is right and its
 * random pool has new seed. */
void vt__vm_settle(struct vm_op *self);

/* console.c */
void vt__console_add(struct console *c, const char *data, size_t n);
bool vt__console_search(struct console *c, const char *needle);
void vt__console_restart(struct console *c);

/* network.c */
/* vm is made, and is freed: it is known to the others on its isolated networks in between. */
void vt__vm_network_add(struct vt_vm *vm);
void vt__vm_network_remove(struct vt_vm *vm);
/* To be done whenever the guest answers anew, after a start, a restart and a restore: gives it its
 * addresses on isolated networks and all of them their names. NULL where there is nothing to do.
 * Result: NULL. */
struct vt_op *vt__vm_network_setup(struct vt_vm *vm, vt_op_fn done, void *user);

/* registry.c */
void vt__registry_write(const struct vt_vm *vm);
/* Marks it as kept, so that nobody cleans it up while its hypervisor lives. */
void vt__registry_keep(const struct vt_vm *vm);
void vt__registry_remove(const struct vt_vm *vm);

#endif
