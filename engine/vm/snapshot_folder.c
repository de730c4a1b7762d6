/* The folders of snapshots: made aside and renamed, checked, listed, removed. */
#include "vm/snapshot.h"

#include <dirent.h>
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
#include "core/paths.h"
#include "core/sys.h"
#include "core/text.h"
#include "vm/driver.h"
#include "vm/internal.h"

#define FORMAT 1
#define MAKING ".making-" /* + random: a snapshot in the making; */
#define LOCK ".lock"      /* and with this: held by its maker */
#define REMOVING ".removing-"
#define FACTS "snapshot.json"

char *vt_snapshot_store(struct vt_error *err)
{
    return vt_home_dir("snapshots", err);
}

char *vt__snapshots_own_dir(const struct vt_vm *vm, struct vt_error *err)
{
    if (!vm->config.scratch_dir) {
        vt_fail(err, VT_EINVAL, "vm.snapshot",
                "VM %s has no folder of its own for snapshots: name one", vm->config.name);
        return NULL;
    }
    char *dir = vt_path_join(vm->config.scratch_dir, "snapshots");
    if (vt_mkdirs(dir, err)) {
        vt_free(dir);
        return NULL;
    }
    return dir;
}

char *vt__snapshot_find(const struct vt_vm *vm, const char *path)
{
    if (strchr(path, '/') || !vm->config.scratch_dir)
        return vt_strdup(path);
    struct vt_buf own = VT_BUF_INIT;
    vt_buf_printf(&own, "%s/snapshots/%s", vm->config.scratch_dir, path);
    return vt_buf_steal(&own);
}

enum vt_code vt__snapshot_load(const char *dir, json_t **facts, struct vt_error *err)
{
    char *path = vt_path_join(dir, FACTS);
    enum vt_code code = VT_OK;
    *facts = NULL;
    if (!vt_is_file(path)) {
        code = vt_fail(err, VT_ENOTFOUND, "vm.snapshot", "there is no snapshot %s", dir);
    } else if (vt_json_load(path, facts, err)) {
        code = VT_EPROTO;
    } else if (vt_json_int(*facts, "format", 0) != FORMAT) {
        code = vt_fail(err, VT_ESTATE, "vm.snapshot",
                       "the snapshot %s is of format %lld; this vmtest reads format %d", dir,
                       (long long)vt_json_int(*facts, "format", 0), FORMAT);
        json_decref(*facts);
        *facts = NULL;
    }
    vt_free(path);
    return code;
}

/* --- making one --- */

/* Calls fn for each name in `dir` that begins with `prefix`. */
static void each_name(const char *dir, const char *prefix,
                      void (*fn)(const char *dir, const char *name))
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (!strncmp(e->d_name, prefix, strlen(prefix)))
            fn(dir, e->d_name);
    if (d)
        closedir(d);
}

/* Removes what a maker that is gone left behind: a folder, its lock, or both; the lock goes last.
 */
static void sweep_made(const char *dir, const char *name)
{
    size_t n = strlen(name), suffix = strlen(LOCK);
    if (n > suffix && !strcmp(name + n - suffix, LOCK))
        n -= suffix;
    struct vt_buf folder = VT_BUF_INIT, lock = VT_BUF_INIT;
    vt_buf_printf(&folder, "%s/%.*s", dir, (int)n, name);
    vt_buf_printf(&lock, "%s" LOCK, folder.data);
    if (!vt_lock_held(lock.data, NULL) && vt_remove_tree(folder.data, NULL) == VT_OK)
        unlink(lock.data);
    vt_buf_free(&folder);
    vt_buf_free(&lock);
}

static void sweep_removed(const char *dir, const char *name)
{
    char *path = vt_path_join(dir, name);
    vt_remove_tree(path, NULL);
    vt_free(path);
}

static enum vt_code taken(const struct vt__snapshot_stage *stage, struct vt_error *err)
{
    vt_fail(err, VT_EBUSY, "vm.snapshot", "there is a snapshot \"%s\" already, in %s", stage->name,
            stage->dir);
    vt_hint(err, "choose another name, or remove that one first");
    return VT_EBUSY;
}

