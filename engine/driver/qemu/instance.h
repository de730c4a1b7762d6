/* What the files of this folder share about one VM. */
#ifndef VT_DRIVER_QEMU_INSTANCE_H
#define VT_DRIVER_QEMU_INSTANCE_H

#include "core/buf.h"
#include "driver/qemu/process.h"
#include "driver/qemu/qmp.h"
#include "vm/driver.h"

struct vt_qemu;

/* why->code is 0 on success. */
typedef void (*vt_qemu_forwards_fn)(struct vt_qemu *q, const struct vt_error *why);

struct vt_qemu {
    struct vt_vm *vm;
    const struct vt_vm_config *config;
    struct vt_loop *loop;
    char *firmware;                      /* or NULL: QEMU's own */
    char *overlay, *lock, *socket, *log; /* paths; overlay NULL without a disk */

    /* known once started */
    char *program, *version, *accel, *accel_reason;
    struct vt_forward *forwards; /* [0] leads to ssh; with the host's ports filled in */
    size_t forward_count;
    size_t forwards_asked; /* so many of them, while QEMU is asked one by one */
    vt_qemu_forwards_fn forwards_done;

    struct vt_qemu_process *process; /* NULL while none runs */
    struct vt_qmp *qmp;

    struct vt_op *start_op, *kill_op; /* under way, or NULL */
    struct vt_op *inner;              /* the part of start under way: probe, overlay */

    /* what was heard before the process ended */
    bool crashed;
    char *end_reason;
    size_t panic_matched;     /* bytes of the words that begin the kernel's panic line */
    bool panic_seen;          /* on the console, since the last restart */
    bool panic_complete;      /* and that is its whole line: */
    struct vt_buf panic_line; /* ": sysrq triggered crash" */
};

/* start.c */
void vt_qemu_start(void *instance, struct vt_op *op);
/* Forgets a start that is under way; its process, if any, is killed. */
void vt_qemu_start_cancel(struct vt_qemu *q);
/* The start failed: its op fails and nothing of it is left. */
void vt_qemu_start_fail(struct vt_qemu *q, const struct vt_error *why);

/* watch.c: what QEMU and its guest do by themselves */
/* Starts q->process by `args`, with q->qmp on it. */
enum vt_code vt_qemu_watch(struct vt_qemu *q, const struct vt_args *args, struct vt_error *err);
/* Ends process and session, at once, without any callback. */
void vt_qemu_drop_process(struct vt_qemu *q, bool leave_running);
/* Appends the last lines of QEMU's own output, "" where there are none. */
void vt_qemu_log_tail(const struct vt_qemu *q, struct vt_buf *out);

/* forward.c */
/* Takes the configuration's forwards, with one to ssh first; automatic ports are 0 again. */
void vt_qemu_forwards_init(struct vt_qemu *q);
/* Asks QEMU to forward all of them, then calls fn. */
void vt_qemu_forwards_open(struct vt_qemu *q, vt_qemu_forwards_fn fn);
/* Reads the host's ports out of QEMU's table "info usernet"; false where one is missing. */
bool vt_qemu_forwards_parse(const char *table, struct vt_forward *forwards, size_t count);

#endif
