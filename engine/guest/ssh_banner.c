#include <string.h>

#include "guest/ssh_internal.h"

enum {
    max_lines = 32,
    max_version = 255, /* RFC 4253, 4.2, CR and LF included */
};

static bool is_version_2(const char *line, size_t n)
{
    static const char v2[] = "SSH-2.0-", v199[] = "SSH-1.99-";
    return (n >= sizeof v2 - 1 && !memcmp(line, v2, sizeof v2 - 1)) ||
           (n >= sizeof v199 - 1 && !memcmp(line, v199, sizeof v199 - 1));
}

enum vt__ssh_banner vt__ssh_find_banner(const char *data, size_t n, size_t *start)
{
    size_t at = 0;
    for (int line = 0; line < max_lines; line++) {
        const char *end = at < n ? memchr(data + at, '\n', n - at) : NULL;
        if (!end)
            return n < VT__SSH_BANNER_MAX ? VT__BANNER_MORE : VT__BANNER_NONE;
        size_t length = (size_t)(end - (data + at)) + 1;
        if (length >= 4 && !memcmp(data + at, "SSH-", 4)) {
            *start = at;
            return length <= max_version && is_version_2(data + at, length) ? VT__BANNER_FOUND
                                                                            : VT__BANNER_NONE;
        }
        at += length;
    }
    return VT__BANNER_NONE;
}
