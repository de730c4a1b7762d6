#include "image/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"

#define OP "disk"
#define MAGIC 0x514649fbu
#define SECTOR 512u
#define HEADER_V2 72u
#define HEADER_V3 104u
#define L1_MAX ((uint64_t)32 << 20) /* bytes, as QEMU has it */

enum { DIRTY = 1, CORRUPT = 2, EXTERNAL_DATA = 4, COMPRESSION = 8, EXTENDED_L2 = 16 };

/* Of what is written here. */
#define CLUSTER_BITS 16u
#define CLUSTER ((uint64_t)1 << CLUSTER_BITS)
#define PER_L1_ENTRY (CLUSTER * (CLUSTER / 8)) /* bytes that a table of the second level maps */
#define EXT_BACKING_FORMAT 0xe2792acau

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t get64(const unsigned char *p)
{
    return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static void put32(unsigned char *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(value >> (24 - 8 * i));
}

static void put64(unsigned char *p, uint64_t value)
{
    put32(p, (uint32_t)(value >> 32));
    put32(p + 4, (uint32_t)value);
}

static void put_text(unsigned char *p, const char *text)
{
    for (; *text; text++)
        *p++ = (unsigned char)*text;
}

static enum vt_code broken(const char *path, const char *why, struct vt_error *err)
{
    return vt_fail(err, VT_EIMAGE, OP, "%s: %s", path, why);
}

/* What only a header of version 3 has: the features a reader must know. */
static enum vt_code check_features(const unsigned char *head, const char *path,
                                   struct vt_qcow2 *out, struct vt_error *err)
{
    uint64_t features = get64(head + 72);
    if (get32(head + 100) < HEADER_V3)
        return broken(path, "its qcow2 header is cut off", err);
    if (features & ~(uint64_t)(DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION | EXTENDED_L2))
        return broken(path, "it uses features of qcow2 that this version does not know", err);
    if (features & CORRUPT) {
        enum vt_code code = broken(path, "it is marked as corrupt", err);
        vt_hint(err, "`qemu-img check -r all` may repair it");
        return code;
    }
    out->external_data = features & EXTERNAL_DATA;
    return VT_OK;
}

static enum vt_code check_bounds(const unsigned char *head, const char *path,
                                 const struct vt_qcow2 *d, struct vt_error *err)
{
    uint64_t l1 = get64(head + 40), l1_bytes = (uint64_t)get32(head + 36) * 8;
    uint64_t per_entry = (uint64_t)d->cluster * (d->cluster / 8);
    uint64_t refcounts = get64(head + 48);
    if (!d->size || d->size > VT_QCOW2_SIZE_MAX)
        return broken(path, "the size of its disk is 0 or more than 64 TiB", err);
    if (l1 % d->cluster || refcounts % d->cluster || !l1 || !refcounts || l1_bytes > L1_MAX ||
        l1 > (uint64_t)INT64_MAX - L1_MAX)
        return broken(path, "its qcow2 tables lie where they cannot", err);
    /* a bound: where entries are extended, a table maps half as much */
    if ((l1_bytes / 8) * per_entry < d->size)
        return broken(path, "its qcow2 tables are too small for its disk", err);
    if (d->backing_len &&
        (d->backing_at < HEADER_V2 || d->backing_len > VT_QCOW2_BACKING_MAX ||
         d->backing_len > d->cluster || d->backing_at > d->cluster - d->backing_len))
        return broken(path, "the name of its backing file lies where it cannot", err);
    return VT_OK;
}

enum vt_code vt_qcow2_parse(const unsigned char *head, size_t n, const char *path,
                            struct vt_qcow2 *out, struct vt_error *err)
{
    *out = (struct vt_qcow2){0};
    if (n < HEADER_V2 || get32(head) != MAGIC)
        return vt_fail(err, VT_EIMAGE, OP, "%s is no qcow2 disk", path);
    out->version = get32(head + 4);
    if (out->version != 2 && out->version != 3)
        return vt_fail(err, VT_EIMAGE, OP, "%s is qcow2 of the unknown version %u", path,
                       out->version);
    if (out->version == 3 && n < HEADER_V3)
        return broken(path, "its qcow2 header is cut off", err);
    uint32_t bits = get32(head + 20);
    if (bits < 9 || bits > 21)
        return broken(path, "its qcow2 clusters have a size that cannot be", err);
    if (get32(head + 32))
        return broken(path, "it is encrypted; vmtest has no key for it", err);
    out->cluster = (uint32_t)1 << bits;
    out->size = get64(head + 24);
    out->backing_at = get64(head + 8);
    out->backing_len = out->backing_at ? get32(head + 16) : 0;
    enum vt_code code = out->version == 3 ? check_features(head, path, out, err) : VT_OK;
    return code ? code : check_bounds(head, path, out, err);
}

enum vt_code vt_qcow2_read(const char *path, struct vt_qcow2 *out, struct vt_error *err)
{
    unsigned char head[HEADER_V3] = {0};
    struct stat st = {.st_size = 0};
    *out = (struct vt_qcow2){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return vt_fail_sys(err, errno, OP, "cannot open the disk %s", path);
    enum vt_code code = VT_OK;
    ssize_t n = pread(fd, head, sizeof head, 0);
    if (n < 0 || fstat(fd, &st))
        code = vt_fail_sys(err, errno, OP, "cannot read the disk %s", path);
    close(fd);
    if (!code)
        code = vt_qcow2_parse(head, (size_t)n, path, out, err);
    if (!code && S_ISREG(st.st_mode) &&
        get64(head + 40) + (uint64_t)get32(head + 36) * 8 > (uint64_t)st.st_size)
        code = broken(path, "it is cut off: its qcow2 tables lie beyond its end", err);
    return code;
}

static enum vt_code backing_size(const char *path, const char *format, uint64_t *size,
                                 struct vt_error *err)
{
    struct vt_qcow2 disk;
    if (!strcmp(format, "qcow2")) {
        enum vt_code code = vt_qcow2_read(path, &disk, err);
        *size = disk.size;
        return code;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END); /* of a block device too */
    int sys = errno;
    if (fd >= 0)
        close(fd);
    if (end < 0)
        return vt_fail_sys(err, sys, OP, "cannot open the disk %s", path);
    *size = (uint64_t)end;
    return VT_OK;
}

/* 104 bytes of header, one extension (the backing file's format), its end, the name. */
static size_t build_header(unsigned char *head, const char *backing, const char *format,
                           uint64_t size, uint32_t l1_entries)
{
    size_t at = HEADER_V3, name = strlen(backing), n = strlen(format);
    put32(head, MAGIC);
    put32(head + 4, 3);
    put32(head + 16, (uint32_t)name);
    put32(head + 20, CLUSTER_BITS);
    put64(head + 24, size);
    put32(head + 36, l1_entries);
    put64(head + 40, 3 * CLUSTER); /* the table of the first level, after those of refcounts */
    put64(head + 48, CLUSTER);
    put32(head + 56, 1); /* clusters of the refcounts' table */
    put32(head + 96, 4); /* refcounts of 16 bits */
    put32(head + 100, HEADER_V3);
    put32(head + at, EXT_BACKING_FORMAT);
    put32(head + at + 4, (uint32_t)n);
    put_text(head + at + 8, format);
    at += 8 + (n + 7) / 8 * 8;
    at += 8; /* the end of the extensions: zeros */
    put64(head + 8, at);
    put_text(head + at, backing);
    return at + name;
}

static bool put_at(int fd, const void *data, size_t n, uint64_t at)
{
    ssize_t written = pwrite(fd, data, n, (off_t)at);
    if (written >= 0 && (size_t)written < n)
        errno = ENOSPC;
    return written == (ssize_t)n;
}

/* Header, refcounts' table and its one block, table of the first level (a hole: all zeros). */
static bool write_overlay(int fd, const char *backing, const char *format, uint64_t size)
{
    unsigned char head[HEADER_V3 + 32 + VT_QCOW2_BACKING_MAX] = {0}, table[8], counts[64] = {0};
    uint64_t l1_entries = (size + PER_L1_ENTRY - 1) / PER_L1_ENTRY;
    uint64_t clusters = 3 + (l1_entries * 8 + CLUSTER - 1) / CLUSTER;
    size_t n = build_header(head, backing, format, size, (uint32_t)l1_entries);
    put64(table, 2 * CLUSTER);
    for (uint64_t i = 0; i < clusters; i++)
        counts[2 * i + 1] = 1;
    return put_at(fd, head, n, 0) && put_at(fd, table, sizeof table, CLUSTER) &&
           put_at(fd, counts, (size_t)(2 * clusters), 2 * CLUSTER) &&
           !ftruncate(fd, (off_t)(clusters * CLUSTER));
}

_Static_assert(2 * (3 + VT_QCOW2_SIZE_MAX / PER_L1_ENTRY * 8 / CLUSTER) <= 64,
               "the refcounts of the largest overlay fit write_overlay()");

static enum vt_code check_arguments(const char *path, const char *backing, const char *format,
                                    uint64_t size, struct vt_error *err)
{
    if (!path || !*path || !backing || !*backing || strlen(backing) > VT_QCOW2_BACKING_MAX)
        return vt_fail(err, VT_EINVAL, OP, "\"%.80s\" cannot be a backing file: 1 to %d bytes",
                       backing ? backing : "", VT_QCOW2_BACKING_MAX);
    /* QEMU takes what is before a colon in the first part of a name for a protocol */
    if (strcspn(backing, ":") < strcspn(backing, "/"))
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" cannot be a backing file: it has a colon",
                       backing);
    if (!format || (strcmp(format, "qcow2") != 0 && strcmp(format, "raw") != 0))
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" is no format of a disk (qcow2, raw)",
                       format ? format : "");
    if (size % SECTOR || size > VT_QCOW2_SIZE_MAX)
        return vt_fail(err, VT_EINVAL, OP,
                       "%llu bytes cannot be the size of a disk: a multiple of 512, at most 64 TiB",
                       (unsigned long long)size);
    return VT_OK;
}

