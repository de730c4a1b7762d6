#include "report/screen.h"

#include <string.h>

#include "core/mem.h"
#include "core/sys.h"
#include "core/text.h"

#define STATUS_LINES 10

/* Ranges of characters that take no column, and two (a terminal's own table may be finer). */
static const struct {
    unsigned first, last;
    int columns;
} widths[] = {
    {0x300, 0x36f, 0},     {0x483, 0x489, 0},     {0x591, 0x5bd, 0},     {0x610, 0x61a, 0},
    {0x64b, 0x65f, 0},     {0x1100, 0x115f, 2},   {0x1ab0, 0x1aff, 0},   {0x1dc0, 0x1dff, 0},
    {0x200b, 0x200f, 0},   {0x20d0, 0x20f0, 0},   {0x2e80, 0x303e, 2},   {0x3041, 0xa4cf, 2},
    {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2},   {0xfe00, 0xfe0f, 0},   {0xfe20, 0xfe2f, 0},
    {0xfe30, 0xfe6f, 2},   {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},   {0x1f300, 0x1f64f, 2},
    {0x1f680, 0x1f6ff, 2}, {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2}, {0xe0100, 0xe01ef, 0},
};

static int columns_of(unsigned code)
{
    for (size_t i = 0; i < sizeof widths / sizeof *widths && widths[i].first <= code; i++)
        if (code <= widths[i].last)
            return widths[i].columns;
    return 1;
}

/* Takes the next character off valid UTF-8. */
static unsigned next_char(const char *text, size_t n, size_t *used)
{
    unsigned char c = (unsigned char)text[0];
    size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    unsigned code = len == 1 ? c : c & (0x7fu >> len);
    if (len > n)
        len = n;
    for (size_t i = 1; i < len; i++)
        code = code << 6 | ((unsigned char)text[i] & 0x3f);
    *used = len;
    return code;
}

static bool is_hostile(unsigned code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0x2028 || code == 0x2029;
}

void vt__text_fit(struct vt_buf *out, const char *text, size_t n, int columns)
{
    struct vt_buf clean = VT_BUF_INIT;
    /* a character takes 4 bytes at most, and few take no column: the rest cannot be seen */
    size_t most = columns < 100000 ? ((size_t)columns + 1) * 16 : n;
    vt_utf8_append(&clean, text, n < most ? n : most);
    int used = 0;
    size_t cut_at = out->len; /* where "…" goes if the text does not fit */
    for (size_t i = 0, len; i < clean.len; i += len) {
        unsigned code = next_char(clean.data + i, clean.len - i, &len);
        bool blank = code == '\t' || code == '\n' || code == '\r';
        bool hostile = !blank && is_hostile(code);
        int wide = blank || hostile ? 1 : columns_of(code);
        if (used + wide > columns) {
            out->len = cut_at;
            vt_buf_puts(out, "\xe2\x80\xa6");
            break;
        }
        if (blank || hostile)
            vt_buf_putc(out, blank ? ' ' : '?');
        else
            vt_buf_add(out, clean.data + i, len);
        used += wide;
        if (used <= columns - 1)
            cut_at = out->len;
    }
    vt_buf_free(&clean);
}

void vt__text_line(struct vt_buf *out, const char *text, size_t n)
{
    vt__text_fit(out, text, n, 1 << 30);
}

static void write_out(struct vt__screen *s, const struct vt_buf *text)
{
    if (text->len)
        fwrite(text->data, 1, text->len, s->out);
    fflush(s->out);
}

void vt__screen_line(struct vt__screen *s, enum vt__color color, const char *text, size_t n)
{
    static const char *const codes[VT__COLOR_COUNT_] = {[VT__RED] = "\x1b[31m",
                                                        [VT__GREEN] = "\x1b[32m",
                                                        [VT__YELLOW] = "\x1b[33m",
                                                        [VT__DIM] = "\x1b[2m"};
    bool colored = s->color && codes[color];
    if (colored)
        vt_buf_puts(&s->kept, codes[color]);
    vt__text_line(&s->kept, text, n);
    if (colored)
        vt_buf_puts(&s->kept, "\x1b[0m");
    vt_buf_putc(&s->kept, '\n');
    if (s->tty)
        return;
    write_out(s, &s->kept);
    vt_buf_clear(&s->kept);
}

void vt__screen_printf(struct vt__screen *s, enum vt__color color, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = vt_malloc(n < 0 ? 1 : (size_t)n + 1);
    if (n >= 0) {
        vsnprintf(text, (size_t)n + 1, fmt, again);
        vt__screen_line(s, color, text, (size_t)n);
    }
    va_end(again);
    vt_free(text);
}

void vt__screen_draw(struct vt__screen *s, const char *status)
{
    if (!s->tty)
        return;
    struct vt_buf out = VT_BUF_INIT;
    if (s->shown)
        vt_buf_putc(&out, '\r');
    if (s->shown > 1)
        vt_buf_printf(&out, "\x1b[%zuA", s->shown - 1);
    bool was = s->shown > 0;
    for (const char *p = vt_buf_str(&s->kept), *end; *p; p = end + 1) {
        end = strchr(p, '\n');
        vt_buf_add(&out, p, (size_t)(end - p));
        vt_buf_puts(&out, was ? "\x1b[K\n" : "\n");
    }
    vt_buf_clear(&s->kept);
    s->shown = 0;
    while (*status && s->shown < STATUS_LINES) {
        size_t n = strcspn(status, "\n");
        if (s->shown)
            vt_buf_puts(&out, "\x1b[K\n");
        vt__text_fit(&out, status, n, s->width - 1);
        status += n + (status[n] == '\n');
        s->shown++;
    }
    if (was || s->shown)
        vt_buf_puts(&out, "\x1b[J"); /* also the rest of the last line */
    write_out(s, &out);
    vt_buf_free(&out);
    s->drawn = vt_monotonic();
}
