/* Sessions of SFTP with the agent: each request is one frame. They cost the agent next to nothing,
 * so each transfer has its own. */
#include "core/mem.h"
#include "guest/agent_internal.h"
#include "guest/transfer.h"

struct link {
    struct vt__agent_stream stream; /* first */
    struct vt__sftp *sftp;
};

static struct link *of(struct vt__agent_stream *s)
{
    return (struct link *)(void *)s;
}

static size_t write_one(void *link, const char *data, size_t n)
{
    struct link *l = link;
    size_t whole = n < 4 ? 0 : 4 + (size_t)vt__load_u32((const unsigned char *)data);
    if (!whole || whole > n || vt__agent_full(l->stream.conn))
        return 0;
    vt__agent_send(&l->stream, VT__FRAME_BYTES, data, whole, NULL, 0);
    return whole;
}

static void kick(void *link)
{
    const struct link *l = link;
    vt__agent_kick(l->stream.conn);
}

static void leave(void *link)
{
    struct link *l = link;
    vt__agent_stream_remove(&l->stream, true);
    vt_free(l);
}

static const struct vt__sftp_link link_class = {
    .chunk = VT__SFTP_MAX_CHUNK, .write = write_one, .kick = kick, .leave = leave};

static void room(struct vt__agent_stream *s)
{
    bool moved = false;
    vt__sftp_run(of(s)->sftp, &moved);
}

static void frame(struct vt__agent_stream *s, const struct vt__frame *f)
{
    if (f->type == VT__FRAME_BYTES) /* pump() follows */
        vt__sftp_received(of(s)->sftp, (const char *)f->data, f->size);
    else
        vt__agent_conn_break(s->conn, "an answer that does not fit");
}

static void lost(struct vt__agent_stream *s, const struct vt_error *why)
{
    struct link *l = of(s);
    struct vt__sftp *sftp = l->sftp;
    vt_free(l);
    vt__sftp_lost(sftp, why);
}

static const struct vt__agent_stream_class stream_class = {
    .frame = frame, .room = room, .lost = lost};

static struct vt__sftp *session(struct vt_channel *ch, const struct vt__sftp_owner *owner,
                                void *user, struct vt_error *err)
{
    struct vt__agent_conn *c = vt__agent_conn_of(ch);
    struct link *l = vt_calloc(1, sizeof *l);
    (void)err; /* there is a connection, and nothing else is needed */
    vt__agent_stream_add(c, &l->stream, &stream_class);
    vt__agent_send(&l->stream, VT__FRAME_FILES, NULL, 0, NULL, 0);
    l->sftp = vt__sftp_new(&link_class, l);
    vt__sftp_own(l->sftp, owner, user);
    return l->sftp;
}

struct vt_op *vt__agent_transfer(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                                 vt_op_fn done, void *user, struct vt_error *err)
{
    return vt__transfer_start(ch, opts, session, done, user, err);
}
