/* What is to be there when QEMU starts: one step after the other. */
#include "driver/qemu/extra.h"
#include "driver/qemu/net.h"
#include "driver/qemu/share.h"

static void (*const steps[])(struct vt_qemu *q, vt_qemu_step_fn done) = {
    vt_qemu_extra_prepare,
    vt_qemu_net_prepare,
    vt_qemu_shares_prepare,
};
#define STEPS (sizeof steps / sizeof *steps)

static void on_step(struct vt_qemu *q, const struct vt_error *why)
{
    if (why->code || ++q->prepare_at == STEPS)
        q->prepared(q, why);
    else
        steps[q->prepare_at](q, on_step);
}

void vt_qemu_prepare(struct vt_qemu *q, vt_qemu_step_fn done)
{
    q->prepared = done;
    q->prepare_at = 0;
    steps[0](q, on_step);
}
