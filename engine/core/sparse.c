#include "core/sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/fs.h>
#include <sys/ioctl.h>
#endif
#ifdef __APPLE__
#include <sys/clonefile.h>
#endif

#include "core/mem.h"

#define OP "copy"
#define CHUNK ((size_t)1 << 20)
#define PAGE ((size_t)4096)

struct copy {
    int from, to;
    const char *name;
    const atomic_bool *cancelled;
    char *chunk;
    struct vt_error *err;
};

static enum vt_code write_at(const struct copy *c, const char *data, size_t n, off_t at)
{
    while (n) {
        ssize_t w = pwrite(c->to, data, n, at);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return vt_fail_sys(c->err, errno, OP, "cannot write %s", c->name);
        data += w;
        n -= (size_t)w;
        at += w;
    }
    return VT_OK;
}

static bool is_zero(const char *data, size_t n)
{
    return !data[0] && !memcmp(data, data + 1, n - 1);
}

/* Writes the pages of data[0..n) that are not zero, each run of them at once. */
static enum vt_code write_pages(const struct copy *c, const char *data, size_t n, off_t at)
{
    enum vt_code code = VT_OK;
    for (size_t i = 0, end; !code && i < n; i = end) {
        size_t run = i;
        for (end = i; end < n; end += PAGE) {
            size_t page = n - end < PAGE ? n - end : PAGE;
            if (is_zero(data + end, page))
                break;
            run = end + page;
        }
        if (run > i)
            code = write_at(c, data + i, run - i, at + (off_t)i);
        end = run > i ? run : i + PAGE;
    }
    return code;
}

static enum vt_code copy_range(const struct copy *c, off_t at, off_t end)
{
    enum vt_code code = VT_OK;
    while (!code && at < end) {
        size_t want = (size_t)(end - at) < CHUNK ? (size_t)(end - at) : CHUNK;
        ssize_t n = pread(c->from, c->chunk, want, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (c->cancelled && atomic_load(c->cancelled))
            return vt_fail(c->err, VT_ECANCELED, OP, "cancelled");
        if (n <= 0)
            return vt_fail_sys(c->err, n ? errno : EIO, OP, "cannot read what is to become %s",
                               c->name);
        code = write_pages(c, c->chunk, (size_t)n, at);
        at += n;
    }
    return code;
}

static enum vt_code copy_data(const struct copy *c, off_t size)
{
    if (ftruncate(c->to, size))
        return vt_fail_sys(c->err, errno, OP, "cannot write %s", c->name);
#ifdef FICLONE
    if (size && ioctl(c->to, FICLONE, c->from) == 0)
        return VT_OK;
#endif
    enum vt_code code = VT_OK;
    for (off_t at = 0, end; !code && at < size; at = end) {
        at = lseek(c->from, at, SEEK_DATA);
        if (at < 0) /* nothing but a hole is left */
            break;
        end = lseek(c->from, at, SEEK_HOLE);
        code = copy_range(c, at, end < 0 ? size : end);
        if (end < 0)
            break;
    }
    return code;
}

enum vt_code vt_copy_sparse(const char *from, const char *to, const atomic_bool *cancelled,
                            struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct copy c = {.name = to, .cancelled = cancelled, .err = &own};
    struct stat st;
#ifdef __APPLE__ /* APFS clones by name, and refuses to replace anything */
    if (clonefile(from, to, 0) == 0)
        return chmod(to, 0600) ? vt_fail_sys(err, errno, OP, "cannot make %s private", to) : VT_OK;
#endif
    c.from = open(from, O_RDONLY | O_CLOEXEC);
    c.to = c.from < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (c.from < 0 || fstat(c.from, &st))
        vt_fail_sys(&own, errno, OP, "cannot read %s", from);
    else if (c.to < 0)
        vt_fail_sys(&own, errno, OP, "cannot make %s", to);
    else {
        c.chunk = vt_malloc(CHUNK);
        copy_data(&c, st.st_size);
        vt_free(c.chunk);
    }
    if (c.to >= 0) {
        close(c.to);
        if (own.code)
            unlink(to);
    }
    if (c.from >= 0)
        close(c.from);
    return vt_error_copy(err, &own);
}

uint64_t vt_data_bytes(int fd)
{
    struct stat st;
    return fstat(fd, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}
