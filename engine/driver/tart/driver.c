#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "driver/tart/command.h"
#include "driver/tart/instance.h"
#include "driver/tart/tart_driver.h"
#include "guest/password.h"
#include "vmtest/log.h"

#define OP "vm.new"
#define BOOT_S 300.0 /* macOS takes minutes when it boots for the first time */

/* --- configuration --- */

/* What `--dir=name:path:options` cannot say. */
static enum vt_code check_shares(const struct vt_vm_config *c, struct vt_error *err)
{
    for (size_t i = 0; i < c->share_count; i++)
        if (strpbrk(c->shares[i].path, ":,"))
            return vt_fail(err, VT_EUNSUPPORTED, OP,
                           "VM %s: tart cannot share %s: its path has a ':' or a ','", c->name,
                           c->shares[i].path);
    return VT_OK;
}

static enum vt_code check_config(const struct vt_vm_config *c, struct vt_error *err)
{
    if (vt_vm_check_folders(c, err))
        return VT_EINVAL;
    if (c->image) {
        vt_fail(err, VT_EUNSUPPORTED, OP,
                "VM %s: tart runs its own VMs, not images of vmtest's store", c->name);
        vt_hint(err, "say which one to clone: tart = {vm = \"NAME\"}; `tart list` shows them");
        return VT_EUNSUPPORTED;
    }
    if (c->channel && !strcmp(c->channel, "qga"))
        return vt_fail(err, VT_EUNSUPPORTED, OP,
                       "VM %s: a guest of tart is reached by \"ssh\" or \"agent\"", c->name);
    if (!c->tart) {
        vt_fail(err, VT_EINVAL, OP, "VM %s: the tart driver needs to know what to clone", c->name);
        vt_hint(err, "tart = {vm = \"sequoia-base\", user = \"admin\", key = \"/path/to/key\"}");
        return VT_EINVAL;
    }
    return check_shares(c, err);
}

static void free_instance(struct vt_tart *t)
{
    vt_tart_options_clear(&t->options);
    vt_free(t->version);
    vt_free(t->lock);
    vt_free(t->log);
    vt_free(t);
}

static enum vt_code check_options(const struct vt_tart *t, struct vt_error *err)
{
    const struct vt_vm_config *c = t->config;
    bool ssh = c->channel && !strcmp(c->channel, "ssh");
    if (ssh && !t->options.user) {
        vt_fail(err, VT_EINVAL, OP, "VM %s: nothing tells how to log in by ssh", c->name);
        vt_hint(err,
                "tart = {user = \"admin\", key = \"/path/to/key\", …}, or channel = \"agent\"");
        return VT_EINVAL;
    }
    char *password = NULL; /* a wrong file is told at once, not by a failing login */
    if (t->options.password_file && vt_password_read(t->options.password_file, &password, err))
        return VT_EINVAL;
    vt_password_free(password);
    char *program = vt_tart_program(OP, err);
    vt_free(program);
    return program ? VT_OK : VT_ENOTFOUND;
}

static enum vt_code create(struct vt_vm *vm, const struct vt_vm_config *config, void **instance,
                           struct vt_error *err)
{
    enum vt_code code = check_config(config, err);
    if (code)
        return code;
    struct vt_tart *t = vt_calloc(1, sizeof *t);
    t->vm = vm;
    t->config = config;
    t->loop = vt_vm_loop(vm);
    t->lineage_fd = -1;
    code = vt_tart_options_read(config->tart, config->name, &t->options, err);
    if (!code)
        code = check_options(t, err);
    if (code) {
        free_instance(t);
        return code;
    }
    t->lock = vt_path_join(config->state_dir, "lock");
    t->log = vt_path_join(config->state_dir, "tart.log");
    t->cloned = vt_tart_owned(config->scratch_dir, t->name, t->lineage);
    *instance = t;
    return VT_OK;
}

/* Read before tart is asked. VMs of its first versions say no "os" and are macOS; of an image that
 * was pulled nothing is known here, and macOS's own limit is what counts. */
