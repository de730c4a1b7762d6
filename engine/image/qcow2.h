/* qcow2 disks (QEMU's docs/interop/qcow2.txt): what a header says, and overlays, written directly:
 * some hundred microseconds and 12 KiB on disk, whatever the size. */
#ifndef VT_IMAGE_QCOW2_H
#define VT_IMAGE_QCOW2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"

#define VT_QCOW2_SIZE_MAX ((uint64_t)64 << 40) /* of a disk, in bytes */
#define VT_QCOW2_BACKING_MAX 1023              /* bytes of a backing file's name */

struct vt_qcow2 {
    uint32_t version;     /* 2 or 3 */
    uint64_t size;        /* of the disk, in bytes */
    uint32_t cluster;     /* size of a cluster, in bytes */
    uint64_t backing_at;  /* where the backing file's name is; */
    uint32_t backing_len; /* 0: there is none */
    bool external_data;   /* its data are in another file */
};

/* Reads the header from the first n bytes of a file. `path` is for messages. VT_EIMAGE for what no
 * QEMU would open: corrupt, encrypted, of an unknown version, out of bounds. */
enum vt_code vt_qcow2_parse(const unsigned char *head, size_t n, const char *path,
                            struct vt_qcow2 *out, struct vt_error *err);

/* The same of a file; also that it is as long as its tables need. */
enum vt_code vt_qcow2_read(const char *path, struct vt_qcow2 *out, struct vt_error *err);

/* Makes an overlay (version 3, clusters of 64 KiB): a disk that reads from `backing` whatever was
 * not written to it. What is at `path` is replaced, in one step. A relative `backing` is relative
 * to the folder of `path`; `backing_format` is "qcow2" or "raw". `size` in bytes, a multiple of
 * 512; 0: the backing file's, rounded up. Not flushed to disk. VT_EINVAL for a name, format or size
 * that cannot be; VT_EIMAGE where the backing file is broken. */
enum vt_code vt_qcow2_overlay(const char *path, const char *backing, const char *backing_format,
                              uint64_t size, struct vt_error *err);

#endif
