/* The store's versions: listing, finding, marking, verifying. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "image/digest.h"
#include "image/layout.h"
#include "image/version.h"
#include "vmtest/image.h"
#include "vmtest/store.h"

#define OP "image.store"
#define REASON_MAX 300

struct list {
    struct vt_image_version *v;
    size_t n;
};

/* One that is damaged is listed too. */
static void add(struct list *list, const char *name, const char *version, const char *dir)
{
    struct vt_error why = VT_ERROR_INIT;
    list->v = vt_realloc(list->v, (list->n + 1) * sizeof *list->v);
    struct vt_image_version *v = &list->v[list->n++];
    if (!vt__version_load(dir, v, &why))
        return;
    vt__version_clear(v);
    v->name = vt_strdup(name);
    v->version = vt_strdup(version);
    v->dir = vt_strdup(dir);
    v->broken = vt_strdup(why.message);
    v->role = VT_ROLE_NONE;
}

static enum vt_code add_image(struct list *list, const char *store, const char *name,
                              struct vt_error *err)
{
    struct vt__names versions;
    char *image_dir = vt_path_join(store, name), *latest = vt__latest(image_dir);
    enum vt_code code = vt__version_names(image_dir, &versions, err);
    for (size_t i = 0; !code && i < versions.n; i++) {
        char *dir = vt_path_join(image_dir, versions.v[i]);
        add(list, name, versions.v[i], dir);
        list->v[list->n - 1].latest = latest && !strcmp(latest, versions.v[i]);
        vt_free(dir);
    }
    vt__names_free(&versions);
    vt_free(latest);
    vt_free(image_dir);
    return code;
}

enum vt_code vt_image_versions(struct vt_image_version **out, size_t *count, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct list list = {0};
    char **names = NULL;
    size_t n = 0;
    *out = NULL;
    *count = 0;
    char *store = vt__store_dir(&own);
    if (store && !vt_image_names(&names, &n, &own))
        for (size_t i = 0; !own.code && i < n; i++)
            add_image(&list, store, names[i], &own);
    vt_image_names_free(names, n);
    vt_free(store);
    if (own.code) {
        vt_image_versions_free(list.v, list.n);
        return vt_error_copy(err, &own);
    }
    *out = list.v;
    *count = list.n;
    return VT_OK;
}

void vt_image_versions_free(struct vt_image_version *versions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        vt__version_clear(&versions[i]);
    vt_free(versions);
}

enum vt_code vt_image_version_find(const char *name, struct vt_image_version **out,
                                   struct vt_error *err)
{
    struct vt__place place;
    *out = NULL;
    enum vt_code code = vt__find_version(name, &place, err);
    if (code)
        return code;
    struct vt_image_version *version = vt_calloc(1, sizeof *version);
    code = vt__version_load(place.dir, version, err);
    if (code) {
        vt_image_versions_free(version, 1);
    } else {
        char *latest = vt__latest(place.image_dir);
        version->latest = latest && !strcmp(latest, place.version);
        vt_free(latest);
        *out = version;
    }
    vt__place_free(&place);
    return code;
}

enum vt_code vt_image_use(const char *dir, int *fd, struct vt_error *err)
{
    int held;
    *fd = 0;
    enum vt_code code = vt__lock_dir(dir, false, &held, err);
    if (code == VT_EBUSY && err)
        vt_hint(err, "it is being made or removed; try again");
    if (code)
        return code;
    if (held > 2) {
        *fd = held;
        return VT_OK;
    }
    *fd = fcntl(held, F_DUPFD_CLOEXEC, 3); /* 0 says "none" */
    int sys = errno;
    close(held);
    return *fd > 2 ? VT_OK : vt_fail_sys(err, sys, OP, "cannot hold %s", dir);
}

/* Finds a version, lets `change` alter it with the store's lock held, and saves it. */
static enum vt_code mark(const char *name, void (*change)(struct vt_image_version *, const void *),
                         const void *user, struct vt__place *place, struct vt_error *err)
{
    struct vt_image_version version = {0};
    enum vt_code code = vt__find_version(name, place, err);
    if (!code)
        code = vt__version_load(place->dir, &version, err);
    if (!code) {
        change(&version, user);
        code = vt__version_save(place->dir, &version, err);
    }
    vt__version_clear(&version);
    return code;
}

