#include "guest/sftp.h"

#include <string.h>

#include "core/mem.h"
#include "guest/ssh_internal.h"

enum {
    slots = 128,
    pipeline = 80,           /* requests under way at most; the rest of the slots is for the few
                                that do not ask for room */
    out_soft = 256 * 1024,   /* bytes queued before there is no room */
    read_chunk = 128 * 1024, /* per read of the channel */
    max_reads = 4,           /* of a step */
    version = 3,
};

struct slot {
    vt__sftp_fn fn; /* NULL: free */
    void *user;
    uint32_t id;
};

struct vt__sftp {
    struct vt__ssh_conn *conn;
    struct vt__ssh_remote *remote;
    const struct vt__sftp_owner *owner; /* NULL: idle */
    void *user;
    struct vt_buf out, in;
    size_t out_head;
    struct slot slots[slots];
    unsigned under_way;
    uint32_t generation;
    bool greeted;       /* the server told its version */
    bool running, gone; /* freed while running */
};

static void release(struct vt__sftp *s)
{
    if (s->conn && s->conn->sftp == s)
        s->conn->sftp = NULL;
    vt_buf_free(&s->out);
    vt_buf_free(&s->in);
    vt_free(s);
}

void vt__sftp_free(struct vt__sftp *s)
{
    if (!s)
        return;
    struct vt__ssh_remote *remote = s->remote;
    if (s->conn->sftp == s)
        s->conn->sftp = NULL;
    s->remote = NULL;
    s->owner = NULL;
    s->gone = true;
    if (!s->running)
        release(s);
    if (remote)
        vt__ssh_remote_leave(remote);
}

static void failed(void *user, const struct vt_error *why)
{
    struct vt__sftp *s = user;
    const struct vt__sftp_owner *owner = s->owner;
    void *owner_user = s->user;
    s->remote = NULL;
    s->gone = true;
    s->owner = NULL;
    if (!s->running)
        release(s);
    if (owner)
        owner->failed(owner_user, why);
}

static void protocol_error(struct vt__sftp *s, const char *what)
{
    const struct vt__sftp_owner *owner = s->owner;
    void *user = s->user;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EPROTO, "transfer", "the guest's SFTP server broke the protocol: %s", what);
    vt__sftp_free(s);
    if (owner)
        owner->failed(user, &why);
}

/* ---- requests ---- */

bool vt__sftp_room(const struct vt__sftp *s)
{
    return s->greeted && !s->gone && s->under_way < pipeline && s->out.len - s->out_head < out_soft;
}

static void store_u32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v >> 24);
    p[1] = (unsigned char)(v >> 16);
    p[2] = (unsigned char)(v >> 8);
    p[3] = (unsigned char)v;
}

void vt__sftp_put_u32(struct vt_buf *b, uint32_t value)
{
    unsigned char p[4];
    store_u32(p, value);
    vt_buf_add(b, p, sizeof p);
}

void vt__sftp_put_u64(struct vt_buf *b, uint64_t value)
{
    vt__sftp_put_u32(b, (uint32_t)(value >> 32));
    vt__sftp_put_u32(b, (uint32_t)value);
}

void vt__sftp_put_string(struct vt_buf *b, const void *data, size_t n)
{
    vt__sftp_put_u32(b, (uint32_t)n);
    vt_buf_add(b, data, n);
}

void vt__sftp_put_mode(struct vt_buf *b, unsigned mode)
{
    vt__sftp_put_u32(b, 4); /* permissions are what follows */
    vt__sftp_put_u32(b, mode & 07777);
}

void vt__sftp_send(struct vt__sftp *s, enum vt__sftp_type type, struct vt_buf *fields,
                   const void *data, size_t n, vt__sftp_fn fn, void *user)
{
    uint32_t at = s->generation % slots;
    while (s->slots[at].fn)
        at = (at + 1) % slots;
    uint32_t id = ++s->generation * slots + at;
    s->slots[at] = (struct slot){.fn = fn, .user = user, .id = id};
    s->under_way++;
    unsigned char code = (unsigned char)type;
    vt__sftp_put_u32(&s->out, (uint32_t)(5 + fields->len + (data ? 4 + n : 0)));
    vt_buf_add(&s->out, &code, 1);
    vt__sftp_put_u32(&s->out, id);
    vt_buf_add(&s->out, fields->data, fields->len);
    if (data)
        vt__sftp_put_string(&s->out, data, n);
    vt_buf_clear(fields);
}

/* ---- replies ---- */

static bool dispatch(struct vt__sftp *s, const unsigned char *msg, size_t n)
{
    struct vt__sftp_reply reply;
    uint32_t id = 0;
    if (!vt__sftp_parse(msg, n, &id, &reply)) {
        protocol_error(s, "a malformed reply");
        return false;
    }
    if (!s->greeted) {
        if (reply.type != VT__SFTP_VERSION || id < version) {
            protocol_error(s, "not a greeting of version 3");
            return false;
        }
        s->greeted = true;
        return true;
    }
    struct slot *slot = &s->slots[id % slots];
    if (!slot->fn || slot->id != id || reply.type == VT__SFTP_VERSION) {
        protocol_error(s, "a reply to a request that was not made");
        return false;
    }
    vt__sftp_fn fn = slot->fn;
    slot->fn = NULL;
    s->under_way--;
    fn(slot->user, &reply);
    return !s->gone;
}

