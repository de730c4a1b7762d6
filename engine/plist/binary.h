/* Checks a binary property list before it is given to libplist.
 *
 * Format (as Apple's CFBinaryPList.c writes it): "bplist00", objects, a table of their offsets, and
 * a trailer of 32 bytes. An object may be referred to many times and is then read as many times,
 * so that a small file can stand for an endless tree: what counts here is the tree. */
#ifndef VT_PLIST_BINARY_H
#define VT_PLIST_BINARY_H

#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"

/* VT_OK where each object that the tree holds lies within the n bytes, no object holds itself, and
 * the whole tree is within VT_PLIST_MAX_DEPTH, _NODES and _BYTES. VT_EINVAL or VT_ELIMIT, with the
 * offset of what is wrong. */
enum vt_code vt_plist_check_binary(const uint8_t *data, size_t n, const char *what,
                                   struct vt_error *err);

#endif
