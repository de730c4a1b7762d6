/* Isolated networks, inside the guests: each interface has the address that vmtest gave it, and
 * /etc/hosts names every VM of its networks. Done whenever a guest answers anew; the other guests
 * of this process that run then learn of it as well. */
#include <stdio.h>
#include <string.h>

#include "core/args.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "net/member.h"
#include "vm/internal.h"
#include "vmtest/log.h"

#define OP "vm.network"
#define SETUP_S 30.0 /* scaled */

/* Arguments: INTERFACE MAC ADDRESS PREFIX for each, by its place among the virtio interfaces on
 * PCI; then "hosts" and ADDRESS NAME for each VM. A guest restored from another VM's snapshot still
 * has that VM's MAC addresses. */
static const char script[] =
    "fail() { echo \"$*\" >&2; exit 1; }\n"
    "interface() {\n"
    "    i=0\n"
    "    for d in /sys/bus/pci/devices/*/virtio*/net/*; do\n"
    "        [ -e \"$d\" ] && [ \"$i\" = \"$1\" ] && echo \"${d##*/}\" && return 0\n"
    "        i=$((i + 1))\n"
    "    done\n"
    "    return 1\n"
    "}\n"
    "by_ip() {\n"
    "    if [ \"$(cat \"/sys/class/net/$d/address\")\" != \"$1\" ]; then\n"
    "        ip link set dev \"$d\" down && ip link set dev \"$d\" address \"$1\" || return 1\n"
    "    fi\n"
    "    ip addr flush dev \"$d\" && ip addr add \"$2/$3\" dev \"$d\" && ip link set dev \"$d\" "
    "up\n"
    "}\n"
    "by_ifconfig() {\n"
    "    ifconfig \"$d\" down; ifconfig \"$d\" hw ether \"$1\"\n"
    "    ifconfig \"$d\" \"$2\" netmask 255.255.255.0 up\n"
    "}\n"
    "while [ $# -gt 0 ] && [ \"$1\" != hosts ]; do\n"
    "    d=$(interface \"$1\") || fail \"the guest has no interface $1\"\n"
    "    if command -v ip >/dev/null 2>&1; then by_ip \"$2\" \"$3\" \"$4\"\n"
    "    elif command -v ifconfig >/dev/null 2>&1; then by_ifconfig \"$2\" \"$3\"\n"
    "    else fail 'the guest has neither ip nor ifconfig'; fi || fail \"$d cannot be set up\"\n"
    "    shift 4\n"
    "done\n"
    "shift\n"
    "new=/etc/hosts.vmtest.$$\n"
    "{\n"
    "    grep -v ' # vmtest$' /etc/hosts 2>/dev/null\n"
    "    while [ $# -gt 1 ]; do echo \"$1 $2 # vmtest\"; shift 2; done\n"
    "} >\"$new\" && cat \"$new\" >/etc/hosts && rm -f \"$new\" || fail '/etc/hosts stays as it "
    "is'\n";

static const char *const as_root =
    "if [ \"$(id -u)\" = 0 ]; then exec sh -s \"$@\"; else exec sudo -n sh -s \"$@\"; fi";

static struct vt_vm *networked; /* the VMs of this process with isolated networks */

static bool is_isolated(const struct vt_vm *vm, size_t i)
{
    return vm->config.nics[i].kind == VT_NIC_ISOLATED;
}

static bool has_isolated(const struct vt_vm *vm)
{
    size_t i = 0;
    while (i < vm->config.nic_count && !is_isolated(vm, i))
        i++;
    return i < vm->config.nic_count && vm->config.state_dir;
}

void vt__vm_network_add(struct vt_vm *vm)
{
    if (!has_isolated(vm))
        return;
    vm->next_networked = networked;
    networked = vm;
}

void vt__vm_network_remove(struct vt_vm *vm)
{
    for (struct vt_vm **at = &networked; *at; at = &(*at)->next_networked) {
        if (*at == vm) {
            *at = vm->next_networked;
            return;
        }
    }
}

/* Another VM of this process, in the same run, that is on one of vm's networks. */
static bool shares_network(const struct vt_vm *vm, const struct vt_vm *other)
{
    char *a = vt_path_dir(vm->config.state_dir), *b = vt_path_dir(other->config.state_dir);
    bool yes = false;
    for (size_t i = 0; !strcmp(a, b) && i < vm->config.nic_count; i++)
        for (size_t k = 0; is_isolated(vm, i) && k < other->config.nic_count; k++)
            yes |= is_isolated(other, k) &&
                   !strcmp(vm->config.nics[i].network, other->config.nics[k].network);
    vt_free(a);
    vt_free(b);
    return yes;
}

/* --- what is to be told --- */

static void add_hosts(const struct vt_vm *vm, const char *run_dir, size_t i, struct vt_args *args)
{
    struct vt_net_member *members;
    size_t count;
    struct vt_error why = VT_ERROR_INIT;
    if (vt_net_members(run_dir, vm->config.nics[i].network, &members, &count, &why))
        vt_log(VT_LOG_WARNING, "VM %s: %s", vm->config.name, why.message);
    for (size_t k = 0; k < count; k++) {
        vt_args_add(args, members[k].address);
        vt_args_add(args, members[k].vm);
    }
    vt_net_members_free(members, count);
}

