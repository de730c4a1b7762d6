#include "driver/qemu/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sparse.h"
#include "image/qcow2.h"

#define OP "vm.disk"
#define LAYER_SUFFIX ".qcow2"

void vt_qemu_disk_init(struct vt_qemu_disk *disk, const char *id, const char *base_path,
                       const char *base_format)
{
    *disk = (struct vt_qemu_disk){.id = vt_strdup(id),
                                  .base_path = vt_strdup(base_path),
                                  .base_format = vt_strdup(base_format)};
}

static void free_layers(char **layers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        vt_free(layers[i]);
    vt_free(layers);
}

void vt_qemu_disk_clear(struct vt_qemu_disk *disk)
{
    free_layers(disk->layers, disk->count);
    vt_free(disk->id);
    vt_free(disk->base_path);
    vt_free(disk->base_format);
    json_decref(disk->base_file);
    *disk = (struct vt_qemu_disk){.id = NULL};
}

char *vt_qemu_disk_next(struct vt_qemu_disk *disk, const char *folder)
{
    struct vt_buf path = VT_BUF_INIT;
    vt_buf_printf(&path, "%s/%s-%u" LAYER_SUFFIX, folder, disk->id, ++disk->made);
    return vt_buf_steal(&path);
}

static void add(char ***layers, size_t *count, char *path)
{
    *layers = vt_realloc(*layers, (*count + 1) * sizeof **layers);
    (*layers)[(*count)++] = path;
}

enum vt_code vt_qemu_disk_make_layer(const struct vt_qemu_disk *disk, size_t i,
                                     struct vt_error *err)
{
    const char *below = i ? disk->layers[i - 1] : disk->base_path;
    return vt_qcow2_overlay(disk->layers[i], below, i ? "qcow2" : disk->base_format, 0, err);
}

enum vt_code vt_qemu_disk_push(struct vt_qemu_disk *disk, const char *folder, struct vt_error *err)
{
    add(&disk->layers, &disk->count, vt_qemu_disk_next(disk, folder));
    enum vt_code code = vt_qemu_disk_make_layer(disk, disk->count - 1, err);
    if (code)
        vt_free(disk->layers[--disk->count]);
    return code;
}

void vt_qemu_disk_take_up(struct vt_qemu_disk *disk, const char *folder, const char *name)
{
    add(&disk->layers, &disk->count, vt_path_join(folder, name));
}

void vt_qemu_disk_pop(struct vt_qemu_disk *disk)
{
    char *path = disk->layers[--disk->count];
    unlink(path);
    vt_free(path);
}

void vt_qemu_disk_drop_layers(struct vt_qemu_disk *disk)
{
    for (size_t i = 0; i < disk->count; i++)
        unlink(disk->layers[i]);
    free_layers(disk->layers, disk->count);
    disk->layers = NULL;
    disk->count = 0;
}

enum vt_code vt_qemu_link_or_copy(const char *from, const char *to, struct vt_error *err)
{
    if (link(from, to) == 0)
        return VT_OK;
    if (errno != EXDEV && errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK)
        return vt_fail_sys(err, errno, OP, "cannot link %s to %s", from, to);
    return vt_copy_sparse(from, to, NULL, err);
}

void vt_qemu_disk_replace(struct vt_qemu_disk *disk, struct vt_args *layers)
{
    free_layers(disk->layers, disk->count);
    disk->layers = layers->v;
    disk->count = layers->n;
    *layers = (struct vt_args)VT_ARGS_INIT;
}

/* --- nodes --- */

/* A layer's node is named as its file. */
static void node_name(const char *path, char out[VT_QEMU_NODE_MAX])
{
    const char *name = vt_path_base(path);
    snprintf(out, VT_QEMU_NODE_MAX, "%.*s", (int)(strlen(name) - strlen(LAYER_SUFFIX)), name);
}

void vt_qemu_disk_top(const struct vt_qemu_disk *disk, char out[VT_QEMU_NODE_MAX])
{
    node_name(disk->layers[disk->count - 1], out);
}

/* A layer lives no longer than its VM, or is flushed when a snapshot of it is to last: until then
 * nobody needs it on the platter. */
static json_t *file_node(const char *path)
{
    return json_pack("{s:s, s:s, s:s, s:{s:b}}", "driver", "file", "filename", path, "discard",
                     "unmap", "cache", "no-flush", 1);
}

static void base_name(const struct vt_qemu_disk *disk, char out[VT_QEMU_NODE_MAX])
{
    snprintf(out, VT_QEMU_NODE_MAX, "%s-base", disk->id);
}

json_t *vt_qemu_disk_base(const struct vt_qemu_disk *disk)
{
    char name[VT_QEMU_NODE_MAX];
    base_name(disk, name);
    json_t *file = disk->base_file
                       ? json_deep_copy(disk->base_file)
                       : json_pack("{s:s, s:s}", "driver", "file", "filename", disk->base_path);
    json_object_set_new(file, "read-only", json_true());
    return json_pack("{s:s, s:s, s:b, s:o}", "driver", disk->base_format, "node-name", name,
                     "read-only", 1, "file", file);
}

json_t *vt_qemu_disk_layer(const struct vt_qemu_disk *disk, size_t i)
{
    char name[VT_QEMU_NODE_MAX], below[VT_QEMU_NODE_MAX] = "";
    bool frozen = i + 1 < disk->count;
    node_name(disk->layers[i], name);
    if (i)
        node_name(disk->layers[i - 1], below);
    else if (disk->base_path)
        base_name(disk, below);
    json_t *node =
        json_pack("{s:s, s:s, s:b, s:s, s:{s:b}, s:o, s:o}", "driver", "qcow2", "node-name", name,
                  "read-only", (int)frozen, "discard", "unmap", "cache", "no-flush", 1, "file",
                  file_node(disk->layers[i]), "backing", *below ? json_string(below) : json_null());
    if (frozen)
        json_object_set_new(json_object_get(node, "file"), "read-only", json_true());
    else if (disk->detect_zeroes)
        json_object_set_new(node, "detect-zeroes", json_string("unmap"));
    return node;
}

static void add_node(struct vt_args *args, json_t *node)
{
    char *text = json_dumps(node, JSON_COMPACT);
    vt_args_add(args, "-blockdev");
    vt_args_add(args, text);
    free(text);
    json_decref(node);
}

void vt_qemu_disk_argv(struct vt_args *args, const struct vt_qemu_disk *disk)
{
    if (disk->base_path)
        add_node(args, vt_qemu_disk_base(disk));
    for (size_t i = 0; i < disk->count; i++)
        add_node(args, vt_qemu_disk_layer(disk, i));
}

void vt_qemu_disk_argv_dry(struct vt_args *args, const struct vt_qemu_disk *disk)
{
    struct vt_qcow2 top = {.size = 0};
    char name[VT_QEMU_NODE_MAX];
    vt_qcow2_read(disk->layers[disk->count - 1], &top, NULL);
    vt_qemu_disk_top(disk, name);
    add_node(args, json_pack("{s:s, s:s, s:I}", "driver", "null-co", "node-name", name, "size",
                             (json_int_t)top.size));
}
