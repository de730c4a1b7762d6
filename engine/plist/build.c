/* Building and writing a tree. */
#include <stdlib.h>

#include "plist/tree.h"

plist_t vt_plist_new_int(int64_t value)
{
#ifdef PLIST_UINT /* a macro since libplist 2.3, where signed numbers have their own function */
    return plist_new_int(value);
#else
    return plist_new_uint((uint64_t)value);
#endif
}

void vt_plist_set_str(plist_t dict, const char *key, const char *value)
{
    if (value)
        plist_dict_set_item(dict, key, plist_new_string(value));
}

void vt_plist_set_int(plist_t dict, const char *key, int64_t value)
{
    plist_dict_set_item(dict, key, vt_plist_new_int(value));
}

void vt_plist_set_bool(plist_t dict, const char *key, bool value)
{
    plist_dict_set_item(dict, key, plist_new_bool(value));
}

void vt_plist_set_data(plist_t dict, const char *key, const void *data, size_t n)
{
    plist_dict_set_item(dict, key, plist_new_data(n ? data : "", n));
}

plist_t vt_plist_set_dict(plist_t dict, const char *key)
{
    plist_t node = plist_new_dict();
    plist_dict_set_item(dict, key, node);
    return node;
}

plist_t vt_plist_set_array(plist_t dict, const char *key)
{
    plist_t node = plist_new_array();
    plist_dict_set_item(dict, key, node);
    return node;
}

plist_t vt_plist_add_dict(plist_t array)
{
    plist_t node = plist_new_dict();
    plist_array_append_item(array, node);
    return node;
}

void vt_plist_add_str(plist_t array, const char *value)
{
    plist_array_append_item(array, plist_new_string(value));
}

enum vt_code vt_plist_write(plist_t node, enum vt_plist_form form, struct vt_buf *out,
                            struct vt_error *err)
{
    char *data = NULL;
    uint32_t size = 0;
    if (form == VT_PLIST_BINARY)
        plist_to_bin(node, &data, &size);
    else
        plist_to_xml(node, &data, &size);
    if (!data)
        return vt_fail(err, VT_EINTERNAL, "plist.write", "the property list cannot be written");
    vt_buf_add(out, data, size);
    free(data);
    return VT_OK;
}
