/* A QEMU process: tied to this one, with its QMP socket and its console connected. */
#ifndef VT_DRIVER_QEMU_PROCESS_H
#define VT_DRIVER_QEMU_PROCESS_H

#include <stdbool.h>

#include "core/args.h"
#include "loop/timer.h"

struct vt_qemu_process;

struct vt_qemu_process_handler {
    void (*qmp)(const char *data, size_t n, void *user);
    void (*console)(const char *data, size_t n, void *user);
    /* The process ended and everything it wrote was handed over; called once. signal 0: it exited
     * with `status`. vt_qemu_process_free() may be called here, and must be somewhere. */
    void (*ended)(int status, int signal, void *user);
    void *user;
};

struct vt_qemu_process_opts {
    const char *socket_path; /* where QMP listens: others may connect once we are gone */
    const char *log_path;    /* gets what QEMU writes to stdout and stderr */
    const struct vt_args *args;
};

/* Starts args->v with the QMP listener and the console as VT_QEMU_FD_QMP and VT_QEMU_FD_CONSOLE.
 * NULL with *err set on failure; then nothing is left behind. */
struct vt_qemu_process *vt_qemu_process_start(struct vt_loop *loop,
                                              const struct vt_qemu_process_opts *opts,
                                              const struct vt_qemu_process_handler *handler,
                                              struct vt_error *err);

long vt_qemu_process_pid(const struct vt_qemu_process *p);
void vt_qemu_process_write(struct vt_qemu_process *p, const char *data, size_t n); /* to QMP */

/* SIGKILL to it and whatever it started; ended() follows. */
void vt_qemu_process_kill(struct vt_qemu_process *p);

/* Lets go of it; no callback comes any more. Unless leave_running it is killed, and gone when
 * this returns (it waits some milliseconds for that, 5 s at most). */
void vt_qemu_process_free(struct vt_qemu_process *p, bool leave_running);

/* False where a socket's address cannot hold this path. */
bool vt_qemu_socket_path_fits(const char *path);

#endif
