#include "frame.h"

#include <string.h>

enum { mark = 0x764d };

static const unsigned char marks[2][16] = {
    [VT__HELLO] = {0xf1, 'v', 'm', 't', 'e', 's', 't', 0x0d, 0x9b, 0x5e, 0xc4, 0x27, 0xe8, 0x60,
                   0xb3, 0x1d},
    [VT__WELCOME] = {0xf2, 'v', 'm', 't', 'e', 's', 't', 0x0a, 0x44, 0xd9, 0x71, 0xae, 0x0b, 0x96,
                     0x3c, 0xe5},
};

/* The streams that bytes of a frame may belong to: others have one alone. */
static unsigned streams_of(unsigned type)
{
    return type == VT__FRAME_BYTES ? VT__FRAME_STREAMS : 1;
}

int vt__frame_parse(const unsigned char *in, size_t n, uint32_t tag, struct vt__frame *frame,
                    size_t *used)
{
    if (n < VT__FRAME_HEAD)
        return 0;
    uint32_t size = vt__load_u32(in);
    unsigned type = in[6], stream = in[7];
    if (size > VT__FRAME_DATA || in[4] != mark >> 8 || in[5] != (mark & 255) || !type ||
        type >= VT__FRAME_TYPE_COUNT_ || stream >= streams_of(type))
        return -1;
    size_t whole = (size_t)VT__FRAME_HEAD + size + VT__FRAME_TAIL;
    if (n < whole)
        return 0;
    if (vt__load_u32(in + VT__FRAME_HEAD + size) != tag)
        return -1;
    *frame = (struct vt__frame){.type = (enum vt__frame_type)type,
                                .stream = stream,
                                .channel = vt__load_u32(in + 8),
                                .data = in + VT__FRAME_HEAD,
                                .size = size};
    *used = whole;
    return 1;
}

void vt__frame_head(unsigned char out[VT__FRAME_HEAD], enum vt__frame_type type, unsigned stream,
                    uint32_t channel, uint32_t size)
{
    vt__store_u32(out, size);
    out[4] = mark >> 8;
    out[5] = mark & 255;
    out[6] = (unsigned char)type;
    out[7] = (unsigned char)stream;
    vt__store_u32(out + 8, channel);
}

void vt__greeting_make(unsigned char out[VT__GREETING], enum vt__greeting kind, uint32_t version,
                       const unsigned char nonce[VT__NONCE])
{
    memcpy(out, marks[kind], sizeof marks[kind]);
    vt__store_u32(out + sizeof marks[kind], version);
    memcpy(out + sizeof marks[kind] + 4, nonce, VT__NONCE);
}

bool vt__greeting_find(const unsigned char *in, size_t n, enum vt__greeting kind, uint32_t *version,
                       unsigned char nonce[VT__NONCE], size_t *used)
{
    const unsigned char *m = marks[kind];
    size_t at = 0;
    for (;;) {
        const unsigned char *found = n > at ? memchr(in + at, m[0], n - at) : NULL;
        if (!found) {
            *used = n;
            return false;
        }
        at = (size_t)(found - in);
        size_t have = n - at < sizeof marks[kind] ? n - at : sizeof marks[kind];
        if (memcmp(found, m, have) == 0)
            break;
        at++;
    }
    if (n - at < VT__GREETING) {
        *used = at;
        return false;
    }
    *version = vt__load_u32(in + at + sizeof marks[kind]);
    memcpy(nonce, in + at + sizeof marks[kind] + 4, VT__NONCE);
    *used = at + VT__GREETING;
    return true;
}

uint32_t vt__session_tag(const unsigned char nonce[VT__NONCE])
{
    return vt__load_u32(nonce) | 1;
}

void vt__store_u32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v >> 24);
    p[1] = (unsigned char)(v >> 16);
    p[2] = (unsigned char)(v >> 8);
    p[3] = (unsigned char)v;
}

void vt__store_u64(unsigned char *p, uint64_t v)
{
    vt__store_u32(p, (uint32_t)(v >> 32));
    vt__store_u32(p + 4, (uint32_t)v);
}

uint32_t vt__load_u32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

uint64_t vt__load_u64(const unsigned char *p)
{
    return (uint64_t)vt__load_u32(p) << 32 | vt__load_u32(p + 4);
}

static const unsigned char *take(struct vt__fields *f, size_t n)
{
    const unsigned char *p = f->p;
    if (f->bad || f->n < n) {
        f->bad = true;
        return NULL;
    }
    f->p += n;
    f->n -= n;
    return p;
}

uint32_t vt__take_u32(struct vt__fields *f)
{
    const unsigned char *p = take(f, 4);
    return p ? vt__load_u32(p) : 0;
}

uint64_t vt__take_u64(struct vt__fields *f)
{
    const unsigned char *p = take(f, 8);
    return p ? vt__load_u64(p) : 0;
}

const unsigned char *vt__take_bytes(struct vt__fields *f, size_t *n)
{
    uint32_t size = vt__take_u32(f);
    const unsigned char *p = f->bad ? NULL : take(f, size);
    *n = p ? size : 0;
    return p;
}
