/* The process that is a VM: `tart run NAME …`. Its output goes to a file. */
#ifndef VT_DRIVER_TART_PROCESS_H
#define VT_DRIVER_TART_PROCESS_H

#include "core/args.h"
#include "core/buf.h"
#include "vmtest/loop.h"

struct vt_tart_process;

/* The process is gone; signal 0: it exited with `status` (-1: not known, it was no child of this
 * process). vt_tart_process_free() may be called here, and must be somewhere. */
typedef void (*vt_tart_ended_fn)(int status, int signal, void *user);

struct vt_tart_process_opts {
    const struct vt_args *args; /* with the program that ties it (vm/tie.h) */
    const char *log;            /* gets its output; what was in it is dropped */
    int held[2];                /* inherited by it, and so held while it lives; -1: none */
};

/* NULL with *err set on failure. */
struct vt_tart_process *vt_tart_process_start(struct vt_loop *loop,
                                              const struct vt_tart_process_opts *opts,
                                              vt_tart_ended_fn ended, void *user,
                                              struct vt_error *err);

/* Takes up the one that holds the lock. VT_ESTATE where none does. */
struct vt_tart_process *vt_tart_process_attach(struct vt_loop *loop, const char *lock,
                                               vt_tart_ended_fn ended, void *user,
                                               struct vt_error *err);

long vt_tart_process_pid(const struct vt_tart_process *p);

/* To its process group: where the tie stays its parent (macOS), that lets them pass. */
void vt_tart_process_signal(const struct vt_tart_process *p, int sig);

/* SIGINT, which ends the VM hard, and SIGKILL some seconds later. ended() follows. */
void vt_tart_process_end(struct vt_tart_process *p);

/* Lets go of it; no callback comes any more. Unless leave_running it is ended and gone when this
 * returns (it waits some seconds for that at most). */
void vt_tart_process_free(struct vt_tart_process *p, bool leave_running);

/* The last 4 KiB of a log, "" where there is none. */
void vt_tart_log_tail(const char *log, struct vt_buf *out);

#endif
