/* The disks of one VM, and the file in its scratch_dir that says which layers they have. */
#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/extra.h"

#define FILE_NAME "disks.json" /* {"disk0": {"made": 3, "layers": ["disk0-1.qcow2", …]}, …} */

static enum vt_code load_one(struct vt_qemu_disk *disk, const json_t *entry, const char *folder,
                             struct vt_error *err)
{
    const json_t *layers = json_object_get(entry, "layers");
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const char *name = json_string_value(json_array_get(layers, i));
        char *path = name && !strchr(name, '/') ? vt_path_join(folder, name) : NULL;
        bool there = path && vt_is_file(path);
        vt_free(path);
        if (!there)
            return vt_fail(err, VT_EIO, "vm.new", "the layer %s of %s in %s is missing",
                           name ? name : "(none)", disk->id, folder);
        vt_qemu_disk_take_up(disk, folder, name);
    }
    disk->made = (unsigned)vt_json_int(entry, "made", 0);
    return VT_OK;
}

enum vt_code vt_qemu_disks_init(struct vt_qemu *q, struct vt_error *err)
{
    const struct vt_vm_config *c = q->config;
    q->disks = vt_calloc(c->disk_count + 1, sizeof *q->disks);
    if (c->image->disk)
        vt_qemu_disk_init(&q->disks[q->disk_count++], "disk0", c->image->disk,
                          c->image->disk_format);
    return vt_qemu_extra_init(q, err);
}

enum vt_code vt_qemu_disks_load(struct vt_qemu *q, struct vt_error *err)
{
    const char *folder = q->config->scratch_dir;
    char *path = vt_path_join(folder, FILE_NAME);
    json_t *all = NULL;
    enum vt_code code = vt_is_file(path) ? vt_json_load(path, &all, err) : VT_OK;
    for (size_t i = 0; !code && i < q->disk_count; i++)
        code = load_one(&q->disks[i], json_object_get(all, q->disks[i].id), folder, err);
    json_decref(all);
    vt_free(path);
    return code;
}

enum vt_code vt_qemu_disks_save(const struct vt_qemu *q, struct vt_error *err)
{
    if (!q->disk_count)
        return VT_OK;
    json_t *all = json_object();
    for (size_t i = 0; i < q->disk_count; i++) {
        const struct vt_qemu_disk *disk = &q->disks[i];
        json_t *names = json_array();
        for (size_t k = 0; k < disk->count; k++)
            json_array_append_new(names, json_string(vt_path_base(disk->layers[k])));
        json_object_set_new(
            all, disk->id,
            json_pack("{s:I, s:o}", "made", (json_int_t)disk->made, "layers", names));
    }
    char *path = vt_path_join(q->config->scratch_dir, FILE_NAME);
    enum vt_code code = vt_json_save_unflushed(path, all, 0600, err);
    vt_free(path);
    json_decref(all);
    return code;
}

enum vt_code vt_qemu_disks_ready(struct vt_qemu *q, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    bool made = false;
    for (size_t i = 0; !code && i < q->disk_count; i++) {
        if (q->disks[i].count)
            continue;
        made = true;
        code = vt_qemu_disk_push(&q->disks[i], q->config->scratch_dir, err);
    }
    return code || !made ? code : vt_qemu_disks_save(q, err);
}

static void pop(struct vt_qemu *q, size_t count)
{
    for (size_t i = 0; i < count; i++)
        vt_qemu_disk_pop(&q->disks[i]);
}

enum vt_code vt_qemu_disks_push(struct vt_qemu *q, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    size_t pushed = 0;
    for (; pushed < q->disk_count; pushed++) {
        code = vt_qemu_disk_push(&q->disks[pushed], q->config->scratch_dir, err);
        if (code)
            break;
    }
    if (!code)
        code = vt_qemu_disks_save(q, err);
    if (code)
        pop(q, pushed);
    return code;
}

void vt_qemu_disks_pop(struct vt_qemu *q)
{
    pop(q, q->disk_count);
    vt_qemu_disks_save(q, NULL);
}

void vt_qemu_disks_free(struct vt_qemu *q, bool keep)
{
    for (size_t i = 0; i < q->disk_count; i++) {
        if (!keep)
            vt_qemu_disk_drop_layers(&q->disks[i]);
        vt_qemu_disk_clear(&q->disks[i]);
    }
    char *path = vt_path_join(q->config->scratch_dir, FILE_NAME);
    if (!keep)
        vt_remove_tree(path, NULL);
    vt_free(path);
    vt_free(q->disks);
    q->disks = NULL;
    q->disk_count = 0;
}

const char *vt_qemu_disks_path(const struct vt_qemu *q, const char *node)
{
    char top[VT_QEMU_NODE_MAX];
    for (size_t i = 0; i < q->disk_count; i++) {
        const struct vt_qemu_disk *disk = &q->disks[i];
        if (!disk->count)
            continue;
        vt_qemu_disk_top(disk, top);
        if (!strcmp(top, node))
            return disk->layers[disk->count - 1];
    }
    return vt_qemu_extra_path(q, node);
}
