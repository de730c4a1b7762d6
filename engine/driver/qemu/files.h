/* Files that go into a snapshot or come out of one, on a thread. */
#ifndef VT_DRIVER_QEMU_FILES_H
#define VT_DRIVER_QEMU_FILES_H

#include <stdbool.h>

#include "core/args.h"
#include "loop/op.h"

/* Begins empty, by zeroes. */
struct vt_qemu_files {
    struct vt_args linked; /* from, to, from, to, …: hard links, or copies where they cannot be */
    struct vt_args copied; /* the same: sparse copies */
};

/* Does all of it; on failure what was made is removed. Takes over the members. Result: NULL. */
struct vt_op *vt_qemu_files_run(struct vt_loop *loop, struct vt_qemu_files *files, vt_op_fn done,
                                void *user);

#endif
