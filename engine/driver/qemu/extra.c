#include "driver/qemu/extra.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/nbd.h"
#include "vmtest/log.h"

#define OP "vm.start"
#define SERVER_S 20.0 /* for an NBD server to answer */

static bool has_layers(const struct vt_disk *d)
{
    return !d->direct && !d->read_only;
}

static void id_of(const struct vt_disk *d, char out[VT_QEMU_NODE_MAX])
{
    snprintf(out, VT_QEMU_NODE_MAX, "d-%s", d->name);
}

/* A file in scratch_dir: of an empty disk all there is beneath its layers; for one that a server
 * has, a stand-in of the same size. */
static char *stand_in(const struct vt_qemu *q, const struct vt_disk *d)
{
    struct vt_buf name = VT_BUF_INIT;
    vt_buf_printf(&name, "d-%s-base.raw", d->name);
    char *path = vt_path_join(q->config->scratch_dir, name.data);
    vt_buf_free(&name);
    return path;
}

static json_t *server_node(const char *url)
{
    struct vt_nbd nbd;
    if (vt_nbd_parse(url, &nbd, NULL)) /* it was read before, see vt_qemu_extra_init() */
        return json_object();
    json_t *node = vt_nbd_blockdev(&nbd);
    vt_nbd_clear(&nbd);
    return node;
}

static void add_layered(struct vt_qemu *q, const struct vt_disk *d)
{
    char id[VT_QEMU_NODE_MAX];
    char *own = d->path ? vt_strdup(d->path) : stand_in(q, d);
    struct vt_qemu_disk *disk = &q->disks[q->disk_count++];
    id_of(d, id);
    vt_qemu_disk_init(disk, id, own, d->format ? d->format : "raw");
    disk->detect_zeroes = true;
    if (d->url)
        disk->base_file = server_node(d->url);
    vt_free(own);
}

enum vt_code vt_qemu_extra_init(struct vt_qemu *q, struct vt_error *err)
{
    const struct vt_vm_config *c = q->config;
    q->disk_errors = vt_calloc(c->disk_count + 1, sizeof *q->disk_errors);
    for (size_t i = 0; i < c->disk_count; i++) {
        struct vt_nbd nbd;
        if (c->disks[i].url && vt_nbd_parse(c->disks[i].url, &nbd, err))
            return VT_EINVAL;
        if (c->disks[i].url)
            vt_nbd_clear(&nbd);
        if (has_layers(&c->disks[i]))
            add_layered(q, &c->disks[i]);
    }
    return VT_OK;
}

void vt_qemu_extra_remove(const struct vt_qemu *q)
{
    for (size_t i = 0; i < q->config->disk_count; i++) {
        char *path = stand_in(q, &q->config->disks[i]);
        vt_remove_tree(path, NULL);
        vt_free(path);
    }
}

/* --- making them --- */

/* A sparse file; one that is there already is to have this size. */
static enum vt_code make_stand_in(const struct vt_qemu *q, const struct vt_disk *d, uint64_t size,
                                  struct vt_error *err)
{
    char *path = stand_in(q, d);
    struct stat st;
    bool there = stat(path, &st) == 0;
    int fd = there ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (there && (uint64_t)st.st_size != size)
        vt_fail(err, VT_ESTATE, OP, "VM %s: disk \"%s\" has %llu bytes now, and had %llu",
                q->config->name, d->name, (unsigned long long)size, (unsigned long long)st.st_size);
    else if (!there && (fd < 0 || ftruncate(fd, (off_t)size)))
        vt_fail_sys(err, errno, OP, "cannot make the disk %s", path);
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && err->code)
        unlink(path);
    vt_free(path);
    return err->code;
}

static enum vt_code make(const struct vt_qemu *q, const struct vt_disk *d, struct vt_error *err)
{
    if (d->size)
        return make_stand_in(q, d, d->size, err);
    return vt_vm_disk_file_check(q->config, d, OP, err);
}

static void next_disk(struct vt_qemu *q);

