#include "plist/binary.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "plist/tree.h"

#define OP "plist.read"
#define HEADER 8
#define TRAILER 32

/* What an object is with all it holds; `height` 0: not looked at yet. */
struct object {
    unsigned height;
    unsigned nodes;
    size_t bytes;
    bool open; /* being looked at: met again, it holds itself */
};

struct checker {
    const uint8_t *data;
    size_t end; /* of the objects: where the table begins */
    const char *what;
    size_t count, table;
    unsigned offset_size, ref_size;
    struct object *objects;
    struct vt_error *err;
};

static uint64_t big_endian(const uint8_t *p, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | p[i];
    return value;
}

static enum vt_code bad(const struct checker *c, size_t offset, const char *why)
{
    return vt_fail(c->err, VT_EINVAL, OP, "%s: at byte %zu: %s", c->what, offset, why);
}

static enum vt_code too_much(const struct checker *c, const char *why)
{
    return vt_fail(c->err, VT_ELIMIT, OP, "%s: %s", c->what, why);
}

/* The count in a marker's low half, or in the integer that follows; *at moves behind it. */
static enum vt_code read_count(const struct checker *c, size_t *at, uint64_t *count)
{
    unsigned low = c->data[*at] & 15u;
    ++*at;
    *count = low;
    if (low != 15)
        return VT_OK;
    if (*at >= c->end || c->data[*at] >> 4 != 1)
        return bad(c, *at, "a count is due here");
    unsigned size = 1u << (c->data[*at] & 15u);
    ++*at;
    if (size > 8 || size > c->end - *at)
        return bad(c, *at, "a count of more bytes than there are");
    *count = big_endian(c->data + *at, size);
    *at += size;
    return VT_OK;
}

static enum vt_code check_object(struct checker *c, uint64_t index, unsigned depth);

static size_t offset_of(const struct checker *c, uint64_t index)
{
    return (size_t)big_endian(c->data + c->table + index * c->offset_size, c->offset_size);
}

struct key {
    const uint8_t *units;
    size_t count;
    unsigned width; /* of a unit: 1 of ASCII, 2 of UTF-16 */
};

