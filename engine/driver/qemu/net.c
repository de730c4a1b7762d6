#include "driver/qemu/net.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "driver/qemu/argv.h"
#include "net/member.h"

#define CONNECT_S 60.0

static const struct vt_nic nat = {.kind = VT_NIC_NAT};

/* FNV-1a, folded to the three bytes that are free: vmtest's VMs differ by their folder. */
void vt_qemu_mac(const char *folder, size_t index, char out[18])
{
    uint64_t hash = 14695981039346656037u;
    for (const char *c = folder; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    hash = (hash ^ (index + 1)) * 1099511628211u;
    hash ^= hash >> 48 ^ hash >> 24;
    snprintf(out, 18, "52:54:00:%02x:%02x:%02x", (unsigned)(hash >> 16 & 255),
             (unsigned)(hash >> 8 & 255), (unsigned)(hash & 255));
}

void vt_qemu_net_init(struct vt_qemu *q)
{
    const struct vt_vm_config *c = q->config;
    q->nic_count = c->nics ? c->nic_count : 1;
    q->nics = vt_calloc(q->nic_count + 1, sizeof *q->nics);
    for (size_t i = 0; i < q->nic_count; i++) {
        struct vt_qemu_nic *nic = &q->nics[i];
        nic->config = c->nics ? &c->nics[i] : &nat;
        nic->fd = -1;
        if (nic->config->mac)
            snprintf(nic->mac, sizeof nic->mac, "%s", nic->config->mac);
        else
            vt_qemu_mac(c->scratch_dir, i, nic->mac);
    }
}

int vt_qemu_first_nat(const struct vt_qemu *q)
{
    for (size_t i = 0; i < q->nic_count; i++)
        if (q->nics[i].config->kind == VT_NIC_NAT)
            return (int)i;
    return -1;
}

/* --- joining --- */

static void next_nic(struct vt_qemu *q);

static void on_connected(struct vt_op *inner, void *user)
{
    struct vt_qemu *q = user;
    struct vt_error why = VT_ERROR_INIT;
    q->inner = NULL;
    if (vt_op_error(inner)) {
        why = *vt_op_error(inner);
        q->step_done(q, &why);
        return;
    }
    q->nics[q->nic_at++].fd = *(int *)vt_op_result(inner);
    next_nic(q);
}

static enum vt_code join(struct vt_qemu *q, struct vt_qemu_nic *nic, struct vt_error *err)
{
    char *run_dir = vt_path_dir(q->config->state_dir);
    const struct vt_net_place place = {.run_dir = run_dir,
                                       .network = nic->config->network,
                                       .vm = q->config->name,
                                       .nic = (int)q->nic_at};
    enum vt_code code = vt_net_join(&place, nic->address, err);
    if (!code) {
        q->inner =
            vt_net_connect(q->loop, run_dir, nic->config->network, CONNECT_S, on_connected, q, err);
        code = q->inner ? VT_OK : err->code;
    }
    vt_free(run_dir);
    return code;
}

static void next_nic(struct vt_qemu *q)
{
    struct vt_error why = VT_ERROR_INIT;
    for (; !why.code && q->nic_at < q->nic_count; q->nic_at++) {
        struct vt_qemu_nic *nic = &q->nics[q->nic_at];
        if (nic->config->kind == VT_NIC_BRIDGED)
            vt_qemu_bridge(nic->config->network, &nic->fd, &nic->helper, &why);
        else if (nic->config->kind == VT_NIC_ISOLATED && !join(q, nic, &why))
            return;
    }
    q->step_done(q, &why);
}

void vt_qemu_net_prepare(struct vt_qemu *q, vt_qemu_step_fn done)
{
    vt_qemu_net_close(q);
    q->step_done = done;
    q->nic_at = 0;
    next_nic(q);
}

void vt_qemu_net_fds(struct vt_qemu *q, int *fds, size_t *count)
{
    for (size_t i = 0; i < q->nic_count; i++) {
        if (q->nics[i].fd < 0)
            continue;
        q->nics[i].number = VT_QEMU_FD_FIRST + (int)*count;
        fds[(*count)++] = q->nics[i].fd;
    }
}

void vt_qemu_net_close(struct vt_qemu *q)
{
    for (size_t i = 0; i < q->nic_count; i++) {
        if (q->nics[i].fd >= 0)
            close(q->nics[i].fd);
        q->nics[i].fd = -1;
        q->nics[i].helper = NULL;
    }
}

/* --- the command line --- */

static void add_backend(struct vt_args *args, const struct vt_qemu_nic *nic, size_t i, bool dry)
{
    struct vt_buf value = VT_BUF_INIT;
    if (dry || nic->config->kind == VT_NIC_NAT) {
        vt_buf_printf(&value, "user,id=net%zu", i);
    } else if (nic->config->kind == VT_NIC_ISOLATED) {
        vt_buf_printf(&value, "socket,id=net%zu,fd=%d", i, nic->number);
    } else if (nic->helper) {
        vt_buf_printf(&value, "bridge,id=net%zu,br=%s,helper=", i, nic->config->network);
        vt_qemu_escape(&value, nic->helper);
    } else {
        vt_buf_printf(&value, "tap,id=net%zu,fd=%d", i, nic->number);
    }
    vt_qemu_option(args, "-netdev", value.data);
    vt_buf_free(&value);
}

void vt_qemu_argv_net(struct vt_args *args, const struct vt_qemu_machine *m)
{
    for (size_t i = 0; i < m->nic_count; i++) {
        add_backend(args, &m->nics[i], i, m->dry);
        vt_args_add(args, "-device");
        vt_args_printf(args, "virtio-net-pci,netdev=net%zu,mac=%s,romfile=", i, m->nics[i].mac);
    }
}

void vt_qemu_net_info(const struct vt_qemu *q, json_t *facts)
{
    static const char *const kinds[] = {
        [VT_NIC_NAT] = "nat", [VT_NIC_ISOLATED] = "isolated", [VT_NIC_BRIDGED] = "bridged"};
    json_t *list = json_array();
    for (size_t i = 0; i < q->nic_count; i++) {
        const struct vt_qemu_nic *nic = &q->nics[i];
        json_t *one = json_pack("{s:s, s:s}", "kind", kinds[nic->config->kind], "mac", nic->mac);
        if (nic->config->network)
            json_object_set_new(one, "network", json_string(nic->config->network));
        if (*nic->address)
            json_object_set_new(one, "address", json_string(nic->address));
        json_array_append_new(list, one);
    }
    json_object_set_new(facts, "nics", list);
}