static void add_interfaces(const struct vt_vm *vm, struct vt_args *args)
{
    json_t *facts = vt_vm_info(vm);
    const json_t *nics = json_object_get(facts, "nics");
    for (size_t i = 0; i < vm->config.nic_count; i++) {
        const json_t *nic = json_array_get(nics, i);
        const char *address = vt_json_str(nic, "address", NULL);
        if (!is_isolated(vm, i) || !address)
            continue;
        vt_args_printf(args, "%zu", i);
        vt_args_add(args, vt_json_str(nic, "mac", ""));
        vt_args_add(args, address);
        vt_args_printf(args, "%d", VT_NET_PREFIX);
    }
    json_decref(facts);
}

static void build(const struct vt_vm *vm, bool interfaces, struct vt_args *args)
{
    char *run_dir = vt_path_dir(vm->config.state_dir);
    static const char *const words[] = {"sh", "-c", NULL, "sh"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        vt_args_add(args, words[i] ? words[i] : as_root);
    if (interfaces)
        add_interfaces(vm, args);
    vt_args_add(args, "hosts");
    for (size_t i = 0; i < vm->config.nic_count; i++)
        if (is_isolated(vm, i))
            add_hosts(vm, run_dir, i, args);
    vt_free(run_dir);
}

/* --- telling it --- */

struct network_op {
    struct vm_op base;
    struct vt_vm *at; /* whose guest is being told */
};

static void network_abort(struct vt_op *op, struct vt_error *why)
{
    struct vm_op *self = (struct vm_op *)(void *)op;
    vt__vm_op_forget_inner(self);
    if (why->code == VT_ETIMEDOUT)
        vt_error_append(why, ": VM %s: its isolated networks were not set up",
                        self->vm->config.name);
}

static void network_ended(struct vm_op *self)
{
    vt__vm_op_forget_inner(self);
    vt_op_fail(&self->op, &self->vm->end);
}

static const struct vt_op_class network_class = {
    .name = OP, .abort = network_abort, .free = vt__vm_op_detach};

static void on_told(struct vt_op *inner, void *user);

static enum vt_code tell(struct network_op *self, struct vt_vm *vm, struct vt_error *err)
{
    struct vt_args args = VT_ARGS_INIT;
    struct vt_channel *ch = vt__vm_channel(vm, err);
    self->at = vm;
    if (!ch)
        return err->code;
    build(vm, vm == self->base.vm, &args);
    const struct vt_exec_opts opts = {.argv = vt_args_argv(&args),
                                      .input = script,
                                      .input_size = sizeof script - 1,
                                      .timeout = SETUP_S * vt_vm_time_scale(vm)};
    self->base.inner = ch->cls->exec(ch, &opts, on_told, self, err);
    vt_args_free(&args);
    return self->base.inner ? VT_OK : err->code;
}

/* The next one that can be told; those that cannot are told when they answer anew. */
static void tell_others(struct network_op *self, struct vt_vm *from)
{
    struct vt_vm *own = self->base.vm;
    for (struct vt_vm *vm = from; vm; vm = vm->next_networked) {
        struct vt_error why = VT_ERROR_INIT;
        if (vm == own || vm->loop != own->loop || vm->state != VT_VM_RUNNING || !vm->channel ||
            !vm->channel->cls->connected(vm->channel) || !shares_network(own, vm))
            continue;
        if (!tell(self, vm, &why))
            return;
        vt_log(VT_LOG_WARNING, "VM %s does not learn of VM %s: %s", vm->config.name,
               own->config.name, why.message);
    }
    vt_op_succeed(&self->base.op, NULL);
}

static struct vt_vm *still_there(const struct vt_vm *wanted)
{
    struct vt_vm *vm = networked;
    while (vm && vm != wanted)
        vm = vm->next_networked;
    return vm;
}

static void on_told(struct vt_op *inner, void *user)
{
    struct network_op *self = user;
    struct vt_vm *own = self->base.vm, *told = still_there(self->at);
    const struct vt_exec_result *r = vt_op_result(inner);
    struct vt_error why = VT_ERROR_INIT;
    self->base.inner = NULL;
    if (vt_op_error(inner))
        why = *vt_op_error(inner);
    else if (r->status)
        vt_fail(&why, VT_EGUEST, OP, "VM %s: its isolated networks cannot be set up: %.300s",
                self->at == own ? own->config.name : "beside it", r->err);
    if (why.code && self->at == own) {
        vt_hint(&why, "the guest's user is to be root, or may sudo without a password");
        vt_op_fail(&self->base.op, &why);
        return;
    }
    if (why.code)
        vt_log(VT_LOG_WARNING, "another VM does not learn of VM %s: %s", own->config.name,
               why.message);
    tell_others(self, self->at == own || !told ? networked : told->next_networked);
}

struct vt_op *vt__vm_network_setup(struct vt_vm *vm, vt_op_fn done, void *user)
{
    if (!has_isolated(vm))
        return NULL;
    const struct vt_image *image = vm->config.image;
    if (image && image->os && strcmp(image->os, "linux") != 0) {
        vt_log(VT_LOG_WARNING,
               "VM %s: vmtest cannot set up the interfaces of a guest that runs %s: give them the "
               "addresses in its facts yourself",
               vm->config.name, image->os);
        return NULL;
    }
    double s = 2 * SETUP_S * vt_vm_time_scale(vm);
    struct vm_op *base =
        vt__vm_op_new(vm, sizeof(struct network_op), &network_class, s, done, user);
    struct vt_error why = VT_ERROR_INIT;
    base->ended = network_ended;
    if (tell((struct network_op *)(void *)base, vm, &why))
        vt_op_fail(&base->op, &why);
    return &base->op;
}