static enum vt_code choose_size(const char *path, const char *backing, const char *format,
                                uint64_t *size, struct vt_error *err)
{
    char *dir = vt_path_dir(path), *full = vt_path_join(dir, backing);
    uint64_t own = 0;
    enum vt_code code = backing_size(full, format, &own, err);
    if (!code && (!own || own > VT_QCOW2_SIZE_MAX))
        code = vt_fail(err, VT_EIMAGE, OP, "the disk %s is empty or larger than 64 TiB", full);
    if (!*size)
        *size = (own + SECTOR - 1) / SECTOR * SECTOR;
    vt_free(full);
    vt_free(dir);
    return code;
}

enum vt_code vt_qcow2_overlay(const char *path, const char *backing, const char *backing_format,
                              uint64_t size, struct vt_error *err)
{
    enum vt_code code = check_arguments(path, backing, backing_format, size, err);
    if (!code)
        code = choose_size(path, backing, backing_format, &size, err);
    if (code)
        return code;
    struct vt_buf temp = VT_BUF_INIT;
    vt_buf_printf(&temp, "%s.new", path);
    int fd = open(temp.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && write_overlay(fd, backing, backing_format, size);
    int sys = errno;
    if (fd >= 0 && close(fd) && good) {
        good = false;
        sys = errno;
    }
    if (good && rename(temp.data, path)) {
        good = false;
        sys = errno;
    }
    if (!good) {
        code = vt_fail_sys(err, sys, OP, "cannot make the disk %s", path);
        unlink(temp.data);
    }
    vt_buf_free(&temp);
    return code;
}
