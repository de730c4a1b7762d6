/* The QEMU driver: one process for each VM, spoken to over QMP. */
#include "driver/qemu/qemu.h"

#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/socket.h"
#include "core/sys.h"
#include "driver/qemu/extra.h"
#include "driver/qemu/hot_disk.h"
#include "driver/qemu/hot_share.h"
#include "driver/qemu/net.h"
#include "driver/qemu/save.h"
#include "driver/qemu/screen.h"
#include "driver/qemu/share.h"
#include "driver/qemu/slots.h"
#include "vmtest/accel.h"

#define OVERLAY_EXPECTED ((uint64_t)1 << 30) /* bytes a guest's disk grows by, at first */

static enum vt_code check_config(const struct vt_vm_config *c, struct vt_error *err)
{
    if (!c->image)
        return vt_fail(err, VT_EINVAL, "vm.new", "VM %s: QEMU needs an image", c->name);
    return vt_vm_check_folders(c, err);
}

static void free_instance(struct vt_qemu *q)
{
    char *owned[] = {q->vars,    q->lock,    q->socket, q->console,      q->vnc,       q->log,
                     q->program, q->version, q->accel,  q->accel_reason, q->end_reason};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        vt_free(owned[i]);
    vt_free(q->disk_errors);
    vt_qemu_net_close(q);
    vt_free(q->nics);
    vt_qemu_slots_free(q);
    vt_qemu_shares_free(q);
    vt_qemu_firmware_clear(&q->firmware);
    vt_free(q->forwards);
    vt_buf_free(&q->panic_line);
    vt_free(q);
}

static enum vt_code create(struct vt_vm *vm, const struct vt_vm_config *config, void **instance,
                           struct vt_error *err)
{
    enum vt_code code = check_config(config, err);
    if (code)
        return code;
    struct vt_qemu_firmware firmware;
    code = vt_qemu_firmware_find(config->image, &firmware, err);
    if (code)
        return code;
    struct vt_qemu *q = vt_calloc(1, sizeof *q);
    q->vm = vm;
    q->config = config;
    q->loop = vt_vm_loop(vm);
    q->send_fd = -1;
    q->socket = vt_path_join(config->state_dir, "qmp");
    q->console = vt_path_join(config->state_dir, "console");
    if (config->vnc)
        q->vnc = vt_path_join(config->state_dir, "vnc");
    q->lock = vt_path_join(config->state_dir, "lock");
    q->log = vt_path_join(config->state_dir, "qemu.log");
    q->firmware = firmware;
    if (firmware.vars)
        q->vars = vt_path_join(config->scratch_dir, "efi-vars.fd");
    vt_qemu_net_init(q);
    vt_qemu_shares_init(q);
    vt_qemu_slots_init(q);
    code = vt_qemu_disks_init(q, err);
    if (!code)
        code = vt_qemu_disks_load(q, err);
    if (!code && !vt_socket_path_fits(q->console)) {
        code = vt_fail(err, VT_EINVAL, "vm.new",
                       "VM %s: the path %s is too long for a socket (about 100 bytes)",
                       config->name, q->console);
        vt_hint(err, "set VMTEST_RUNTIME_DIR to a folder with a short path");
    }
    if (code) {
        vt_qemu_disks_free(q, true);
        free_instance(q);
    } else {
        *instance = q;
    }
    return code;
}

/* A VM of an image with a disk writes into an overlay, which grows. */
static void needs(void *instance, struct vt_needs *needs)
{
    const struct vt_qemu *q = instance;
    needs->memory = q->config->memory;
    needs->cpus = q->config->cpus;
    needs->disk_dir = q->config->scratch_dir;
    needs->disk = q->config->image->disk ? OVERLAY_EXPECTED : 0;
}

