#include "driver/vz/hot_disk.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "driver/vz/disks.h"
#include "driver/vz/features.h"
#include "vmtest/log.h"

#define ATTACH "vm.attach_disk"
#define DETACH "vm.detach_disk"
#define FOLDER "plugged"
#define NAMES_MAX 16 /* that the nearest one is looked for in */

struct vt_vz_hot_disk {
    struct vt_vz *vz;
    struct vt_vz_hot_disk *next;
    struct vt_disk own; /* as asked for */
    char *file;         /* the VM's own; NULL: own.path itself */
    bool plugged;       /* the helper said so */
    struct vt_op *op;   /* under way, or NULL */
    struct vt_op *copy; /* the part of it that makes the file */
};

typedef struct vt_vz_hot_disk hot_disk;

static hot_disk *find(const struct vt_vz *vz, const char *name)
{
    hot_disk *h = vz->hot_disks;
    while (h && strcmp(h->own.name, name) != 0)
        h = h->next;
    return h;
}

static hot_disk *add(struct vt_vz *vz, const struct vt_disk *disk)
{
    hot_disk *h = vt_calloc(1, sizeof *h);
    h->vz = vz;
    h->own = (struct vt_disk){.name = vt_strdup(disk->name),
                              .bus = VT_DISK_USB,
                              .size = disk->size,
                              .path = vt_strdup(disk->path),
                              .format = vt_strdup(disk->format),
                              .read_only = disk->read_only,
                              .direct = disk->direct};
    if (vt_vz_disk_is_copied(&h->own)) {
        char *folder = vt_path_join(vz->config->scratch_dir, FOLDER);
        char *name = vt_vz_disk_file(&h->own);
        h->file = vt_path_join(folder, name);
        vt_free(name);
        vt_free(folder);
    }
    h->next = vz->hot_disks;
    vz->hot_disks = h;
    return h;
}

static void drop(hot_disk *h, bool gone)
{
    hot_disk **at = &h->vz->hot_disks;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    if (h->copy)
        vt_op_forget(h->copy);
    if (h->vz->client)
        vt_monitor_forget(h->vz->client, h);
    if (gone && h->file)
        unlink(h->file);
    vt_free_const(h->own.name);
    vt_free_const(h->own.path);
    vt_free_const(h->own.format);
    vt_free(h->file);
    vt_free(h);
}

static void finish(struct vt_vz *vz, struct vt_op *op, const struct vt_error *why)
{
    vt_vm_changed(vz->vm);
    if (op && why)
        vt_op_fail(op, why);
    else if (op)
        vt_op_succeed(op, NULL);
}

/* --- in --- */

static void fail(hot_disk *h, const struct vt_error *why)
{
    struct vt_vz *vz = h->vz;
    struct vt_op *op = h->op;
    struct vt_error own = *why;
    drop(h, true);
    finish(vz, op, &own);
}

static void on_attached(const json_t *reply, const struct vt_error *why, void *user)
{
    hot_disk *h = user;
    struct vt_op *op = h->op;
    (void)reply;
    if (why) {
        fail(h, why);
        return;
    }
    h->op = NULL;
    h->plugged = true;
    finish(h->vz, op, NULL);
}

static void plug(hot_disk *h, vt_monitor_reply_fn done)
{
    vt_monitor_request(h->vz->client, "attach_usb",
                       json_pack("{s:s, s:s, s:b}", "name", h->own.name, "path",
                                 h->file ? h->file : h->own.path, "read_only",
                                 (int)h->own.read_only),
                       done, h);
}

static void on_file(struct vt_op *inner, void *user)
{
    hot_disk *h = user;
    const struct vt_error *failed = vt_op_error(inner);
    struct vt_error why = VT_ERROR_INIT;
    h->copy = NULL;
    if (!failed) {
        plug(h, on_attached);
        return;
    }
    vt_fail(&why, failed->code, ATTACH, "VM %s: disk \"%s\": %.600s", h->vz->config->name,
            h->own.name, failed->message);
    fail(h, &why);
}

static enum vt_code make_folder(const hot_disk *h, struct vt_error *err)
{
    char *folder = vt_path_join(h->vz->config->scratch_dir, FOLDER);
    enum vt_code code = VT_OK;
    if (mkdir(folder, 0700) && errno != EEXIST)
        code = vt_fail_sys(err, errno, ATTACH, "cannot make the folder %s", folder);
    vt_free(folder);
    return code;
}

static enum vt_code check(const struct vt_vz *vz, const struct vt_disk *disk, struct vt_error *err)
{
    const char *vm = vz->config->name;
    if (!vz->client)
        return vt_fail(err, VT_ESTATE, ATTACH, "VM %s does not run", vm);
    if (vt_vz_disk_check(vz->config, disk, ATTACH, err))
        return err->code;
    if (find(vz, disk->name))
        return vt_fail(err, VT_EBUSY, ATTACH, "VM %s has a disk \"%s\" already", vm, disk->name);
    return disk->path ? vt_vm_disk_file_check(vz->config, disk, ATTACH, err) : VT_OK;
}

void vt_vz_attach_disk(void *instance, const struct vt_disk *disk, struct vt_op *op)
{
    struct vt_vz *vz = instance;
    struct vt_error why = VT_ERROR_INIT;
    if (check(vz, disk, &why)) {
        vt_op_fail(op, &why);
        return;
    }
    hot_disk *h = add(vz, disk);
    h->op = op;
    if (!h->file)
        plug(h, on_attached);
    else if (make_folder(h, &why))
        fail(h, &why);
    else
        h->copy = vt_vz_disks_make(vz, h->own.path, h->file, h->own.size, on_file, h);
}

