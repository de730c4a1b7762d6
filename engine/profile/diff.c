/* What differs in meaning between two profiles. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "profile/doc.h"

#define NO_MATCH SIZE_MAX

struct differ {
    const struct vt_profile *a, *b;
    size_t *match;   /* of each payload of a: b's, or NO_MATCH */
    json_t *changes; /* NULL: they are only counted */
    size_t count;
    struct vt_buf path;
};

static void tell(struct differ *d, plist_t old, plist_t new)
{
    d->count++;
    if (!d->changes)
        return;
    json_t *change = json_pack("{s:s, s:s}", "path", vt_buf_str(&d->path), "change",
                               old && new ? "changed"
                               : old      ? "removed"
                                          : "added");
    if (!change) /* a key that is no UTF-8, of a binary list */
        change = json_pack("{s:s, s:s}", "path", "?", "change", "changed");
    if (old)
        json_object_set_new(change, "old", vt_profile_value_json(old));
    if (new)
        json_object_set_new(change, "new", vt_profile_value_json(new));
    json_array_append_new(d->changes, change);
}

/* The payload of a profile that has this UUID, or NO_MATCH. */
static size_t by_uuid(const struct vt_profile *p, const char *uuid)
{
    for (size_t i = 0; i < vt_profile_payloads(p); i++) {
        const char *is = vt_plist_str(vt_profile_payload(p, i), "PayloadUUID", NULL);
        if (is && !strcasecmp(is, uuid))
            return i;
    }
    return NO_MATCH;
}

/* Two strings that name, each in its profile, the same payload. */
static bool same_reference(const struct differ *d, const char *a, const char *b)
{
    size_t i = d->a ? by_uuid(d->a, a) : NO_MATCH;
    size_t k = i != NO_MATCH ? by_uuid(d->b, b) : NO_MATCH;
    return k != NO_MATCH && d->match[i] == k;
}

static bool same_scalar(const struct differ *d, plist_t a, plist_t b)
{
    if (plist_get_node_type(a) != plist_get_node_type(b))
        return false;
    if (plist_compare_node_value(a, b))
        return true;
    const char *left = vt_plist_text(a), *right = vt_plist_text(b);
    return left && right && (!strcmp(left, right) || same_reference(d, left, right));
}

static void compare(struct differ *d, plist_t a, plist_t b);

static void compare_key(struct differ *d, const char *key, plist_t a, plist_t b)
{
    size_t mark = d->path.len;
    vt_buf_printf(&d->path, "%s%s", mark ? "." : "", key);
    compare(d, a, b);
    d->path.len = mark;
    d->path.data[mark] = '\0';
}

static void compare_dicts(struct differ *d, plist_t a, plist_t b)
{
    for (struct vt_plist_walk it = vt_plist_walk(a); vt_plist_next(&it);)
        compare_key(d, it.key, it.value, plist_dict_get_item(b, it.key));
    for (struct vt_plist_walk it = vt_plist_walk(b); vt_plist_next(&it);)
        if (!plist_dict_get_item(a, it.key))
            compare_key(d, it.key, NULL, it.value);
}

static void compare_arrays(struct differ *d, plist_t a, plist_t b)
{
    uint32_t left = plist_array_get_size(a), right = plist_array_get_size(b);
    for (uint32_t i = 0; i < left || i < right; i++) {
        size_t mark = d->path.len;
        vt_buf_printf(&d->path, "[%u]", i);
        compare(d, i < left ? plist_array_get_item(a, i) : NULL,
                i < right ? plist_array_get_item(b, i) : NULL);
        d->path.len = mark;
        d->path.data[mark] = '\0';
    }
}

/* Either may be NULL: it is not there. */
static void compare(struct differ *d, plist_t a, plist_t b)
{
    if (a && b && vt_plist_is(a, PLIST_DICT) && vt_plist_is(b, PLIST_DICT))
        compare_dicts(d, a, b);
    else if (a && b && vt_plist_is(a, PLIST_ARRAY) && vt_plist_is(b, PLIST_ARRAY))
        compare_arrays(d, a, b);
    else if (!a || !b || !same_scalar(d, a, b))
        tell(d, a, b);
}

bool vt_profile_same(plist_t a, plist_t b)
{
    struct differ d = {.count = 0};
    vt_buf_puts(&d.path, "");
    compare(&d, a, b);
    vt_buf_free(&d.path);
    return d.count == 0;
}

