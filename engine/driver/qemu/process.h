/* A QEMU process with its sockets: one that this process starts, tied to it or not, or one that
 * another left running. */
#ifndef VT_DRIVER_QEMU_PROCESS_H
#define VT_DRIVER_QEMU_PROCESS_H

#include <stdbool.h>

#include "core/args.h"
#include "vmtest/loop.h"

struct vt_qemu_process;

struct vt_qemu_process_handler {
    void (*qmp)(const char *data, size_t n, void *user);
    void (*console)(const char *data, size_t n, void *user);
    /* The process ended (vm/hypervisor.h) and everything it wrote was handed over; called once.
     * vt_qemu_process_free() may be called here, and must be somewhere. */
    void (*ended)(int status, int signal, void *user);
    void *user;
};

struct vt_qemu_process_opts {
    /* where QMP and the console listen: others may connect once we are gone */
    const char *qmp_path, *console_path;
    const char *log_path; /* gets what QEMU writes to stdout and stderr */
    const int *fds; /* which QEMU finds as VT_QEMU_FD_FIRST and so on; they stay the caller's */
    size_t fd_count;
    const struct vt_args *args;
    int lease; /* QEMU inherits it too, and holds it while it lives; -1: none */
};

/* Starts args->v with the listeners of QMP and console as VT_QEMU_FD_QMP and VT_QEMU_FD_CONSOLE.
 * NULL with *err set on failure; then nothing is left behind. */
struct vt_qemu_process *vt_qemu_process_start(struct vt_loop *loop,
                                              const struct vt_qemu_process_opts *opts,
                                              const struct vt_qemu_process_handler *handler,
                                              struct vt_error *err);

struct vt_qemu_attach_opts {
    const char *qmp_path, *console_path; /* where they listen; without a console there is none */
    const char *lock_path;               /* held by it for as long as it lives */
};

/* Takes up one that runs. VT_ESTATE where none does. Whether QMP answers is not known yet: it
 * serves one connection at a time. */
struct vt_qemu_process *vt_qemu_process_attach(struct vt_loop *loop,
                                               const struct vt_qemu_attach_opts *opts,
                                               const struct vt_qemu_process_handler *handler,
                                               struct vt_error *err);

long vt_qemu_process_pid(const struct vt_qemu_process *p);
void vt_qemu_process_write(struct vt_qemu_process *p, const char *data, size_t n); /* to QMP */

/* The same with a descriptor, for getfd; it stays the caller's. False where that is not possible.
 */
bool vt_qemu_process_write_fd(struct vt_qemu_process *p, const char *data, size_t n, int fd);

void vt_qemu_process_write_console(struct vt_qemu_process *p, const char *data, size_t n);

/* Bytes written to the console that QEMU has not taken yet. */
size_t vt_qemu_process_unread(const struct vt_qemu_process *p);

/* SIGKILL to it and whatever it started; ended() follows. */
void vt_qemu_process_kill(struct vt_qemu_process *p);

/* Lets go of it; no callback comes any more. Unless leave_running it is killed, and gone when
 * this returns. */
void vt_qemu_process_free(struct vt_qemu_process *p, bool leave_running);

#endif