/* What qemu-img says of a server's disk. */
static enum vt_code take_size(struct vt_qemu *q, const struct vt_disk *d,
                              const struct vt_process_result *r, struct vt_error *err)
{
    json_t *facts = NULL;
    if (r->status) {
        vt_fail(err, VT_ENOTFOUND, OP, "VM %s: disk \"%s\" cannot be had from %s: %.400s",
                q->config->name, d->name, d->url, r->err);
        vt_hint(err, "is its NBD server running, with this export?");
        return err->code;
    }
    enum vt_code code = vt_json_parse(r->out, r->out_size, "qemu-img's answer", &facts, err);
    int64_t size = code ? 0 : vt_json_int(facts, "virtual-size", -1);
    json_decref(facts);
    if (!code && (size < 512 || size % 512))
        code = vt_fail(err, VT_EPROTO, OP, "VM %s: disk \"%s\": %s is a disk of %lld bytes",
                       q->config->name, d->name, d->url, (long long)size);
    return code || !has_layers(d) ? code : make_stand_in(q, d, (uint64_t)size, err);
}

static void on_server(struct vt_op *inner, void *user)
{
    struct vt_qemu *q = user;
    const struct vt_disk *d = &q->config->disks[q->disk_at];
    const struct vt_error *failed = vt_op_error(inner);
    struct vt_error why = VT_ERROR_INIT;
    q->inner = NULL;
    if (failed)
        vt_fail(&why, failed->code, OP,
                "VM %s: disk \"%s\": the server of %s does not answer (%.200s)", q->config->name,
                d->name, d->url, failed->message);
    else
        take_size(q, d, vt_op_result(inner), &why);
    if (why.code) {
        q->step_done(q, &why);
        return;
    }
    q->disk_at++;
    next_disk(q);
}

/* qemu-img speaks to the server before QEMU does: it says clearly what is wrong. */
static void ask_server(struct vt_qemu *q)
{
    const char *argv[] = {
        "qemu-img", "info", "--output=json", "-f", "raw", q->config->disks[q->disk_at].url, NULL};
    const struct vt_process_opts opts = {.argv = argv, .timeout = SERVER_S, .output_limit = 65536};
    struct vt_error why = VT_ERROR_INIT;
    q->inner = vt_process_run(q->loop, &opts, on_server, q, &why);
    if (q->inner)
        return;
    if (why.code == VT_ENOTFOUND)
        vt_hint(&why, "qemu-img is in Debian's package qemu-utils");
    q->step_done(q, &why);
}

static void next_disk(struct vt_qemu *q)
{
    struct vt_error why = VT_ERROR_INIT;
    for (; !why.code && q->disk_at < q->config->disk_count; q->disk_at++) {
        const struct vt_disk *d = &q->config->disks[q->disk_at];
        if (d->url) {
            ask_server(q);
            return;
        }
        make(q, d, &why);
    }
    q->step_done(q, &why);
}

void vt_qemu_extra_prepare(struct vt_qemu *q, vt_qemu_step_fn done)
{
    q->step_done = done;
    q->disk_at = 0;
    next_disk(q);
}

/* --- the command line --- */

static const struct vt_qemu_disk *find_layers(const struct vt_qemu_disk *disks, size_t count,
                                              const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(disks[i].id, id))
            return &disks[i];
    return NULL;
}

json_t *vt_qemu_extra_blockdev(const struct vt_disk *d, const char *id)
{
    json_t *file = d->url ? server_node(d->url)
                          : json_pack("{s:s, s:s}", "driver", "file", "filename", d->path);
    json_object_set_new(file, "discard", json_string("unmap"));
    json_object_set_new(file, "read-only", json_boolean(d->read_only));
    json_t *node =
        json_pack("{s:s, s:s, s:b, s:s, s:o}", "driver", d->format ? d->format : "raw", "node-name",
                  id, "read-only", d->read_only, "discard", "unmap", "file", file);
    if (!d->read_only)
        json_object_set_new(node, "detect-zeroes", json_string("unmap"));
    return node;
}

