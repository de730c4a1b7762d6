/* What the files of the channel by the QEMU guest agent share.
 *
 *   qga.c        the channel: connect operations, retries
 *   qga_conn.c   one connection: socket, greeting, requests one after the other
 *   qga_line.c   its lines
 *   qga_exec.c   operation: a command
 *   qga_files.c  sessions of SFTP (sftp*.c, transfer*.c) made of its commands
 *   qga_stat.c   what there is only a shell for: attributes, folders */
#ifndef VT_GUEST_QGA_INTERNAL_H
#define VT_GUEST_QGA_INTERNAL_H

#include <jansson.h>

#include "core/buf.h"
#include "guest/qga.h"
#include "loop/op.h"

/* ---- lines ---- */

#define VT__QGA_LINE_MAX ((size_t)32 << 20)

/* Reads a reply: true with exactly one of *result (a new reference) and *problem (the agent's own
 * words, for vt_free) set. False where the line is none. */
bool vt__qga_parse(const char *line, size_t n, json_t **result, char **problem);

/* The bytes of base64 text, appended; false where it is none. */
bool vt__base64_decode(const char *text, size_t n, struct vt_buf *out);
void vt__base64_encode(const void *data, size_t n, struct vt_buf *out);

/* ---- connection ---- */

struct vt__qga_conn;

struct vt__qga_conn_class {
    void (*greeted)(void *user);
    void (*lost)(void *user, const struct vt_error *why); /* by itself; it is freed */
};

struct vt__qga_conn *vt__qga_conn_new(struct vt_loop *loop, const char *path,
                                      const struct vt__qga_conn_class *cls, void *user,
                                      struct vt_error *err);
/* Tells the members, and frees it. lost() is not called. */
void vt__qga_conn_close(struct vt__qga_conn *c, const struct vt_error *why);

/* What has requests under way, or will have: told when the connection is gone, and no member by
 * then. */
struct vt__qga_member {
    struct vt__qga_conn *conn; /* NULL: no member */
    struct vt__qga_member *next, *prev;
    void (*lost)(struct vt__qga_member *m, const struct vt_error *why);
};
void vt__qga_join(struct vt__qga_conn *c, struct vt__qga_member *m,
                  void (*lost)(struct vt__qga_member *m, const struct vt_error *why));
void vt__qga_quit(struct vt__qga_member *m); /* no effect on one that is no member */

/* The answer: a result, or the agent's own words why not. Does not come when the connection is
 * lost. */
typedef void (*vt__qga_fn)(void *user, json_t *result, const char *problem);

/* Sets *why from the agent's words. */
void vt__qga_refused(const char *problem, struct vt_error *why);

/* Queues a command. Takes over arguments (NULL: none). fn NULL: nobody cares. */
void vt__qga_ask(struct vt__qga_conn *c, const char *command, json_t *arguments, vt__qga_fn fn,
                 void *user);
/* The user goes away: its requests are made all the same, where they were not yet begun too. */
void vt__qga_forget(struct vt__qga_conn *c, const void *user);

/* The greeted connection of a channel, or NULL. */
struct vt__qga_conn *vt__qga_conn_of(struct vt_channel *ch);

/* ---- a process in the guest ---- */

struct vt__qga_result {
    int status;         /* -1 where a signal ended it */
    const char *signal; /* or NULL */
    struct vt_buf out, err;
    bool truncated;
};

typedef void (*vt__qga_run_fn)(void *user, const struct vt__qga_result *result,
                               const struct vt_error *why);

/* Runs words and asks, ever less often, whether it has ended. In a session of its own where the
 * guest has setsid, so that vt__qga_run_stop() ends what it began as well. */
struct vt__qga_run;
struct vt__qga_run *vt__qga_run(struct vt__qga_conn *c, struct vt_loop *loop,
                                const char *const *argv, const void *input, size_t input_size,
                                vt__qga_run_fn fn, void *user);
/* Ends it; fn is not called. */
void vt__qga_run_stop(struct vt__qga_run *run);

/* ---- operations ---- */

struct vt_op *vt__qga_exec(struct vt_channel *ch, const struct vt_exec_opts *opts, vt_op_fn done,
                           void *user, struct vt_error *err);
struct vt_op *vt__qga_transfer(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                               vt_op_fn done, void *user, struct vt_error *err);

#endif
