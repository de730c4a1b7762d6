#include <stdlib.h>
#include <string.h>

#include "plist/binary.h"
#include "plist/tree.h"
#include "plist/xml.h"

#define OP "plist.read"

/* A copy made item by item. What libplist reads from a binary list lacks the indexes that it keeps
 * for what is built so, and without them each look into a long container walks along all of it. */
static plist_t indexed(plist_t node)
{
    plist_t copy, value;
    if (vt_plist_is(node, PLIST_DICT)) {
        copy = plist_new_dict();
        for (struct vt_plist_walk it = vt_plist_walk(node); vt_plist_next(&it);)
            plist_dict_set_item(copy, it.key, indexed(it.value));
        return copy;
    }
    if (!vt_plist_is(node, PLIST_ARRAY))
        return plist_copy(node);
    plist_array_iter iter = NULL;
    copy = plist_new_array();
    plist_array_new_iter(node, &iter);
    for (plist_array_next_item(node, iter, &value); value;
         plist_array_next_item(node, iter, &value))
        plist_array_append_item(copy, indexed(value));
    free(iter);
    return copy;
}

static enum vt_code read_binary(const void *data, size_t n, const char *what, plist_t *out,
                                struct vt_error *err)
{
    enum vt_code code = vt_plist_check_binary(data, n, what, err);
    if (code)
        return code;
    plist_t read = NULL;
    plist_from_bin(data, (uint32_t)n, &read);
    if (!read)
        return vt_fail(err, VT_EINVAL, OP, "%s: libplist cannot read this binary list", what);
    *out = indexed(read);
    plist_free(read);
    return VT_OK;
}

enum vt_code vt_plist_parse(const void *data, size_t n, const char *what, plist_t *out,
                            struct vt_plist_info *info, struct vt_error *err)
{
    *out = NULL;
    if (n == 0)
        return vt_fail(err, VT_EINVAL, OP, "%s: empty, so no property list", what);
    if (n > VT_PLIST_MAX_BYTES)
        return vt_fail(err, VT_ELIMIT, OP, "%s: larger than %u MiB", what,
                       VT_PLIST_MAX_BYTES >> 20);
    if (info)
        *info = (struct vt_plist_info){.form = VT_PLIST_XML};
    if (n < 6 || memcmp(data, "bplist", 6) != 0)
        return vt_plist_read_xml(data, n, what, out, info, err);
    if (info)
        info->form = VT_PLIST_BINARY;
    return read_binary(data, n, what, out, err);
}
