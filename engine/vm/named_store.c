/* The folder of named VMs: what is in it, a new one, and the end of one. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/sys.h"
#include "core/text.h"
#include "vm/driver.h"
#include "vm/internal.h"
#include "vm/named.h"
#include "vmtest/log.h"

#define FORMAT 1
#define NEW_PREFIX ".new-"   /* of a folder that is being made */
#define GONE_PREFIX ".gone-" /* of one that is being removed */
#define NEW_S 60             /* older ones were left by a process that was killed */

/* --- list --- */

static int compare(const void *a, const void *b)
{
    const struct vt_named *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

enum vt_code vt_named_list(struct vt_named ***out, size_t *count, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct vt_named **list = NULL;
    size_t n = 0;
    char *home = vt_home_dir(NULL, &own);
    char *root = home ? vt_path_join(home, VT_NAMED_RUN) : NULL;
    DIR *d = root ? opendir(root) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        struct vt_error why = VT_ERROR_INIT;
        struct vt_named *one = NULL;
        if (!vt_is_plain_name(e->d_name))
            continue;
        if (!vt__named_read(e->d_name, &one, &why)) {
            list = vt_realloc(list, (n + 1) * sizeof *list);
            list[n++] = one;
        } else if (why.code != VT_ENOTFOUND) {
            vt_log(VT_LOG_WARNING, "VM %s: %s", e->d_name, why.message);
        }
    }
    if (d)
        closedir(d);
    if (n)
        qsort(list, n, sizeof *list, compare);
    *out = list;
    *count = n;
    vt_free(root);
    vt_free(home);
    return vt_error_copy(err, &own);
}

void vt_named_list_free(struct vt_named **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        vt_named_free(list[i]);
    vt_free(list);
}

/* --- create --- */

static bool is_old(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && time(NULL) - st.st_mtime > NEW_S;
}

/* What killed processes left. */
static void sweep(const char *root)
{
    DIR *d = opendir(root);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *path = vt_path_join(root, e->d_name);
        if (!strncmp(e->d_name, GONE_PREFIX, strlen(GONE_PREFIX)) ||
            (!strncmp(e->d_name, NEW_PREFIX, strlen(NEW_PREFIX)) && is_old(path)))
            vt_remove_tree(path, NULL);
        vt_free(path);
    }
    if (d)
        closedir(d);
}

static enum vt_code write_description(const char *stage, const struct vt_named_opts *opts,
                                      const struct vt_vm_config *config, struct vt_error *err)
{
    char now[64];
    json_t *file = json_pack("{s:i, s:s, s:s*, s:s*, s:o}", "format", FORMAT, "created",
                             vt_format_time(now, sizeof now, vt_wall()), "source", opts->source,
                             "base", opts->base, "config", vt_vm_config_to_json(config));
    char *path = vt_path_join(stage, "vm.json"), *disks = vt_path_join(stage, "disks");
    char *snapshots = vt_path_join(stage, "snapshots");
    enum vt_code code = vt_mkdirs(disks, err);
    if (!code)
        code = vt_mkdirs(snapshots, err);
    if (!code)
        code = vt_json_save(path, file, 0600, err);
    vt_free(path);
    vt_free(disks);
    vt_free(snapshots);
    json_decref(file);
    return code;
}

/* Whether a VM of it could be started, as far as that can be told without starting it. */
static enum vt_code check(struct vt_vm_config *config, const char *stage, struct vt_error *err)
{
    struct vt_loop *loop = vt_loop_new(err);
    char *states = vt_runtime_dir(VT_NAMED_RUN, err), *disks = vt_path_join(stage, "disks");
    char *state = states ? vt_path_join(states, vt_path_base(stage)) : NULL;
    struct vt_vm *vm = NULL;
    config->state_dir = state;
    config->scratch_dir = disks;
    config->persistent = true;
    if (loop && state && !vt_mkdirs(state, err) && !vt_vm_new(loop, config, &vm, err) &&
        !vm->driver->attach) {
        vt_fail(err, VT_EUNSUPPORTED, "vm.create",
                "VMs of the %s driver end with the process that made them", vm->driver->name);
        vt_hint(err, "start them in a suite");
    }
    vt_vm_free(vm, false);
    if (state)
        vt_remove_tree(state, NULL);
    config->state_dir = config->scratch_dir = NULL;
    vt_loop_free(loop);
    vt_free(disks);
    vt_free(state);
    vt_free(states);
    return err->code;
}

