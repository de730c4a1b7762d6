#include <string.h>

#include "guest/sftp.h"

enum {
    attr_size = 1,
    attr_uidgid = 2,
    attr_permissions = 4,
    attr_times = 8,
    attr_extended = (int)0x80000000
};

struct cursor {
    const unsigned char *at;
    size_t left;
    bool bad;
};

static const unsigned char *take(struct cursor *c, size_t n)
{
    if (c->bad || n > c->left) {
        c->bad = true;
        return NULL;
    }
    const unsigned char *at = c->at;
    c->at += n;
    c->left -= n;
    return at;
}

static uint32_t take_u32(struct cursor *c)
{
    const unsigned char *p = take(c, 4);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3]
             : 0;
}

static uint64_t take_u64(struct cursor *c)
{
    uint64_t high = take_u32(c);
    return high << 32 | take_u32(c);
}

static const unsigned char *take_string(struct cursor *c, size_t *n)
{
    *n = take_u32(c);
    const unsigned char *p = take(c, *n);
    if (!p)
        *n = 0;
    return p;
}

static void take_attrs(struct cursor *c, struct vt__sftp_attrs *attrs)
{
    *attrs = (struct vt__sftp_attrs){.size = 0};
    uint32_t flags = take_u32(c);
    if (flags & attr_size) {
        attrs->has_size = true;
        attrs->size = take_u64(c);
    }
    if (flags & attr_uidgid)
        take(c, 8);
    if (flags & attr_permissions) {
        attrs->has_mode = true;
        attrs->mode = take_u32(c);
    }
    if (flags & attr_times)
        take(c, 8);
    if (flags & (uint32_t)attr_extended) {
        size_t n = 0;
        for (uint32_t count = take_u32(c); count && !c->bad; count--) {
            take_string(c, &n);
            take_string(c, &n);
        }
    }
}

bool vt__sftp_parse(const unsigned char *msg, size_t n, uint32_t *id, struct vt__sftp_reply *reply)
{
    struct cursor c = {.at = msg, .left = n};
    *reply = (struct vt__sftp_reply){.text = ""};
    const unsigned char *type = take(&c, 1);
    *id = take_u32(&c);
    if (c.bad)
        return false;
    reply->type = (enum vt__sftp_type) * type;
    switch (reply->type) {
    case VT__SFTP_STATUS:
        reply->status = take_u32(&c);
        if (!c.bad && c.left) /* the oldest servers send no text */
            reply->text = (const char *)take_string(&c, &reply->text_size);
        break;
    case VT__SFTP_HANDLE:
        reply->data = take_string(&c, &reply->size);
        if (reply->size > VT__SFTP_MAX_HANDLE)
            return false;
        break;
    case VT__SFTP_DATA:
        reply->data = take_string(&c, &reply->size);
        break;
    case VT__SFTP_NAME:
        reply->count = take_u32(&c);
        reply->data = c.at;
        reply->size = c.left;
        break;
    case VT__SFTP_ATTRS:
        take_attrs(&c, &reply->attrs);
        break;
    case VT__SFTP_EXTENDED_REPLY:
    case VT__SFTP_VERSION:
        reply->data = c.at;
        reply->size = c.left;
        break;
    default:
        return false;
    }
    return !c.bad;
}

int vt__sftp_next_name(struct vt__sftp_reply *reply, const char **name, size_t *n,
                       struct vt__sftp_attrs *attrs)
{
    if (!reply->count)
        return 0;
    struct cursor c = {.at = reply->data, .left = reply->size};
    size_t ignored = 0;
    *name = (const char *)take_string(&c, n);
    take_string(&c, &ignored); /* as `ls -l` would show it */
    take_attrs(&c, attrs);
    if (c.bad)
        return -1;
    reply->count--;
    reply->data = c.at;
    reply->size = c.left;
    return 1;
}

bool vt__sftp_name_is_safe(const char *name, size_t n)
{
    if (!n || memchr(name, '/', n) || memchr(name, '\0', n))
        return false;
    return !(n == 1 && name[0] == '.') && !(n == 2 && name[0] == '.' && name[1] == '.');
}
