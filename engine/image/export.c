/* One version into one file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "image/archive.h"
#include "image/digest.h"
#include "image/layout.h"
#include "vmtest/store.h"

#define OP "image.export"
#define GAP ((uint64_t)64 << 10) /* smaller holes are data */

struct export
{
    const char *path;
    char *part; /* PATH.part; NULL: standard output */
    int out;
    struct vt__archive archive;
    int files[VT__FILES_MAX];
    size_t file_count;
    struct vt__codec *codec;
    unsigned char *chunk;
    uint64_t written; /* bytes of the archive */
    struct vt_image_transfer *transfer;
};

static enum vt_code open_files(struct export *x, const char *dir, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    x->file_count = json_array_size(x->archive.version.files);
    for (size_t i = 0; i < x->file_count; i++)
        x->files[i] = -1;
    for (size_t i = 0; !code && i < x->file_count; i++) {
        const char *name = vt_json_str(json_array_get(x->archive.version.files, i), "name", "");
        char *path = vt_path_join(dir, name);
        x->files[i] = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (x->files[i] < 0)
            code = vt_fail_sys(err, errno, OP, "cannot open %s", path);
        vt_free(path);
    }
    return code;
}

/* With larger and larger gaps, until the manifest can list them all. */
static enum vt_code find_data(struct export *x, const char *dir, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    for (uint64_t gap = GAP; !code; gap *= 8) {
        vt__extents_free(&x->archive.extents);
        for (size_t i = 0; !code && i < x->file_count; i++) {
            const json_t *file = json_array_get(x->archive.version.files, i);
            code = vt__extents_scan(&x->archive.extents, (uint32_t)i, x->files[i],
                                    (uint64_t)vt_json_int(file, "size", 0), gap, dir, err);
        }
        if (x->archive.extents.n <= VT__EXTENTS_MAX)
            break;
    }
    return code;
}