static void destroy(void *instance, bool leave_running)
{
    struct vt_qemu *q = instance;
    struct vt_error gone = VT_ERROR_INIT;
    vt_fail(&gone, VT_ECANCELED, "vm", "VM %s was removed", q->config->name);
    struct vt_op *start_op = q->start_op, *kill_op = q->kill_op, *attach_op = q->attach_op;
    vt_qemu_start_cancel(q);
    vt_qemu_attach_cancel(q);
    vt_qemu_save_forget(q, NULL);
    vt_qemu_back_forget(q, NULL);
    if (q->qmp)
        vt_monitor_fail(q->qmp, &gone);
    vt_qemu_drop_process(q, leave_running);
    if (start_op)
        vt_op_fail(start_op, &gone);
    if (kill_op)
        vt_op_fail(kill_op, &gone);
    if (attach_op)
        vt_op_fail(attach_op, &gone);
    if (!leave_running) {
        const char *const files[] = {q->socket, q->console, q->vnc, q->lock, q->log};
        for (size_t i = 0; i < sizeof files / sizeof *files; i++)
            if (files[i])
                vt_remove_tree(files[i], NULL);
        vt_qemu_ports_remove(q);
    }
    bool keep = leave_running || q->config->persistent;
    if (!keep)
        vt_qemu_extra_remove(q);
    vt_qemu_disks_free(q, keep);
    free_instance(q);
}

static bool supports(void *instance, enum vt_capability cap, struct vt_error *why)
{
    const struct vt_qemu *q = instance;
    switch (cap) {
    case VT_CAP_EXEC:
    case VT_CAP_FILES:
        return vt_qemu_has_way_in(q, why);
    case VT_CAP_BRIDGED:
        return vt_qemu_can_bridge(why);
    default:
        return vt_qemu_screen_supports(q, cap, why);
    }
}

static void command(struct vt_qemu *q, const char *name, struct vt_op *op)
{
    vt_monitor_request_op(q->qmp, name, op, q->config->name);
}

static void stop(void *instance, struct vt_op *op)
{
    command(instance, "system_powerdown", op);
}

static void pause_vm(void *instance, struct vt_op *op)
{
    command(instance, "stop", op);
}

static void resume(void *instance, struct vt_op *op)
{
    ((struct vt_qemu *)instance)->saved = false;
    command(instance, "cont", op);
}

static void reset(void *instance, struct vt_op *op)
{
    command(instance, "system_reset", op);
}

static void kill_vm(void *instance, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    if (!q->process) {
        vt_op_succeed(op, NULL);
        return;
    }
    q->kill_op = op;
    vt_qemu_process_kill(q->process);
}

static void forget(void *instance, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    if (op == q->start_op)
        vt_qemu_start_cancel(q);
    if (op == q->attach_op)
        vt_qemu_attach_cancel(q);
    if (op == q->kill_op)
        q->kill_op = NULL;
    vt_qemu_screen_forget(q, op);
    vt_qemu_keys_forget(q, op);
    vt_qemu_resize_forget(q, op);
    vt_qemu_slots_forget(q, op);
    vt_qemu_save_forget(q, op);
    vt_qemu_back_forget(q, op);
    if (q->qmp)
        vt_monitor_forget(q->qmp, op);
}

static double time_scale(void *instance)
{
    const struct vt_qemu *q = instance;
    return q->accel && !strcmp(q->accel, "tcg") ? VT_EMULATION_TIME_SCALE : 1;
}

static void set_text(json_t *facts, const char *key, const char *text)
{
    if (text)
        json_object_set_new(facts, key, json_string(text));
}

static void info(void *instance, json_t *facts)
{
    const struct vt_qemu *q = instance;
    const struct vt_image *image = q->config->image;
    struct vt_buf name = VT_BUF_INIT;
    vt_buf_printf(&name, "QEMU%s%s", q->version ? " " : "", q->version ? q->version : "");
    set_text(facts, "hypervisor", name.data);
    vt_buf_free(&name);
    set_text(facts, "accel", q->accel);
    set_text(facts, "program", q->program);
    if (q->memory_private)
        json_object_set_new(facts, "memory_shared_with_snapshot", json_true());
    set_text(facts, "accel_reason", q->accel_reason);
    set_text(facts, "arch", image->arch);
    if (q->disk_count && q->disks[0].count)
        set_text(facts, "overlay", q->disks[0].layers[q->disks[0].count - 1]);
    vt_qemu_extra_info(q, facts);
    vt_qemu_hot_disks_info(q, facts);
    vt_qemu_net_info(q, facts);
    vt_qemu_shares_info(q, facts);
    vt_qemu_hot_shares_info(q, facts);
    vt_qemu_ports_info(q, facts);
    if (!q->process)
        return;
    json_object_set_new(facts, "pid", json_integer(vt_qemu_process_pid(q->process)));
    json_t *forwards = json_array();
    for (size_t i = 0; i < q->forward_count; i++)
        json_array_append_new(forwards, json_pack("{s:i, s:i}", "host", q->forwards[i].host_port,
                                                  "guest", q->forwards[i].guest_port));
    json_object_set_new(facts, "forwards", forwards);
    set_text(facts, "console", q->console);
    set_text(facts, "vnc", q->vnc);
    if (!image->ssh_user || !q->forward_count)
        return;
    json_t *ssh = json_pack("{s:s, s:i, s:s}", "host", "127.0.0.1", "port",
                            q->forwards[0].host_port, "user", image->ssh_user);
    set_text(ssh, "key", image->ssh_key);
    set_text(ssh, "host_key", image->ssh_host_key);
    json_object_set_new(facts, "ssh", ssh);
}