static void put_role(struct vt_image_version *version, const void *user)
{
    version->role = *(const enum vt_image_role *)user;
}

enum vt_code vt__role_unique(const char *image_dir, const char *keeper, enum vt_image_role role,
                             struct vt_error *err)
{
    struct vt__names all;
    if (role == VT_ROLE_NONE)
        return VT_OK;
    enum vt_code code = vt__version_names(image_dir, &all, err);
    for (size_t i = 0; !code && i < all.n; i++) {
        struct vt_image_version version = {0};
        char *dir = vt_path_join(image_dir, all.v[i]);
        if (strcmp(all.v[i], keeper) != 0 && !vt__version_load(dir, &version, NULL) &&
            version.role == role) {
            version.role = VT_ROLE_NONE;
            code = vt__version_save(dir, &version, err);
        }
        vt__version_clear(&version);
        vt_free(dir);
    }
    vt__names_free(&all);
    return code;
}

enum vt_code vt_image_set_role(const char *name, enum vt_image_role role, struct vt_error *err)
{
    struct vt__place place = {0};
    int lock;
    if (role == VT_ROLE_KEEP)
        return vt_fail(err, VT_EINVAL, OP, "no role is given");
    enum vt_code code = vt__store_lock(&lock, err);
    if (code)
        return code;
    code = mark(name, put_role, &role, &place, err);
    if (!code)
        code = vt__role_unique(place.image_dir, place.version, role, err);
    vt__place_free(&place);
    close(lock);
    return code;
}

static void put_reason(struct vt_image_version *version, const void *user)
{
    vt_free(version->deprecated);
    version->deprecated = vt_strdup(user);
}

enum vt_code vt_image_deprecate(const char *name, const char *reason, struct vt_error *err)
{
    struct vt__place place = {0};
    int lock;
    if (reason && (!*reason || strlen(reason) > REASON_MAX || strpbrk(reason, "\n\r")))
        return vt_fail(err, VT_EINVAL, OP, "a reason is one line of 1 to %d bytes", REASON_MAX);
    enum vt_code code = vt__store_lock(&lock, err);
    if (code)
        return code;
    code = mark(name, put_reason, reason, &place, err);
    if (!code)
        code = vt__relink(place.image_dir, err);
    vt__place_free(&place);
    close(lock);
    return code;
}

/* The first difference between what is there and what was. Both are sorted by name. */
static enum vt_code compare(const struct vt_image_version *version, const json_t *now,
                            struct vt_error *err)
{
    size_t n = json_array_size(version->files), m = json_array_size(now);
    for (size_t i = 0; i < n || i < m; i++) {
        const json_t *was = json_array_get(version->files, i), *is = json_array_get(now, i);
        const char *a = vt_json_str(was, "name", NULL), *b = vt_json_str(is, "name", NULL);
        if (a && (!b || strcmp(a, b) < 0))
            return vt_fail(err, VT_EIMAGE, "image.verify", "%s/%s is missing", version->dir, a);
        if (!a || strcmp(a, b) > 0)
            return vt_fail(err, VT_EIMAGE, "image.verify", "%s/%s does not belong there",
                           version->dir, b);
        int64_t x = vt_json_int(was, "size", 0), y = vt_json_int(is, "size", 0);
        if (x != y)
            return vt_fail(err, VT_EIMAGE, "image.verify", "%s/%s has %lld bytes instead of %lld",
                           version->dir, a, (long long)y, (long long)x);
        if (strcmp(vt_json_str(was, "sha256", ""), vt_json_str(is, "sha256", "")) != 0)
            return vt_fail(err, VT_EIMAGE, "image.verify",
                           "%s/%s is damaged: its content is not what was stored", version->dir, a);
    }
    return VT_OK;
}

enum vt_code vt_image_verify(const struct vt_image_version *version, struct vt_error *err)
{
    json_t *now = NULL;
    int use;
    enum vt_code code = version->broken
                            ? vt_fail(err, VT_EIMAGE, "image.verify", "%s", version->broken)
                            : vt_image_use(version->dir, &use, err);
    if (code)
        return code;
    code = vt__digest_dir(version->dir, &now, err);
    if (!code)
        code = compare(version, now, err);
    if (code && err)
        vt_hint(err, "remove it (`vmtest image rm %s@%s`) and build or import it again",
                version->name, version->version);
    json_decref(now);
    close(use);
    return code;
}
