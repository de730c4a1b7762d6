#include "core/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

void vt_buf_reserve(struct vt_buf *b, size_t n)
{
    if (n > SIZE_MAX / 2 - b->len)
        vt_malloc(SIZE_MAX / 2); /* reports and ends */
    size_t need = b->len + n + 1;
    if (need <= b->cap)
        return;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap *= 2;
    b->data = vt_realloc(b->data, cap);
    b->cap = cap;
}

void vt_buf_add(struct vt_buf *b, const void *data, size_t n)
{
    if (n >= b->cap - b->len)
        vt_buf_reserve(b, n);
    if (n)
        memcpy(b->data + b->len, data, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void vt_buf_putc(struct vt_buf *b, char c)
{
    vt_buf_add(b, &c, 1);
}

void vt_buf_printf(struct vt_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n > 0) {
        vt_buf_reserve(b, (size_t)n);
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

/* At least so many digits of the value. */
static void add_digits(struct vt_buf *b, uint64_t value, int least)
{
    char text[24], *end = text + sizeof text, *begin = end;
    for (; value || least > 0; least--, value /= 10)
        *--begin = (char)('0' + value % 10);
    vt_buf_add(b, begin, (size_t)(end - begin));
}

void vt_buf_uint(struct vt_buf *b, uint64_t value)
{
    add_digits(b, value, 1);
}

void vt_buf_thousandths(struct vt_buf *b, double value)
{
    uint64_t n = (uint64_t)(value * 1000 + 0.5);
    add_digits(b, n / 1000, 1);
    vt_buf_putc(b, '.');
    add_digits(b, n % 1000, 3);
}

void vt_buf_consume(struct vt_buf *b, size_t n)
{
    if (n > b->len)
        n = b->len;
    if (!n)
        return;
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
    b->data[b->len] = '\0';
}

void vt_buf_clear(struct vt_buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

char *vt_buf_steal(struct vt_buf *b)
{
    vt_buf_reserve(b, 0);
    b->data[b->len] = '\0';
    char *data = b->data;
    *b = (struct vt_buf)VT_BUF_INIT;
    return data;
}

const char *vt_buf_str(const struct vt_buf *b)
{
    return b->data ? b->data : "";
}

void vt_buf_free(struct vt_buf *b)
{
    vt_free(b->data);
    *b = (struct vt_buf)VT_BUF_INIT;
}
