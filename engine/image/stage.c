/* Versions in the making: a folder beside the others until it is whole. */
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
#include "core/sys.h"
#include "image/describe.h"
#include "image/digest.h"
#include "image/layout.h"
#include "image/qcow2.h"
#include "image/stage.h"
#include "image/version.h"
#include "vmtest/store.h"

#define OP "image.commit"
#define BEGIN_TRIES 8

struct vt_image_stage {
    char *name, *image_dir, *dir;
    int lock; /* on dir: its maker lives */
};

static void free_stage(struct vt_image_stage *stage)
{
    if (stage->lock >= 0)
        close(stage->lock);
    vt_free(stage->name);
    vt_free(stage->image_dir);
    vt_free(stage->dir);
    vt_free(stage);
}

/* Makes the folder, or, with a name of its own, takes up what a dead maker left of it. */
static enum vt_code make_folder(struct vt_image_stage *stage, const char *folder,
                                struct vt_error *err)
{
    /* another that gives up may remove the image's folder, which was empty, under our hands */
    for (int i = 0; i < BEGIN_TRIES; i++) {
        struct vt_error why = VT_ERROR_INIT;
        enum vt_code code = vt_mkdirs(stage->image_dir, err);
        if (code)
            return code;
        vt_free(stage->dir);
        stage->dir = vt_path_join(stage->image_dir, folder ? folder : VT__STAGE_PREFIX "XXXXXX");
        bool made =
            folder ? !mkdir(stage->dir, 0700) || errno == EEXIST : mkdtemp(stage->dir) != NULL;
        if (!made && errno != ENOENT)
            break;
        if (made && !vt__lock_dir(stage->dir, true, &stage->lock, &why))
            return VT_OK;
        if (folder && why.code == VT_EBUSY)
            return vt_fail(err, VT_EBUSY, OP, "another process is making %s", stage->dir);
    }
    return vt_fail_sys(err, errno, OP, "cannot make a folder in %s", stage->image_dir);
}

enum vt_code vt__stage_begin(const char *name, const char *folder, struct vt_image_stage **out,
                             struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    char *version = NULL, *store = NULL;
    *out = NULL;
    if (!name)
        return vt_fail(err, VT_EINVAL, OP, "an image needs a name");
    struct vt_image_stage *stage = vt_calloc(1, sizeof *stage);
    stage->lock = -1;
    if (!vt__split_name(name, &stage->name, &version, &own)) {
        if (version)
            vt_fail(&own, VT_EINVAL, OP, "\"%s\": the store numbers versions itself", name);
        store = own.code ? NULL : vt__store_dir(&own);
    }
    if (store) {
        stage->image_dir = vt_path_join(store, stage->name);
        make_folder(stage, folder, &own);
    }
    vt_free(store);
    vt_free(version);
    if (own.code)
        free_stage(stage);
    else
        *out = stage;
    return vt_error_copy(err, &own);
}

enum vt_code vt_image_stage_begin(const char *name, struct vt_image_stage **stage,
                                  struct vt_error *err)
{
    return vt__stage_begin(name, NULL, stage, err);
}

void vt__stage_leave(struct vt_image_stage *stage)
{
    free_stage(stage);
}

const char *vt_image_stage_dir(const struct vt_image_stage *stage)
{
    return stage->dir;
}

void vt_image_stage_abandon(struct vt_image_stage *stage)
{
    if (!stage)
        return;
    vt_remove_tree(stage->dir, NULL);
    rmdir(stage->image_dir); /* unless there are versions */
    free_stage(stage);
}

static bool is_inside(const char *dir, const char *path)
{
    size_t n = strlen(dir);
    return !path || (!strncmp(path, dir, n) && path[n] == '/' && !strchr(path + n + 1, '/'));
}

static enum vt_code check_own_data(const char *disk, struct vt_error *err)
{
    struct vt_qcow2 head;
    enum vt_code code = vt_qcow2_read(disk, &head, err);
    if (code || (!head.backing_len && !head.external_data))
        return code;
    code = vt_fail(err, VT_EIMAGE, OP, "%s has its data in another file", disk);
    vt_hint(err, "`qemu-img convert -O qcow2` makes one file of it");
    return code;
}

/* What vt_image_open() would say, and whether the folder has all it needs in itself. */
static enum vt_code check_whole(const struct vt_image_stage *stage,
                                struct vt_image_version *version, struct vt_error *err)
{
    struct vt_image *image = vt_calloc(1, sizeof *image);
    image->name = vt_strdup(stage->name);
    image->dir = vt_strdup(stage->dir);
    enum vt_code code = vt__image_describe(image, err);
    const char *const paths[] = {image->kernel, image->initrd, image->disk, image->ssh_key};
    for (size_t i = 0; !code && i < sizeof paths / sizeof *paths; i++)
        if (!is_inside(stage->dir, paths[i]))
            code = vt_fail(err, VT_EIMAGE, OP,
                           "%s lies outside the image's folder: an image holds all it names",
                           paths[i]);
    if (!code && image->disk && !strcmp(image->disk_format, "qcow2"))
        code = check_own_data(image->disk, err);
    version->os = vt_strdup(image->os);
    version->arch = vt_strdup(image->arch);
    vt_image_free(image);
    return code;
}

