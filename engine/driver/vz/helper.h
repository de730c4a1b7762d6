/* A process of vmtest-vz with the connection to it: one that this process starts, tied to it or
 * not, or one that another left running. */
#ifndef VT_DRIVER_VZ_HELPER_H
#define VT_DRIVER_VZ_HELPER_H

#include <stdbool.h>

#include "core/args.h"
#include "vmtest/loop.h"

struct vt_vz_helper;

struct vt_vz_helper_handler {
    void (*data)(const char *data, size_t n, void *user);
    /* The process ended (vm/hypervisor.h) and everything it said was handed over; called once.
     * vt_vz_helper_free() may be called here, and must be somewhere. */
    void (*ended)(int status, int signal, void *user);
    void *user;
};

struct vt_vz_helper_opts {
    const struct vt_args *args; /* what starts it, up to its name: its own options follow */
    const char *socket_path;    /* which it makes; whatever is there is removed first */
    const char *log_path;       /* gets what it writes to stdout and stderr */
    bool tied;                  /* it ends with this process */
    int lease;                  /* which it holds while it lives; -1: none */
};

/* Starts it and connects as soon as it listens. NULL with *err set on failure; then nothing is left
 * behind. */
struct vt_vz_helper *vt_vz_helper_start(struct vt_loop *loop, const struct vt_vz_helper_opts *opts,
                                        const struct vt_vz_helper_handler *handler,
                                        struct vt_error *err);

/* Takes up the one that holds this lock. VT_ESTATE where none does. */
struct vt_vz_helper *vt_vz_helper_attach(struct vt_loop *loop, const char *socket_path,
                                         const char *lock_path,
                                         const struct vt_vz_helper_handler *handler,
                                         struct vt_error *err);

long vt_vz_helper_pid(const struct vt_vz_helper *h);
void vt_vz_helper_write(struct vt_vz_helper *h, const char *data, size_t n);

/* SIGKILL to it and whatever it started: its VM is gone with it; ended() follows. */
void vt_vz_helper_kill(struct vt_vz_helper *h);

/* Lets go of it; no callback comes any more. Unless leave_running it is killed, and gone when
 * this returns. */
void vt_vz_helper_free(struct vt_vz_helper *h, bool leave_running);

#endif