static enum vt_code take_name(const char *stage, const char *root, const char *name,
                              struct vt_error *err)
{
    char *dir = vt_path_join(root, name);
    enum vt_code code = VT_OK;
    if (rename(stage, dir) && (errno == ENOTEMPTY || errno == EEXIST)) {
        code = vt_fail(err, VT_EBUSY, "vm.create", "there is a VM \"%s\" already", name);
        vt_hint(err, "`vmtest vm rm %s` removes it", name);
    } else if (vt_is_dir(stage)) {
        code = vt_fail_sys(err, errno, "vm.create", "cannot make the folder %s", dir);
    }
    vt_free(dir);
    return code;
}

enum vt_code vt_named_create(const struct vt_named_opts *opts, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    if (!opts->name || !vt_is_plain_name(opts->name))
        return vt_fail(err, VT_EINVAL, "vm.create",
                       "\"%.100s\" cannot be a VM's name: 1 to 64 letters, digits, '.', '_', '-'",
                       opts->name ? opts->name : "");
    char *root = vt_home_dir(VT_NAMED_RUN, &own);
    if (!root)
        return vt_error_copy(err, &own);
    sweep(root);
    char tail[17];
    struct vt_buf stage = VT_BUF_INIT;
    struct vt_vm_config config = {0};
    json_t *object = json_deep_copy(opts->config);
    json_object_set_new(object, "name", json_string(opts->name));
    vt_random_hex(tail, 8);
    vt_buf_printf(&stage, "%s/" NEW_PREFIX "%s", root, tail);
    if (!vt_vm_config_from_json(object, true, &config, &own) && !vt_mkdirs(stage.data, &own) &&
        !write_description(stage.data, opts, &config, &own) && !check(&config, stage.data, &own))
        take_name(stage.data, root, opts->name, &own);
    if (own.code)
        vt_remove_tree(stage.data, NULL);
    vt_vm_config_clear(&config);
    json_decref(object);
    vt_buf_free(&stage);
    vt_free(root);
    return vt_error_copy(err, &own);
}

/* --- remove --- */

/* Those that begin from the snapshot `path`, or from one in that folder, but not `self`. */
static enum vt_code users_of(const char *path, const char *self, struct vt_buf *out,
                             struct vt_error *err)
{
    struct vt_named **list;
    size_t count, len = strlen(path);
    enum vt_code code = vt_named_list(&list, &count, err);
    for (size_t i = 0; !code && i < count; i++) {
        const char *base = list[i]->base;
        if (base && !strncmp(base, path, len) && strchr("/", base[len]) &&
            strcmp(list[i]->name, self) != 0)
            vt_buf_printf(out, "%s%s", out->len ? ", " : "", list[i]->name);
    }
    if (!code)
        vt_named_list_free(list, count);
    return code;
}

enum vt_code vt_named_unused(const char *path, struct vt_error *err)
{
    struct vt_buf users = VT_BUF_INIT;
    enum vt_code code = users_of(path, "", &users, err);
    if (!code && users.len) {
        code = vt_fail(err, VT_EBUSY, "vm.rmsnap", "the snapshot %s is what these begin from: %s",
                       vt_path_base(path), users.data);
        vt_hint(err, "remove those VMs first");
    }
    vt_buf_free(&users);
    return code;
}

static enum vt_code remove_dir(const struct vt_named *n, struct vt_error *err)
{
    char tail[17], *root = vt_path_dir(n->dir);
    struct vt_buf gone = VT_BUF_INIT;
    vt_random_hex(tail, 8);
    vt_buf_printf(&gone, "%s/" GONE_PREFIX "%s", root, tail);
    enum vt_code code = VT_OK;
    if (rename(n->dir, gone.data))
        code = vt_fail_sys(err, errno, "vm.rm", "cannot remove %s", n->dir);
    else
        code = vt_remove_tree(gone.data, err);
    vt_buf_free(&gone);
    vt_free(root);
    return code;
}

enum vt_code vt_named_remove(struct vt_named *n, struct vt_error *err)
{
    struct vt_buf children = VT_BUF_INIT;
    enum vt_code code = n->dir ? users_of(n->dir, n->name, &children, err) : VT_OK;
    if (!code && children.len) {
        code = vt_fail(err, VT_EBUSY, "vm.rm", "VM %s cannot go: of its snapshots were made %s",
                       n->name, children.data);
        vt_hint(err, "remove those first, or all of them in one command");
    }
    vt_buf_free(&children);
    if (!code)
        code = vt__named_end(n, err);
    if (code)
        return code;
    code = n->dir ? remove_dir(n, err) : vt_remove_tree(n->scratch_dir, err);
    vt__drivers_sweep();
    return code;
}
