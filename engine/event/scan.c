#include "event/scan.h"

#include <string.h>

#include "core/mem.h"
#include "core/text.h"

#define DEPTH_MAX 16
#define MEMBERS_MAX 32 /* of an object: each is compared with all before it */
#define NODES_MAX ((size_t)1 << 16)
#define DIGITS_MAX 15 /* so many, and such a power of ten, are exact in a double: one rounding */

struct cursor {
    const char *at, *end;
    struct vt__nodes *nodes;
    int depth;
};

static bool value(struct cursor *c, const char *key, size_t key_size);

static void skip(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\r' || *c->at == '\n'))
        c->at++;
}

/* Takes `wanted` and the blanks around it, if it is next. */
static bool take(struct cursor *c, char wanted)
{
    skip(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    skip(c);
    return true;
}

static bool string(struct cursor *c, const char **text, size_t *n)
{
    if (c->at == c->end || *c->at != '"')
        return false;
    const char *p = *text = c->at + 1;
    unsigned char seen = 0;
    while (p < c->end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
        seen |= (unsigned char)*p++;
    *n = (size_t)(p - *text);
    c->at = p + 1;
    return p < c->end && *p == '"' && (seen < 0x80 || vt_utf8_prefix(*text, *n) == *n);
}

static uint64_t digits(struct cursor *c, size_t *count)
{
    const char *begin = c->at;
    uint64_t n = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        n = n * 10 + (uint64_t)(*c->at - '0');
    *count = (size_t)(c->at - begin);
    return n;
}

static bool number(struct cursor *c, struct vt__node *node)
{
    static const uint64_t powers[DIGITS_MAX + 1] = {1,
                                                    10,
                                                    100,
                                                    1000,
                                                    10000,
                                                    100000,
                                                    1000000,
                                                    10000000,
                                                    100000000,
                                                    1000000000,
                                                    10000000000,
                                                    100000000000,
                                                    1000000000000,
                                                    10000000000000,
                                                    100000000000000,
                                                    1000000000000000};
    bool minus = *c->at == '-';
    c->at += minus;
    size_t whole, decimals;
    bool zero = c->at < c->end && *c->at == '0';
    uint64_t n = digits(c, &whole);
    if (!whole || whole > DIGITS_MAX || (zero && whole > 1))
        return false;
    if (c->at == c->end || *c->at != '.') {
        node->kind = VT__INTEGER;
        node->integer = minus ? -(int64_t)n : (int64_t)n;
        return true;
    }
    c->at++;
    uint64_t fraction = digits(c, &decimals);
    if (!decimals || whole + decimals > DIGITS_MAX)
        return false;
    double real = (double)(n * powers[decimals] + fraction) / (double)powers[decimals];
    node->kind = VT__REAL;
    node->real = minus ? -real : real;
    return true;
}

static bool word(struct cursor *c, struct vt__node *node, const char *name, enum vt__kind kind)
{
    size_t n = strlen(name);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, name, n) != 0)
        return false;
    c->at += n;
    node->kind = kind;
    return true;
}

static bool members(struct cursor *c, size_t object)
{
    if (!take(c, '{'))
        return false;
    if (take(c, '}'))
        return true;
    for (int count = 0; count < MEMBERS_MAX; count++) {
        const char *key;
        size_t n;
        c->nodes->list[object].end = (uint32_t)c->nodes->count;
        if (!string(c, &key, &n) || vt__member(c->nodes->list, object, key, n) || !take(c, ':') ||
            !value(c, key, n))
            return false;
        if (!take(c, ','))
            return take(c, '}');
    }
    return false;
}

static bool elements(struct cursor *c)
{
    if (!take(c, '['))
        return false;
    if (take(c, ']'))
        return true;
    while (value(c, NULL, 0))
        if (!take(c, ','))
            return take(c, ']');
    return false;
}

static struct vt__node *new_node(struct vt__nodes *nodes)
{
    if (nodes->count == NODES_MAX)
        return NULL;
    if (nodes->count == nodes->room) {
        nodes->room = nodes->room ? nodes->room * 2 : 64;
        nodes->list = vt_realloc(nodes->list, nodes->room * sizeof *nodes->list);
    }
    return &nodes->list[nodes->count++];
}

/* Blanks behind an object or array may be taken, but they are no part of it. */
static bool nested(struct cursor *c, size_t index, enum vt__kind kind)
{
    const char *begin = c->at;
    if (c->depth == DEPTH_MAX)
        return false;
    c->depth++;
    c->nodes->list[index].kind = kind;
    if (!(kind == VT__OBJECT ? members(c, index) : elements(c)))
        return false;
    c->depth--;
    struct vt__node *node = &c->nodes->list[index]; /* the list may have moved */
    const char *end = c->at;
    while (end[-1] != (kind == VT__OBJECT ? '}' : ']'))
        end--;
    node->text = begin;
    node->size = (uint32_t)(end - begin);
    node->end = (uint32_t)c->nodes->count;
    return true;
}

static bool value(struct cursor *c, const char *key, size_t key_size)
{
    size_t index = c->nodes->count, n;
    struct vt__node *node = c->at < c->end ? new_node(c->nodes) : NULL;
    if (!node)
        return false;
    *node =
        (struct vt__node){.key = key, .key_size = (uint32_t)key_size, .end = (uint32_t)(index + 1)};
    switch (*c->at) {
    case '"':
        node->kind = VT__STRING;
        if (!string(c, &node->text, &n))
            return false;
        node->size = (uint32_t)n;
        return true;
    case '{':
        return nested(c, index, VT__OBJECT);
    case '[':
        return nested(c, index, VT__ARRAY);
    case 't':
        return word(c, node, "true", VT__TRUE);
    case 'f':
        return word(c, node, "false", VT__FALSE);
    case 'n':
        return word(c, node, "null", VT__NULL);
    default:
        return number(c, node);
    }
}

bool vt__scan(struct vt__nodes *nodes, const char *text, size_t n)
{
    struct cursor c = {.at = text, .end = text + n, .nodes = nodes};
    nodes->count = 0;
    skip(&c);
    return c.at < c.end && *c.at == '{' && value(&c, NULL, 0) && c.at == c.end;
}

void vt__nodes_free(struct vt__nodes *nodes)
{
    vt_free(nodes->list);
    *nodes = (struct vt__nodes){0};
}

size_t vt__member(const struct vt__node *list, size_t object, const char *key, size_t key_size)
{
    for (size_t i = object + 1; i < list[object].end; i = list[i].end)
        if (list[i].key_size == key_size && !memcmp(list[i].key, key, key_size))
            return i;
    return 0;
}
