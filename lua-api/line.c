#include "line.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host.h"

static char *room(struct vtl_line *l, size_t n)
{
    if (l->cap - l->len < n) {
        size_t cap = l->cap ? l->cap : 1024;
        while (cap - l->len < n)
            cap *= 2;
        char *data = realloc(l->data, cap);
        if (!data)
            abort();
        l->data = data;
        l->cap = cap;
    }
    return l->data + l->len;
}

/* Digits of `value`, at least `least` of them, written before `end`; gives their begin. */
static char *digits(char *end, unsigned long long value, int least)
{
    for (; value || least > 0; least--, value /= 10)
        *--end = (char)('0' + value % 10);
    return end;
}

static void add(struct vtl_line *l, const char *text, size_t n)
{
    memcpy(room(l, n), text, n);
    l->len += n;
}

void vtl_line_raw(struct vtl_line *l, const char *text)
{
    add(l, text, strlen(text));
}

/* Bytes of the valid UTF-8 sequence at p, 0 where there is none. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
    if (*p < 0xc2 || *p > 0xf4 || n < len)
        return 0;
    uint32_t c = *p & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

static void add_escaped(struct vtl_line *l, unsigned char c)
{
    static const char names[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                 ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    char out[8];
    if (c < sizeof names && names[c])
        snprintf(out, sizeof out, "\\%c", names[c]);
    else
        snprintf(out, sizeof out, "\\u%04x", c);
    vtl_line_raw(l, out);
}

void vtl_line_quoted(struct vtl_line *l, const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    add(l, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < n;) {
        size_t len = p[i] < 0x80 ? 1 : utf8_sequence(p + i, n - i);
        if (len && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f) {
            i += len;
            continue;
        }
        add(l, text + from, i - from);
        if (len)
            add_escaped(l, p[i]);
        else
            vtl_line_raw(l, "\xef\xbf\xbd");
        from = ++i;
    }
    add(l, text + from, n - from);
    add(l, "\"", 1);
}

void vtl_line_key(struct vtl_line *l, const char *key)
{
    add(l, ",\"", 2);
    vtl_line_raw(l, key);
    add(l, "\":", 2);
}

void vtl_line_text(struct vtl_line *l, const char *key, const char *text, size_t n)
{
    if (!text)
        return;
    vtl_line_key(l, key);
    vtl_line_quoted(l, text, n);
}

void vtl_line_str(struct vtl_line *l, const char *key, const char *text)
{
    if (text)
        vtl_line_text(l, key, text, strlen(text));
}

void vtl_line_int(struct vtl_line *l, const char *key, long long value)
{
    char out[24], *end = out + sizeof out;
    char *begin =
        digits(end, value < 0 ? 0ULL - (unsigned long long)value : (unsigned long long)value, 1);
    if (value < 0)
        *--begin = '-';
    vtl_line_key(l, key);
    add(l, begin, (size_t)(end - begin));
}

void vtl_line_num(struct vtl_line *l, const char *key, double value)
{
    char out[40], *end = out + sizeof out;
    if (!(value >= 0 && value < 1e12)) /* seconds and milliseconds: nothing else is written */
        return;
    unsigned long long millionths = (unsigned long long)(value * 1e6 + 0.5);
    char *begin = digits(end, millionths % 1000000, 6);
    *--begin = '.';
    begin = digits(begin, millionths / 1000000, 1);
    vtl_line_key(l, key);
    add(l, begin, (size_t)(end - begin));
}

void vtl_line_bool(struct vtl_line *l, const char *key, bool value)
{
    vtl_line_key(l, key);
    vtl_line_raw(l, value ? "true" : "false");
}

void vtl_line_begin(struct vtl_line *l, const char *type)
{
    static time_t second;
    static char head[40];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        struct tm tm;
        second = now.tv_sec;
        gmtime_r(&second, &tm);
        strftime(head, sizeof head, "%Y-%m-%dT%H:%M:%S", &tm);
    }
    char rest[] = ".000Z\"";
    digits(rest + 4, (unsigned long long)now.tv_nsec / 1000000, 3);
    l->len = 0;
    vtl_line_raw(l, "{\"type\":\"");
    vtl_line_raw(l, type);
    vtl_line_raw(l, "\",\"time\":\"");
    vtl_line_raw(l, head);
    vtl_line_raw(l, rest);
}

void vtl_line_end(struct vtl_line *l)
{
    add(l, "}", 1);
}

void vtl_line_free(struct vtl_line *l)
{
    free(l->data);
    *l = (struct vtl_line){0};
}