static bool is_macos(const struct vt_tart *t)
{
    const char *home = getenv("TART_HOME"), *user = getenv("HOME");
    json_t *config = NULL;
    struct vt_buf path = VT_BUF_INIT;
    if ((!home && !user) || !vt_is_plain_name(t->options.vm))
        return false;
    vt_buf_printf(&path, "%s%s/vms/%s/config.json", home ? home : user, home ? "" : "/.tart",
                  t->options.vm);
    bool macos = !vt_json_load(path.data, &config, NULL) &&
                 strcmp(vt_json_str(config, "os", ""), "linux") != 0;
    json_decref(config);
    vt_buf_free(&path);
    return macos;
}

/* What it has of its own is not known before tart is asked, so only what was chosen counts. */
static void needs(void *instance, struct vt_needs *out)
{
    const struct vt_tart *t = instance;
    out->memory = t->config->memory;
    out->cpus = t->config->cpus;
    out->macos_guest = is_macos(t);
}

static void destroy(void *instance, bool leave_running)
{
    struct vt_tart *t = instance;
    struct vt_error err = VT_ERROR_INIT;
    bool keep = leave_running || t->config->persistent;
    vt_tart_drop(t);
    vt_hypervisor_free(t->process, leave_running ? 0 : SIGINT);
    t->process = NULL;
    vt_tart_drop_process(t);
    if (!keep && t->name[0] && vt_tart_disown(t->name, t->config->scratch_dir, &err))
        vt_log(VT_LOG_WARNING, "%s is left in tart, to be removed later: %s", t->name, err.message);
    free_instance(t);
}

static bool supports(void *instance, enum vt_capability cap, struct vt_error *why)
{
    const struct vt_tart *t = instance;
    if (cap == VT_CAP_FILES) {
        if (t->options.user)
            return true;
        vt_fail(why, VT_EUNSUPPORTED, "vm", "VM %s: `tart exec` runs commands and moves no files",
                t->config->name);
        vt_hint(why, "say how to log in by ssh: tart = {user = \"admin\", key = \"…\", …}");
        return false;
    }
    if (!t->options.suspendable) {
        vt_fail(why, VT_EUNSUPPORTED, "vm", "VM %s: it runs with devices that cannot be saved",
                t->config->name);
        vt_hint(why, "say tart = {suspendable = true}: for macOS guests on macOS 14 and later");
    } else if (t->config->share_count) {
        vt_fail(why, VT_EUNSUPPORTED, "vm", "VM %s: tart cannot save VMs that have shares",
                t->config->name);
        vt_hint(why, "leave out the shares, and copy files instead");
    }
    return t->options.suspendable && !t->config->share_count;
}

static void forget(void *instance, struct vt_op *op)
{
    struct vt_tart *t = instance;
    if (op == t->kill_op)
        t->kill_op = NULL;
    if (op != t->job.asked)
        return;
    t->job.asked = NULL;
    /* what has the VM stand still goes on: a snapshot, a restart that has begun */
    if (t->job.starts || (t->process && !t->job.launching && !strcmp(t->job.op, "vm.reboot")))
        vt_tart_drop(t);
}

static struct vt_channel *channel(void *instance, const char *kind, struct vt_error *err)
{
    struct vt_tart *t = instance;
    bool by_ssh = t->config->channel ? !strcmp(kind, "ssh") : t->options.user != NULL;
    return by_ssh ? vt_tart_ssh_channel(t, err) : vt_tart_exec_channel(t, err);
}

/* With the command that mounts each, which the place in the guest is added to. */
static void add_shares(const struct vt_tart *t, json_t *facts)
{
    static const char mount[] =
        "if [ \"$(uname)\" = Darwin ]; then exec mount_virtiofs \"$1\" \"$2\"; "
        "else exec mount -t virtiofs \"$1\" \"$2\"; fi";
    json_t *list = json_array();
    for (size_t i = 0; i < t->config->share_count; i++) {
        const struct vt_share *s = &t->config->shares[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b, s:[s, s, s, s, s]}", "name",
                                              s->name, "path", s->path, "kind", "virtiofs",
                                              "read_only", (int)s->read_only, "mount", "sh", "-c",
                                              mount, "sh", s->name));
    }
    json_object_set_new(facts, "shares", list);
}

