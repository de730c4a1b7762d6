/* A folder with an image.json into the store. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "image/extents.h"
#include "image/layout.h"
#include "image/version.h"
#include "vmtest/store.h"

#define OP "image.import"
#define CHUNK ((size_t)1 << 20)
#define GAP ((uint64_t)64 << 10)

struct copy {
    int from, to;
    const char *name;
};

static enum vt_code copy_extent(const struct copy *c, const struct vt__extent *extent, char *chunk,
                                struct vt_error *err)
{
    for (uint64_t done = 0; done < extent->len;) {
        uint64_t left = extent->len - done;
        ssize_t n =
            pread(c->from, chunk, left < CHUNK ? (size_t)left : CHUNK, (off_t)(extent->at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? vt_fail_sys(err, errno, OP, "cannot read %s", c->name)
                     : vt_fail(err, VT_EIO, OP, "%s became shorter", c->name);
        for (ssize_t put = 0, w; put < n; put += w) {
            w = pwrite(c->to, chunk + put, (size_t)(n - put),
                       (off_t)(extent->at + done + (uint64_t)put));
            if (w < 0 && errno == EINTR)
                w = 0;
            else if (w < 0)
                return vt_fail_sys(err, errno, OP, "cannot write a copy of %s", c->name);
        }
        done += (uint64_t)n;
    }
    return VT_OK;
}

static enum vt_code copy_data(const struct copy *c, uint64_t size,
                              struct vt_image_transfer *transfer, struct vt_error *err)
{
    struct vt__extents extents = {0};
    enum vt_code code = vt__extents_scan(&extents, 0, c->from, size, GAP, c->name, err);
    char *chunk = vt_malloc(CHUNK);
    for (size_t i = 0; !code && i < extents.n; i++)
        code = copy_extent(c, &extents.v[i], chunk, err);
    transfer->data += extents.total;
    vt_free(chunk);
    vt__extents_free(&extents);
    return code;
}

static enum vt_code copy_file(const char *from, const char *to, struct vt_image_transfer *transfer,
                              struct vt_error *err)
{
    struct stat st = {0};
    struct copy c = {.from = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK), .to = -1, .name = from};
    enum vt_code code = VT_OK;
    if (c.from < 0 || fstat(c.from, &st))
        code = vt_fail_sys(err, errno, OP, "cannot open %s", from);
    else if (!S_ISREG(st.st_mode))
        code = vt_fail(err, VT_EIMAGE, OP, "%s cannot be part of an image: it is no file", from);
    if (!code) {
        c.to = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, (st.st_mode & 0755) | 0600);
        if (c.to < 0 || ftruncate(c.to, st.st_size))
            code = vt_fail_sys(err, errno, OP, "cannot write %s", to);
    }
    if (!code)
        code = copy_data(&c, (uint64_t)st.st_size, transfer, err);
    if (c.from >= 0)
        close(c.from);
    if (c.to >= 0 && close(c.to) && !code)
        code = vt_fail_sys(err, errno, OP, "cannot write %s", to);
    return code;
}

static bool is_member(const char *dir, const char *name)
{
    (void)dir;
    return strcmp(name, VT__VERSION_FILE) != 0; /* that of the store it was copied from */
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum vt_code copy_folder(const char *path, const char *to,
                                struct vt_image_transfer *transfer, struct vt_error *err)
{
    struct vt__names names;
    enum vt_code code = vt__list(path, is_member, by_name, &names, err);
    for (size_t i = 0; !code && i < names.n; i++) {
        char *in = vt_path_join(path, names.v[i]), *out = vt_path_join(to, names.v[i]);
        code = copy_file(in, out, transfer, err);
        if (transfer->progress && !code)
            transfer->progress(i + 1, names.n, transfer->user);
        vt_free(in);
        vt_free(out);
    }
    vt__names_free(&names);
    return code;
}

enum vt_code vt_image_import_folder(const char *path, const char *as,
                                    struct vt_image_transfer *transfer, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct vt_image_stage *stage = NULL;
    char *json = vt_path_join(path, "image.json"), *version = NULL;
    if (!vt_is_file(json))
        vt_fail(&own, VT_EIMAGE, OP, "%s is no image: it has no image.json", path);
    else if (!vt_image_stage_begin(as ? as : vt_path_base(path), &stage, &own) &&
             copy_folder(path, vt_image_stage_dir(stage), transfer, &own))
        vt_image_stage_abandon(stage);
    else if (stage) {
        struct vt_buf recipe = VT_BUF_INIT, full = VT_BUF_INIT;
        vt_buf_printf(&recipe, "import %s", path);
        const struct vt_image_made made = {.recipe = recipe.data};
        if (!vt_image_stage_commit(stage, &made, &version, &own)) {
            vt_buf_printf(&full, "%s@%s", as ? as : vt_path_base(path), version);
            transfer->name = vt_buf_steal(&full);
        }
        vt_buf_free(&recipe);
        vt_free(version);
    }
    vt_free(json);
    return vt_error_copy(err, &own);
}