/* --- out --- */

static void on_detached(const json_t *reply, const struct vt_error *why, void *user)
{
    hot_disk *h = user;
    struct vt_vz *vz = h->vz;
    struct vt_op *op = h->op;
    (void)reply;
    h->op = NULL;
    if (!why)
        drop(h, true);
    finish(vz, op, why);
}

static void not_found(const struct vt_vz *vz, const char *name, struct vt_error *err)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (const hot_disk *h = vz->hot_disks; h && count < NAMES_MAX; h = h->next)
        names[count++] = h->own.name;
    vt_fail(err, VT_ENOTFOUND, DETACH, "VM %s has no disk \"%s\"", vz->config->name, name);
    const char *near = vt_nearest(name, names, count);
    if (near)
        vt_hint(err, "did you mean \"%s\"?", near);
}

void vt_vz_detach_disk(void *instance, const char *name, struct vt_op *op)
{
    struct vt_vz *vz = instance;
    struct vt_error why = VT_ERROR_INIT;
    hot_disk *h = vz->client ? find(vz, name) : NULL;
    if (h && !h->op && h->plugged) {
        h->op = op;
        vt_monitor_request(vz->client, "detach_usb", json_pack("{s:s}", "name", name), on_detached,
                           h);
        return;
    }
    if (!vz->client)
        vt_fail(&why, VT_ESTATE, DETACH, "VM %s does not run", vz->config->name);
    else if (!h)
        not_found(vz, name, &why);
    else
        vt_fail(&why, VT_EBUSY, DETACH, "VM %s: the disk \"%s\" is being plugged in or taken out",
                vz->config->name, name);
    vt_op_fail(op, &why);
}

/* --- beside what was asked --- */

void vt_vz_hot_disks_forget(struct vt_vz *vz, const struct vt_op *op)
{
    for (hot_disk *next, *h = vz->hot_disks; h; h = next) {
        next = h->next;
        if (!h->op || (op && h->op != op))
            continue;
        h->op = NULL;
        if (h->copy)
            drop(h, true);
    }
}

void vt_vz_hot_disks_end(struct vt_vz *vz, bool leave_running)
{
    while (vz->hot_disks)
        drop(vz->hot_disks, !leave_running);
    if (leave_running)
        return;
    char *folder = vt_path_join(vz->config->scratch_dir, FOLDER);
    vt_remove_tree(folder, NULL); /* with what a process that was killed left there */
    vt_free(folder);
}

static void on_in_again(const json_t *reply, const struct vt_error *why, void *user)
{
    hot_disk *h = user;
    (void)reply;
    h->plugged = !why;
    if (!why)
        return;
    vt_log(VT_LOG_WARNING, "VM %s: its disk \"%s\" was lost as it restarted: %s",
           h->vz->config->name, h->own.name, why->message);
    fail(h, why);
}

static void on_out_again(const json_t *reply, const struct vt_error *why, void *user)
{
    (void)reply;
    (void)why; /* where it was not there any more, that is as well */
    plug(user, on_in_again);
}

/* Whether they are there still is not documented, so they are taken out first. */
void vt_vz_hot_disks_again(struct vt_vz *vz)
{
    for (hot_disk *h = vz->hot_disks; h; h = h->next) {
        if (!h->plugged || h->op)
            continue;
        h->plugged = false;
        vt_monitor_request(vz->client, "detach_usb", json_pack("{s:s}", "name", h->own.name),
                           on_out_again, h);
    }
}

bool vt_vz_hot_disks_block_snapshot(const struct vt_vz *vz, struct vt_error *err)
{
    if (!vz->hot_disks)
        return false;
    vt_fail(err, VT_EUNSUPPORTED, "vm.snapshot",
            "VM %s was given the disk \"%s\" while it ran: a restored VM would not have it",
            vz->config->name, vz->hot_disks->own.name);
    vt_hint(err, "take it away first (%s), and give it again afterwards", DETACH);
    return true;
}

/* --- facts --- */

void vt_vz_disks_info(const struct vt_vz *vz, json_t *facts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < vz->config->disk_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", vz->config->disks[i].name,
                                              "bus", vt_disk_bus_name(vz->config->disks[i].bus)));
    for (const hot_disk *h = vz->hot_disks; h; h = h->next) {
        const struct vt_disk *d = &h->own;
        if (h->plugged)
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:b, s:b, s:b, s:s*, s:s*, s:I}", "name", d->name,
                                "bus", vt_disk_bus_name(d->bus), "plugged", 1, "read_only",
                                (int)d->read_only, "direct", (int)d->direct, "path", d->path,
                                "format", d->format, "size", (json_int_t)d->size));
    }
    json_object_set_new(facts, "disks", list);
}

void vt_vz_hot_disks_restore(struct vt_vz *vz)
{
    char *path = vt_path_join(vz->config->state_dir, "vm.json");
    json_t *facts = NULL;
    if (vt_json_load(path, &facts, NULL))
        facts = NULL;
    const json_t *list = json_object_get(facts, "disks");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const struct vt_disk disk = {.name = vt_json_str(entry, "name", NULL),
                                     .size = (uint64_t)vt_json_int(entry, "size", 0),
                                     .path = vt_json_str(entry, "path", NULL),
                                     .format = vt_json_str(entry, "format", NULL),
                                     .read_only = vt_json_bool(entry, "read_only", false),
                                     .direct = vt_json_bool(entry, "direct", false)};
        if (vt_json_bool(entry, "plugged", false) && disk.name && !find(vz, disk.name))
            add(vz, &disk)->plugged = true;
    }
    json_decref(facts);
    vt_free(path);
}
