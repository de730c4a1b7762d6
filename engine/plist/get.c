/* Reading a tree. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "plist/tree.h"

bool vt_plist_is(plist_t node, plist_type type)
{
    return node && plist_get_node_type(node) == type;
}

const char *vt_plist_type_name(plist_t node)
{
    static const struct {
        plist_type type;
        const char *name;
    } names[] = {
        {PLIST_BOOLEAN, "boolean"}, {PLIST_UINT, "integer"},    {PLIST_REAL, "real"},
        {PLIST_STRING, "string"},   {PLIST_DICT, "dictionary"}, {PLIST_ARRAY, "array"},
        {PLIST_DATE, "date"},       {PLIST_DATA, "data"},       {PLIST_UID, "uid"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (vt_plist_is(node, names[i].type))
            return names[i].name;
    return "nothing";
}

static plist_t item(plist_t dict, const char *key, plist_type type)
{
    plist_t node = vt_plist_is(dict, PLIST_DICT) ? plist_dict_get_item(dict, key) : NULL;
    return vt_plist_is(node, type) ? node : NULL;
}

const char *vt_plist_text(plist_t node)
{
    return vt_plist_is(node, PLIST_STRING) ? plist_get_string_ptr(node, NULL) : NULL;
}

int64_t vt_plist_integer(plist_t node)
{
    uint64_t value = 0;
    if (!vt_plist_is(node, PLIST_UINT))
        return 0;
    plist_get_uint_val(node, &value);
    return (int64_t)value;
}

double vt_plist_number(plist_t node)
{
    double value = 0;
    if (!vt_plist_is(node, PLIST_REAL))
        return (double)vt_plist_integer(node);
    plist_get_real_val(node, &value);
    return value;
}

bool vt_plist_true(plist_t node)
{
    uint8_t value = 0;
    if (vt_plist_is(node, PLIST_BOOLEAN))
        plist_get_bool_val(node, &value);
    return value != 0;
}

const char *vt_plist_str(plist_t dict, const char *key, const char *fallback)
{
    plist_t node = item(dict, key, PLIST_STRING);
    return node ? vt_plist_text(node) : fallback;
}

int64_t vt_plist_int(plist_t dict, const char *key, int64_t fallback)
{
    plist_t node = item(dict, key, PLIST_UINT);
    return node ? vt_plist_integer(node) : fallback;
}

bool vt_plist_bool(plist_t dict, const char *key, bool fallback)
{
    plist_t node = item(dict, key, PLIST_BOOLEAN);
    return node ? vt_plist_true(node) : fallback;
}

plist_t vt_plist_dict(plist_t dict, const char *key)
{
    return item(dict, key, PLIST_DICT);
}

plist_t vt_plist_array(plist_t dict, const char *key)
{
    return item(dict, key, PLIST_ARRAY);
}

const void *vt_plist_data(plist_t dict, const char *key, size_t *n)
{
    plist_t node = item(dict, key, PLIST_DATA);
    uint64_t size = 0;
    const char *data = node ? plist_get_data_ptr(node, &size) : NULL;
    *n = (size_t)size;
    return data;
}

struct vt_plist_walk vt_plist_walk(plist_t dict)
{
    struct vt_plist_walk walk = {.dict = vt_plist_is(dict, PLIST_DICT) ? dict : NULL};
    if (walk.dict)
        plist_dict_new_iter(dict, &walk.iter);
    return walk;
}

bool vt_plist_next(struct vt_plist_walk *walk)
{
    free(walk->key); /* libplist's malloc */
    walk->key = NULL;
    walk->value = NULL;
    if (walk->iter)
        plist_dict_next_item(walk->dict, walk->iter, &walk->key, &walk->value);
    if (walk->value)
        return true;
    vt_plist_walk_end(walk);
    return false;
}

void vt_plist_walk_end(struct vt_plist_walk *walk)
{
    free(walk->key);
    free(walk->iter);
    *walk = (struct vt_plist_walk){0};
}
