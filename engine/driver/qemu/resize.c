/* A disk made larger while its VM runs. */
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/extra.h"

#define OP "vm.resize_disk"

struct vt_qemu_resize {
    struct vt_qemu *q;
    struct vt_op *op;
    char *node;
    uint64_t size;
};

static void drop(struct vt_qemu_resize *r)
{
    r->q->resize = NULL;
    if (r->q->qmp)
        vt_monitor_forget(r->q->qmp, r);
    vt_free(r->node);
    vt_free(r);
}

static void finish(struct vt_qemu_resize *r, const struct vt_error *why)
{
    struct vt_op *op = r->op;
    drop(r);
    if (why)
        vt_op_fail(op, why);
    else
        vt_op_succeed(op, NULL);
}

static void on_resized(const json_t *result, const struct vt_error *why, void *user)
{
    (void)result;
    finish(user, why);
}

static void on_nodes(const json_t *nodes, const struct vt_error *failed, void *user)
{
    struct vt_qemu_resize *r = user;
    struct vt_qemu *q = r->q;
    struct vt_error why = VT_ERROR_INIT;
    const json_t *node = NULL;
    for (size_t i = 0; i < json_array_size(nodes); i++)
        if (!strcmp(vt_json_str(json_array_get(nodes, i), "node-name", ""), r->node))
            node = json_array_get(nodes, i);
    int64_t now = vt_json_int(json_object_get(node, "image"), "virtual-size", -1);
    if (failed)
        why = *failed;
    else if (now < 0)
        vt_fail(&why, VT_EPROTO, OP, "QEMU does not tell how large the disk is");
    else if (r->size < (uint64_t)now)
        vt_fail(&why, VT_EINVAL, OP,
                "VM %s: the disk has %lld bytes already: it can only be made larger",
                q->config->name, (long long)now);
    if (why.code)
        finish(r, &why);
    else
        vt_monitor_request(
            q->qmp, "block_resize",
            json_pack("{s:s, s:I}", "node-name", r->node, "size", (json_int_t)r->size), on_resized,
            r);
}

static const struct vt_disk *find_disk(const struct vt_qemu *q, const char *name)
{
    for (size_t i = 0; i < q->config->disk_count; i++)
        if (!strcmp(q->config->disks[i].name, name))
            return &q->config->disks[i];
    return NULL;
}

static enum vt_code check(const struct vt_qemu *q, const char *name, struct vt_error *err)
{
    const struct vt_disk *d = find_disk(q, name);
    bool own = !strcmp(name, "disk0");
    const char *vm = q->config->name;
    if (own ? !q->config->image->disk : !d)
        return vt_fail(err, VT_ENOTFOUND, OP, "VM %s has no disk \"%s\"", vm, name);
    if (!q->qmp)
        return vt_fail(err, VT_ESTATE, OP, "VM %s does not run", vm);
    if (q->resize)
        return vt_fail(err, VT_EBUSY, OP, "VM %s: another disk is being resized", vm);
    if (d && d->read_only)
        return vt_fail(err, VT_EINVAL, OP, "VM %s: disk \"%s\" is read-only", vm, name);
    if (d && d->bus == VT_DISK_NVME)
        return vt_fail(err, VT_EUNSUPPORTED, OP,
                       "VM %s: QEMU does not tell the guest of a new size of an NVMe disk (\"%s\")",
                       vm, name);
    if (d && d->url && d->direct)
        return vt_fail(err, VT_EUNSUPPORTED, OP,
                       "VM %s: the size of disk \"%s\" is its server's affair", vm, name);
    return VT_OK;
}

void vt_qemu_resize_disk(void *instance, const char *name, uint64_t size, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    struct vt_error why = VT_ERROR_INIT;
    if (check(q, name, &why)) {
        vt_op_fail(op, &why);
        return;
    }
    char node[VT_QEMU_NODE_MAX];
    if (!vt_qemu_extra_node(q, name, node))
        vt_qemu_disk_top(&q->disks[0], node);
    q->resize = vt_calloc(1, sizeof *q->resize);
    *q->resize = (struct vt_qemu_resize){.q = q, .op = op, .node = vt_strdup(node), .size = size};
    vt_monitor_request(q->qmp, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), on_nodes,
                       q->resize);
}

void vt_qemu_resize_forget(struct vt_qemu *q, const struct vt_op *op)
{
    if (q->resize && (!op || q->resize->op == op))
        drop(q->resize);
}
