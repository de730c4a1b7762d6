#include "driver/qemu/files.h"

#include <math.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/sparse.h"
#include "driver/qemu/disk.h"
#include "loop/work.h"

static void remove_made(const struct vt_args *pairs, size_t made)
{
    for (size_t i = 0; i < made; i += 2)
        unlink(pairs->v[i + 1]);
}

static enum vt_code run(void *args, const atomic_bool *cancelled, struct vt_error *err)
{
    struct vt_qemu_files *files = args;
    const struct vt_args *linked = &files->linked, *copied = &files->copied;
    size_t links = 0, copies = 0;
    enum vt_code code = VT_OK;
    for (; links < linked->n; links += 2) {
        unlink(linked->v[links + 1]); /* left behind by a process that was killed */
        code = vt_qemu_link_or_copy(linked->v[links], linked->v[links + 1], err);
        if (code)
            break;
    }
    for (; !code && copies < copied->n; copies += 2) {
        code = vt_copy_sparse(copied->v[copies], copied->v[copies + 1], cancelled, err);
        if (code)
            break;
    }
    if (code) {
        remove_made(linked, links);
        remove_made(copied, copies);
    }
    return code;
}

static void free_files(void *args)
{
    struct vt_qemu_files *files = args;
    vt_args_free(&files->linked);
    vt_args_free(&files->copied);
    vt_free(files);
}

struct vt_op *vt_qemu_files_run(struct vt_loop *loop, struct vt_qemu_files *files, vt_op_fn done,
                                void *user)
{
    struct vt_qemu_files *own = vt_malloc(sizeof *own);
    *own = *files;
    *files = (struct vt_qemu_files){.linked = VT_ARGS_INIT};
    return vt_work_run(loop, run, own, free_files, INFINITY, done, user);
}
