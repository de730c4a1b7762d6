#include "driver/vz/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sparse.h"
#include "driver/vz/machine.h"
#include "loop/work.h"

#define OP "vm.new"
#define PART ".part" /* of a file that is being made */

/* --- which there are --- */

enum vt_code vt_vz_disk_check(const struct vt_vm_config *c, const struct vt_disk *d, const char *op,
                              struct vt_error *err)
{
    if (d->format && !strcmp(d->format, "qcow2")) {
        vt_fail(err, VT_EUNSUPPORTED, op,
                "VM %s: disk \"%s\": the Virtualization framework reads no qcow2", c->name,
                d->name);
        vt_hint(err, "qemu-img convert -O raw makes a disk that it reads");
        return VT_EUNSUPPORTED;
    }
    if (d->url && !d->read_only && !d->direct) {
        vt_fail(err, VT_EUNSUPPORTED, op,
                "VM %s: disk \"%s\": the Virtualization framework has no overlays, so what the VM "
                "writes to %s can be kept apart nowhere",
                c->name, d->name, d->url);
        vt_hint(err, "set \"direct\" to write to the server itself, or \"read_only\"");
        return VT_EUNSUPPORTED;
    }
    return VT_OK;
}

enum vt_code vt_vz_disks_check(const struct vt_vm_config *config, struct vt_error *err)
{
    const struct vt_image *image = config->image;
    enum vt_code code = VT_OK;
    if (image->disk && strcmp(image->disk_format, "raw") != 0) {
        vt_fail(err, VT_EUNSUPPORTED, OP,
                "VM %s: the disk of the image \"%s\" is %s; the Virtualization framework reads raw "
                "ones",
                config->name, image->name, image->disk_format);
        vt_hint(err, "qemu-img convert -O raw, and \"disk_format\": \"raw\" in its image.json");
        return VT_EUNSUPPORTED;
    }
    for (size_t i = 0; !code && i < config->disk_count; i++)
        code = vt_vz_disk_check(config, &config->disks[i], OP, err);
    return code;
}

char *vt_vz_disk_file(const struct vt_disk *disk)
{
    struct vt_buf name = VT_BUF_INIT;
    vt_buf_printf(&name, "%s.raw", disk ? disk->name : "disk0");
    return vt_buf_steal(&name);
}

bool vt_vz_disk_is_copied(const struct vt_disk *disk)
{
    return disk->size || (disk->path && !disk->read_only && !disk->direct);
}

/* --- files that are to be made, on a thread --- */

struct file {
    char *from; /* NULL: an empty one of this size */
    char *to;
    uint64_t size;
    bool made; /* as to + PART */
};

struct files {
    struct file *v;
    size_t n;
    bool replace; /* those that are there already */
};

static void add(struct files *f, char *from, char *to, uint64_t size)
{
    f->v = vt_realloc(f->v, (f->n + 1) * sizeof *f->v);
    f->v[f->n++] = (struct file){.from = from, .to = to, .size = size};
}

static void free_files(void *args)
{
    struct files *f = args;
    for (size_t i = 0; i < f->n; i++) {
        vt_free(f->v[i].from);
        vt_free(f->v[i].to);
    }
    vt_free(f->v);
    vt_free(f);
}

static enum vt_code make_empty(const char *path, uint64_t size, struct vt_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size)) {
        vt_fail_sys(err, errno, "vm.start", "cannot make the disk %s", path);
        if (fd >= 0)
            close(fd);
        return err->code;
    }
    close(fd);
    return VT_OK;
}

static char *part_of(const char *path)
{
    struct vt_buf part = VT_BUF_INIT;
    vt_buf_printf(&part, "%s" PART, path);
    return vt_buf_steal(&part);
}

static enum vt_code make(struct file *f, const atomic_bool *cancelled, struct vt_error *err)
{
    char *part = part_of(f->to);
    unlink(part); /* of a process that was killed */
    enum vt_code code =
        f->from ? vt_copy_sparse(f->from, part, cancelled, err) : make_empty(part, f->size, err);
    f->made = !code;
    vt_free(part);
    return code;
}

/* Gives the new files their names, or removes them. */
static void finish(struct files *files, struct vt_error *err)
{
    for (size_t i = 0; i < files->n; i++) {
        const struct file *f = &files->v[i];
        char *part = part_of(f->to);
        if (f->made && !err->code && rename(part, f->to))
            vt_fail_sys(err, errno, "vm.start", "cannot rename %s to %s", part, f->to);
        if (f->made && err->code)
            unlink(part);
        vt_free(part);
    }
}

