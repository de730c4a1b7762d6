/* What the files of the agent channel share.
 *
 *   agent.c          the channel: connect operations, retries, refresh
 *   agent_conn.c     one connection: socket, greeting, frames in and out
 *   agent_exec.c     operation: a command
 *   agent_files.c    sessions of SFTP (sftp*.c, transfer*.c) with the agent's file server
 *
 * What the guest sends is not trusted: frames are checked (shim/agent/frame.h), and what it may
 * make this side keep is bounded by what was asked for. */
#ifndef VT_GUEST_AGENT_INTERNAL_H
#define VT_GUEST_AGENT_INTERNAL_H

#include <uv.h>

#include "agent/frame.h"
#include "core/buf.h"
#include "guest/agent.h"
#include "loop/op.h"

struct vt__agent_conn;
struct vt__agent_stream;

struct vt__agent_stream_class {
    void (*frame)(struct vt__agent_stream *s, const struct vt__frame *frame);
    /* There is room to send again. May be NULL. */
    void (*room)(struct vt__agent_stream *s);
    /* The connection is gone; the stream is in no list any more. */
    void (*lost)(struct vt__agent_stream *s, const struct vt_error *why);
};

/* A channel of the session, as part of what uses it. */
struct vt__agent_stream {
    const struct vt__agent_stream_class *cls;
    struct vt__agent_conn *conn; /* NULL: not in the list */
    struct vt__agent_stream *next, *prev;
    uint32_t id;
};

struct vt__agent_conn_class {
    void (*greeted)(void *user);
    /* It went away by itself, and is freed: `again` where another attempt makes sense. Streams were
     * told. */
    void (*lost)(void *user, const struct vt_error *why, bool again);
};

/* Connects to the socket and greets until the agent answers. NULL with *err set where nobody
 * listens there. */
struct vt__agent_conn *vt__agent_conn_new(struct vt_loop *loop, const char *path,
                                          const struct vt__agent_conn_class *cls, void *user,
                                          struct vt_error *err);

/* Tells the streams, and frees it, now or when what is running has returned. lost() is not
 * called. */
void vt__agent_conn_close(struct vt__agent_conn *c, const struct vt_error *why);

/* Ends the connection for breaking the protocol: lost() is called. */
void vt__agent_conn_break(struct vt__agent_conn *c, const char *what);

/* Adds a stream with an id of its own. */
void vt__agent_stream_add(struct vt__agent_conn *c, struct vt__agent_stream *s,
                          const struct vt__agent_stream_class *cls);
/* Takes it off the list; `close`: tells the agent to end it. No callback comes any more. */
void vt__agent_stream_remove(struct vt__agent_stream *s, bool close);

/* Queues a frame with the bytes a[0..n) and then b[0..m). */
void vt__agent_send(struct vt__agent_stream *s, enum vt__frame_type type, const void *a, size_t n,
                    const void *b, size_t m);

/* True where nothing more should be queued for now; room() comes. */
bool vt__agent_full(const struct vt__agent_conn *c);

/* Has room() called soon, from the loop. */
void vt__agent_kick(struct vt__agent_conn *c);

/* The greeted connection of a channel, or NULL. */
struct vt__agent_conn *vt__agent_conn_of(struct vt_channel *ch);

struct vt_op *vt__agent_exec(struct vt_channel *ch, const struct vt_exec_opts *opts, vt_op_fn done,
                             void *user, struct vt_error *err);
struct vt_op *vt__agent_transfer(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                                 vt_op_fn done, void *user, struct vt_error *err);
struct vt_op *vt__agent_refresh(struct vt_channel *ch, double timeout, vt_op_fn done, void *user,
                                struct vt_error *err);

/* Sets *why from a FAILED frame: "cannot DOING: …". */
void vt__agent_failure(const struct vt__frame *frame, const char *op, const char *doing,
                       struct vt_error *why);

#endif
