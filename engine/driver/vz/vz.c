/* The vz driver: one helper process for each VM, spoken to by JSON lines. */
#include "driver/vz/vz.h"

#include <string.h>
#include <sys/un.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "driver/vz/console.h"
#include "driver/vz/disks.h"
#include "driver/vz/features.h"
#include "driver/vz/host.h"
#include "driver/vz/hot_disk.h"
#include "driver/vz/machine.h"
#include "driver/vz/save.h"
#include "vmtest/accel.h"

#define OP "vm.new"
#define COPY_EXPECTED ((uint64_t)1 << 30) /* bytes a guest's disk grows by, at first */
#define MIB ((uint64_t)1 << 20)

uint64_t vt_vz_memory(const struct vt_vz *vz)
{
    return vz->config->memory ? vz->config->memory : vz->config->image->memory;
}

void vt_vz_hypervisor(const struct vt_vz *vz, struct vt_buf *out)
{
    if (vz->fake)
        vt_buf_puts(out, "fake");
    else
        vt_buf_printf(out, "Virtualization framework%s%s", vz->host ? " of macOS " : "",
                      vz->host ? vt_vz_host_version(vz) : "");
}

/* --- made and freed --- */

static enum vt_code check_image(const struct vt_vm_config *c, struct vt_error *err)
{
    const struct vt_image *image = c->image;
    if (!strcmp(image->os, "macos")) {
        if (image->auxiliary && image->disk)
            return VT_OK;
        vt_fail(err, VT_EIMAGE, OP,
                "VM %s: the image \"%s\" is of macOS, and has no \"disk\", \"auxiliary\" and "
                "\"hardware_model\"",
                c->name, image->name);
        vt_hint(err, "docs/images.md says what a macOS image for the vz driver is made of");
        return VT_EIMAGE;
    }
    if (image->firmware && !strcmp(image->firmware, "bios")) {
        vt_fail(err, VT_EUNSUPPORTED, OP,
                "VM %s: the image \"%s\" boots by a BIOS; the Virtualization framework boots a "
                "kernel, EFI or macOS",
                c->name, image->name);
        vt_hint(err, "use the qemu driver, or an image with \"firmware\": \"efi\"");
        return VT_EUNSUPPORTED;
    }
    return VT_OK;
}

static enum vt_code check_config(const struct vt_vm_config *c, const struct vt_vz_options *options,
                                 struct vt_error *err)
{
    uint64_t memory = c->memory ? c->memory : c->image->memory;
    if (vt_vm_check_folders(c, err))
        return VT_EINVAL;
    if (memory % MIB)
        return vt_fail(err, VT_EINVAL, OP,
                       "VM %s: %llu bytes of memory: the Virtualization framework takes whole MiB",
                       c->name, (unsigned long long)memory);
    if (c->accel && strcmp(c->accel, "auto") != 0)
        return vt_fail(err, VT_EUNSUPPORTED, OP,
                       "VM %s: the vz driver has no choice of acceleration (\"%s\")", c->name,
                       c->accel);
    enum vt_code code = check_image(c, err);
    if (!code)
        code = vt_vz_disks_check(c, err);
    return code ? code : vt_vz_features_check(c, options, NULL, err);
}

static void free_instance(struct vt_vz *vz)
{
    char *owned[] = {vz->program, vz->lock,  vz->socket,  vz->log,
                     vz->console, vz->agent, vz->version, vz->end_reason};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        vt_free(owned[i]);
    vt_vz_options_clear(&vz->options);
    json_decref(vz->identity);
    json_decref(vz->host);
    vt_free(vz);
}

static enum vt_code check_paths(const struct vt_vz *vz, struct vt_error *err)
{
    struct sockaddr_un address;
    struct vt_buf longest = VT_BUF_INIT;
    vt_buf_printf(&longest, "%s.in", vz->console);
    enum vt_code code = VT_OK;
    if (longest.len >= sizeof address.sun_path) {
        code = vt_fail(err, VT_EINVAL, OP,
                       "VM %s: the path %s is too long for a socket (about 100 bytes)",
                       vz->config->name, longest.data);
        vt_hint(err, "set VMTEST_RUNTIME_DIR to a folder with a short path");
    }
    vt_buf_free(&longest);
    return code;
}

