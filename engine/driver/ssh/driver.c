#include <string.h>

#include "core/mem.h"
#include "driver/ssh/instance.h"
#include "driver/ssh/ssh_driver.h"
#include "guest/password.h"
#include "guest/ssh.h"

#define CONNECT_S 50.0 /* within vm's own deadline, so that what was wrong is told */
#define BOOT_S 300.0   /* a machine takes longer than a VM */

/* --- configuration --- */

static enum vt_code check_config(const struct vt_vm_config *c, struct vt_error *err)
{
    const struct {
        const char *what;
        bool given;
    } not_ours[] = {
        {"memory", c->memory != 0},
        {"cpus", c->cpus > 1},
        {"image", c->image != NULL},
    };
    for (size_t i = 0; i < sizeof not_ours / sizeof *not_ours; i++)
        if (not_ours[i].given) {
            vt_fail(err, VT_EUNSUPPORTED, "vm.new",
                    "VM %s: \"%s\" cannot be chosen for a machine that exists already", c->name,
                    not_ours[i].what);
            vt_hint(err, "leave it out, or use the qemu driver");
            return VT_EUNSUPPORTED;
        }
    if (c->channel && strcmp(c->channel, "ssh") != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "vm.new",
                       "VM %s: this machine is reached by \"ssh\" alone, not by \"%s\"", c->name,
                       c->channel);
    if (c->ssh)
        return VT_OK;
    vt_fail(err, VT_EINVAL, "vm.new", "VM %s: the ssh driver needs to know its machine", c->name);
    vt_hint(err, "ssh = {host = \"mac1.example\", user = \"admin\", key = \"/path/to/key\", "
                 "host_key = \"ssh-ed25519 AAAA...\"}");
    return VT_EINVAL;
}

static void free_machine(struct vt_ssh_machine *m)
{
    vt_ssh_options_clear(&m->options);
    vt_free(m->slot);
    vt_free(m->seen_key);
    vt_free(m);
}

static enum vt_code create(struct vt_vm *vm, const struct vt_vm_config *config, void **instance,
                           struct vt_error *err)
{
    enum vt_code code = check_config(config, err);
    if (code)
        return code;
    struct vt_ssh_machine *m = vt_calloc(1, sizeof *m);
    m->vm = vm;
    m->name = config->name;
    m->loop = vt_vm_loop(vm);
    code = vt_ssh_options_read(config->ssh, config->name, &m->options, err);
    if (code) {
        free_machine(m);
        return code;
    }
    struct vt_buf slot = VT_BUF_INIT;
    vt_buf_printf(&slot, "the machine %s:%d", m->options.host, m->options.port);
    m->slot = vt_buf_steal(&slot);
    *instance = m;
    return VT_OK;
}

/* Two suites would disturb one another. */
static void needs(void *instance, struct vt_needs *out)
{
    const struct vt_ssh_machine *m = instance;
    out->slot = m->slot;
    out->slot_count = 1;
}

/* --- connecting --- */

struct vt_channel *vt_ssh_machine_channel(struct vt_ssh_machine *m, struct vt_error *err)
{
    const struct vt_ssh_options *o = &m->options;
    char *password = NULL;
    if (o->password_file && vt_password_read(o->password_file, &password, err))
        return NULL;
    const struct vt_ssh_config config = {
        .host = o->host,
        .port = o->port,
        .user = o->user,
        .key_file = o->key,
        .password = password,
        .agent = o->agent,
        .host_key = o->host_key ? o->host_key : m->seen_key,
        .known_only = !o->accept_new,
    };
    struct vt_channel *ch = vt_ssh_new(m->loop, &config, err);
    vt_password_free(password);
    return ch;
}

static void drop_ready(struct vt_ssh_machine *m)
{
    if (m->inner)
        vt_op_forget(m->inner);
    m->inner = NULL;
    if (m->ready)
        m->ready->cls->free(m->ready);
    m->ready = NULL;
}

static void on_connected(struct vt_op *inner, void *user)
{
    struct vt_ssh_machine *m = user;
    const struct vt_error *why = vt_op_error(inner);
    struct vt_op *op = m->start_op;
    m->inner = NULL;
    m->start_op = NULL;
    if (why) {
        vt_op_fail(op, why);
        drop_ready(m);
        return;
    }
    vt_free(m->seen_key);
    m->seen_key = vt_strdup(vt_ssh_host_key(m->ready));
    vt_op_succeed(op, NULL);
}

static void start(void *instance, struct vt_op *op)
{
    struct vt_ssh_machine *m = instance;
    struct vt_error why = VT_ERROR_INIT;
    drop_ready(m);
    m->start_op = op;
    m->ready = vt_ssh_machine_channel(m, &why);
    if (m->ready)
        m->inner = m->ready->cls->connect(m->ready, CONNECT_S, on_connected, m, &why);
    if (m->inner)
        return;
    m->start_op = NULL;
    drop_ready(m);
    vt_op_fail(op, &why);
}

