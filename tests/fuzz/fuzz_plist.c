/* A property list with any content: a tree within bounds that is written and read again, or an
 * error with a reason. */
#include <stddef.h>
#include <stdint.h>

#include "plist/tree.h"

static unsigned count(plist_t node, unsigned depth)
{
    unsigned n = 1;
    if (depth > VT_PLIST_MAX_DEPTH + 1)
        __builtin_trap();
    if (vt_plist_is(node, PLIST_DICT)) {
        for (struct vt_plist_walk w = vt_plist_walk(node); vt_plist_next(&w);)
            n += count(w.value, depth + 1);
    } else if (vt_plist_is(node, PLIST_ARRAY)) {
        for (uint32_t i = 0; i < plist_array_get_size(node); i++)
            n += count(plist_array_get_item(node, i), depth + 1);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_plist_info info = {.places = NULL};
    struct vt_buf out = VT_BUF_INIT;
    plist_t tree, again;
    enum vt_code code = vt_plist_parse(data, size, "x", &tree, &info, &err);
    if (code != err.code || (code && !err.message[0]) || (tree != NULL) != (code == VT_OK))
        __builtin_trap();
    if (code)
        return 0;
    unsigned nodes = count(tree, 1);
    if (nodes > VT_PLIST_MAX_NODES)
        __builtin_trap();
    /* what XML cannot hold (control characters) makes binary lists that XML cannot carry */
    if (info.form == VT_PLIST_XML && !vt_plist_write(tree, VT_PLIST_BINARY, &out, NULL) &&
        out.len <= VT_PLIST_MAX_BYTES) {
        if (vt_plist_parse(out.data, out.len, "x", &again, NULL, NULL) || count(again, 1) != nodes)
            __builtin_trap();
        plist_free(again);
    }
    vt_buf_free(&out);
    vt_plist_places_free(info.places);
    plist_free(tree);
    return 0;
}