static enum vt_code create(struct vt_vm *vm, const struct vt_vm_config *config, void **instance,
                           struct vt_error *err)
{
    struct vt_vz *vz = vt_calloc(1, sizeof *vz);
    enum vt_code code = vt_vz_options_read(config, &vz->options, err);
    if (!code)
        code = check_config(config, &vz->options, err);
    if (!code) {
        struct vt_error own = VT_ERROR_INIT;
        vz->program = vt_vz_program(&own);
        code = vz->program ? VT_OK : vt_error_copy(err, &own);
    }
    if (code) {
        free_instance(vz);
        return code;
    }
    vz->vm = vm;
    vz->config = config;
    vz->loop = vt_vm_loop(vm);
    vz->lock = vt_path_join(config->state_dir, "lock");
    vz->socket = vt_path_join(config->state_dir, "vz");
    vz->log = vt_path_join(config->state_dir, "vz.log");
    vz->console = vt_path_join(config->state_dir, "console.log");
    vz->agent = vt_path_join(config->state_dir, "agent");
    code = check_paths(vz, err);
    if (!code)
        code = vt_vz_identity_load(vz, err);
    if (code)
        free_instance(vz);
    else
        *instance = vz;
    return code;
}

static void needs(void *instance, struct vt_needs *needs)
{
    const struct vt_vz *vz = instance;
    const struct vt_image *image = vz->config->image;
    needs->memory = vt_vz_memory(vz);
    needs->cpus = vz->config->cpus ? vz->config->cpus : image->cpus;
    needs->disk_dir = vz->config->scratch_dir;
    needs->disk = image->disk ? COPY_EXPECTED : 0;
    needs->macos_guest = vt_vz_is_macos(vz->config);
}

static void remove_files(const struct vt_vz *vz)
{
    struct vt_buf input = VT_BUF_INIT;
    vt_buf_printf(&input, "%s.in", vz->console);
    const char *const files[] = {vz->socket, vz->lock, vz->log, vz->console, vz->agent, input.data};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        vt_remove_tree(files[i], NULL);
    vt_buf_free(&input);
}

static void destroy(void *instance, bool leave_running)
{
    struct vt_vz *vz = instance;
    struct vt_error gone = VT_ERROR_INIT;
    vt_fail(&gone, VT_ECANCELED, "vm", "VM %s was removed", vz->config->name);
    struct vt_op *ops[] = {vz->kill_op, vz->attach_op, vz->reset_op};
    vz->kill_op = vz->reset_op = NULL;
    vt_vz_boot_forget(vz, NULL);
    vt_vz_save_forget(vz, NULL);
    vt_vz_attach_cancel(vz);
    if (vz->client)
        vt_monitor_fail(vz->client, &gone);
    vt_vz_drop_helper(vz, leave_running);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (ops[i])
            vt_op_fail(ops[i], &gone);
    if (!leave_running)
        remove_files(vz);
    if (!leave_running && !vz->config->persistent)
        vt_vz_disks_remove(vz);
    free_instance(vz);
}

static bool supports(void *instance, enum vt_capability cap, struct vt_error *why)
{
    if (cap == VT_CAP_HOT_DISK)
        return vt_vz_hot_disk_check(instance, why) == VT_OK;
    return vt_vz_has_way_in(instance, why); /* EXEC and FILES */
}

/* --- one thing at a time --- */

static void request(struct vt_vz *vz, const char *name, struct vt_op *op)
{
    vt_monitor_request_op(vz->client, name, op, vz->config->name);
}

static void stop(void *instance, struct vt_op *op)
{
    request(instance, "request_stop", op);
}

static void pause_vm(void *instance, struct vt_op *op)
{
    request(instance, "pause", op);
}

static void resume(void *instance, struct vt_op *op)
{
    request(instance, "resume", op);
}

static void kill_vm(void *instance, struct vt_op *op)
{
    struct vt_vz *vz = instance;
    if (!vz->helper) {
        vt_op_succeed(op, NULL);
        return;
    }
    vz->kill_op = op;
    vt_vz_helper_kill(vz->helper);
}

static void forget(void *instance, struct vt_op *op)
{
    struct vt_vz *vz = instance;
    if (op == vz->attach_op)
        vt_vz_attach_cancel(vz);
    if (op == vz->kill_op)
        vz->kill_op = NULL;
    if (op == vz->reset_op)
        vz->reset_op = NULL;
    vt_vz_boot_forget(vz, op);
    vt_vz_save_forget(vz, op);
    vt_vz_hot_disks_forget(vz, op);
    if (vz->client)
        vt_monitor_forget(vz->client, op);
}

/* Behind the fake framework guests are emulated. */
static double time_scale(void *instance)
{
    return ((const struct vt_vz *)instance)->fake ? VT_EMULATION_TIME_SCALE : 1;
}

/* --- what is known of it --- */

#define AUTOMOUNTED "/Volumes/My Shared Files/" /* where macOS mounts them, each by its name */

static json_t *mount_of(const struct vt_vz *vz, const struct vt_share *s)
{
    return vt_vz_is_macos(vz->config)
               ? json_pack("[s, s]", "mount_virtiofs", s->name)
               : json_pack("[s, s, s, s]", "mount", "-t", "virtiofs", s->name);
}