static enum vt_code run(void *args, const atomic_bool *cancelled, struct vt_error *err)
{
    struct files *files = args;
    struct vt_error own = VT_ERROR_INIT;
    for (size_t i = 0; !own.code && i < files->n; i++)
        if (files->replace || access(files->v[i].to, F_OK) != 0)
            make(&files->v[i], cancelled, &own);
    finish(files, &own);
    return vt_error_copy(err, &own);
}

/* --- those of a VM --- */

static void add_named(struct files *f, const struct vt_vz *vz, const char *from, const char *name,
                      uint64_t size)
{
    add(f, vt_strdup(from), vt_path_join(vz->config->scratch_dir, name), size);
}

/* Everything it writes to, and what that is made of. */
static struct files *files_of(const struct vt_vz *vz)
{
    const struct vt_vm_config *c = vz->config;
    struct files *f = vt_calloc(1, sizeof *f);
    for (size_t i = 0; i <= c->disk_count; i++) {
        const struct vt_disk *d = i ? &c->disks[i - 1] : NULL;
        char *name = vt_vz_disk_file(d);
        if (d ? vt_vz_disk_is_copied(d) : c->image->disk != NULL)
            add_named(f, vz, d ? d->path : c->image->disk, name, d ? d->size : 0);
        vt_free(name);
    }
    if (c->image->auxiliary)
        add_named(f, vz, c->image->auxiliary, VT_VZ_AUXILIARY_FILE, 0);
    return f;
}

struct vt_op *vt_vz_disks_prepare(struct vt_vz *vz, vt_op_fn done, void *user)
{
    return vt_work_run(vz->loop, run, files_of(vz), free_files, INFINITY, done, user);
}

struct vt_op *vt_vz_disks_make(struct vt_vz *vz, const char *from, const char *to, uint64_t size,
                               vt_op_fn done, void *user)
{
    struct files *f = vt_calloc(1, sizeof *f);
    add(f, vt_strdup(from), vt_strdup(to), size);
    f->replace = true;
    return vt_work_run(vz->loop, run, f, free_files, INFINITY, done, user);
}

/* The framework makes these variables itself, so that a VM that never ran has none. */
static void add_variables(struct files *f, const struct vt_vz *vz)
{
    char *path = vt_path_join(vz->config->scratch_dir, VT_VZ_VARIABLES_FILE);
    if (vt_vz_has_variables(vz) && vt_is_file(path))
        add_named(f, vz, NULL, VT_VZ_VARIABLES_FILE, 0);
    vt_free(path);
}

struct vt_op *vt_vz_disks_save(struct vt_vz *vz, const char *dir, vt_op_fn done, void *user)
{
    struct files *f = files_of(vz);
    add_variables(f, vz);
    for (size_t i = 0; i < f->n; i++) {
        char *own = f->v[i].to;
        vt_free(f->v[i].from);
        f->v[i].from = own;
        f->v[i].to = vt_path_join(dir, vt_path_base(own));
    }
    return vt_work_run(vz->loop, run, f, free_files, INFINITY, done, user);
}

struct vt_op *vt_vz_disks_restore(struct vt_vz *vz, const char *dir, const json_t *files,
                                  vt_op_fn done, void *user)
{
    struct files *f = files_of(vz);
    if (json_object_get(files, VT_VZ_VARIABLES_FILE))
        add_named(f, vz, NULL, VT_VZ_VARIABLES_FILE, 0);
    for (size_t i = 0; i < f->n; i++) {
        vt_free(f->v[i].from);
        f->v[i].from = vt_path_join(dir, vt_path_base(f->v[i].to));
    }
    f->replace = true;
    return vt_work_run(vz->loop, run, f, free_files, INFINITY, done, user);
}

json_t *vt_vz_disks_facts(const struct vt_vz *vz, const char *dir)
{
    json_t *facts = json_object();
    struct files *f = files_of(vz);
    add_variables(f, vz);
    for (size_t i = 0; i < f->n; i++) {
        const char *name = vt_path_base(f->v[i].to);
        char *path = vt_path_join(dir, name);
        struct stat st;
        if (stat(path, &st) == 0)
            json_object_set_new(facts, name, json_integer((json_int_t)st.st_size));
        vt_free(path);
    }
    free_files(f);
    return facts;
}

void vt_vz_disks_remove(const struct vt_vz *vz)
{
    struct files *f = files_of(vz);
    add_variables(f, vz);
    for (size_t i = 0; i < f->n; i++) {
        char *part = part_of(f->v[i].to);
        unlink(f->v[i].to);
        unlink(part);
        vt_free(part);
    }
    free_files(f);
}
