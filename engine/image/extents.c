#include "image/extents.h"

#include <errno.h>
#include <unistd.h>

#include "core/mem.h"

#define OP "image.extents"
#define GROW 1024

void vt__extents_add(struct vt__extents *extents, uint32_t file, uint64_t at, uint64_t len)
{
    if (extents->n % GROW == 0)
        extents->v = vt_realloc(extents->v, (extents->n + GROW) * sizeof *extents->v);
    extents->v[extents->n++] =
        (struct vt__extent){.file = file, .at = at, .len = len, .start = extents->total};
    extents->total += len;
}

void vt__extents_free(struct vt__extents *extents)
{
    vt_free(extents->v);
    *extents = (struct vt__extents){0};
}

/* The next data at or after `at`; false at the file's end. */
static bool next_data(int fd, uint64_t size, uint64_t *at, uint64_t *end, bool *sparse, int *sys)
{
    off_t data = *sparse ? lseek(fd, (off_t)*at, SEEK_DATA) : (off_t)*at;
    *sys = 0;
    if (data < 0 && errno == ENXIO)
        return false; /* a hole to the end */
    if (data < 0 && (errno == EINVAL || errno == ENOTSUP || errno == ENOTTY)) {
        *sparse = false;
        data = (off_t)*at;
    }
    off_t hole = data < 0 ? -1 : *sparse ? lseek(fd, data, SEEK_HOLE) : (off_t)size;
    if (hole < 0) {
        *sys = errno;
        return false;
    }
    *at = (uint64_t)data;
    *end = (uint64_t)hole < size ? (uint64_t)hole : size;
    return *at < *end;
}

enum vt_code vt__extents_scan(struct vt__extents *extents, uint32_t file, int fd, uint64_t size,
                              uint64_t gap, const char *path, struct vt_error *err)
{
    uint64_t at = 0, end = 0, from = 0, to = 0; /* from..to: found, but may grow */
    bool sparse = true;
    int sys = 0;
    while (at < size && next_data(fd, size, &at, &end, &sparse, &sys)) {
        if (to && at - to < gap) {
            to = end;
        } else {
            if (to)
                vt__extents_add(extents, file, from, to - from);
            from = at;
            to = end;
        }
        at = end;
    }
    if (to)
        vt__extents_add(extents, file, from, to - from);
    return sys ? vt_fail_sys(err, sys, OP, "cannot read %s", path) : VT_OK;
}

static size_t find(const struct vt__extents *extents, uint64_t start)
{
    size_t low = 0, high = extents->n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (extents->v[middle].start <= start)
            low = middle;
        else
            high = middle;
    }
    return low;
}

enum vt_code vt__extents_pieces(const struct vt__extents *extents, uint64_t start,
                                unsigned char *data, size_t n, vt__piece_fn fn, void *user,
                                struct vt_error *err)
{
    enum vt_code code = VT_OK;
    for (size_t i = n ? find(extents, start) : extents->n; !code && n && i < extents->n; i++) {
        const struct vt__extent *e = &extents->v[i];
        uint64_t into = start - e->start, left = e->len - into;
        size_t piece = left < n ? (size_t)left : n;
        code = fn(user, e->file, e->at + into, data, piece, err);
        data += piece;
        start += piece;
        n -= piece;
    }
    return code;
}