const struct vt_driver vt_qemu_driver = {
    .name = "qemu",
    .summary = "virtual machines by QEMU",
    .needs_image = true,
    .support =
        {
            [VT_CAP_START] = {.can = VT_YES},
            [VT_CAP_STOP] = {.can = VT_YES},
            [VT_CAP_KILL] = {.can = VT_YES},
            [VT_CAP_PAUSE] = {.can = VT_YES},
            [VT_CAP_RESET] = {.can = VT_YES},
            [VT_CAP_CONSOLE] = {.can = VT_YES},
            [VT_CAP_CONSOLE_WRITE] = {.can = VT_YES},
            [VT_CAP_SCREENSHOT] = {VT_SOMETIMES, "x86-64, else with \"screen\"; QEMU 7.1 or later"},
            [VT_CAP_KEYS] = {VT_SOMETIMES, "x86-64, else with \"screen\""},
            [VT_CAP_VNC] = {.can = VT_YES},
            [VT_CAP_DISKS] = {.can = VT_YES},
            [VT_CAP_NBD] = {.can = VT_YES},
            [VT_CAP_RESIZE] = {.can = VT_YES},
            [VT_CAP_HOT_DISK] = {.can = VT_YES},
            [VT_CAP_SHARES] = {.can = VT_YES},
            [VT_CAP_HOT_SHARE] = {.can = VT_YES},
            [VT_CAP_ISOLATED] = {.can = VT_YES},
            [VT_CAP_BRIDGED] = {VT_SOMETIMES,
                                "Linux; CAP_NET_ADMIN or QEMU's setuid bridge helper"},
            [VT_CAP_NO_NETWORK] = {.can = VT_YES},
            [VT_CAP_EXEC] = {VT_SOMETIMES, "an image with a channel"},
            [VT_CAP_FILES] = {VT_SOMETIMES, "an image with a channel"},
            [VT_CAP_SNAPSHOT] = {.can = VT_YES},
            [VT_CAP_COPY] = {.can = VT_YES},
            [VT_CAP_NAT] = {.can = VT_YES},
            [VT_CAP_FORWARD] = {.can = VT_YES},
        },
    .create = create,
    .needs = needs,
    .destroy = destroy,
    .supports = supports,
    .start = vt_qemu_start,
    .stop = stop,
    .kill = kill_vm,
    .pause = pause_vm,
    .resume = resume,
    .reset = reset,
    .forget = forget,
    .channel = vt_qemu_channel,
    .screenshot = vt_qemu_screenshot,
    .send_keys = vt_qemu_send_keys,
    .share = vt_qemu_share,
    .unshare = vt_qemu_unshare,
    .resize_disk = vt_qemu_resize_disk,
    .attach_disk = vt_qemu_attach_disk,
    .detach_disk = vt_qemu_detach_disk,
    .console_write = vt_qemu_console_write,
    .snapshot = vt_qemu_snapshot,
    .snapshot_check = vt_qemu_snapshot_check,
    .restore = vt_qemu_restore,
    .restore_check = vt_qemu_restore_check,
    .attach = vt_qemu_attach,
    .time_scale = time_scale,
    .info = info,
};
