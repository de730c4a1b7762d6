/* An archive into the store. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "image/archive.h"
#include "image/digest.h"
#include "image/layout.h"
#include "image/stage.h"
#include "vmtest/store.h"
#include "vmtest/units.h"

#define OP "image.import"
#define PROGRESS ".progress" /* in the stage: how many chunks are on disk */
#define PROGRESS_EVERY 16u   /* chunks */

struct import {
    const char *path; /* for messages */
    int in;
    struct vt__archive archive;
    struct vt_image_stage *stage;
    int files[VT__FILES_MAX];
    size_t file_count;
    int progress;
    bool cut_off; /* the archive ended too early: what is there is kept */
    struct vt__codec *codec;
    unsigned char *chunk;
    struct vt_image_transfer *transfer;
};

static enum vt_code read_exactly(struct import *m, void *data, size_t n, struct vt_error *err)
{
    unsigned char *p = data;
    while (n) {
        ssize_t got = read(m->in, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return vt_fail_sys(err, errno, OP, "cannot read %s", m->path);
        if (got == 0) {
            m->cut_off = true;
            return vt_fail(err, VT_EIMAGE, OP, "%s is cut off: it ends too early", m->path);
        }
        p += got;
        n -= (size_t)got;
    }
    return VT_OK;
}

static enum vt_code skip(struct import *m, size_t n, struct vt_error *err)
{
    if (lseek(m->in, (off_t)n, SEEK_CUR) >= 0)
        return VT_OK; /* beyond the end: the next read tells */
    size_t max;
    unsigned char *room = vt__codec_room(m->codec, &max);
    return read_exactly(m, room, n, err); /* n was checked: at most max */
}

static enum vt_code read_head(struct import *m, struct vt_error *err)
{
    unsigned char fixed[VT__ARCHIVE_FIXED];
    uint32_t size;
    enum vt_code code = read_exactly(m, fixed, sizeof fixed, err);
    if (!code)
        code = vt__archive_get_fixed(fixed, m->path, &size, err);
    if (code)
        return code;
    char *manifest = vt_malloc(size);
    code = read_exactly(m, manifest, size, err);
    if (!code)
        code = vt__archive_get_manifest(fixed, manifest, size, m->path, &m->archive, err);
    vt_free(manifest);
    return code;
}

/* The same version is there already, or another of its number. */
static enum vt_code look_for(const struct import *m, const char *name, bool *present,
                             struct vt_error *err)
{
    struct vt_image_version *there;
    struct vt_buf full = VT_BUF_INIT;
    const struct vt_image_version *own = &m->archive.version;
    enum vt_code code = VT_OK;
    vt_buf_printf(&full, "%s@%s", name, own->version);
    *present = false;
    if (vt_image_version_find(full.data, &there, NULL) == VT_OK) {
        *present = !strcmp(there->sha256, own->sha256);
        if (!*present) {
            code = vt_fail(err, VT_ESTATE, OP, "the store has another %s than %s holds", full.data,
                           m->path);
            vt_hint(err, "choose another name for it: --as NAME");
        }
        vt_image_versions_free(there, 1);
    }
    vt_buf_free(&full);
    return code;
}

static enum vt_code check_space(const struct import *m, uint64_t done, struct vt_error *err)
{
    uint64_t available, wanted = m->archive.extents.total - done;
    const char *dir = vt_image_stage_dir(m->stage);
    if (!vt_disk_free(dir, &available) || available >= wanted)
        return VT_OK;
    char need[32], have[32];
    return vt_fail(err, VT_ENOSPC, OP, "%s needs %s more, and %s has %s free", m->path,
                   vt_format_size(need, sizeof need, wanted), dir,
                   vt_format_size(have, sizeof have, available));
}

static enum vt_code open_files(struct import *m, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    const char *dir = vt_image_stage_dir(m->stage);
    m->file_count = json_array_size(m->archive.version.files);
    for (size_t i = 0; i < m->file_count; i++)
        m->files[i] = -1;
    for (size_t i = 0; !code && i < m->file_count; i++) {
        const json_t *file = json_array_get(m->archive.version.files, i);
        char *path = vt_path_join(dir, vt_json_str(file, "name", ""));
        /* nobody else may write, whatever the other host allowed */
        mode_t mode = ((mode_t)vt_json_int(file, "mode", 0) & 0755) | 0600;
        m->files[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (m->files[i] < 0 || fchmod(m->files[i], mode) ||
            ftruncate(m->files[i], (off_t)vt_json_int(file, "size", 0)))
            code = vt_fail_sys(err, errno, OP, "cannot write %s", path);
        vt_free(path);
    }
    return code;
}

/* How many chunks an import that was interrupted has written. */
static enum vt_code read_progress(struct import *m, uint64_t *chunks, struct vt_error *err)
{
    char text[24] = "";
    char *path = vt_path_join(vt_image_stage_dir(m->stage), PROGRESS);
    m->progress = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum vt_code code = VT_OK;
    if (m->progress < 0 || pread(m->progress, text, sizeof text - 1, 0) < 0)
        code = vt_fail_sys(err, errno, OP, "cannot write %s", path);
    *chunks = strtoull(text, NULL, 10);
    if (*chunks > vt__archive_chunks(&m->archive))
        *chunks = 0;
    vt_free(path);
    return code;
}

/* The data before the number: after a power cut it does not promise what is not there. */
static enum vt_code write_progress(struct import *m, uint64_t chunks, struct vt_error *err)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%20llu\n", (unsigned long long)chunks);
    for (size_t i = 0; i < m->file_count; i++)
        if (fsync(m->files[i]))
            return vt_fail_sys(err, errno, OP, "cannot flush the image");
    if (pwrite(m->progress, text, (size_t)n, 0) != n)
        return vt_fail_sys(err, errno, OP, "cannot write the import's progress");
    return VT_OK;
}

static enum vt_code write_piece(void *user, uint32_t file, uint64_t at, unsigned char *data,
                                size_t n, struct vt_error *err)
{
    struct import *m = user;
    while (n) {
        ssize_t put = pwrite(m->files[file], data, n, (off_t)at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return vt_fail_sys(err, errno, OP, "cannot write to %s", vt_image_stage_dir(m->stage));
        data += put;
        at += (uint64_t)put;
        n -= (size_t)put;
    }
    return VT_OK;
}

static enum vt_code damaged(const struct import *m, uint64_t chunk, struct vt_error *err)
{
    enum vt_code code =
        vt_fail(err, VT_EIMAGE, OP, "%s is damaged: block %llu of %llu", m->path,
                (unsigned long long)chunk + 1, (unsigned long long)vt__archive_chunks(&m->archive));
    vt_hint(err, "copy or download it again");
    return code;
}

static enum vt_code read_chunk(struct import *m, uint64_t i, bool wanted, struct vt_error *err)
{
    unsigned char head[4];
    size_t max, n = vt__archive_chunk_size(&m->archive, i);
    unsigned char *room = vt__codec_room(m->codec, &max);
    enum vt_code code = read_exactly(m, head, sizeof head, err);
    if (code)
        return code;
    size_t size = vt__get32(head);
    if (!size || size > max)
        return damaged(m, i, err);
    if (!wanted)
        return skip(m, size, err);
    code = read_exactly(m, room, size, err);
    if (!code && !vt__codec_unpack(m->codec, size, m->chunk, n))
        code = damaged(m, i, err);
    return code ? code
                : vt__extents_pieces(&m->archive.extents, i * VT__CHUNK, m->chunk, n, write_piece,
                                     m, err);
}

static enum vt_code read_chunks(struct import *m, uint64_t from, struct vt_error *err)
{
    uint64_t chunks = vt__archive_chunks(&m->archive), total = m->archive.extents.total;
    unsigned char end[4];
    enum vt_code code = VT_OK;
    for (uint64_t i = 0; !code && i < chunks; i++) {
        if (m->transfer->progress && i >= from)
            m->transfer->progress(i * VT__CHUNK, total, m->transfer->user);
        code = read_chunk(m, i, i >= from, err);
        if (!code && i >= from && (i + 1) % PROGRESS_EVERY == 0)
            code = write_progress(m, i + 1, err);
    }
    if (!code && m->transfer->progress)
        m->transfer->progress(total, total, m->transfer->user);
    if (!code)
        code = read_exactly(m, end, sizeof end, err);
    if (!code && (vt__get32(end) || read(m->in, end, 1) != 0))
        code =
            vt_fail(err, VT_EIMAGE, OP, "%s is damaged: it goes on where it should end", m->path);
    return code;
}

static enum vt_code fill(struct import *m, struct vt_error *err)
{
    uint64_t from = 0;
    enum vt_code code = read_progress(m, &from, err);
    if (!code)
        code = check_space(m, from * VT__CHUNK, err);
    if (!code)
        code = open_files(m, err);
    if (!code && !(m->codec = vt__codec_new(err)))
        code = VT_ELIMIT;
    if (code)
        return code;
    m->chunk = vt_malloc(VT__CHUNK);
    m->transfer->resumed = from * VT__CHUNK;
    code = read_chunks(m, from, err);
    char *path = vt_path_join(vt_image_stage_dir(m->stage), PROGRESS);
    if (!code && unlink(path))
        code = vt_fail_sys(err, errno, OP, "cannot remove %s", path);
    vt_free(path);
    return code;
}

static enum vt_code commit(struct import *m, const char *name, struct vt_error *err)
{
    const struct vt_image_version *v = &m->archive.version;
    const struct vt_image_made made = {.recipe = v->recipe,
                                       .recipe_sha256 = v->recipe_sha256,
                                       .parent = v->parent,
                                       .contents = v->contents,
                                       .version = v->version,
                                       .created = v->created,
                                       .sha256 = v->sha256};
    char *version = NULL;
    enum vt_code code = vt_image_stage_commit(m->stage, &made, &version, err);
    m->stage = NULL;
    struct vt_buf full = VT_BUF_INIT;
    if (!code) {
        vt_buf_printf(&full, "%s@%s", name, version);
        if (v->deprecated)
            code = vt_image_deprecate(full.data, v->deprecated, err);
        m->transfer->name = vt_buf_steal(&full);
    }
    vt_free(version);
    return code;
}

static enum vt_code import_archive(struct import *m, const char *as, struct vt_error *err)
{
    char folder[64];
    enum vt_code code = read_head(m, err);
    if (code)
        return code;
    const struct vt_image_version *v = &m->archive.version;
    const char *name = as ? as : v->name;
    m->transfer->data = m->archive.extents.total;
    code = look_for(m, name, &m->transfer->present, err);
    if (code || m->transfer->present) {
        struct vt_buf full = VT_BUF_INIT;
        vt_buf_printf(&full, "%s@%s", name, v->version);
        m->transfer->name = code ? NULL : vt_buf_steal(&full);
        vt_buf_free(&full);
        return code;
    }
    /* of this version of this image, and of no other */
    snprintf(folder, sizeof folder, VT__IMPORT_PREFIX "%.32s", v->sha256);
    code = vt__stage_begin(name, folder, &m->stage, err);
    if (!code)
        code = fill(m, err);
    return code ? code : commit(m, name, err);
}

static void finish(struct import *m, struct vt_error *err)
{
    for (size_t i = 0; i < m->file_count; i++)
        if (m->files[i] >= 0)
            close(m->files[i]);
    if (m->progress >= 0)
        close(m->progress);
    if (m->stage && m->cut_off) {
        vt_hint(err, "when the file is whole, import it again: it goes on where it ended");
        vt__stage_leave(m->stage);
    } else {
        vt_image_stage_abandon(m->stage);
    }
    vt__codec_free(m->codec);
    vt__archive_clear(&m->archive);
    vt_free(m->chunk);
    if (m->in > STDIN_FILENO)
        close(m->in);
}

enum vt_code vt_image_import(const char *path, const char *as, struct vt_image_transfer *transfer,
                             struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    bool standard = !strcmp(path, "-");
    if (standard && isatty(STDIN_FILENO))
        return vt_fail(err, VT_EINVAL, OP, "an archive does not come from a terminal");
    struct import m = {.path = standard ? "standard input" : path,
                       .in = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC),
                       .progress = -1,
                       .transfer = transfer};
    if (m.in < 0)
        return vt_fail_sys(err, errno, OP, "cannot open %s", path);
    import_archive(&m, as, &own);
    finish(&m, &own);
    return vt_error_copy(err, &own);
}

bool vt_image_is_archive(const char *path)
{
    char head[VT__ARCHIVE_MAGIC_SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool is = fd >= 0 && read(fd, head, sizeof head) == (ssize_t)sizeof head &&
              !memcmp(head, VT__ARCHIVE_MAGIC, sizeof head);
    if (fd >= 0)
        close(fd);
    return is;
}