enum vt_code vt__snapshot_stage_begin(struct vt__snapshot_stage *stage, const char *dir,
                                      const char *name, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct stat st;
    char random[17];
    *stage = (struct vt__snapshot_stage){.lock_fd = -1};
    stage->dir = vt_strdup(dir);
    stage->name = vt_strdup(name);
    each_name(dir, MAKING, sweep_made);
    each_name(dir, REMOVING, sweep_removed);
    char *final = vt_path_join(dir, name);
    vt_random_hex(random, 16);
    struct vt_buf path = VT_BUF_INIT, lock = VT_BUF_INIT;
    vt_buf_printf(&path, "%s/" MAKING "%s", dir, random);
    vt_buf_printf(&lock, "%s" LOCK, path.data);
    if (lstat(final, &st) == 0)
        taken(stage, &own);
    else if (vt_lock_file(lock.data, &stage->lock_fd, &own) == VT_OK)
        vt_mkdirs(path.data, &own);
    if (stage->lock_fd >= 0) {
        stage->path = vt_buf_steal(&path);
        stage->lock = vt_buf_steal(&lock);
    }
    vt_buf_free(&path);
    vt_buf_free(&lock);
    vt_free(final);
    if (own.code)
        vt__snapshot_stage_end(stage);
    return vt_error_copy(err, &own);
}

static enum vt_code flush(const char *path, struct vt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum vt_code code = VT_OK;
    if (fd < 0 || fsync(fd))
        code = vt_fail_sys(err, errno, "vm.snapshot", "cannot flush %s to disk", path);
    if (fd >= 0)
        close(fd);
    return code;
}

static enum vt_code flush_folder(const char *dir, struct vt_error *err)
{
    DIR *d = opendir(dir);
    enum vt_code code = VT_OK;
    for (struct dirent *e; !code && d && (e = readdir(d));) {
        char *path = vt_path_join(dir, e->d_name);
        if (e->d_name[0] != '.')
            code = flush(path, err);
        vt_free(path);
    }
    if (d)
        closedir(d);
    return code ? code : flush(dir, err);
}

enum vt_code vt__snapshot_stage_commit(struct vt__snapshot_stage *stage, const json_t *facts,
                                       bool durable, struct vt_error *err)
{
    char *file = vt_path_join(stage->path, FACTS), *final = vt_path_join(stage->dir, stage->name);
    char *text = json_dumps(facts, JSON_INDENT(2));
    enum vt_code code = vt_write_file_unflushed(file, text, strlen(text), 0600, err);
    if (!code && durable)
        code = flush_folder(stage->path, err);
    if (!code && rename(stage->path, final))
        code = errno == ENOTEMPTY || errno == EEXIST
                   ? taken(stage, err)
                   : vt_fail_sys(err, errno, "vm.snapshot", "cannot make %s", final);
    if (!code && durable)
        code = flush(stage->dir, err);
    free(text);
    vt_free(final);
    vt_free(file);
    return code;
}

void vt__snapshot_stage_end(struct vt__snapshot_stage *stage)
{
    if (stage->path)
        vt_remove_tree(stage->path, NULL); /* once committed there is none */
    if (stage->lock_fd >= 0) {
        unlink(stage->lock);
        close(stage->lock_fd);
    }
    vt_free(stage->dir);
    vt_free(stage->name);
    vt_free(stage->path);
    vt_free(stage->lock);
    *stage = (struct vt__snapshot_stage){.lock_fd = -1};
}

/* --- what drivers ask of one --- */

enum vt_code vt_snapshot_check_disks(const struct vt_vm_config *config, struct vt_error *err)
{
    for (size_t i = 0; i < config->disk_count; i++) {
        const struct vt_disk *d = &config->disks[i];
        if (!d->direct || d->read_only)
            continue;
        vt_fail(err, VT_EUNSUPPORTED, "vm.snapshot",
                "VM %s writes to %s itself (disk \"%s\"), which no snapshot can put back",
                config->name, d->url ? d->url : d->path, d->name);
        vt_hint(err, "leave out \"direct\": the VM then writes into files of its own");
        return VT_EUNSUPPORTED;
    }
    return VT_OK;
}

enum vt_code vt_snapshot_check_room(const char *dir, uint64_t bytes, struct vt_error *err)
{
    uint64_t room;
    if (!vt_disk_free(dir, &room) || room >= bytes)
        return VT_OK;
    return vt_fail(err, VT_ENOSPC, "vm.snapshot",
                   "the snapshot takes up to %llu MiB, and %s has %llu MiB left",
                   (unsigned long long)(bytes >> 20), dir, (unsigned long long)(room >> 20));
}

