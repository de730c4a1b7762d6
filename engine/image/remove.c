#include "image/remove.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "image/digest.h"
#include "vmtest/store.h"

#define OP "image.rm"

enum vt_code vt__remove_claim(const char *dir, const char *name, const char *version,
                              const struct vt__users *users, int *lock, struct vt_error *err)
{
    enum vt_code code = vt__lock_dir(dir, true, lock, NULL);
    if (code == VT_EBUSY) {
        code = vt_fail(err, VT_EBUSY, OP, "image %s@%s is in use", name, version);
        vt_hint(err, "`vmtest vm ls` shows the VMs that run");
        return code;
    }
    if (code)
        return vt_fail(err, code, OP, "image %s@%s cannot be locked: %s", name, version, dir);
    /* now nobody can open it any more, so nobody can make anything of it meanwhile */
    const char *user = vt__users_of(users, name, version);
    if (!user)
        return VT_OK;
    code =
        vt_fail(err, VT_EBUSY, OP, "image %s@%s is in use: %s is made of it", name, version, user);
    vt_hint(err, "remove that VM or snapshot first");
    close(*lock);
    *lock = -1;
    return code;
}

enum vt_code vt__remove_dir(const char *image_dir, const char *dir, uint64_t *freed,
                            struct vt_error *err)
{
    char random[9], name[32];
    vt_random_hex(random, 8);
    snprintf(name, sizeof name, VT__GONE_PREFIX "%s", random);
    char *gone = vt_path_join(image_dir, name);
    enum vt_code code = VT_OK;
    uint64_t bytes = vt__disk_usage(dir, true);
    if (rename(dir, gone))
        code = vt_fail_sys(err, errno, OP, "cannot remove %s", dir);
    else
        code = vt_remove_tree(gone, err);
    if (!code)
        *freed += bytes;
    vt_free(gone);
    return code;
}

struct target {
    struct vt__place place;
    int lock;
};

struct targets {
    struct target *v;
    size_t n;
};

static void add_target(struct targets *targets, const struct vt__place *at, const char *version)
{
    targets->v = vt_realloc(targets->v, (targets->n + 1) * sizeof *targets->v);
    targets->v[targets->n++] = (struct target){
        .place = {.name = vt_strdup(at->name),
                  .version = vt_strdup(version),
                  .image_dir = vt_strdup(at->image_dir),
                  .dir = vt_path_join(at->image_dir, version)},
        .lock = -1,
    };
}

static enum vt_code find_targets(const char *name, struct targets *targets, size_t *of,
                                 struct vt_error *err)
{
    struct vt__place place;
    struct vt__names all = {0};
    enum vt_code code = vt__find_version(name, &place, err);
    if (code)
        return code;
    code = vt__version_names(place.image_dir, &all, err);
    *of = all.n;
    if (!code && strchr(name, '@'))
        add_target(targets, &place, place.version);
    for (size_t i = 0; !code && !strchr(name, '@') && i < all.n; i++)
        add_target(targets, &place, all.v[i]);
    vt__names_free(&all);
    vt__place_free(&place);
    return code;
}

/* What a person may not have thought of. */
static enum vt_code check_wanted(const struct targets *targets, size_t of, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    for (size_t i = 0; !code && i < targets->n; i++) {
        const struct vt__place *p = &targets->v[i].place;
        struct vt_image_version version = {.role = VT_ROLE_NONE};
        char *latest = vt__latest(p->image_dir);
        if (!vt__version_load(p->dir, &version, NULL) && version.role != VT_ROLE_NONE)
            code = vt_fail(err, VT_ESTATE, OP, "image %s@%s has the role \"%s\"", p->name,
                           p->version, vt_image_role_name(version.role));
        else if (targets->n < of && latest && !strcmp(latest, p->version))
            code = vt_fail(err, VT_ESTATE, OP, "%s@%s is the latest of its image", p->name,
                           p->version);
        if (code)
            vt_hint(err, "--force removes it nevertheless");
        vt__version_clear(&version);
        vt_free(latest);
    }
    return code;
}

static enum vt_code remove_targets(struct targets *targets, const struct vt__users *users,
                                   uint64_t *freed, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    for (size_t i = 0; !code && i < targets->n; i++) {
        const struct vt__place *p = &targets->v[i].place;
        code = vt__remove_claim(p->dir, p->name, p->version, users, &targets->v[i].lock, err);
    }
    for (size_t i = 0; !code && i < targets->n; i++)
        code = vt__remove_dir(targets->v[i].place.image_dir, targets->v[i].place.dir, freed, err);
    if (!code && targets->n) {
        code = vt__relink(targets->v[0].place.image_dir, err);
        rmdir(targets->v[0].place.image_dir); /* unless there are other versions */
    }
    return code;
}

static void free_targets(struct targets *targets)
{
    for (size_t i = 0; i < targets->n; i++) {
        if (targets->v[i].lock >= 0)
            close(targets->v[i].lock);
        vt__place_free(&targets->v[i].place);
    }
    vt_free(targets->v);
}

enum vt_code vt_image_remove(const char *name, bool force, uint64_t *freed, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct targets targets = {0};
    struct vt__users users = {{0}, {0}};
    uint64_t bytes = 0;
    size_t of = 0;
    int lock;
    if (vt__store_lock(&lock, &own))
        return vt_error_copy(err, &own);
    if (!find_targets(name, &targets, &of, &own) && (force || !check_wanted(&targets, of, &own)) &&
        !vt__users_find(&users, &own))
        remove_targets(&targets, &users, &bytes, &own);
    vt__users_free(&users);
    free_targets(&targets);
    close(lock);
    if (freed)
        *freed = bytes;
    return vt_error_copy(err, &own);
}
