#include "cli/build_slot.h"

#include <stdio.h>

#include "cli/program.h"
#include "core/buf.h"
#include "vmtest/loop.h"

struct slot {
    const char *name;
    struct vt_lease *lease;
    struct vt_error err;
    bool done;
};

static void on_waiting(const char *reason, void *user)
{
    const struct slot *s = user;
    fprintf(stderr, "image %s: waiting for %s\n", s->name, reason);
}

static void on_taken(struct vt_op *op, void *user)
{
    struct slot *s = user;
    const struct vt_error *why = vt_op_error(op);
    if (why)
        s->err = *why;
    else
        s->lease = vt_lease_taken(op);
    s->done = true;
}

/* While it waits, it looks for its turn several times a second, and so at the signals too. */
static void await(struct vt_loop *loop, struct vt_op *op, const struct slot *s)
{
    for (bool cancelled = false; !s->done;) {
        if (!cancelled && vt_signals_pending()) {
            cancelled = true;
            vt_op_cancel(op);
        }
        vt_loop_run_once(loop, true);
    }
}

enum vt_code vt_build_slot_take(const char *name, double wait, struct vt_lease **lease,
                                struct vt_error *err)
{
    struct slot s = {.name = name};
    struct vt_buf shown = VT_BUF_INIT;
    vt_buf_printf(&shown, "%s (image build)", name);
    const struct vt_lease_request request = {
        .vm = shown.data, .needs = {.macos_guest = true}, .wait = wait, .waiting = on_waiting};
    struct vt_loop *loop = vt_loop_new(&s.err);
    struct vt_op *op = loop ? vt_lease_take(loop, &request, on_taken, &s, &s.err) : NULL;
    if (op)
        await(loop, op, &s);
    vt_loop_free(loop);
    vt_buf_free(&shown);
    *lease = s.lease;
    return vt_error_copy(err, &s.err);
}
