/* A hypervisor's process: one that this process starts, by the command that ties it (vm/tie.h), or
 * one that another left running, a stranger, which is known by the VM's lock that it holds. */
#ifndef VT_VM_HYPERVISOR_H
#define VT_VM_HYPERVISOR_H

#include <stdbool.h>
#include <stddef.h>

#include "core/args.h"
#include "vmtest/loop.h"

#define VT_HYPERVISOR_FD_FIRST 3
#define VT_STATUS_UNKNOWN (-1) /* of a stranger */

struct vt_hypervisor;

/* The process is gone; called once, from the loop. signal 0: it exited with `status`.
 * vt_hypervisor_free() may be called here, and must be somewhere. */
typedef void (*vt_hypervisor_ended_fn)(int status, int signal, void *user);

struct vt_hypervisor_opts {
    const struct vt_args *args;
    const char *log_path; /* gets its output; what was in it is dropped */
    const int *fds;       /* which it finds as VT_HYPERVISOR_FD_FIRST and so on; they stay the
                             caller's */
    size_t fd_count;
};

/* NULL with *err set on failure: VT_ENOTFOUND where there is no such program. */
struct vt_hypervisor *vt_hypervisor_start(struct vt_loop *loop,
                                          const struct vt_hypervisor_opts *opts,
                                          vt_hypervisor_ended_fn ended, void *user,
                                          struct vt_error *err);

/* Takes up the one that holds this lock: VT_ESTATE where none does. Its end is noticed from
 * vt_hypervisor_expect_end() on. */
struct vt_hypervisor *vt_hypervisor_attach(struct vt_loop *loop, const char *lock_path,
                                           vt_hypervisor_ended_fn ended, void *user,
                                           struct vt_error *err);

long vt_hypervisor_pid(const struct vt_hypervisor *h);
bool vt_hypervisor_is_child(const struct vt_hypervisor *h);

/* To its process group, while it lives. */
void vt_hypervisor_signal(const struct vt_hypervisor *h, int sig);

/* It ends by itself now: is killed where it has not within `seconds`. INFINITY: never; that is for
 * strangers. A later call never gives it more time. */
void vt_hypervisor_expect_end(struct vt_hypervisor *h, double seconds);

/* Lets go of it (NULL: nothing); no callback comes any more. sig 0: it runs on. Else it is sent
 * that, 5 s later SIGKILL, and is gone when this returns (it waits 5 s more for that at most). */
void vt_hypervisor_free(struct vt_hypervisor *h, int sig);

#endif