static void info(void *instance, json_t *facts)
{
    const struct vt_tart *t = instance;
    char version[64];
    snprintf(version, sizeof version, "tart%s%.40s", t->version ? " " : "",
             t->version ? t->version : "");
    json_object_set_new(facts, "hypervisor", json_string(version));
    json_object_set_new(
        facts, "tart",
        json_pack("{s:s, s:s*}", "vm", t->options.vm, "name", t->name[0] ? t->name : NULL));
    add_shares(t, facts);
    if (!t->process)
        return;
    json_object_set_new(facts, "pid", json_integer(vt_hypervisor_pid(t->process)));
    if (t->address[0] && t->options.user)
        json_object_set_new(facts, "ssh",
                            json_pack("{s:s, s:i, s:s, s:s*, s:s*}", "host", t->address, "port", 22,
                                      "user", t->options.user, "key", t->options.key, "host_key",
                                      t->options.host_key));
}

#define NO_CONSOLE "tart gives a serial console to a terminal alone"
#define NO_SCREEN                                                                                  \
    "tart has no command for it; on a macOS guest, `screencapture` by exec shows the screen"
#define NO_DISKS "no disks beside the clone's own; the qemu driver has them"
#define NO_NETWORK "tart's guests are on the host's shared network; the qemu driver has others"

const struct vt_driver vt_tart_driver = {
    .name = "tart",
    .summary = "macOS and Linux guests by Tart, on Macs with Apple silicon",
    .boot_deadline = BOOT_S,
    .support =
        {
            [VT_CAP_START] = {.can = VT_YES},
            [VT_CAP_STOP] = {.can = VT_YES},
            [VT_CAP_KILL] = {.can = VT_YES},
            [VT_CAP_PAUSE] = {VT_NO, "tart can save a VM and end it, but not hold it"},
            [VT_CAP_RESET] = {.can = VT_YES},
            [VT_CAP_CONSOLE] = {VT_NO, NO_CONSOLE},
            [VT_CAP_CONSOLE_WRITE] = {VT_NO, NO_CONSOLE},
            [VT_CAP_EXEC] = {.can = VT_YES},
            [VT_CAP_FILES] = {VT_SOMETIMES, "reached by ssh"},
            [VT_CAP_SNAPSHOT] = {VT_SOMETIMES, "macOS guests, \"suspendable\", without shares"},
            [VT_CAP_COPY] = {VT_NO, "copies of a running VM have its MAC address, and tart throws "
                                    "the saved state of such a copy away"},
            [VT_CAP_SCREENSHOT] = {VT_NO, NO_SCREEN},
            [VT_CAP_KEYS] = {VT_NO, NO_SCREEN},
            [VT_CAP_VNC] = {VT_NO, NO_SCREEN},
            [VT_CAP_DISKS] = {VT_NO, NO_DISKS},
            [VT_CAP_NBD] = {VT_NO, NO_DISKS},
            [VT_CAP_RESIZE] = {VT_NO, NO_DISKS},
            [VT_CAP_HOT_DISK] = {VT_NO, "tart plugs no disk into a VM that runs"},
            [VT_CAP_SHARES] = {.can = VT_YES},
            [VT_CAP_HOT_SHARE] = {VT_NO, "tart takes shares at a VM's start alone"},
            [VT_CAP_NAT] = {.can = VT_YES},
            [VT_CAP_FORWARD] = {VT_NO, "its guests have addresses that the host reaches"},
            [VT_CAP_ISOLATED] = {VT_NO, NO_NETWORK},
            [VT_CAP_BRIDGED] = {VT_NO, NO_NETWORK},
            [VT_CAP_NO_NETWORK] = {VT_NO, NO_NETWORK},
        },
    .create = create,
    .needs = needs,
    .destroy = destroy,
    .supports = supports,
    .start = vt_tart_start,
    .stop = vt_tart_stop,
    .kill = vt_tart_kill,
    .reset = vt_tart_reset,
    .reboot = vt_tart_reboot,
    .forget = forget,
    .channel = channel,
    .snapshot = vt_tart_snapshot,
    .snapshot_check = vt_tart_snapshot_check,
    .snapshot_holds = true,
    .restore = vt_tart_restore,
    .restore_check = vt_tart_restore_check,
    .attach = vt_tart_attach,
    .info = info,
    .sweep = vt_tart_sweep,
};