/* An identifier without the UUIDs that tools put into it. */
static char *identifier(plist_t payload)
{
    struct vt_buf out = VT_BUF_INIT;
    for (const char *c = vt_plist_str(payload, "PayloadIdentifier", ""); *c; c++) {
        bool uuid = vt_starts_uuid(c);
        vt_buf_puts(&out, uuid ? "UUID" : "");
        vt_buf_add(&out, c, uuid ? 0 : 1);
        c += uuid ? 35 : 0;
    }
    return vt_buf_steal(&out);
}

static bool same_identifier(plist_t a, plist_t b)
{
    char *left = identifier(a), *right = identifier(b);
    bool same = !strcmp(left, right);
    vt_free(left);
    vt_free(right);
    return same;
}

/* The keys of two payloads, or of the profiles themselves, but what is no difference. */
static void compare_payloads(struct differ *d, plist_t a, plist_t b, bool top)
{
    for (int side = 0; side < 2; side++)
        for (struct vt_plist_walk it = vt_plist_walk(side ? b : a); vt_plist_next(&it);) {
            plist_t other = plist_dict_get_item(side ? a : b, it.key);
            bool skip =
                !strcmp(it.key, "PayloadUUID") || (top && !strcmp(it.key, "PayloadContent"));
            if (skip || (side && other) ||
                (!strcmp(it.key, "PayloadIdentifier") && same_identifier(a, b)))
                continue;
            compare_key(d, it.key, side ? NULL : it.value, side ? it.value : other);
        }
}

static bool same_type(plist_t a, plist_t b)
{
    return !strcmp(vt_plist_str(a, "PayloadType", ""), vt_plist_str(b, "PayloadType", ""));
}

static bool same_payload(const struct differ *d, plist_t a, plist_t b)
{
    struct differ trial = {.a = d->a, .b = d->b, .match = d->match};
    vt_buf_puts(&trial.path, "");
    compare_payloads(&trial, a, b, false);
    vt_buf_free(&trial.path);
    return trial.count == 0;
}

/* Pairs payloads of one type: by identifier, then by content, then in their order. */
static void pair_payloads(struct differ *d, bool *taken, size_t n, size_t m)
{
    for (int pass = 0; pass < 3; pass++)
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < m && d->match[i] == NO_MATCH; k++) {
                plist_t a = vt_profile_payload(d->a, i), b = vt_profile_payload(d->b, k);
                if (taken[k] || !same_type(a, b) || (pass == 0 && !same_identifier(a, b)) ||
                    (pass == 1 && !same_payload(d, a, b)))
                    continue;
                d->match[i] = k;
                taken[k] = true;
            }
}

/* What stands in a payload's place, a dictionary or not. */
static plist_t content(const struct vt_profile *p, size_t i)
{
    return plist_array_get_item(vt_plist_array(p->root, "PayloadContent"), (uint32_t)i);
}

static void compare_contents(struct differ *d, const bool *taken, size_t n, size_t m)
{
    for (size_t i = 0; i < n + m; i++) {
        bool first = i < n;
        if (!first && taken[i - n])
            continue;
        size_t pair = first ? d->match[i] : i - n;
        plist_t old = first ? content(d->a, i) : NULL;
        plist_t new = pair != NO_MATCH ? content(d->b, pair) : NULL;
        vt_buf_clear(&d->path);
        vt_buf_printf(&d->path, "PayloadContent[%zu: %s]", first ? i : pair,
                      vt_plist_str(old ? old : new, "PayloadType", "?"));
        if (vt_plist_is(old, PLIST_DICT) && vt_plist_is(new, PLIST_DICT))
            compare_payloads(d, old, new, false);
        else
            compare(d, old, new);
    }
}

json_t *vt_profile_diff(const struct vt_profile *a, const struct vt_profile *b)
{
    struct differ d = {.a = a, .b = b, .changes = json_array()};
    size_t n = vt_profile_payloads(a), m = vt_profile_payloads(b);
    bool *taken = vt_calloc(m ? m : 1, sizeof *taken);
    d.match = vt_calloc(n ? n : 1, sizeof *d.match);
    for (size_t i = 0; i < n; i++)
        d.match[i] = NO_MATCH;
    vt_buf_puts(&d.path, "");
    if (vt_plist_is(a->root, PLIST_DICT) && vt_plist_is(b->root, PLIST_DICT)) {
        pair_payloads(&d, taken, n, m);
        compare_payloads(&d, a->root, b->root, true);
        compare_contents(&d, taken, n, m);
    } else {
        compare(&d, a->root, b->root);
    }
    vt_buf_free(&d.path);
    vt_free(d.match);
    vt_free(taken);
    return d.changes;
}
