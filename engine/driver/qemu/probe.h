/* Boots a guest of a few hundred bytes: the only proof that an acceleration works. */
#ifndef VT_DRIVER_QEMU_PROBE_H
#define VT_DRIVER_QEMU_PROBE_H

#include <stdbool.h>

#include "vmtest/loop.h"

struct vt_probe_result {
    bool works;
    char why[300]; /* where it does not: what happened instead */
};

/* Runs the probe guest of this architecture under `accel` for at most `seconds`. Not answering is
 * a result. Result: struct vt_probe_result. */
struct vt_op *vt_probe_run(struct vt_loop *loop, const char *qemu, const char *arch,
                           const char *accel, double seconds, vt_op_fn done, void *user,
                           struct vt_error *err);

#endif
