/* Text helpers: printable text, quoting for a POSIX shell, the nearest known name. */
#ifndef VT_CORE_TEXT_H
#define VT_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

/* Replaces, in place, control characters (but \n and \t) and bytes that are not valid UTF-8
 * by '?', and cuts an incomplete UTF-8 sequence off the end. Never makes the text longer. */
void vt_text_printable(char *text);

/* Length of the longest prefix of text[0..n) that is valid UTF-8. */
size_t vt_utf8_prefix(const char *text, size_t n);

/* Appends text[0..n) to `out` as valid UTF-8: each invalid byte becomes U+FFFD. NUL stays. */
void vt_utf8_append(struct vt_buf *out, const char *text, size_t n);

/* Appends `word` so that a POSIX shell reads it as one word with exactly these bytes. */
void vt_shell_quote(struct vt_buf *out, const char *word);

/* True where `name` is a portable environment variable name: [A-Za-z_][A-Za-z0-9_]*. */
bool vt_is_env_name(const char *name);

/* True where `name` may be a VM's, an image's or a file's name: 1 to 64 of [A-Za-z0-9._-], first
 * a letter or a digit. */
bool vt_is_plain_name(const char *name);

/* Reads "192.168.77.0/24": a network of IPv4, 8 to 29 bits long, whose other bits are 0; address
 * and mask in the host's byte order. */
bool vt_parse_subnet(const char *text, uint32_t *address, uint32_t *mask);

/* The member of `names` (count n) nearest to `word` by edit distance, or NULL where none is near
 * enough to be a likely misspelling. */
const char *vt_nearest(const char *word, const char *const *names, size_t n);

#endif
