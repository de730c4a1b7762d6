/* Base64 (RFC 4648), on OpenSSL's. */
#ifndef VT_PLIST_BASE64_H
#define VT_PLIST_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

/* Appends the text, on one line, padded. */
void vt_base64_encode(struct vt_buf *out, const void *data, size_t n);

/* Appends the bytes of text[0..n); blanks and line ends in it are ignored. False, with nothing
 * appended, where it is no base64. */
bool vt_base64_decode(struct vt_buf *out, const char *text, size_t n);

#endif
