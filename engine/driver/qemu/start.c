/* Starting: acceleration, overlay, process, QMP, forwards, go. */
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/instance.h"
#include "driver/qemu/net.h"
#include "vm/tie.h"
#include "vmtest/accel.h"

#define OP "vm.start"

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
    vt_op_succeed(op, NULL);
}

static void on_forwarded(struct vt_qemu *q, const struct vt_error *why)
{
    if (!q->start_op)
        return;
    if (why->code)
        vt_qemu_start_fail(q, why);
    else
        vt_monitor_request(q->qmp, "cont", NULL, on_running, q);
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

void vt_qemu_take_accel(struct vt_qemu *q, const struct vt_accel *found)
{
    char **kept[] = {&q->program, &q->accel, &q->accel_reason};
    const char *const now[] = {found->qemu, found->accel, found->reason};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        vt_free(*kept[i]);
        *kept[i] = vt_strdup(now[i]);
    }
}

uint64_t vt_qemu_memory_size(const struct vt_qemu *q)
{
    return q->config->memory ? q->config->memory : q->config->image->memory;
}

enum vt_code vt_qemu_launch(struct vt_qemu *q, const struct vt_qemu_memory *memory, int state,
                            struct vt_error *err)
{
    struct vt_error why = VT_ERROR_INIT;
    struct vt_args args = VT_ARGS_INIT;
    int *fds = vt_calloc(2 + q->nic_count, sizeof *fds);
    size_t fd_count = 0;
    if (memory->fd >= 0)
        fds[fd_count++] = memory->fd;
    if (state >= 0)
        fds[fd_count++] = state;
    vt_qemu_net_fds(q, fds, &fd_count);
    const struct vt_qemu_machine machine = {.program = q->program,
                                            .accel = q->accel,
                                            .config = q->config,
                                            .disks = q->disks,
                                            .disk_count = q->disk_count,
                                            .memory = memory,
                                            .incoming = state >= 0,
                                            .firmware = &q->firmware,
                                            .vars = q->vars,
                                            .vnc = q->vnc,
                                            .nics = q->nics,
                                            .nic_count = q->nic_count,
                                            .shares = q->shares};
    const struct vt_image *image = q->config->image;
    const struct vt_tie tie = {
        .lock = q->lock, .use = image->version ? image->dir : NULL, .tied = !q->config->keep};
    if (vt_lock_held(q->lock, NULL)) /* before its socket is replaced; the lock itself decides */
        vt_fail(&why, VT_EBUSY, OP, "VM %s runs already, in another process", q->config->name);
    else if (!vt_qemu_firmware_copy_vars(&q->firmware, q->vars, &why) &&
             !vt_tie_begin(&args, &tie, &why)) {
        vt_qemu_argv(&args, &machine);
        vt_qemu_watch(q, &args, fds, fd_count, &why);
    }
    vt_args_free(&args);
    vt_free(fds);
    vt_qemu_net_close(q);
    q->memory_private = !memory->shared;
    return vt_error_copy(err, &why);
}

static void on_prepared(struct vt_qemu *q, const struct vt_error *failed)
{
    struct vt_error why = *failed;
    struct vt_qemu_memory memory = VT_QEMU_MEMORY_NONE;
    vt_qemu_forwards_init(q);
    if (why.code || vt_qemu_disks_ready(q, &why) ||
        vt_qemu_memory_new(&memory, vt_qemu_memory_size(q), q->config->scratch_dir, &why) ||
        vt_qemu_launch(q, &memory, -1, &why))
        vt_qemu_start_fail(q, &why);
    else
        vt_monitor_request(q->qmp, "qmp_capabilities", NULL, on_capabilities, q);
    vt_qemu_memory_clear(&memory);
}

static void on_accel(struct vt_op *inner, void *user)
{
    struct vt_qemu *q = user;
    q->inner = NULL;
    if (vt_op_error(inner)) {
        vt_qemu_start_fail(q, vt_op_error(inner));
        return;
    }
    vt_qemu_take_accel(q, vt_op_result(inner));
    vt_qemu_prepare(q, on_prepared);
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
