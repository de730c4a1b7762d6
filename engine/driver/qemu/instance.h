/* What the files of this folder share about one VM. */
#ifndef VT_DRIVER_QEMU_INSTANCE_H
#define VT_DRIVER_QEMU_INSTANCE_H

#include "core/buf.h"
#include "driver/qemu/disk.h"
#include "driver/qemu/firmware.h"
#include "driver/qemu/memory.h"
#include "driver/qemu/process.h"
#include "driver/qemu/qmp.h"
#include "vm/driver.h"

struct vt_accel;
struct vt_qemu;
struct vt_qemu_back;
struct vt_qemu_save;

/* why->code is 0 on success. */
typedef void (*vt_qemu_forwards_fn)(struct vt_qemu *q, const struct vt_error *why);
typedef void (*vt_qemu_step_fn)(struct vt_qemu *q, const struct vt_error *why);

struct vt_qemu {
    struct vt_vm *vm;
    const struct vt_vm_config *config;
    struct vt_loop *loop;
    struct vt_qemu_firmware firmware;
    char *vars;                          /* path of its variables; or NULL */
    char *lock, *socket, *log, *console; /* paths */
    char *vnc;                           /* or NULL */
    struct vt_qemu_disk *disks; /* those it writes to layers of; the image's own first, if any */
    size_t disk_count;
    struct vt_qemu_nic *nics;
    size_t nic_count;
    struct vt_qemu_share *shares; /* one for each of the configuration's */
    struct vt_qemu_slots *slots;  /* what was given to it while it runs */
    bool saved;                   /* while paused: QEMU saves no second time before it ran */
    bool memory_private;          /* it runs on a snapshot's memory */

    /* known once started */
    char *program, *version, *accel, *accel_reason;
    struct vt_forward *forwards; /* [0] leads to ssh; with the host's ports filled in */
    size_t forward_count;
    size_t forwards_asked; /* so many of them, while QEMU is asked one by one */
    vt_qemu_forwards_fn forwards_done;

    struct vt_qemu_process *process; /* NULL while none runs */
    struct vt_monitor *qmp;

    struct vt_qemu_shot *shot; /* under way, or NULL */
    struct vt_qemu_keys *keys;
    struct vt_qemu_resize *resize;

    /* vt_qemu_prepare() under way: */
    size_t prepare_at, disk_at, nic_at; /* the step, and how far it is */
    vt_qemu_step_fn prepared, step_done;
    unsigned *disk_errors; /* of each of the configuration's disks: what the guest was told */

    struct vt_op *start_op, *kill_op, *attach_op; /* under way, or NULL */
    struct vt_qemu_save *save;                    /* a snapshot under way, or NULL */
    struct vt_qemu_back *back;                    /* a restore under way, or NULL */
    int send_fd;                                  /* goes with the next QMP command, or -1 */
    struct vt_op *inner;                          /* the part of start under way: the probe */
    struct vt_timer greeting;                     /* of attach: for QEMU to greet */

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
/* Takes what the probe found. */
void vt_qemu_take_accel(struct vt_qemu *q, const struct vt_accel *found);
uint64_t vt_qemu_memory_size(const struct vt_qemu *q);
/* Starts its process on this memory; where `state` is a descriptor, it waits for a guest's state
 * and finds that as VT_QEMU_FD_FIRST (behind the memory's, if that has one). */
enum vt_code vt_qemu_launch(struct vt_qemu *q, const struct vt_qemu_memory *memory, int state,
                            struct vt_error *err);
/* Forgets a start that is under way; its process, if any, is killed. */
void vt_qemu_start_cancel(struct vt_qemu *q);
/* The start failed: its op fails and nothing of it is left. */
void vt_qemu_start_fail(struct vt_qemu *q, const struct vt_error *why);

/* disks.c: of one VM, also over this process's end */
/* Names the disks that have layers, without any yet. VT_EINVAL. */
enum vt_code vt_qemu_disks_init(struct vt_qemu *q, struct vt_error *err);
/* Takes up the layers that a process before this one left in scratch_dir; none is no error. */
enum vt_code vt_qemu_disks_load(struct vt_qemu *q, struct vt_error *err);
/* Writes which layers each disk has. */
enum vt_code vt_qemu_disks_save(const struct vt_qemu *q, struct vt_error *err);
/* Gives each disk its first layer, where it has none. */
enum vt_code vt_qemu_disks_ready(struct vt_qemu *q, struct vt_error *err);
/* Adds a layer to each disk, all of them or none. */
enum vt_code vt_qemu_disks_push(struct vt_qemu *q, struct vt_error *err);
void vt_qemu_disks_pop(struct vt_qemu *q);
/* Forgets the disks; removes their layers unless `keep`. */
void vt_qemu_disks_free(struct vt_qemu *q, bool keep);
/* The file that QEMU calls this node, or "a disk"; for messages. */
const char *vt_qemu_disks_path(const struct vt_qemu *q, const char *node);

/* attach.c */
void vt_qemu_attach(void *instance, struct vt_op *op);
/* Forgets an attach that is under way; the process runs on. */
void vt_qemu_attach_cancel(struct vt_qemu *q);

/* watch.c: what QEMU and its guest do by themselves */
/* Starts q->process by `args`, with q->qmp on it. */
enum vt_code vt_qemu_watch(struct vt_qemu *q, const struct vt_args *args, const int *fds,
                           size_t fd_count, struct vt_error *err);
/* The same of one that runs already. */
enum vt_code vt_qemu_watch_running(struct vt_qemu *q, struct vt_error *err);
/* Ends process and session, at once, without any callback. */
void vt_qemu_drop_process(struct vt_qemu *q, bool leave_running);
/* Appends the last lines of QEMU's own output in this file, nothing where there are none. */
void vt_qemu_tail(const char *log, struct vt_buf *out);

/* prepare.c: makes disks, networks and shares ready for a QEMU that starts now, then calls `done`,
 * also from within this call. Every way of starting QEMU begins with it. Where q->inner is set it
 * waits for that: forgetting q->inner ends it. */
void vt_qemu_prepare(struct vt_qemu *q, vt_qemu_step_fn done);

/* console.c */
enum vt_code vt_qemu_console_write(void *instance, const void *data, size_t n,
                                   struct vt_error *err);

/* ports.c */
void vt_qemu_ports_remove(const struct vt_qemu *q); /* their sockets */
void vt_qemu_ports_info(const struct vt_qemu *q, json_t *facts);
/* False with the reason where the channel that this VM is to be reached by is not there. */
bool vt_qemu_has_way_in(const struct vt_qemu *q, struct vt_error *why);
struct vt_channel *vt_qemu_channel(void *instance, const char *kind, struct vt_error *err);

/* forward.c */
/* Takes the configuration's forwards, with one to ssh first; automatic ports are 0 again. */
void vt_qemu_forwards_init(struct vt_qemu *q);
/* The same, with the ports of the host that they had before, where those are free. */
void vt_qemu_forwards_again(struct vt_qemu *q);
/* As vt_qemu_forwards_init(), with the host's ports that an info() before told. */
void vt_qemu_forwards_restore(struct vt_qemu *q, const json_t *facts);
/* Asks QEMU to forward all of them, then calls fn. */
void vt_qemu_forwards_open(struct vt_qemu *q, vt_qemu_forwards_fn fn);
/* Reads the host's ports out of QEMU's table "info usernet"; false where one is missing. */
bool vt_qemu_forwards_parse(const char *table, struct vt_forward *forwards, size_t count);

#endif