static enum vt_code describe(const struct vt_image_stage *stage, const struct vt_image_made *made,
                             struct vt_image_version *version, struct vt_error *err)
{
    char hex[VT__HEX_SIZE], now[40];
    enum vt_code code = check_whole(stage, version, err);
    if (!code)
        code = vt__digest_dir(stage->dir, &version->files, err);
    if (code)
        return code;
    vt__digest_list(version->files, hex);
    if (made->sha256 && strcmp(made->sha256, hex) != 0)
        return vt_fail(err, VT_EIMAGE, OP, "the files of %s are not those that were stored",
                       stage->name);
    char *path = vt_path_join(stage->dir, "image.json");
    json_t *description = NULL;
    code = vt_json_load(path, &description, err);
    const char *words = vt_json_str(description, "description", "");
    version->description = *words ? vt_strdup(words) : NULL;
    json_decref(description);
    vt_free(path);
    version->sha256 = vt_strdup(hex);
    version->bytes = vt__disk_usage(stage->dir, false);
    version->name = vt_strdup(stage->name);
    version->created =
        vt_strdup(made->created ? made->created : vt_format_time(now, sizeof now, vt_wall()));
    version->recipe = vt_strdup(made->recipe);
    version->recipe_sha256 = vt_strdup(made->recipe_sha256);
    version->parent = vt_strdup(made->parent);
    version->contents = made->contents ? json_deep_copy(made->contents) : NULL;
    return code;
}

/* The next of today, or of the newest version's day, where that is later: versions only grow. */
static enum vt_code number(const struct vt_image_stage *stage, const char *wanted, char **out,
                           struct vt_error *err)
{
    struct vt__names all;
    enum vt_code code = vt__version_names(stage->image_dir, &all, err);
    if (code)
        return code;
    uint64_t key = 0, newest = 0;
    bool taken = false;
    for (size_t i = 0; i < all.n; i++)
        taken |= wanted && !strcmp(all.v[i], wanted);
    if (all.n)
        vt__version_parse(all.v[all.n - 1], &newest);
    vt__names_free(&all);
    if (taken)
        return vt_fail(err, VT_ESTATE, OP, "%s@%s is in the store already", stage->name, wanted);
    if (wanted && !vt__version_parse(wanted, &key))
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" cannot be a version", wanted);
    if (wanted) {
        *out = vt_strdup(wanted);
        return VT_OK;
    }
    char day[16];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(day, sizeof day, "%Y%m%d", &tm);
    key = (uint64_t)strtoul(day, NULL, 10) << 20 | 1;
    if (key <= newest)
        key = newest + 1;
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "%08lu.%lu", (unsigned long)(key >> 20), (unsigned long)(key & 0xfffff));
    *out = vt_buf_steal(&text);
    return VT_OK;
}

/* The role that a version gets. An inherited one is that of the latest before it; what is older
 * than that inherits nothing. */
static enum vt_image_role role_of(const struct vt_image_stage *stage, const char *version,
                                  const struct vt_image_made *made)
{
    enum vt_image_role role = made->role;
    char *latest = role == VT_ROLE_KEEP ? vt__latest(stage->image_dir) : NULL;
    uint64_t own = 0, other = 0;
    vt__version_parse(version, &own);
    if (latest && vt__version_parse(latest, &other) && other < own) {
        char *dir = vt_path_join(stage->image_dir, latest);
        struct vt_image_version before;
        if (!vt__version_load(dir, &before, NULL))
            role = before.role;
        vt__version_clear(&before);
        vt_free(dir);
    }
    vt_free(latest);
    return role == VT_ROLE_KEEP ? VT_ROLE_NONE : role;
}

/* With the store's lock held. */
static enum vt_code move_in(struct vt_image_stage *stage, const struct vt_image_made *made,
                            struct vt_image_version *version, struct vt_error *err)
{
    enum vt_code code = number(stage, made->version, &version->version, err);
    if (code)
        return code;
    version->role = role_of(stage, version->version, made);
    code = vt__version_save(stage->dir, version, err);
    if (!code)
        code = vt__flush_dir(stage->dir, err);
    if (code)
        return code;
    char *dir = vt_path_join(stage->image_dir, version->version);
    if (rename(stage->dir, dir)) {
        code = vt_fail_sys(err, errno, OP, "cannot move %s to %s", stage->dir, dir);
        vt_free(dir);
        return code;
    }
    code = vt__relink(stage->image_dir, err);
    if (!code)
        code = vt__role_unique(stage->image_dir, version->version, version->role, err);
    if (code && !rename(dir, stage->dir)) {
        vt__relink(stage->image_dir, NULL);
    } else {
        vt_free(stage->dir);
        stage->dir = NULL;
    }
    vt_free(dir);
    return code;
}

enum vt_code vt_image_stage_commit(struct vt_image_stage *stage, const struct vt_image_made *made,
                                   char **out, struct vt_error *err)
{
    static const struct vt_image_made nothing = {.role = VT_ROLE_KEEP};
    struct vt_image_version version = {0};
    struct vt_error own = VT_ERROR_INIT;
    int lock = -1;
    made = made ? made : &nothing;
    *out = NULL;
    if (!describe(stage, made, &version, &own) && !vt__store_lock(&lock, &own))
        move_in(stage, made, &version, &own);
    if (!own.code)
        *out = vt_strdup(version.version);
    if (stage->dir)
        vt_image_stage_abandon(stage);
    else
        free_stage(stage);
    if (lock >= 0)
        close(lock);
    vt__version_clear(&version);
    return vt_error_copy(err, &own);
}
