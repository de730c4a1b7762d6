#include "plist/base64.h"

#include <limits.h>
#include <openssl/evp.h>

#define CHUNK 3072 /* a multiple of 3: only the end is padded */

void vt_base64_encode(struct vt_buf *out, const void *data, size_t n)
{
    const unsigned char *from = data;
    while (n > 0) {
        size_t part = n < CHUNK ? n : CHUNK;
        vt_buf_reserve(out, (part + 2) / 3 * 4 + 1);
        out->len += (size_t)EVP_EncodeBlock((unsigned char *)out->data + out->len, from, (int)part);
        from += part;
        n -= part;
    }
    vt_buf_puts(out, "");
}

static bool is_digit(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* The digits of text without blanks; false for anything else than digits and padding at the end. */
static bool gather(struct vt_buf *digits, const char *text, size_t n, int *padding)
{
    *padding = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n')
            continue;
        if (text[i] == '=')
            ++*padding;
        else if (*padding || !is_digit(text[i]))
            return false;
        vt_buf_putc(digits, text[i]);
    }
    return *padding <= 2 && digits->len % 4 == 0 && digits->len <= INT_MAX;
}

bool vt_base64_decode(struct vt_buf *out, const char *text, size_t n)
{
    struct vt_buf digits = VT_BUF_INIT;
    int padding;
    bool good = gather(&digits, text, n, &padding);
    if (good && digits.len) {
        vt_buf_reserve(out, digits.len / 4 * 3);
        int size = EVP_DecodeBlock((unsigned char *)out->data + out->len,
                                   (const unsigned char *)digits.data, (int)digits.len);
        good = size >= padding;
        if (good)
            out->len += (size_t)(size - padding);
        out->data[out->len] = '\0';
    }
    vt_buf_free(&digits);
    return good;
}
