#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "vmtest/apple.h"

#define PARTS 3
#define PART_MAX 9999

static enum vt_code no_version(struct vt_error *err, const char *text)
{
    vt_fail(err, VT_EINVAL, "macos.version", "\"%s\" is no version of macOS", text ? text : "");
    vt_hint(err, "a version is written like 15.3, 26 or \"27.0 beta\"");
    return VT_EINVAL;
}

/* One number; NULL where there is none, or one that is too large. */
static const char *read_part(const char *at, int *out)
{
    if (!isdigit((unsigned char)*at))
        return NULL;
    for (*out = 0; isdigit((unsigned char)*at); at++) {
        *out = *out * 10 + (*at - '0');
        if (*out > PART_MAX)
            return NULL;
    }
    return at;
}

/* "beta", "beta 3", "RC 2", "(a)", "(25A5279m)" */
static bool is_tail(const char *at)
{
    static const char *const words[] = {"beta", "rc"};
    size_t n = strlen(at);
    if (at[0] == '(')
        return n > 2 &&
               strspn(at + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789") == n - 2 &&
               at[n - 1] == ')';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t len = strlen(words[i]);
        if (strncasecmp(at, words[i], len) != 0)
            continue;
        at += len;
        return !*at || (*at == ' ' && at[1] && strspn(at + 1, "0123456789") == strlen(at + 1));
    }
    return false;
}

enum vt_code vt_macos_version_parse(const char *text, struct vt_macos_version *out,
                                    struct vt_error *err)
{
    *out = (struct vt_macos_version){.part = {0}};
    const char *at = text ? text : "";
    if (!strncasecmp(at, "macos ", 6))
        at += 6;
    for (int i = 0; i < PARTS; i++) {
        at = read_part(at, &out->part[i]);
        if (!at)
            return no_version(err, text);
        if (*at != '.')
            break;
        if (i < PARTS - 1)
            at++;
    }
    if (*at && !(*at == ' ' && is_tail(at + 1)))
        return no_version(err, text);
    return VT_OK;
}

int vt_macos_version_compare(const struct vt_macos_version *a, const struct vt_macos_version *b)
{
    for (int i = 0; i < PARTS; i++)
        if (a->part[i] != b->part[i])
            return a->part[i] < b->part[i] ? -1 : 1;
    return 0;
}
