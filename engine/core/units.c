#include "vmtest/units.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YEAR_S (366.0 * 24 * 3600)

/* Reads a plain decimal number (no sign, exponent, hex or "inf"); NULL where there is none. */
static const char *decimal(const char *s, double *value)
{
    const char *start = s;
    double v = 0, place = 0.1;
    while (isdigit((unsigned char)*s))
        v = v * 10 + (*s++ - '0');
    if (*s == '.' && isdigit((unsigned char)s[1])) {
        for (s++; isdigit((unsigned char)*s); s++, place /= 10)
            v += place * (*s - '0');
    }
    *value = v;
    return s == start ? NULL : s;
}

static const struct {
    const char *name;
    double seconds;
} duration_units[] = {{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};

enum vt_code vt_parse_duration(const char *text, double *seconds, struct vt_error *err)
{
    double total = 0;
    const char *s = text;
    while (isspace((unsigned char)*s))
        s++;
    do {
        double v = 0;
        s = decimal(s, &v);
        if (!s)
            goto bad;
        while (*s == ' ')
            s++;
        if (!*s) {
            if (total > 0)
                goto bad; /* "1m30": of what? */
            total = v;
            break;
        }
        size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz"), i, n;
        n = sizeof duration_units / sizeof *duration_units;
        for (i = 0; i < n; i++)
            if (strlen(duration_units[i].name) == len && !strncmp(s, duration_units[i].name, len))
                break;
        if (i == n)
            goto bad;
        total += v * duration_units[i].seconds;
        s += len;
        while (*s == ' ')
            s++;
    } while (*s);
    if (total > YEAR_S)
        goto bad;
    *seconds = total;
    return VT_OK;
bad:
    vt_fail(err, VT_EINVAL, "duration", "\"%.40s\" is not a duration", text);
    vt_hint(err, "write a number of seconds, or for example \"250ms\", \"90s\", \"5m\", \"1h30m\"");
    return VT_EINVAL;
}

enum vt_code vt_parse_size(const char *text, uint64_t *bytes, struct vt_error *err)
{
    double v = 0, factor = 1;
    const char *s = decimal(text, &v);
    if (!s)
        goto bad;
    while (*s == ' ')
        s++;
    static const char units[] = "KMGT";
    const char *unit = *s ? strchr(units, toupper((unsigned char)*s)) : NULL;
    if (unit) {
        factor = pow(1024, (double)(unit - units + 1));
        s++;
        if (*s == 'i')
            s++;
    }
    if (*s == 'B' || *s == 'b')
        s++;
    if (*s || v * factor >= 9e18)
        goto bad;
    *bytes = (uint64_t)(v * factor);
    return VT_OK;
bad:
    vt_fail(err, VT_EINVAL, "size", "\"%.40s\" is not a size", text);
    vt_hint(err, "write a number of bytes, or for example \"512M\", \"4G\"");
    return VT_EINVAL;
}

const char *vt_format_duration(char *out, size_t size, double seconds)
{
    if (seconds < 0.9995)
        snprintf(out, size, "%.0fms", seconds * 1000);
    else if (seconds < 59.95)
        snprintf(out, size, "%.1fs", seconds);
    else if (seconds < 3600)
        snprintf(out, size, "%dm%02ds", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(out, size, "%dh%02dm", (int)seconds / 3600, (int)seconds / 60 % 60);
    return out;
}

const char *vt_format_size(char *out, size_t size, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t i = 0;
    while (v >= 1024 && i < 4) {
        v /= 1024;
        i++;
    }
    snprintf(out, size, i && v < 10 ? "%.1f %s" : "%.0f %s", v, units[i]);
    return out;
}
