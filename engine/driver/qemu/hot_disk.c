#include "driver/qemu/hot_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/extra.h"
#include "driver/qemu/slots.h"
#include "vmtest/log.h"

#define ATTACH "vm.attach_disk"
#define DETACH "vm.detach_disk"

struct hot_disk {
    struct vt_qemu *q;
    struct vt_qemu_slot *slot;
    struct vt_disk own;         /* as asked for */
    char *file;                 /* in scratch_dir: of an empty disk, or the overlay; or NULL */
    struct vt_qemu_disk layers; /* the overlay over own.path; id NULL: there is none */
    json_t *nodes;              /* BlockdevOptions, the lowest first */
    size_t added;               /* so many of them QEMU has */
    struct vt_error failed;     /* why it is taken back */
};

static struct hot_disk *of(const struct vt_qemu_slot *s)
{
    return s->own;
}

/* --- what stands behind it --- */

static void set_overlay(struct hot_disk *h, const char *id)
{
    const char *folder = h->q->config->scratch_dir;
    vt_qemu_disk_init(&h->layers, id, h->own.path, h->own.format ? h->own.format : "raw");
    h->layers.detect_zeroes = true;
    h->file = vt_qemu_disk_next(&h->layers, folder);
    vt_qemu_disk_take_up(&h->layers, folder, vt_path_base(h->file));
    h->nodes =
        json_pack("[o, o]", vt_qemu_disk_base(&h->layers), vt_qemu_disk_layer(&h->layers, 0));
}

/* The names of its file and nodes; makes nothing. */
static void take(struct vt_qemu *q, struct vt_qemu_slot *s, const struct vt_disk *disk)
{
    struct hot_disk *h = vt_calloc(1, sizeof *h);
    char id[VT_QEMU_SLOT_ID_MAX], name[VT_QEMU_SLOT_ID_MAX];
    h->q = q;
    h->slot = s;
    h->own = (struct vt_disk){.name = s->name,
                              .bus = VT_DISK_VIRTIO,
                              .size = disk->size,
                              .path = vt_strdup(disk->path),
                              .format = vt_strdup(disk->format),
                              .read_only = disk->read_only,
                              .direct = disk->direct};
    s->own = h;
    vt_qemu_slot_id(vt_qemu_slot_index(q, s), "", id);
    if (disk->path && !disk->direct && !disk->read_only) {
        set_overlay(h, id);
        return;
    }
    struct vt_disk node = h->own;
    vt_qemu_slot_id(vt_qemu_slot_index(q, s), "-new", name);
    if (disk->size)
        node.path = h->file = vt_path_join(q->config->scratch_dir, name);
    h->nodes = json_pack("[o]", vt_qemu_extra_blockdev(&node, name));
}

static void release(struct vt_qemu_slot *s, bool gone)
{
    struct hot_disk *h = s->own;
    if (h->q->qmp)
        vt_monitor_forget(h->q->qmp, h);
    if (gone && h->file)
        unlink(h->file);
    vt_qemu_disk_clear(&h->layers);
    vt_free_const(h->own.path);
    vt_free_const(h->own.format);
    vt_free(h->file);
    json_decref(h->nodes);
    vt_free(h);
}

static enum vt_code make_empty(const char *path, uint64_t size, struct vt_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum vt_code code = VT_OK;
    if (fd < 0 || ftruncate(fd, (off_t)size))
        code = vt_fail_sys(err, errno, ATTACH, "cannot make the disk %s", path);
    if (fd >= 0)
        close(fd);
    return code;
}

static enum vt_code make(struct hot_disk *h, struct vt_error *err)
{
    if (!h->file)
        return VT_OK;
    unlink(h->file); /* of a process that was killed */
    return h->own.size ? make_empty(h->file, h->own.size, err)
                       : vt_qemu_disk_make_layer(&h->layers, 0, err);
}

/* --- out of QEMU --- */

static const char *top_node(const struct hot_disk *h)
{
    return vt_json_str(json_array_get(h->nodes, h->added - 1), "node-name", "");
}

static void remove_nodes(struct hot_disk *h);

static void on_removed(const json_t *result, const struct vt_error *why, void *user)
{
    struct hot_disk *h = user;
    (void)result;
    if (why)
        vt_log(VT_LOG_WARNING, "VM %s: the disk \"%s\" was taken out, but not its node: %s",
               h->q->config->name, h->own.name, why->message);
    h->added--;
    remove_nodes(h);
}

/* A device that is deleted has let go of its node: QEMU tells so last of all. */
static void remove_nodes(struct hot_disk *h)
{
    if (h->added)
        vt_monitor_request(h->q->qmp, "blockdev-del", json_pack("{s:s}", "node-name", top_node(h)),
                           on_removed, h);
    else
        vt_qemu_slot_cleared(h->q, h->slot);
}

