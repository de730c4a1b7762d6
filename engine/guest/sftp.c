#include "guest/sftp.h"

#include <string.h>

#include "core/mem.h"

enum {
    slots = 128,
    pipeline = 80,         /* requests under way at most; the rest of the slots is for the few
                              that do not ask for room */
    out_soft = 256 * 1024, /* bytes queued before there is no room */
    version = 3,
};

struct slot {
    vt__sftp_fn fn; /* NULL: free */
    void *user;
    uint32_t id;
};

struct vt__sftp {
    const struct vt__sftp_link *cls;
    void *link;
    const struct vt__sftp_owner *owner; /* NULL: idle */
    void *user;
    struct vt_buf out, in;
    size_t out_head;
    struct slot slots[slots];
    unsigned under_way;
    uint32_t generation;
    bool greeted; /* the server told its version */
    bool gone;
    unsigned running; /* while it is, it is not freed */
};

static void release(struct vt__sftp *s)
{
    vt_buf_free(&s->out);
    vt_buf_free(&s->in);
    vt_free(s);
}

void vt__sftp_enter(struct vt__sftp *s)
{
    s->running++;
}

void vt__sftp_exit(struct vt__sftp *s)
{
    if (!--s->running && s->gone)
        release(s);
}

static void end(struct vt__sftp *s)
{
    s->owner = NULL;
    s->gone = true;
    if (!s->running)
        release(s);
}

void vt__sftp_free(struct vt__sftp *s)
{
    if (!s || s->gone)
        return;
    const struct vt__sftp_link *cls = s->cls;
    void *link = s->link;
    end(s);
    cls->leave(link);
}

void vt__sftp_lost(struct vt__sftp *s, const struct vt_error *why)
{
    const struct vt__sftp_owner *owner = s->owner;
    void *user = s->user;
    end(s);
    if (owner)
        owner->failed(user, why);
}

void vt__sftp_protocol_error(struct vt__sftp *s, const char *what)
{
    const struct vt__sftp_owner *owner = s->owner;
    void *user = s->user;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EPROTO, "transfer", "the guest's SFTP server broke the protocol: %s", what);
    vt__sftp_free(s);
    if (owner)
        owner->failed(user, &why);
}

size_t vt__sftp_chunk(const struct vt__sftp *s)
{
    return s->cls->chunk;
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
        vt__sftp_protocol_error(s, "a malformed reply");
        return false;
    }
    if (!s->greeted) {
        if (reply.type != VT__SFTP_VERSION || id < version) {
            vt__sftp_protocol_error(s, "not a greeting of version 3");
            return false;
        }
        s->greeted = true;
        return true;
    }
    struct slot *slot = &s->slots[id % slots];
    if (!slot->fn || slot->id != id || reply.type == VT__SFTP_VERSION) {
        vt__sftp_protocol_error(s, "a reply to a request that was not made");
        return false;
    }
    vt__sftp_fn fn = slot->fn;
    slot->fn = NULL;
    s->under_way--;
    fn(slot->user, &reply);
    return !s->gone;
}

/* Hands on the complete messages in data[0..n) and tells how many bytes they have. False where the
 * session has ended. */
static bool dispatch_all(struct vt__sftp *s, const char *data, size_t n, size_t *used)
{
    size_t at = 0;
    while (n - at >= 4) {
        const unsigned char *p = (const unsigned char *)data + at;
        size_t size = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | (size_t)p[3];
        if (size > VT__SFTP_MAX_PACKET || size < 5) {
            vt__sftp_protocol_error(s, "a reply of an impossible size");
            return false;
        }
        if (n - at - 4 < size)
            break;
        at += 4 + size;
        if (!dispatch(s, p + 4, size))
            return false;
    }
    *used = at;
    return true;
}

bool vt__sftp_received(struct vt__sftp *s, const char *data, size_t n)
{
    size_t used = 0;
    vt__sftp_enter(s);
    bool goes_on = !s->gone;
    if (goes_on && !s->in.len) { /* messages that are whole are read where they are */
        goes_on = dispatch_all(s, data, n, &used);
        if (goes_on)
            vt_buf_add(&s->in, data + used, n - used);
    } else if (goes_on) {
        vt_buf_add(&s->in, data, n);
        goes_on = dispatch_all(s, s->in.data, s->in.len, &used);
        if (goes_on)
            vt_buf_consume(&s->in, used);
    }
    vt__sftp_exit(s);
    return goes_on;
}

static bool flush(struct vt__sftp *s)
{
    bool moved = false;
    while (!s->gone && s->out_head < s->out.len) {
        size_t n = s->cls->write(s->link, s->out.data + s->out_head, s->out.len - s->out_head);
        if (!n)
            break;
        s->out_head += n;
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

bool vt__sftp_run(struct vt__sftp *s, bool *moved)
{
    unsigned before = s->generation;
    vt__sftp_enter(s);
    if (!s->gone && s->greeted && s->owner)
        s->owner->step(s->user);
    if (!s->gone) {
        *moved |= s->generation != before;
        *moved |= flush(s);
    }
    bool goes_on = !s->gone;
    vt__sftp_exit(s);
    return goes_on;
}

/* ---- sessions ---- */

struct vt__sftp *vt__sftp_new(const struct vt__sftp_link *cls, void *link)
{
    struct vt__sftp *s = vt_calloc(1, sizeof *s);
    s->cls = cls;
    s->link = link;
    s->greeted = !cls->greets;
    if (cls->greets) {
        vt__sftp_put_u32(&s->out, 5);
        vt_buf_putc(&s->out, VT__SFTP_INIT);
        vt__sftp_put_u32(&s->out, version);
    }
    return s;
}

void vt__sftp_own(struct vt__sftp *s, const struct vt__sftp_owner *owner, void *user)
{
    s->owner = owner;
    s->user = user;
}

void vt__sftp_kick(struct vt__sftp *s)
{
    s->cls->kick(s->link);
}

void vt__sftp_give(struct vt__sftp *s)
{
    s->owner = NULL;
    if (s->under_way || !s->greeted || !s->cls->keep || !s->cls->keep(s->link, s))
        vt__sftp_free(s);
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
