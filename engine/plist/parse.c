#include <string.h>

#include "plist/binary.h"
#include "plist/tree.h"
#include "plist/xml.h"

#define OP "plist.read"

static enum vt_code read_binary(const void *data, size_t n, const char *what, plist_t *out,
                                struct vt_error *err)
{
    enum vt_code code = vt_plist_check_binary(data, n, what, err);
    if (code)
        return code;
    plist_from_bin(data, (uint32_t)n, out);
    return *out ? VT_OK
                : vt_fail(err, VT_EINVAL, OP, "%s: libplist cannot read this binary list", what);
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