enum vt_code vt_snapshot_check_file(const char *dir, const char *name, int64_t size,
                                    struct vt_error *err)
{
    struct stat st;
    char *path = vt_path_join(dir, name);
    enum vt_code code = VT_OK;
    if (stat(path, &st) || !S_ISREG(st.st_mode))
        code = vt_fail(err, VT_ENOTFOUND, "vm.restore", "the snapshot's file %s is missing", path);
    else if (size >= 0 ? st.st_size != size : st.st_size == 0)
        code = vt_fail(err, VT_ENOTFOUND, "vm.restore",
                       "the snapshot's file %s is not whole: it has %lld bytes", path,
                       (long long)st.st_size);
    vt_free(path);
    return code;
}

/* --- those that are there --- */

static uint64_t bytes_on_disk(const char *dir)
{
    uint64_t bytes = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            bytes += (uint64_t)st.st_blocks * 512;
    }
    if (d)
        closedir(d);
    return bytes;
}

static int by_time(const void *a, const void *b)
{
    const struct vt_snapshot *x = a, *y = b;
    int order = strcmp(x->created, y->created);
    return order ? order : strcmp(x->name, y->name);
}

/* A folder whose snapshot.json cannot be read is no snapshot. */
static bool read_one(const char *dir, const char *name, struct vt_snapshot *out)
{
    char *path = vt_path_join(dir, name);
    json_t *facts = NULL;
    if (vt__snapshot_load(path, &facts, NULL)) {
        json_decref(facts);
        vt_free(path);
        return false;
    }
    *out = (struct vt_snapshot){
        .name = vt_strdup(name),
        .dir = path,
        .parent = vt_strdup(vt_json_str(facts, "parent", NULL)),
        .created = vt_strdup(vt_json_str(facts, "created", "")),
        .vm = vt_strdup(vt_json_str(facts, "vm", "")),
        .memory = vt_json_bool(facts, "memory", false),
        .bytes = bytes_on_disk(path),
        .facts = facts,
    };
    return true;
}

static enum vt_code list(const char *dir, struct vt_snapshot **out, size_t *count,
                         struct vt_error *err)
{
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? VT_OK
                               : vt_fail_sys(err, errno, "vm.snapshots", "cannot read %s", dir);
    for (struct dirent *e; (e = readdir(d));) {
        struct vt_snapshot one;
        if (!vt_is_plain_name(e->d_name) || !read_one(dir, e->d_name, &one))
            continue;
        *out = vt_realloc(*out, (*count + 1) * sizeof **out);
        (*out)[(*count)++] = one;
    }
    closedir(d);
    if (*count)
        qsort(*out, *count, sizeof **out, by_time);
    return VT_OK;
}

enum vt_code vt_vm_snapshots(const struct vt_vm *vm, const char *dir, struct vt_snapshot **out,
                             size_t *count, struct vt_error *err)
{
    *out = NULL;
    *count = 0;
    char *own = NULL;
    if (!dir && vm && vm->config.scratch_dir)
        dir = own = vt_path_join(vm->config.scratch_dir, "snapshots");
    enum vt_code code = dir ? list(dir, out, count, err) : VT_OK;
    vt_free(own);
    return code;
}

void vt_snapshots_free(struct vt_snapshot *snapshots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct vt_snapshot *s = &snapshots[i];
        char *const owned[] = {s->name, s->dir, s->parent, s->created, s->vm};
        for (size_t k = 0; k < sizeof owned / sizeof *owned; k++)
            vt_free(owned[k]);
        json_decref(s->facts);
    }
    vt_free(snapshots);
}

enum vt_code vt_snapshot_remove(const char *path, struct vt_error *err)
{
    char *file = vt_path_join(path, FACTS), *dir = vt_path_dir(path), random[17];
    vt_random_hex(random, 16);
    struct vt_buf aside = VT_BUF_INIT;
    vt_buf_printf(&aside, "%s/" REMOVING "%s", dir, random);
    enum vt_code code = VT_OK;
    if (!vt_is_file(file))
        code = vt_fail(err, VT_ENOTFOUND, "vm.snapshot", "there is no snapshot %s", path);
    else if (rename(path, aside.data)) /* from here on nobody finds half of it */
        code = vt_fail_sys(err, errno, "vm.snapshot", "cannot remove the snapshot %s", path);
    else
        code = vt_remove_tree(aside.data, err);
    vt__drivers_sweep();
    vt_buf_free(&aside);
    vt_free(dir);
    vt_free(file);
    return code;
}

enum vt_code vt_snapshot_config(const char *path, struct vt_vm_config *config, struct vt_error *err)
{
    json_t *facts = NULL;
    *config = (struct vt_vm_config){0};
    enum vt_code code = vt__snapshot_load(path, &facts, err);
    if (!code)
        code = vt_vm_config_from_json(json_object_get(facts, "config"), true, config, err);
    json_decref(facts);
    return code;
}