/* A start that is given up: there is nothing but the connection to end. */
static void give_up(void *instance, struct vt_op *op)
{
    drop_ready(instance);
    vt_op_succeed(op, NULL);
}

static void forget(void *instance, struct vt_op *op)
{
    struct vt_ssh_machine *m = instance;
    if (op == m->start_op) {
        m->start_op = NULL;
        drop_ready(m);
    }
    if (op == m->restart.op) {
        m->restart.op = NULL;
        vt_ssh_restart_end(m);
    }
}

static struct vt_channel *channel(void *instance, const char *kind, struct vt_error *err)
{
    struct vt_ssh_machine *m = instance;
    struct vt_channel *ch = m->ready;
    (void)kind; /* there is one */
    m->ready = NULL;
    return ch ? ch : vt_ssh_machine_channel(m, err);
}

static void destroy(void *instance, bool leave_running)
{
    struct vt_ssh_machine *m = instance;
    (void)leave_running; /* it always is */
    vt_ssh_restart_end(m);
    drop_ready(m);
    free_machine(m);
}

static void info(void *instance, json_t *facts)
{
    const struct vt_ssh_machine *m = instance;
    json_object_set_new(facts, "hypervisor", json_string("none: an existing machine"));
    json_t *ssh =
        json_pack("{s:s, s:i, s:s, s:s*, s:s*}", "host", m->options.host, "port", m->options.port,
                  "user", m->options.user, "key", m->options.key, "host_key", m->seen_key);
    json_object_set_new(facts, "ssh", ssh);
}

#define NOT_OURS                                                                                   \
    "the machine is not vmtest's to power off; a suite can run its own shutdown command"
#define ONE_WAY "the machine exists already and cannot be put back; a VM can (qemu)"
#define NO_SCREEN "only a shell is reached; on a Mac, `screencapture` by exec shows its screen"
#define NO_NETWORK "its networks are its own"

const struct vt_driver vt_ssh_driver = {
    .name = "ssh",
    .summary = "an existing machine, reached by ssh",
    .boot_deadline = BOOT_S,
    .support =
        {
            [VT_CAP_START] = {.can = VT_YES},
            [VT_CAP_STOP] = {VT_NO, NOT_OURS},
            [VT_CAP_KILL] = {VT_NO, NOT_OURS},
            [VT_CAP_PAUSE] = {VT_NO, "a machine cannot be paused; a VM can (qemu)"},
            [VT_CAP_RESET] = {VT_NO, "nothing reaches its power switch; with \"reboot\" "
                                     "configured, vm:reboot() restarts it cleanly"},
            [VT_CAP_CONSOLE] = {VT_NO, "its serial console is not connected"},
            [VT_CAP_CONSOLE_WRITE] = {VT_NO, "its serial console is not connected"},
            [VT_CAP_EXEC] = {.can = VT_YES},
            [VT_CAP_FILES] = {.can = VT_YES},
            [VT_CAP_SNAPSHOT] = {VT_NO, ONE_WAY},
            [VT_CAP_COPY] = {VT_NO, ONE_WAY},
            [VT_CAP_SCREENSHOT] = {VT_NO, NO_SCREEN},
            [VT_CAP_KEYS] = {VT_NO, NO_SCREEN},
            [VT_CAP_VNC] = {VT_NO, NO_SCREEN},
            [VT_CAP_DISKS] = {VT_NO, "its disks are its own"},
            [VT_CAP_NBD] = {VT_NO, "its disks are its own"},
            [VT_CAP_RESIZE] = {VT_NO, "its disks are its own"},
            [VT_CAP_HOT_DISK] = {VT_NO, "its disks are its own"},
            [VT_CAP_SHARES] = {VT_NO, "no folder is shared by ssh; vm:put() and vm:get() copy"},
            [VT_CAP_HOT_SHARE] = {VT_NO, "no folder is shared by ssh; vm:put() and vm:get() copy"},
            [VT_CAP_NAT] = {VT_NO, NO_NETWORK},
            [VT_CAP_FORWARD] = {VT_NO, NO_NETWORK},
            [VT_CAP_ISOLATED] = {VT_NO, NO_NETWORK},
            [VT_CAP_BRIDGED] = {VT_NO, NO_NETWORK},
            [VT_CAP_NO_NETWORK] = {VT_NO, "it is reached by its network"},
        },
    .create = create,
    .needs = needs,
    .destroy = destroy,
    .start = start,
    .kill = give_up,
    .reboot = vt_ssh_machine_reboot,
    .forget = forget,
    .channel = channel,
    .info = info,
};
