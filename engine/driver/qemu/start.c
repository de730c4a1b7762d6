/* Starting: acceleration, overlay, process, QMP, forwards, go. */
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/instance.h"
#include "vm/tie.h"
#include "vmtest/accel.h"

#define OP "vm.start"
#define OVERLAY_S 120.0

void vt_qemu_start_fail(struct vt_qemu *q, const struct vt_error *why)
{
    struct vt_op *op = q->start_op;
    q->start_op = NULL;
    vt_qemu_drop_process(q, false);
    if (op)
        vt_op_fail(op, why);
}

void vt_qemu_start_cancel(struct vt_qemu *q)
{
    bool starting = q->start_op != NULL;
    q->start_op = NULL;
    if (q->inner)
        vt_op_forget(q->inner);
    q->inner = NULL;
    if (starting && q->process)
        vt_qemu_process_kill(q->process);
}

static void on_running(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    (void)result;
    if (!q->start_op)
        return;
    if (why) {
        vt_qemu_start_fail(q, why);
        return;
    }
    struct vt_op *op = q->start_op;
    q->start_op = NULL;
    vt_free(q->version);
    q->version = vt_strdup(vt_qmp_version(q->qmp));
    vt_op_succeed(op, NULL);
}

static void on_forwarded(struct vt_qemu *q, const struct vt_error *why)
{
    if (!q->start_op)
        return;
    if (why->code)
        vt_qemu_start_fail(q, why);
    else
        vt_qmp_command(q->qmp, "cont", NULL, on_running, q);
}

static void on_capabilities(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    (void)result;
    if (!q->start_op)
        return;
    if (why)
        vt_qemu_start_fail(q, why);
    else
        vt_qemu_forwards_open(q, on_forwarded);
}

static void launch(struct vt_qemu *q)
{
    struct vt_error why = VT_ERROR_INIT;
    struct vt_args args = VT_ARGS_INIT;
    const struct vt_qemu_machine machine = {.program = q->program,
                                            .accel = q->accel,
                                            .config = q->config,
                                            .overlay = q->overlay,
                                            .firmware = q->firmware};
    vt_qemu_forwards_init(q);
    if (vt_lock_held(q->lock, NULL)) /* before its socket is replaced; the lock itself decides */
        vt_fail(&why, VT_EBUSY, OP, "VM %s runs already, in another process", q->config->name);
    else if (!vt_tie_begin(&args, q->lock, !q->config->keep, &why)) {
        vt_qemu_argv(&args, &machine);
        vt_qemu_watch(q, &args, &why);
    }
    vt_args_free(&args);
    if (why.code)
        vt_qemu_start_fail(q, &why);
    else
        vt_qmp_command(q->qmp, "qmp_capabilities", NULL, on_capabilities, q);
}

static void on_overlay(struct vt_op *inner, void *user)
{
    struct vt_qemu *q = user;
    const struct vt_error *failed = vt_op_error(inner);
    const struct vt_process_result *r = failed ? NULL : vt_op_result(inner);
    struct vt_error why = VT_ERROR_INIT;
    q->inner = NULL;
    if (failed)
        why = *failed;
    else if (r->status)
        vt_fail(&why, strstr(r->err, "No space left") ? VT_ENOSPC : VT_EIO, OP,
                "cannot make the disk %s: %.400s", q->overlay, r->err);
    if (!why.code) {
        launch(q);
        return;
    }
    vt_remove_tree(q->overlay, NULL);
    vt_qemu_start_fail(q, &why);
}

static void make_overlay(struct vt_qemu *q)
{
    const struct vt_image *image = q->config->image;
    const char *argv[] = {"qemu-img",         "create", "-q",        "-f",       "qcow2", "-F",
                          image->disk_format, "-b",     image->disk, q->overlay, NULL};
    const struct vt_process_opts opts = {.argv = argv, .timeout = OVERLAY_S, .output_limit = 4096};
    struct vt_error why = VT_ERROR_INIT;
    q->inner = vt_process_run(q->loop, &opts, on_overlay, q, &why);
    if (q->inner)
        return;
    if (why.code == VT_ENOTFOUND)
        vt_hint(&why, "qemu-img is in Debian's package qemu-utils");
    vt_qemu_start_fail(q, &why);
}

static void on_accel(struct vt_op *inner, void *user)
{
    struct vt_qemu *q = user;
    q->inner = NULL;
    if (vt_op_error(inner)) {
        vt_qemu_start_fail(q, vt_op_error(inner));
        return;
    }
    const struct vt_accel *found = vt_op_result(inner);
    char **kept[] = {&q->program, &q->accel, &q->accel_reason};
    const char *const now[] = {found->qemu, found->accel, found->reason};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        vt_free(*kept[i]);
        *kept[i] = vt_strdup(now[i]);
    }
    if (q->overlay && !vt_is_file(q->overlay))
        make_overlay(q);
    else
        launch(q);
}

void vt_qemu_start(void *instance, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    const struct vt_accel_opts opts = {.arch = q->config->image->arch, .wanted = q->config->accel};
    struct vt_error why = VT_ERROR_INIT;
    q->start_op = op;
    q->inner = vt_accel_probe(q->loop, &opts, on_accel, q, &why);
    if (!q->inner)
        vt_qemu_start_fail(q, &why);
}