static int by_text(const void *a, const void *b)
{
    const struct key *left = a, *right = b;
    for (size_t i = 0; i < left->count && i < right->count; i++) {
        uint64_t x = big_endian(left->units + i * left->width, left->width);
        uint64_t y = big_endian(right->units + i * right->width, right->width);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return (left->count > right->count) - (left->count < right->count);
}

/* The keys that stand from `at`, all of which were looked at, are different ones. */
static enum vt_code check_keys(struct checker *c, size_t at, size_t count)
{
    enum vt_code code = VT_OK;
    struct key *keys = vt_calloc(count ? count : 1, sizeof *keys);
    for (size_t i = 0; i < count; i++) {
        size_t from = offset_of(c, big_endian(c->data + at + i * c->ref_size, c->ref_size));
        uint64_t n = 0;
        keys[i].width = c->data[from] >> 4 == 6 ? 2 : 1;
        read_count(c, &from, &n);
        keys[i].units = c->data + from;
        keys[i].count = (size_t)n;
    }
    qsort(keys, count, sizeof *keys, by_text);
    for (size_t i = 1; !code && i < count; i++)
        if (!by_text(&keys[i - 1], &keys[i]))
            code = bad(c, at, "a dictionary with one key twice");
    vt_free(keys);
    return code;
}

/* `count` references from `at`, each looked at; `keys` of them must be strings. */
static enum vt_code check_refs(struct checker *c, struct object *o, size_t at, uint64_t count,
                               uint64_t keys, unsigned depth)
{
    if (count > (c->end - at) / c->ref_size)
        return bad(c, at, "a container of more values than fit");
    for (uint64_t i = 0; i < count; i++, at += c->ref_size) {
        uint64_t ref = big_endian(c->data + at, c->ref_size);
        enum vt_code code = check_object(c, ref, depth + 1);
        if (code)
            return code;
        const struct object *child = &c->objects[ref];
        unsigned kind = c->data[offset_of(c, ref)] >> 4;
        if (i < keys && kind != 5 && kind != 6)
            return bad(c, at, "a key that is no string");
        if (child->height + 1 > o->height)
            o->height = child->height + 1;
        o->nodes += child->nodes;
        o->bytes += child->bytes;
        if (o->height > VT_PLIST_MAX_DEPTH)
            return too_much(c, "the list is nested too deeply");
        if (o->nodes > VT_PLIST_MAX_NODES || o->bytes > VT_PLIST_MAX_BYTES)
            return too_much(c, "the list stands for too large a tree");
    }
    return VT_OK;
}

/* A value of count * width bytes, within the file. */
static enum vt_code check_bytes(struct checker *c, struct object *o, size_t at, uint64_t count,
                                unsigned width)
{
    if (count > (c->end - at) / width)
        return bad(c, at, "a value that reaches beyond the file");
    o->bytes = (size_t)count * width;
    return VT_OK;
}

static enum vt_code check_ascii(struct checker *c, struct object *o, size_t at, uint64_t count)
{
    enum vt_code code = check_bytes(c, o, at, count, 1);
    for (size_t i = 0; !code && i < count; i++)
        if (c->data[at + i] >= 0x80 || !c->data[at + i])
            code = bad(c, at + i, "a character that is not ASCII");
    return code;
}

/* libplist's strings end at a NUL (and it stops the process where one is within a key), and half a
 * surrogate pair makes no UTF-8. */
static enum vt_code check_utf16(struct checker *c, struct object *o, size_t at, uint64_t count)
{
    enum vt_code code = check_bytes(c, o, at, count, 2);
    for (size_t i = 0; !code && i < count; i++) {
        uint64_t unit = big_endian(c->data + at + 2 * i, 2);
        bool high = unit >= 0xd800 && unit < 0xdc00, low = unit >= 0xdc00 && unit < 0xe000;
        uint64_t next = high && i + 1 < count ? big_endian(c->data + at + 2 * i + 2, 2) : 0;
        if (!unit || low || (high && (next < 0xdc00 || next >= 0xe000)))
            code = bad(c, at + 2 * i, "a character that is no text");
        i += high;
    }
    return code;
}

static enum vt_code check_content(struct checker *c, struct object *o, size_t at, unsigned depth)
{
    unsigned kind = c->data[at] >> 4, low = c->data[at] & 15u;
    uint64_t count = 0;
    size_t after = at;
    enum vt_code code;
    if (kind >= 4 && kind != 8 && read_count(c, &after, &count))
        return c->err->code;
    switch (kind) {
    case 0:
        return low == 8 || low == 9 ? VT_OK : bad(c, at, "a kind of value that is not known");
    case 1:
        return low <= 4 ? check_bytes(c, o, at + 1, 1u << low, 1) : bad(c, at, "a huge integer");
    case 2:
    case 3:
        return low == 3 || (kind == 2 && low == 2) ? check_bytes(c, o, at + 1, 1u << low, 1)
                                                   : bad(c, at, "a real of unknown size");
    case 4:
        return check_bytes(c, o, after, count, 1);
    case 5:
        return check_ascii(c, o, after, count);
    case 6:
        return check_utf16(c, o, after, count);
    case 8:
        return low < 8 ? check_bytes(c, o, at + 1, low + 1, 1) : bad(c, at, "a huge UID");
    case 10:
        return check_refs(c, o, after, count, 0, depth);
    case 13:
        if (count > c->count)
            return bad(c, at, "a dictionary of more keys than there are objects");
        code = check_refs(c, o, after, count * 2, count, depth);
        return code ? code : check_keys(c, after, (size_t)count);
    default:
        return bad(c, at, "a kind of value that is not known");
    }
}

static enum vt_code check_object(struct checker *c, uint64_t index, unsigned depth)
{
    if (index >= c->count)
        return bad(c, 0, "a reference to an object that does not exist");
    struct object *o = &c->objects[index];
    if (o->open)
        return bad(c, 0, "an object holds itself");
    if (depth > VT_PLIST_MAX_DEPTH)
        return too_much(c, "the list is nested too deeply");
    if (o->height)
        return VT_OK;
    size_t entry = c->table + (size_t)index * c->offset_size;
    uint64_t at = big_endian(c->data + entry, c->offset_size);
    if (at < HEADER || at >= c->end)
        return bad(c, entry, "the offset of an object lies outside the file");
    o->open = true;
    o->height = o->nodes = 1;
    enum vt_code code = check_content(c, o, (size_t)at, depth);
    o->open = false;
    return code;
}

enum vt_code vt_plist_check_binary(const uint8_t *data, size_t n, const char *what,
                                   struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct checker c = {.data = data, .what = what, .err = &own};
    if (n < HEADER + TRAILER || memcmp(data, "bplist00", HEADER) != 0)
        return vt_fail(err, VT_EINVAL, OP, "%s: no binary property list of version 00", what);
    const uint8_t *trailer = data + n - TRAILER;
    uint64_t count = big_endian(trailer + 8, 8), top = big_endian(trailer + 16, 8);
    uint64_t table = big_endian(trailer + 24, 8);
    c.offset_size = trailer[6];
    c.ref_size = trailer[7];
    if (c.offset_size < 1 || c.offset_size > 8 || c.ref_size < 1 || c.ref_size > 8)
        return vt_fail(err, VT_EINVAL, OP, "%s: the trailer's sizes are out of range", what);
    if (table < HEADER || table > n - TRAILER || count > (n - TRAILER - table) / c.offset_size)
        return vt_fail(err, VT_EINVAL, OP, "%s: the table of offsets lies outside the file", what);
    c.count = (size_t)count;
    c.end = c.table = (size_t)table;
    c.objects = vt_calloc(c.count ? c.count : 1, sizeof *c.objects);
    check_object(&c, top, 1);
    vt_free(c.objects);
    return vt_error_copy(err, &own);
}
