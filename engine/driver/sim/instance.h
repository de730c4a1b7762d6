/* A simulated VM and its channel: what the driver's files share. */
#ifndef VT_DRIVER_SIM_INSTANCE_H
#define VT_DRIVER_SIM_INSTANCE_H

#include "driver/sim/script.h"
#include "driver/sim/shell.h"
#include "vm/driver.h"

enum vt__sim_phase { VT__SIM_OFF, VT__SIM_BOOTING, VT__SIM_UP };

struct vt__sim {
    struct vt__sim_guest guest; /* first: the guest's power hook gets from it to this */
    struct vt_vm *vm;
    const struct vt_vm_config *config;
    struct vt_loop *loop;
    struct vt__sim_script script;
    enum vt__sim_phase phase;
    bool hung; /* by a fault: its time stands still until it is restarted */
    size_t boot_step;
    const struct vt__sim_fault *boot_fault, *running_fault; /* of this boot, or NULL */
    struct vt__sim_timer boot;                              /* the next line of the boot log */
    struct vt__sim_timer down;                              /* the guest's own way down */
    enum vt__sim_power down_to;
    struct vt__sim_timer strike; /* a fault of the running or booting guest */
    struct vt__sim_call_op *calls;
    struct vt__sim_channel *channels;
};

struct vt__sim_channel {
    struct vt_channel base;
    struct vt__sim *sim; /* NULL once the VM is gone */
    struct vt__sim_channel *next;
    bool connected;
    struct vt__sim_op *ops; /* under way */
};

/* An operation on the channel. */
struct vt__sim_op {
    struct vt_op op;
    struct vt__sim_channel *ch; /* NULL once it let go */
    struct vt__sim_op *next, *prev;
    struct vt__sim_timer wait;
    struct vt__sim_timer strike;
    const struct vt__sim_fault *fault;       /* or NULL */
    void (*let_go)(struct vt__sim_op *self); /* of its own work; may be NULL */
};

/* sim.c: the guest panics, or its hypervisor dies. Ends operations: nothing of this VM may be
 * touched after it. */
void vt__sim_crash(struct vt__sim *sim, const char *reason);

/* snapshot.c: to and from the files of a snapshot. What read() cannot make sense of, it says, and
 * the guest's files are then gone. */
enum vt_code vt__sim_snapshot_write(const struct vt__sim *sim, const char *dir,
                                    struct vt_error *err);
enum vt_code vt__sim_snapshot_read(struct vt__sim *sim, const char *dir, struct vt_error *err);
enum vt_code vt__sim_restore_check(void *instance, const char *dir, const json_t *facts,
                                   struct vt_error *err);

/* channel.c */
struct vt_channel *vt__sim_channel_new(struct vt__sim *sim);
void vt__sim_channel_up(struct vt__sim *sim);   /* the guest answers from now on */
void vt__sim_channel_gone(struct vt__sim *sim); /* the VM is destroyed; channels may live on */
void vt__sim_channel_cut(struct vt__sim_channel *ch, const struct vt_error *why);

/* A new operation on the channel; passes the fault point `at`. */
void *vt__sim_op_new(struct vt__sim_channel *ch, size_t size, const struct vt_op_class *cls,
                     enum vt__sim_point at, double timeout, vt_op_fn done, void *user);
void vt__sim_op_abort(struct vt_op *op, struct vt_error *why); /* for classes */
void vt__sim_op_leave(struct vt__sim_op *self);                /* lets go of its work */

/* Arms the operation's fault; the seconds after which its work begins in the guest. */
double vt__sim_op_delay(struct vt__sim_op *self);

/* Calls `go` that much later, and `seconds`, unless the fault prevents it. */
void vt__sim_op_run(struct vt__sim_op *self, double seconds, void (*go)(struct vt__sim_timer *));

/* exec.c, transfer.c */
struct vt_op *vt__sim_exec(struct vt_channel *ch, const struct vt_exec_opts *opts, vt_op_fn done,
                           void *user, struct vt_error *err);
struct vt_op *vt__sim_transfer(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                               vt_op_fn done, void *user, struct vt_error *err);

#endif