static void add_shares(const struct vt_vz *vz, json_t *facts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < vz->config->share_count; i++) {
        const struct vt_share *s = &vz->config->shares[i];
        json_t *share = json_pack("{s:s, s:s, s:b}", "name", s->name, "kind", "virtiofs",
                                  "read_only", (int)s->read_only);
        if (vz->options.automount)
            json_object_set_new(share, "mounted_at", json_sprintf(AUTOMOUNTED "%s", s->name));
        else
            json_object_set_new(share, "mount", mount_of(vz, s));
        json_array_append_new(list, share);
    }
    json_object_set_new(facts, "shares", list);
}

static void add_nics(const struct vt_vz *vz, json_t *facts)
{
    json_t *list = json_array();
    const char *mac;
    for (size_t i = 0; (mac = vt_vz_mac(vz, i)); i++)
        json_array_append_new(list, json_pack("{s:s}", "mac", mac));
    json_object_set_new(facts, "nics", list);
}

static void info(void *instance, json_t *facts)
{
    const struct vt_vz *vz = instance;
    struct vt_buf hypervisor = VT_BUF_INIT;
    vt_vz_hypervisor(vz, &hypervisor);
    json_object_set_new(facts, "hypervisor", json_string(vt_buf_str(&hypervisor)));
    vt_buf_free(&hypervisor);
    json_object_set_new(facts, "arch", json_string(vz->config->image->arch));
    json_object_set_new(facts, "program", json_string(vz->program));
    if (vz->version)
        json_object_set_new(facts, "helper_version", json_string(vz->version));
    if (vz->fake)
        json_object_set_new(facts, "fake", json_true());
    if (vz->options.rosetta)
        json_object_set_new(facts, "rosetta", json_string(vz->options.rosetta));
    vt_vz_disks_info(vz, facts);
    add_shares(vz, facts);
    add_nics(vz, facts);
    vt_vz_channel_info(vz, facts);
    if (vz->helper)
        json_object_set_new(facts, "pid", json_integer(vt_vz_helper_pid(vz->helper)));
}

#define NO_PICTURE "the framework shows a VM in a window of its own process alone"
#define NO_KEYS "the framework takes keys from a window of its own process alone"
#define NO_FORWARD                                                                                 \
    "a guest with NAT has an address of its own, which this host reaches; there is no forwarding"
#define NO_ISOLATED                                                                                \
    "a network of the framework belongs to one process, and each VM has one of its own; qemu has " \
    "them"

const struct vt_driver vt_vz_driver = {
    .name = "vz",
    .summary = "virtual machines by Apple's Virtualization framework, on a Mac",
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
            [VT_CAP_EXEC] = {VT_SOMETIMES, "an image with vmtest's agent, or with ssh and NAT"},
            [VT_CAP_FILES] = {VT_SOMETIMES, "an image with vmtest's agent, or with ssh and NAT"},
            [VT_CAP_SNAPSHOT] = {.can = VT_YES},
            [VT_CAP_COPY] = {.can = VT_YES},
            [VT_CAP_SCREENSHOT] = {VT_NO, NO_PICTURE},
            [VT_CAP_KEYS] = {VT_NO, NO_KEYS},
            [VT_CAP_VNC] = {VT_NO, NO_PICTURE},
            [VT_CAP_DISKS] = {.can = VT_YES},
            [VT_CAP_NBD] = {.can = VT_YES},
            [VT_CAP_RESIZE] = {VT_NO, "the framework changes no disk of a VM that runs"},
            [VT_CAP_HOT_DISK] = {VT_SOMETIMES, "a host with macOS 15 or later"},
            [VT_CAP_SHARES] = {.can = VT_YES},
            [VT_CAP_HOT_SHARE] = {VT_NO, "the framework gives no share to a VM that runs"},
            [VT_CAP_NAT] = {.can = VT_YES},
            [VT_CAP_FORWARD] = {VT_NO, NO_FORWARD},
            [VT_CAP_ISOLATED] = {VT_NO, NO_ISOLATED},
            [VT_CAP_BRIDGED] = {.can = VT_YES},
            [VT_CAP_NO_NETWORK] = {.can = VT_YES},
        },
    .create = create,
    .needs = needs,
    .destroy = destroy,
    .supports = supports,
    .start = vt_vz_start,
    .stop = stop,
    .kill = kill_vm,
    .pause = pause_vm,
    .resume = resume,
    .reset = vt_vz_reset,
    .start_again = vt_vz_start_again,
    .forget = forget,
    .channel = vt_vz_channel,
    .console_write = vt_vz_console_write,
    .snapshot = vt_vz_snapshot,
    .snapshot_check = vt_vz_snapshot_check,
    .restore = vt_vz_restore,
    .restore_check = vt_vz_restore_check,
    .attach_disk = vt_vz_attach_disk,
    .detach_disk = vt_vz_detach_disk,
    .attach = vt_vz_attach,
    .time_scale = time_scale,
    .info = info,
};
