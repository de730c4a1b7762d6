/* The event loop and its operations.
 *
 * One loop per thread; nothing here may be called from another thread. An operation
 * (`struct vt_op`) is anything that takes time: starting a VM, running a guest command, a pause.
 *
 *  1. A function that starts an operation checks its arguments first. Where they are wrong it
 *     returns NULL and sets *err; nothing was started and no callback will come.
 *  2. Else the operation completes exactly once, by one call of its callback, from
 *     vt_loop_run_once(), never inside the call that started it.
 *  3. Every operation has a deadline. When that passes it completes with VT_ETIMEDOUT.
 *  4. vt_op_cancel() makes it complete with VT_ECANCELED, unless it has completed already; the
 *     callback still comes, later. vt_op_forget() cancels it without a callback.
 *  5. In the callback, vt_op_error() tells success (NULL) or failure, and vt_op_result() the
 *     result, whose type is said at the starting function. Both belong to the operation and are
 *     gone when the callback returns, as is the operation itself. */
#ifndef VMTEST_LOOP_H
#define VMTEST_LOOP_H

#include <stdbool.h>
#include <stddef.h>

#include "vmtest/error.h"

struct vt_loop;
struct vt_op;

typedef void (*vt_op_fn)(struct vt_op *op, void *user);

/* NULL with *err set on failure. vt_loop_free() cancels what still runs (callbacks are called). */
struct vt_loop *vt_loop_new(struct vt_error *err);
void vt_loop_free(struct vt_loop *loop);

/* Waits for events and handles them once. `wait` false: handles what is there and returns. */
void vt_loop_run_once(struct vt_loop *loop, bool wait);

/* Makes a waiting vt_loop_run_once() return. The one function here that may be called from a
 * signal handler or another thread. */
void vt_loop_wake(struct vt_loop *loop);

/* Seconds on the loop's clock: the monotonic clock, or the virtual one. */
double vt_loop_now(struct vt_loop *loop);

/* Switches to a virtual clock, for simulated VMs: whenever nothing real is under way, time jumps
 * to the next deadline. Cannot be undone. VT_ESTATE while something real runs in this loop. */
enum vt_code vt_loop_set_virtual(struct vt_loop *loop, struct vt_error *err);
bool vt_loop_is_virtual(const struct vt_loop *loop);

/* Operations under way in this loop. */
unsigned vt_loop_active(const struct vt_loop *loop);

const struct vt_error *vt_op_error(const struct vt_op *op);
void *vt_op_result(struct vt_op *op);
const char *vt_op_name(const struct vt_op *op);
void vt_op_cancel(struct vt_op *op);
void vt_op_forget(struct vt_op *op);

/* Changes the deadline to `seconds` from now. */
void vt_op_set_deadline(struct vt_op *op, double seconds);

/* Completes after `seconds` (0 or more). Result: NULL. */
struct vt_op *vt_sleep(struct vt_loop *loop, double seconds, vt_op_fn done, void *user,
                       struct vt_error *err);

/* A host process, run without a shell. */
struct vt_process_opts {
    const char *const *argv; /* NULL-terminated */
    const char *file;        /* what is executed, looked for in PATH; NULL: argv[0] */
    const char *const *env;  /* NULL-terminated "K=V"; NULL: this process's own */
    const char *cwd;         /* NULL: this process's own */
    const void *input;       /* written to its standard input; NULL: /dev/null */
    size_t input_size;
    double timeout;      /* seconds, more than 0 */
    size_t output_limit; /* bytes kept of stdout and of stderr each; the rest is read and dropped */
    bool inherit_output; /* its output goes where this process's does; nothing is kept */
    bool same_group;     /* stays in this process's group, and ends with that at the latest; else
                            it has a group of its own, which a time-out ends as a whole */
};

struct vt_process_result {
    int status; /* exit status, or -1 where a signal ended it */
    int signal; /* the signal's number, or 0 */
    const char *out, *err;
    size_t out_size, err_size;
    bool truncated; /* more was written than output_limit */
};

/* Runs a process to its end. Result: struct vt_process_result. On timeout or cancel the process
 * and, where it has one of its own, its process group are killed. A process that could not be
 * started is VT_ENOTFOUND or VT_EIO; a status other than 0 is a result. */
struct vt_op *vt_process_run(struct vt_loop *loop, const struct vt_process_opts *opts,
                             vt_op_fn done, void *user, struct vt_error *err);

#endif
