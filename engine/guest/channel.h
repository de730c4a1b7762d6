/* The way into a guest: what every channel (ssh, agent, simulated) offers to vm.
 *
 * All operations follow the rules of vmtest/loop.h. Several may be under way at once on one
 * channel. A channel that lost its connection fails what was under way with VT_EGUEST and can
 * connect() again. */
#ifndef VT_GUEST_CHANNEL_H
#define VT_GUEST_CHANNEL_H

#include "core/buf.h"
#include "vmtest/guest.h"

struct vt_channel {
    const struct vt_channel_class *cls;
    struct vt_loop *loop;
};

struct vt_channel_class {
    const char *name; /* "ssh" */

    /* Completes when the guest answers and accepted a credential: tries again, patiently, while
     * the guest is not there yet, until the deadline. VT_EAUTH and VT_EHOSTKEY end it at once.
     * Completes at once where it is connected already. timeout: INFINITY where the operation of
     * the caller that owns this one has the deadline. Result: NULL. */
    struct vt_op *(*connect)(struct vt_channel *ch, double timeout, vt_op_fn done, void *user,
                             struct vt_error *err);

    /* Result: struct vt_exec_result. VT_ESTATE (in *err) while not connected. */
    struct vt_op *(*exec)(struct vt_channel *ch, const struct vt_exec_opts *opts, vt_op_fn done,
                          void *user, struct vt_error *err);

    /* Result: struct vt_transfer_result. VT_ESTATE (in *err) while not connected. */
    struct vt_op *(*transfer)(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                              vt_op_fn done, void *user, struct vt_error *err);

    /* After a restore: sets the guest's clock to the host's and gives its random pool new seed that
     * counts. NULL where the channel has no way of its own: vm then does what a command can. */
    struct vt_op *(*refresh)(struct vt_channel *ch, double timeout, vt_op_fn done, void *user,
                             struct vt_error *err);

    bool (*connected)(const struct vt_channel *ch);

    /* Adds to a time-out of whoever waits for connect() why that has not worked so far, and what to
     * do. NULL: it cannot tell. */
    void (*explain)(const struct vt_channel *ch, struct vt_error *why);

    /* Drops the connection (the guest rebooted, was restored, or is gone): operations under way
     * fail with `why`. */
    void (*drop)(struct vt_channel *ch, const struct vt_error *why);

    /* As drop, then frees the channel. */
    void (*free)(struct vt_channel *ch);
};

/* Builds the line for the guest's shell from argv or command, env and cwd, e.g.
 *   cd '/tmp' && LANG=C exec ls -l
 * VT_EINVAL where neither or both of command and argv are given, or a name in env is none.
 * Appends to out. */
enum vt_code vt_exec_command_line(const struct vt_exec_opts *opts, struct vt_buf *out,
                                  struct vt_error *err);

#endif