/* A read-only or direct disk, or, for a QEMU whose guest never runs, something in its place. */
static void add_node(struct vt_args *args, const struct vt_disk *d, const char *id, bool dry)
{
    json_t *node = dry ? json_pack("{s:s, s:s, s:b}", "driver", "null-co", "node-name", id,
                                   "read-only", d->read_only)
                       : vt_qemu_extra_blockdev(d, id);
    char *text = json_dumps(node, JSON_COMPACT);
    vt_qemu_option(args, "-blockdev", text);
    free(text);
    json_decref(node);
}

void vt_qemu_argv_extra(struct vt_args *args, const struct vt_qemu_machine *m)
{
    static const char *const devices[] = {[VT_DISK_VIRTIO] = "virtio-blk-pci",
                                          [VT_DISK_NVME] = "nvme",
                                          [VT_DISK_USB] = "usb-storage,bus=usb.0"};
    for (size_t i = 0; i < m->config->disk_count; i++) {
        const struct vt_disk *d = &m->config->disks[i];
        char id[VT_QEMU_NODE_MAX], node[VT_QEMU_NODE_MAX];
        id_of(d, id);
        id_of(d, node);
        const struct vt_qemu_disk *layers = find_layers(m->disks, m->disk_count, id);
        if (layers)
            vt_qemu_disk_top(layers, node);
        else
            add_node(args, d, id, m->dry);
        /* a server that is gone is the guest's I/O error; NVMe knows nothing else */
        const char *on_error =
            d->url && d->bus != VT_DISK_NVME ? ",werror=report,rerror=report" : "";
        vt_args_add(args, "-device");
        vt_args_printf(args, "%s,id=%s,drive=%s,serial=%s%s", devices[d->bus], id, node, d->name,
                       on_error);
    }
}

/* --- while it runs --- */

bool vt_qemu_extra_node(const struct vt_qemu *q, const char *name, char out[VT_QEMU_NODE_MAX])
{
    for (size_t i = 0; i < q->config->disk_count; i++) {
        const struct vt_disk *d = &q->config->disks[i];
        if (strcmp(d->name, name) != 0)
            continue;
        id_of(d, out);
        const struct vt_qemu_disk *layers = find_layers(q->disks, q->disk_count, out);
        if (layers && layers->count)
            vt_qemu_disk_top(layers, out);
        return true;
    }
    return false;
}

static const struct vt_disk *disk_of_node(const struct vt_qemu *q, const char *node, size_t *i)
{
    char own[VT_QEMU_NODE_MAX];
    for (*i = 0; *i < q->config->disk_count; ++*i)
        if (vt_qemu_extra_node(q, q->config->disks[*i].name, own) && !strcmp(own, node))
            return &q->config->disks[*i];
    return NULL;
}

static const char *place(const struct vt_disk *d)
{
    return d->url ? d->url : d->path ? d->path : "an empty disk";
}

const char *vt_qemu_extra_path(const struct vt_qemu *q, const char *node)
{
    size_t i;
    const struct vt_disk *d = disk_of_node(q, node, &i);
    return d ? place(d) : "a disk";
}

void vt_qemu_extra_error(struct vt_qemu *q, const json_t *event)
{
    size_t i;
    const struct vt_disk *d = disk_of_node(q, vt_json_str(event, "node-name", ""), &i);
    if (!d || q->disk_errors[i]++)
        return;
    vt_log(VT_LOG_WARNING, "VM %s: disk \"%s\" (%s): I/O error on %s: %s; the guest was told",
           q->config->name, d->name, place(d), vt_json_str(event, "operation", "an access"),
           vt_json_str(event, "reason", "no reason given"));
}

void vt_qemu_extra_info(const struct vt_qemu *q, json_t *facts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < q->config->disk_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "name", q->config->disks[i].name,
                                              "bus", vt_disk_bus_name(q->config->disks[i].bus),
                                              "errors", (int)q->disk_errors[i]));
    json_object_set_new(facts, "disks", list);
}