static void deleted(struct vt_qemu *q, struct vt_qemu_slot *s)
{
    (void)q;
    remove_nodes(of(s));
}

static const struct vt_qemu_plug disk_plug = {
    .what = "disk",
    .plug_op = ATTACH,
    .unplug_op = DETACH,
    .make_room = "take one out (vm:detach_disk, vm:unshare), or name it in the VM's configuration",
    .deleted = deleted,
    .release = release,
};

/* --- into QEMU --- */

static void take_back(struct vt_qemu *q, struct hot_disk *h);

static void on_taken_back(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    struct hot_disk *h = of(vt_qemu_slot_replied(q));
    (void)result;
    (void)why;
    h->added--;
    take_back(q, h);
}

/* Those it has already go, too; no device has used them. */
static void take_back(struct vt_qemu *q, struct hot_disk *h)
{
    struct vt_error failed = h->failed;
    if (h->added)
        vt_qemu_slot_ask(q, "blockdev-del", json_pack("{s:s}", "node-name", top_node(h)),
                         on_taken_back);
    else
        vt_qemu_slot_plugged(q, &failed);
}

static void give_up(struct vt_qemu *q, struct hot_disk *h, const struct vt_error *why)
{
    h->failed = *why;
    take_back(q, h);
}

static void on_device(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    struct hot_disk *h = of(vt_qemu_slot_replied(q));
    (void)result;
    if (why)
        give_up(q, h, why);
    else
        vt_qemu_slot_plugged(q, NULL);
}

static void add_device(struct vt_qemu *q, const struct hot_disk *h)
{
    size_t i = vt_qemu_slot_index(q, h->slot);
    char id[VT_QEMU_SLOT_ID_MAX], port[VT_QEMU_SLOT_ID_MAX];
    vt_qemu_slot_id(i, "", id);
    vt_qemu_slot_id(i, "-port", port);
    vt_qemu_slot_ask(q, "device_add",
                     json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "virtio-blk-pci", "id", id,
                               "drive", top_node(h), "serial", h->own.name, "bus", port),
                     on_device);
}

static void add_node(struct vt_qemu *q, const struct hot_disk *h);

static void on_node(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    struct hot_disk *h = of(vt_qemu_slot_replied(q));
    (void)result;
    if (why) {
        give_up(q, h, why);
        return;
    }
    h->added++;
    if (h->added < json_array_size(h->nodes))
        add_node(q, h);
    else
        add_device(q, h);
}

static void add_node(struct vt_qemu *q, const struct hot_disk *h)
{
    vt_qemu_slot_ask(q, "blockdev-add", json_deep_copy(json_array_get(h->nodes, h->added)),
                     on_node);
}

void vt_qemu_attach_disk(void *instance, const struct vt_disk *disk, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    struct vt_error why = VT_ERROR_INIT;
    struct vt_qemu_slot *s = NULL;
    if (!disk->path || !vt_vm_disk_file_check(q->config, disk, ATTACH, &why))
        s = vt_qemu_slot_begin(q, &disk_plug, disk->name, op, &why);
    if (!s) {
        vt_op_fail(op, &why);
        return;
    }
    take(q, s, disk);
    if (make(of(s), &why))
        vt_qemu_slot_plugged(q, &why);
    else
        add_node(q, of(s));
}

void vt_qemu_detach_disk(void *instance, const char *name, struct vt_op *op)
{
    vt_qemu_slot_unplug(instance, &disk_plug, name, op);
}

/* --- facts --- */

void vt_qemu_hot_disks_info(const struct vt_qemu *q, json_t *facts)
{
    json_t *list = json_object_get(facts, "disks");
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++) {
        const struct vt_qemu_slot *s = vt_qemu_slot(q, i);
        if (s->plug != &disk_plug)
            continue;
        const struct vt_disk *d = &of(s)->own;
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:b, s:b, s:i, s:s*, s:s*, s:I}", "name",
                                        d->name, "bus", "virtio", "read_only", (int)d->read_only,
                                        "direct", (int)d->direct, "slot", (int)i, "path", d->path,
                                        "format", d->format, "size", (json_int_t)d->size));
    }
}

void vt_qemu_hot_disks_restore(struct vt_qemu *q, const json_t *facts)
{
    const json_t *list = json_object_get(facts, "disks");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const struct vt_disk disk = {.size = (uint64_t)vt_json_int(entry, "size", 0),
                                     .path = vt_json_str(entry, "path", NULL),
                                     .format = vt_json_str(entry, "format", NULL),
                                     .read_only = vt_json_bool(entry, "read_only", false),
                                     .direct = vt_json_bool(entry, "direct", false)};
        struct vt_qemu_slot *s = vt_qemu_slot_take_up(q, &disk_plug, entry);
        if (!s)
            continue;
        take(q, s, &disk);
        of(s)->added = json_array_size(of(s)->nodes);
    }
}
