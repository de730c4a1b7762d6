/* A growing byte buffer. `data` is NUL-terminated at data[len] once anything was added. */
#ifndef VT_CORE_BUF_H
#define VT_CORE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vmtest/error.h"

struct vt_buf {
    char *data; /* NULL while empty and never used */
    size_t len;
    size_t cap;
};

#define VT_BUF_INIT                                                                                \
    {                                                                                              \
        .data = NULL                                                                               \
    }

void vt_buf_add(struct vt_buf *b, const void *data, size_t n);
void vt_buf_putc(struct vt_buf *b, char c);
static inline void vt_buf_puts(struct vt_buf *b, const char *s)
{
    vt_buf_add(b, s, strlen(s)); /* inline, so that a literal's length is known */
}
void vt_buf_printf(struct vt_buf *b, const char *fmt, ...) VT_PRINTF(2, 3);

/* In decimal; and with three decimals, rounded ("1.250"), of a value from 0 to 1e15. */
void vt_buf_uint(struct vt_buf *b, uint64_t value);
void vt_buf_thousandths(struct vt_buf *b, double value);

/* Makes room for n more bytes at data + len; the caller adds what it wrote to len. */
void vt_buf_reserve(struct vt_buf *b, size_t n);

/* Drops the first n bytes. */
void vt_buf_consume(struct vt_buf *b, size_t n);

void vt_buf_clear(struct vt_buf *b);

/* Hands the memory to the caller (vt_free) and leaves the buffer empty. Never NULL. */
char *vt_buf_steal(struct vt_buf *b);

/* The text so far, "" where there is none. */
const char *vt_buf_str(const struct vt_buf *b);

void vt_buf_free(struct vt_buf *b);

#endif
