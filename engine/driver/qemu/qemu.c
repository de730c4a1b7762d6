/* The QEMU driver: one process for each VM, spoken to over QMP. */
#include "driver/qemu/qemu.h"

#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "driver/qemu/instance.h"
#include "guest/ssh.h"
#include "vmtest/accel.h"

/* Where arm64 firmware lies; a name without a folder is looked for by QEMU itself. */
static const char *const arm_firmware[] = {
    "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    "/usr/share/AAVMF/AAVMF_CODE.fd",
    "/usr/share/edk2/aarch64/QEMU_EFI.fd",
};

static char *find_firmware(const struct vt_image *image)
{
    if (strcmp(image->arch, "aarch64") != 0 || image->kernel)
        return NULL;
    for (size_t i = 0; i < sizeof arm_firmware / sizeof *arm_firmware; i++)
        if (vt_is_file(arm_firmware[i]))
            return vt_strdup(arm_firmware[i]);
    return vt_strdup("edk2-aarch64-code.fd");
}

static enum vt_code check_config(const struct vt_vm_config *c, struct vt_error *err)
{
    if (!c->image)
        return vt_fail(err, VT_EINVAL, "vm.new", "VM %s: QEMU needs an image", c->name);
    const char *const dirs[] = {c->state_dir, c->scratch_dir};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        if (!dirs[i] || dirs[i][0] != '/' || !vt_is_dir(dirs[i]))
            return vt_fail(err, VT_EINVAL, "vm.new", "VM %s: %s is no folder with an absolute path",
                           c->name, dirs[i] ? dirs[i] : "(none)");
    if (c->console_log && c->console_log[0] != '/')
        return vt_fail(err, VT_EINVAL, "vm.new", "VM %s: %s is no absolute path", c->name,
                       c->console_log);
    return VT_OK;
}

static void free_instance(struct vt_qemu *q)
{
    char *owned[] = {q->firmware, q->overlay, q->lock,  q->socket,       q->log,
                     q->program,  q->version, q->accel, q->accel_reason, q->end_reason};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        vt_free(owned[i]);
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
    struct vt_qemu *q = vt_calloc(1, sizeof *q);
    q->vm = vm;
    q->config = config;
    q->loop = vt_vm_loop(vm);
    q->socket = vt_path_join(config->state_dir, "qmp");
    q->lock = vt_path_join(config->state_dir, "lock");
    q->log = vt_path_join(config->state_dir, "qemu.log");
    q->firmware = find_firmware(config->image);
    if (config->image->disk)
        q->overlay = vt_path_join(config->scratch_dir, "disk.qcow2");
    if (!vt_qemu_socket_path_fits(q->socket)) {
        code = vt_fail(err, VT_EINVAL, "vm.new",
                       "VM %s: the path %s is too long for a socket (about 100 bytes)",
                       config->name, q->socket);
        vt_hint(err, "set VMTEST_RUNTIME_DIR to a folder with a short path");
        free_instance(q);
        return code;
    }
    *instance = q;
    return VT_OK;
}

static void destroy(void *instance, bool leave_running)
{
    struct vt_qemu *q = instance;
    struct vt_error gone = VT_ERROR_INIT;
    vt_fail(&gone, VT_ECANCELED, "vm", "VM %s was removed", q->config->name);
    struct vt_op *start_op = q->start_op, *kill_op = q->kill_op;
    vt_qemu_start_cancel(q);
    if (q->qmp)
        vt_qmp_fail(q->qmp, &gone);
    vt_qemu_drop_process(q, leave_running);
    if (start_op)
        vt_op_fail(start_op, &gone);
    if (kill_op)
        vt_op_fail(kill_op, &gone);
    if (!leave_running) {
        const char *const files[] = {q->socket, q->lock, q->log, q->overlay};
        for (size_t i = 0; i < sizeof files / sizeof *files; i++)
            if (files[i])
                vt_remove_tree(files[i], NULL);
    }
    free_instance(q);
}

static bool supports(void *instance, enum vt_capability cap, struct vt_error *why)
{
    const struct vt_qemu *q = instance;
    if ((cap != VT_CAP_EXEC && cap != VT_CAP_FILES) || q->config->image->ssh_user)
        return true;
    vt_fail(why, VT_EUNSUPPORTED, "vm", "the image \"%s\" names no ssh user",
            q->config->image->name);
    vt_hint(why, "add \"ssh\" to %s/image.json", q->config->image->dir);
    return false;
}

/* Ends the operation with what QEMU replied. */
static void on_reply(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_op *op = user;
    (void)result;
    if (why)
        vt_op_fail(op, why);
    else
        vt_op_succeed(op, NULL);
}

static void command(struct vt_qemu *q, const char *name, struct vt_op *op)
{
    struct vt_error why = VT_ERROR_INIT;
    if (q->qmp) {
        vt_qmp_command(q->qmp, name, NULL, on_reply, op);
        return;
    }
    vt_fail(&why, VT_ESTATE, "vm", "VM %s does not run", q->config->name);
    vt_op_fail(op, &why);
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
    if (op == q->kill_op)
        q->kill_op = NULL;
    if (q->qmp)
        vt_qmp_forget(q->qmp, op);
}

static struct vt_channel *channel(void *instance, struct vt_error *err)
{
    struct vt_qemu *q = instance;
    const struct vt_image *image = q->config->image;
    if (!supports(q, VT_CAP_EXEC, err))
        return NULL;
    const struct vt_ssh_config ssh = {.host = "127.0.0.1",
                                      .port = q->forwards[0].host_port,
                                      .user = image->ssh_user,
                                      .key_file = image->ssh_key,
                                      .password = image->ssh_password,
                                      .host_key = image->ssh_host_key};
    return vt_ssh_new(q->loop, &ssh, err);
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
    set_text(facts, "accel_reason", q->accel_reason);
    set_text(facts, "arch", image->arch);
    set_text(facts, "overlay", q->overlay);
    if (!q->process)
        return;
    json_object_set_new(facts, "pid", json_integer(vt_qemu_process_pid(q->process)));
    json_t *forwards = json_array();
    for (size_t i = 0; i < q->forward_count; i++)
        json_array_append_new(forwards, json_pack("{s:i, s:i}", "host", q->forwards[i].host_port,
                                                  "guest", q->forwards[i].guest_port));
    json_object_set_new(facts, "forwards", forwards);
    if (!image->ssh_user)
        return;
    json_t *ssh = json_pack("{s:s, s:i, s:s}", "host", "127.0.0.1", "port",
                            q->forwards[0].host_port, "user", image->ssh_user);
    set_text(ssh, "key", image->ssh_key);
    set_text(ssh, "host_key", image->ssh_host_key);
    json_object_set_new(facts, "ssh", ssh);
}

const struct vt_driver vt_qemu_driver = {
    .name = "qemu",
    .create = create,
    .destroy = destroy,
    .supports = supports,
    .start = vt_qemu_start,
    .stop = stop,
    .kill = kill_vm,
    .pause = pause_vm,
    .resume = resume,
    .reset = reset,
    .forget = forget,
    .channel = channel,
    .time_scale = time_scale,
    .info = info,
};