/* Hands on the complete messages in `in`. False where the session has ended. */
static bool dispatch_all(struct vt__sftp *s)
{
    size_t at = 0;
    while (s->in.len - at >= 4) {
        const unsigned char *p = (const unsigned char *)s->in.data + at;
        size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | (size_t)p[3];
        if (n > VT__SFTP_MAX_PACKET || n < 5) {
            protocol_error(s, "a reply of an impossible size");
            return false;
        }
        if (s->in.len - at - 4 < n)
            break;
        at += 4 + n;
        if (!dispatch(s, p + 4, n))
            return false;
    }
    vt_buf_consume(&s->in, at);
    return true;
}

static bool flush(struct vt__sftp *s)
{
    bool moved = false;
    while (s->out_head < s->out.len && !vt__ssh_conn_full(s->conn)) {
        ssize_t n = libssh2_channel_write(s->remote->ch, s->out.data + s->out_head,
                                          s->out.len - s->out_head);
        if (n == LIBSSH2_ERROR_EAGAIN || n == 0)
            break;
        if (n < 0) {
            vt__ssh_conn_break(s->conn, "sending to the SFTP server");
            return false;
        }
        s->out_head += (size_t)n;
        moved = true;
    }
    if (s->out_head == s->out.len) {
        vt_buf_clear(&s->out);
        s->out_head = 0;
    } else if (s->out_head > out_soft) {
        vt_buf_consume(&s->out, s->out_head);
        s->out_head = 0;
    }
    return moved;
}

/* False where the session has ended. */
static bool receive(struct vt__sftp *s, bool *moved)
{
    for (int i = 0; i < max_reads; i++) {
        vt_buf_reserve(&s->in, read_chunk);
        ssize_t n = libssh2_channel_read(s->remote->ch, s->in.data + s->in.len, read_chunk);
        if (n == LIBSSH2_ERROR_EAGAIN)
            return true;
        if (n < 0) {
            vt__ssh_conn_break(s->conn, "reading from the SFTP server");
            return false;
        }
        if (!n) {
            if (libssh2_channel_eof(s->remote->ch) != 1)
                return true;
            protocol_error(s, "it ended");
            return false;
        }
        s->in.len += (size_t)n;
        *moved = true;
        if (!dispatch_all(s))
            return false;
    }
    return true;
}

static void step(struct vt__sftp *s, bool *moved)
{
    if (!receive(s, moved))
        return;
    /* what the server says besides is not for us, but would keep the channel from ending */
    char ignored[4096];
    while (libssh2_channel_read_stderr(s->remote->ch, ignored, sizeof ignored) > 0)
        *moved = true;
    unsigned before = s->generation;
    if (s->greeted && s->owner)
        s->owner->step(s->user);
    if (s->gone)
        return;
    *moved |= s->generation != before;
    *moved |= flush(s);
}

static bool run(struct vt__ssh_remote *remote, void *user)
{
    struct vt__sftp *s = user;
    (void)remote;
    bool moved = false;
    s->running = true;
    step(s, &moved);
    s->running = false;
    if (s->gone)
        release(s);
    return moved;
}

/* ---- sessions ---- */

static const struct vt__ssh_remote_class remote_class = {.run = run, .failed = failed};

struct vt__sftp *vt__sftp_take(struct vt__ssh_conn *c, const struct vt__sftp_owner *owner,
                               void *user)
{
    struct vt__sftp *s = c->sftp;
    c->sftp = NULL;
    if (!s) {
        s = vt_calloc(1, sizeof *s);
        s->conn = c;
        s->remote = vt__ssh_remote_start(c, "subsystem", "sftp", 4, false, &remote_class, s);
        vt__sftp_put_u32(&s->out, 5);
        vt_buf_putc(&s->out, VT__SFTP_INIT);
        vt__sftp_put_u32(&s->out, version);
    }
    s->owner = owner;
    s->user = user;
    return s;
}

void vt__sftp_give(struct vt__sftp *s)
{
    if (s->under_way || s->conn->sftp || !s->greeted) {
        vt__sftp_free(s);
        return;
    }
    s->owner = NULL;
    s->conn->sftp = s;
}

enum vt_code vt__sftp_error(const struct vt__sftp_reply *reply, const char *doing, const char *path,
                            struct vt_error *err)
{
    if (reply->type != VT__SFTP_STATUS || reply->status == VT__SFTP_OK)
        return vt_fail(err, VT_EPROTO, "transfer", "cannot %s %s in the guest: %s", doing, path,
                       "its SFTP server gave an answer that does not fit");
    enum vt_code code = VT_EIO;
    const char *text = "it failed";
    switch (reply->status) {
    case VT__SFTP_NO_SUCH_FILE:
        code = VT_ENOTFOUND;
        text = "no such file or folder";
        break;
    case VT__SFTP_PERMISSION_DENIED:
        text = "permission denied";
        break;
    case VT__SFTP_NO_SPACE:
        code = VT_ENOSPC;
        text = "the disk is full";
        break;
    case VT__SFTP_UNSUPPORTED:
        code = VT_EUNSUPPORTED;
        text = "its SFTP server does not support that";
        break;
    default:
        break;
    }
    vt_fail(err, code, "transfer", "cannot %s %s in the guest: %s", doing, path, text);
    if (reply->status == VT__SFTP_FAILURE && reply->text_size)
        vt_error_append(err, " (the server says \"%.*s\")",
                        (int)(reply->text_size < 100 ? reply->text_size : 100), reply->text);
    return code;
}