static enum vt_code read_piece(void *user, uint32_t file, uint64_t at, unsigned char *data,
                               size_t n, struct vt_error *err)
{
    struct export *x = user;
    while (n) {
        ssize_t got = pread(x->files[file], data, n, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return vt_fail_sys(err, errno, OP, "cannot read the image");
        if (got == 0)
            return vt_fail(err, VT_EIMAGE, OP, "a file of the image became shorter");
        data += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return VT_OK;
}

static enum vt_code write_chunk(struct export *x, uint64_t i, struct vt_error *err)
{
    size_t n = vt__archive_chunk_size(&x->archive, i), size = 0;
    enum vt_code code =
        vt__extents_pieces(&x->archive.extents, i * VT__CHUNK, x->chunk, n, read_piece, x, err);
    if (code)
        return code;
    const void *packed = vt__codec_pack(x->codec, x->chunk, n, &size);
    if (!packed)
        return vt_fail(err, VT_EINTERNAL, OP, "zstd cannot compress");
    x->written += size;
    return vt_write_all(x->out, packed, size, x->path, err);
}

static bool read_exactly(int fd, void *data, size_t n)
{
    unsigned char *p = data;
    while (n) {
        ssize_t got = read(fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

/* True where the next chunk of PATH.part is whole. */
static bool chunk_is_there(struct export *x, uint64_t i)
{
    unsigned char size[4];
    size_t max, n = vt__archive_chunk_size(&x->archive, i);
    unsigned char *room = vt__codec_room(x->codec, &max);
    if (!read_exactly(x->out, size, sizeof size) || vt__get32(size) > max ||
        !read_exactly(x->out, room, vt__get32(size)) ||
        !vt__codec_unpack(x->codec, vt__get32(size), x->chunk, n))
        return false;
    x->written += 4 + vt__get32(size);
    return true;
}

/* What an export of the very same version left: its whole chunks. Leaves `out` after the last. */
static enum vt_code resume(struct export *x, const struct vt_buf *head, uint64_t *chunks,
                           struct vt_error *err)
{
    char *there = vt_malloc(head->len);
    *chunks = 0;
    if (read_exactly(x->out, there, head->len) && !memcmp(there, head->data, head->len)) {
        x->written = head->len;
        while (*chunks < vt__archive_chunks(&x->archive) && chunk_is_there(x, *chunks))
            (*chunks)++;
    }
    vt_free(there);
    if (ftruncate(x->out, (off_t)x->written) || lseek(x->out, (off_t)x->written, SEEK_SET) < 0)
        return vt_fail_sys(err, errno, OP, "cannot write %s", x->part);
    return VT_OK;
}

static enum vt_code open_out(struct export *x, struct vt_error *err)
{
    if (!x->part) {
        x->out = STDOUT_FILENO;
        return VT_OK;
    }
    x->out = open(x->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (x->out < 0)
        return vt_fail_sys(err, errno, OP, "cannot write %s", x->part);
    /* one that just ended has renamed the file that we opened */
    struct stat held, there;
    if (!flock(x->out, LOCK_EX | LOCK_NB) && !fstat(x->out, &held) && !lstat(x->part, &there) &&
        held.st_ino == there.st_ino && held.st_dev == there.st_dev)
        return VT_OK;
    close(x->out);
    x->out = -1;
    return vt_fail(err, VT_EBUSY, OP, "another export to %s is under way", x->path);
}

static void tell(const struct export *x, uint64_t chunk)
{
    uint64_t done = chunk * VT__CHUNK, total = x->archive.extents.total;
    if (x->transfer->progress)
        x->transfer->progress(done < total ? done : total, total, x->transfer->user);
}

static enum vt_code write_archive(struct export *x, struct vt_error *err)
{
    static const unsigned char end[4] = {0};
    struct vt_buf head = VT_BUF_INIT;
    uint64_t i = 0;
    vt__archive_put_head(&x->archive, &head);
    enum vt_code code = open_out(x, err);
    if (!code && x->part)
        code = resume(x, &head, &i, err);
    x->transfer->resumed = i * VT__CHUNK;
    if (!code && !x->written) {
        x->written = head.len;
        code = vt_write_all(x->out, head.data, head.len, x->path, err);
    }
    for (; !code && i < vt__archive_chunks(&x->archive); i++) {
        tell(x, i);
        code = write_chunk(x, i, err);
    }
    if (!code) {
        tell(x, i);
        x->written += sizeof end;
        code = vt_write_all(x->out, end, sizeof end, x->path, err);
    }
    vt_buf_free(&head);
    return code;
}

static enum vt_code put_in_place(struct export *x, struct vt_error *err)
{
    if (!x->part)
        return VT_OK;
    if (fsync(x->out) || rename(x->part, x->path))
        return vt_fail_sys(err, errno, OP, "cannot write %s", x->path);
    char *dir = vt_path_dir(x->path);
    enum vt_code code = vt__flush_dir(dir, err);
    vt_free(dir);
    return code;
}

static enum vt_code export_version(struct export *x, struct vt_error *err)
{
    /* the store it came from has its own roles */
    x->archive.version.role = VT_ROLE_NONE;
    enum vt_code code = vt_image_verify(&x->archive.version, err);
    if (!code)
        code = open_files(x, x->archive.version.dir, err);
    if (!code)
        code = find_data(x, x->archive.version.dir, err);
    if (!code && !(x->codec = vt__codec_new(err)))
        code = VT_ELIMIT;
    if (!code)
        code = write_archive(x, err);
    if (!code)
        code = put_in_place(x, err);
    if (code && x->part && x->out >= 0)
        unlink(x->part); /* only what was killed goes on */
    return code;
}

static void finish(struct export *x)
{
    for (size_t i = 0; i < x->file_count; i++)
        if (x->files[i] >= 0)
            close(x->files[i]);
    if (x->part && x->out >= 0)
        close(x->out);
    vt__codec_free(x->codec);
    vt__archive_clear(&x->archive);
    vt_free(x->chunk);
    vt_free(x->part);
}

static enum vt_code check_target(const char *path, struct vt_error *err)
{
    if (!strcmp(path, "-") && isatty(STDOUT_FILENO))
        return vt_fail(err, VT_EINVAL, OP, "an archive is not for a terminal");
    if (!*path || vt_is_dir(path))
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" is %s", path, *path ? "a folder" : "no file");
    return VT_OK;
}

enum vt_code vt_image_export(const char *name, const char *path, struct vt_image_transfer *transfer,
                             struct vt_error *err)
{
    struct vt_image_version *version = NULL;
    struct vt_error own = VT_ERROR_INIT;
    int use = 0;
    if (!check_target(path, &own) && !vt_image_version_find(name, &version, &own) &&
        !vt_image_use(version->dir, &use, &own)) {
        struct vt_buf part = VT_BUF_INIT, full = VT_BUF_INIT;
        vt_buf_printf(&part, "%s.part", path);
        vt_buf_printf(&full, "%s@%s", version->name, version->version);
        struct export x = {.path = path,
                           .part = strcmp(path, "-") != 0 ? vt_buf_steal(&part) : NULL,
                           .out = -1,
                           .archive.version = *version,
                           .chunk = vt_malloc(VT__CHUNK),
                           .transfer = transfer};
        *version = (struct vt_image_version){0}; /* the archive has it now */
        export_version(&x, &own);
        transfer->data = x.archive.extents.total;
        transfer->bytes = x.written;
        finish(&x);
        vt_buf_free(&part);
        if (own.code)
            vt_buf_free(&full);
        else
            transfer->name = vt_buf_steal(&full);
        close(use);
    }
    if (version)
        vt_image_versions_free(version, 1);
    return vt_error_copy(err, &own);
}
