/* What nobody needs. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "image/digest.h"
#include "image/layout.h"
#include "image/remove.h"
#include "image/stage.h"
#include "vmtest/store.h"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_image_dir(const char *store, const char *name)
{
    char *path = vt_path_join(store, name);
    bool is = vt_is_plain_name(name) && vt_is_dir(path);
    vt_free(path);
    return is;
}

static bool has_prefix(const char *name, const char *prefix)
{
    return !strncmp(name, prefix, strlen(prefix));
}

static bool is_half_made(const char *dir, const char *name)
{
    (void)dir;
    return has_prefix(name, VT__STAGE_PREFIX) || has_prefix(name, VT__IMPORT_PREFIX) ||
           has_prefix(name, VT__GONE_PREFIX);
}

static void tell(struct vt_image_gc *gc, const char *what, const char *path, uint64_t bytes)
{
    gc->removed++;
    gc->freed += bytes;
    if (gc->tell)
        gc->tell(what, path, bytes, gc->user);
}

static enum vt_code remove_dir(struct vt_image_gc *gc, const char *what, const char *image_dir,
                               const char *dir, struct vt_error *err)
{
    uint64_t bytes = 0;
    enum vt_code code = VT_OK;
    if (gc->dry_run)
        bytes = vt__disk_usage(dir, true);
    else
        code = vt__remove_dir(image_dir, dir, &bytes, err);
    if (!code)
        tell(gc, what, dir, bytes);
    return code;
}

static enum vt_code sweep_half_made(struct vt_image_gc *gc, const char *image_dir,
                                    struct vt_error *err)
{
    struct vt__names names;
    enum vt_code code = vt__list(image_dir, is_half_made, by_name, &names, err);
    for (size_t i = 0; !code && i < names.n; i++) {
        char *dir = vt_path_join(image_dir, names.v[i]);
        int lock;
        enum vt_code taken = vt__lock_dir(dir, true, &lock, NULL);
        if (!taken) {
            const char *what = has_prefix(names.v[i], VT__IMPORT_PREFIX)
                                   ? "an import that was interrupted"
                               : has_prefix(names.v[i], VT__GONE_PREFIX) ? "a version half removed"
                                                                         : "a version half made";
            code = remove_dir(gc, what, image_dir, dir, err);
            close(lock);
        }
        gc->making |= taken == VT_EBUSY && !has_prefix(names.v[i], VT__GONE_PREFIX);
        vt_free(dir);
    }
    vt__names_free(&names);
    return code;
}

/* Files of an image of before there were versions: not used since it has some. */
static bool is_stray(const char *dir, const char *name)
{
    struct stat st;
    char *path = vt_path_join(dir, name);
    bool is = name[0] != '.' && lstat(path, &st) == 0 && S_ISREG(st.st_mode);
    vt_free(path);
    return is;
}

static bool is_temporary(const char *dir, const char *name)
{
    (void)dir;
    return has_prefix(name, VT__VERSION_FILE ".tmp-");
}

static enum vt_code sweep_files(struct vt_image_gc *gc, const char *dir, const char *what,
                                bool (*wanted)(const char *, const char *), struct vt_error *err)
{
    struct vt__names names;
    enum vt_code code = vt__list(dir, wanted, by_name, &names, err);
    for (size_t i = 0; !code && i < names.n; i++) {
        char *path = vt_path_join(dir, names.v[i]);
        struct stat st;
        uint64_t bytes = lstat(path, &st) ? 0 : (uint64_t)st.st_blocks * 512;
        if (!gc->dry_run)
            code = vt_remove_tree(path, err);
        if (!code)
            tell(gc, what, path, bytes);
        vt_free(path);
    }
    vt__names_free(&names);
    return code;
}

struct candidate {
    struct vt_image_version version;
    bool keep;
};

static void choose(struct candidate *all, size_t n, size_t keep, const char *latest)
{
    for (size_t i = n, newest = 0; i > 0; i--) {
        struct candidate *c = &all[i - 1];
        c->keep = c->version.broken || c->version.role != VT_ROLE_NONE ||
                  (latest && !strcmp(latest, c->version.version));
        if (!c->version.deprecated && newest < keep) {
            c->keep = true;
            newest++;
        }
    }
}

static enum vt_code sweep_old(struct vt_image_gc *gc, const char *image_dir,
                              const struct vt__users *users, struct vt_error *err)
{
    struct vt__names names;
    enum vt_code code = vt__version_names(image_dir, &names, err);
    if (code || !names.n)
        return code;
    struct candidate *all = vt_calloc(names.n, sizeof *all);
    char *latest = vt__latest(image_dir);
    for (size_t i = 0; i < names.n; i++) {
        char *dir = vt_path_join(image_dir, names.v[i]);
        if (vt__version_load(dir, &all[i].version, NULL)) {
            vt__version_clear(&all[i].version);
            all[i].version.broken = vt_strdup("damaged");
        }
        vt_free(dir);
    }
    choose(all, names.n, gc->keep, latest);
    for (size_t i = 0; !code && i < names.n; i++) {
        const struct vt_image_version *v = &all[i].version;
        int lock;
        if (all[i].keep || vt__remove_claim(v->dir, v->name, v->version, users, &lock, NULL))
            continue;
        code = remove_dir(gc, v->deprecated ? "a deprecated version" : "an old version", image_dir,
                          v->dir, err);
        close(lock);
    }
    for (size_t i = 0; i < names.n; i++)
        vt__version_clear(&all[i].version);
    vt_free(latest);
    vt_free(all);
    vt__names_free(&names);
    return code;
}

static enum vt_code sweep_image(struct vt_image_gc *gc, const char *image_dir,
                                const struct vt__users *users, struct vt_error *err)
{
    struct vt__names versions;
    enum vt_code code = sweep_half_made(gc, image_dir, err);
    char *latest = vt__latest(image_dir);
    if (!code && latest)
        code = sweep_files(gc, image_dir, "a file of an older vmtest", is_stray, err);
    vt_free(latest);
    if (!code)
        code = vt__version_names(image_dir, &versions, err);
    if (code)
        return code;
    for (size_t i = 0; !code && i < versions.n; i++) {
        char *dir = vt_path_join(image_dir, versions.v[i]);
        code = sweep_files(gc, dir, "a file half written", is_temporary, err);
        vt_free(dir);
    }
    vt__names_free(&versions);
    if (!code)
        code = sweep_old(gc, image_dir, users, err);
    if (!code && !gc->dry_run) {
        code = vt__relink(image_dir, err);
        rmdir(image_dir); /* unless there are versions */
    }
    return code;
}

enum vt_code vt_image_gc(struct vt_image_gc *gc, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct vt__users users = {{0}, {0}};
    struct vt__names names = {0};
    int lock;
    gc->removed = 0;
    gc->freed = 0;
    gc->making = false;
    char *store = vt__store_dir(&own);
    if (store && !vt__store_lock(&lock, &own)) {
        if (!vt__users_find(&users, &own) && !vt__list(store, is_image_dir, by_name, &names, &own))
            for (size_t i = 0; !own.code && i < names.n; i++) {
                char *image_dir = vt_path_join(store, names.v[i]);
                sweep_image(gc, image_dir, &users, &own);
                vt_free(image_dir);
            }
        close(lock);
    }
    vt__names_free(&names);
    vt__users_free(&users);
    vt_free(store);
    return vt_error_copy(err, &own);
}
