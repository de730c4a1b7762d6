/* Where a sparse file has data. */
#ifndef VT_IMAGE_EXTENTS_H
#define VT_IMAGE_EXTENTS_H

#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"

struct vt__extent {
    uint32_t file;    /* which of the image's files */
    uint64_t at, len; /* in the file; len > 0 */
    uint64_t start;   /* in all data of all files, one after the other */
};

struct vt__extents {
    struct vt__extent *v;
    size_t n;
    uint64_t total; /* bytes of data */
};

/* Appends; sets its start. */
void vt__extents_add(struct vt__extents *extents, uint32_t file, uint64_t at, uint64_t len);
void vt__extents_free(struct vt__extents *extents);

/* Appends the data of an open file, in order. Holes of less than `gap` bytes count as data. On a
 * file system that knows no holes the whole file is data. */
enum vt_code vt__extents_scan(struct vt__extents *extents, uint32_t file, int fd, uint64_t size,
                              uint64_t gap, const char *path, struct vt_error *err);

/* Splits n bytes of data that begin at `start` into their pieces of files, and calls fn with each.
 */
typedef enum vt_code (*vt__piece_fn)(void *user, uint32_t file, uint64_t at, unsigned char *data,
                                     size_t n, struct vt_error *err);
enum vt_code vt__extents_pieces(const struct vt__extents *extents, uint64_t start,
                                unsigned char *data, size_t n, vt__piece_fn fn, void *user,
                                struct vt_error *err);

#endif
