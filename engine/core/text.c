#include "core/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"

/* Length of the UTF-8 sequence at s (n bytes left), 0 where it is invalid or incomplete.
 * RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80)
        return 1;
    size_t len = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
                 : s[0] >= 0xe0 && s[0] <= 0xef ? 3
                 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                : 0;
    if (!len || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return len;
}

size_t vt_utf8_prefix(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t len = utf8_sequence((const unsigned char *)text + i, n - i);
        if (!len)
            break;
        i += len;
    }
    return i;
}

void vt_text_printable(char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)text[i];
        size_t len = utf8_sequence((const unsigned char *)text + i, n - i);
        if (!len && c >= 0xc2 && n - i < 4 && vt_utf8_prefix(text + i + 1, n - i - 1) == 0) {
            text[i] = '\0'; /* cut by a length limit */
            return;
        }
        if (!len || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
            text[i] = '?';
            len = 1;
        }
        i += len;
    }
}

void vt_utf8_append(struct vt_buf *out, const char *text, size_t n)
{
    while (n) {
        size_t good = vt_utf8_prefix(text, n);
        vt_buf_add(out, text, good);
        text += good;
        n -= good;
        if (n) {
            vt_buf_add(out, "\xef\xbf\xbd", 3);
            text++;
            n--;
        }
    }
}

void vt_shell_quote(struct vt_buf *out, const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "@%+=:,./_-";
    if (*word && strspn(word, safe) == strlen(word)) {
        vt_buf_puts(out, word);
        return;
    }
    vt_buf_putc(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            vt_buf_puts(out, "'\\''");
        else
            vt_buf_putc(out, *word);
    }
    vt_buf_putc(out, '\'');
}

bool vt_is_env_name(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

bool vt_is_plain_name(const char *name)
{
    size_t n = strlen(name);
    if (n < 1 || n > 64 || !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            return false;
    return true;
}

/* Optimal string alignment distance, ignoring case. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), width = m + 1;
    size_t *d = vt_calloc((n + 1) * width, sizeof *d);
    for (size_t i = 0; i <= n; i++)
        d[i * width] = i;
    for (size_t j = 0; j <= m; j++)
        d[j] = j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            size_t best = d[(i - 1) * width + j - 1] + (ca != cb);
            if (d[(i - 1) * width + j] + 1 < best)
                best = d[(i - 1) * width + j] + 1;
            if (d[i * width + j - 1] + 1 < best)
                best = d[i * width + j - 1] + 1;
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                cb == tolower((unsigned char)a[i - 2]) && d[(i - 2) * width + j - 2] + 1 < best)
                best = d[(i - 2) * width + j - 2] + 1;
            d[i * width + j] = best;
        }
    }
    size_t result = d[n * width + m];
    vt_free(d);
    return result;
}

const char *vt_nearest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t length = strlen(word), best_distance = length / 3 + 2;
    if (length > 64)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t m = strlen(names[i]), apart = m > length ? m - length : length - m;
        if (apart >= best_distance)
            continue; /* each character too many is an edit */
        size_t d = distance(word, names[i]);
        if (d < best_distance && d < m) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

bool vt_parse_subnet(const char *text, uint32_t *address, uint32_t *mask)
{
    char part[16];
    unsigned bits;
    int used = 0;
    struct in_addr in;
    if (sscanf(text, "%15[0-9.]/%2u%n", part, &bits, &used) != 2 || text[used] || bits < 8 ||
        bits > 29 || inet_pton(AF_INET, part, &in) != 1)
        return false;
    *address = ntohl(in.s_addr);
    *mask = ~(UINT32_MAX >> bits);
    return !(*address & ~*mask);
}
