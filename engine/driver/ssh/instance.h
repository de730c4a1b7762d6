/* What the files of this folder share about one machine. */
#ifndef VT_DRIVER_SSH_INSTANCE_H
#define VT_DRIVER_SSH_INSTANCE_H

#include "driver/ssh/options.h"
#include "vm/driver.h"

struct vt_ssh_machine {
    struct vt_vm *vm;
    const char *name; /* the VM's */
    struct vt_loop *loop;
    struct vt_ssh_options options;
    char *slot;     /* what others wait for: "the machine HOST:PORT" */
    char *seen_key; /* the host key of the last login, or NULL */
    struct vt_op *start_op;

    struct vt_channel *ready; /* connected by start, until vm asks for its channel; or NULL */
    struct vt_op *inner;      /* start's connection under way, or NULL */

    struct vt_ssh_restart {
        struct vt_op *op;         /* asked to restart, not yet handed over; or NULL */
        struct vt_channel *watch; /* a connection of its own; NULL: nothing is watched */
        struct vt_op *inner;
        struct vt_timer timer;
        char *boot_id; /* before; "" where the machine tells none */
        bool asked, lost;
        double until; /* loop time: watched no longer */
    } restart;
};

/* A new channel to the machine, not connected. */
struct vt_channel *vt_ssh_machine_channel(struct vt_ssh_machine *m, struct vt_error *err);

/* restart.c: a restart, and noticing that it happened. */
void vt_ssh_machine_reboot(void *instance, struct vt_op *op);
/* Watches no longer. */
void vt_ssh_restart_end(struct vt_ssh_machine *m);

#endif
