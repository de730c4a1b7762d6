/* The image store: folders below HOME/images. */
#include "vmtest/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "image/describe.h"
#include "image/layout.h"
#include "image/version.h"
#include "vmtest/log.h"

#define OP "image.open"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A folder with at least one version. */
static bool is_image(const char *store, const char *name)
{
    if (!vt_is_plain_name(name))
        return false;
    char *dir = vt_path_join(store, name), *latest = vt__latest(dir);
    bool found = latest != NULL;
    vt_free(latest);
    vt_free(dir);
    return found;
}

enum vt_code vt_image_names(char ***names, size_t *count, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct vt__names all = {0};
    *names = NULL;
    *count = 0;
    char *store = vt__store_dir(&own);
    if (store && !vt__list(store, is_image, by_name, &all, &own)) {
        *names = all.v;
        *count = all.n;
    }
    vt_free(store);
    return vt_error_copy(err, &own);
}

void vt_image_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        vt_free(names[i]);
    vt_free(names);
}

/* What was kept there before images had versions. */
static enum vt_code old_layout(const char *name, const char *dir, struct vt_error *err)
{
    enum vt_code code =
        vt_fail(err, VT_EIMAGE, OP, "image \"%s\" in %s is of an older vmtest: it has no versions",
                name, dir);
    vt_hint(err, "build it anew: `vmtest image build %s`", name);
    return code;
}

static enum vt_code choose_version(const char *store, const char *name, const char *image_dir,
                                   char **version, struct vt_error *err)
{
    char *latest = vt__latest(image_dir), *flat = vt_path_join(image_dir, "image.json");
    enum vt_code code = VT_OK;
    if (!latest)
        code = vt_is_file(flat) ? old_layout(name, image_dir, err) : vt__no_image(name, store, err);
    vt_free(flat);
    if (!code && *version) {
        char *dir = vt_path_join(image_dir, *version);
        if (!vt_is_dir(dir))
            code = vt__no_version(name, *version, image_dir, err);
        vt_free(dir);
    } else if (!code) {
        *version = latest;
        latest = NULL;
    }
    vt_free(latest);
    return code;
}

enum vt_code vt__find_version(const char *text, struct vt__place *place, struct vt_error *err)
{
    *place = (struct vt__place){0};
    char *store = vt__store_dir(err);
    if (!store)
        return err ? err->code : VT_EIO;
    struct vt_error why = VT_ERROR_INIT;
    enum vt_code code = vt__split_name(text, &place->name, &place->version, &why);
    if (code)
        code = strchr(text, '@') ? vt_error_copy(err, &why) : vt__no_image(text, store, err);
    if (!code) {
        place->image_dir = vt_path_join(store, place->name);
        code = choose_version(store, place->name, place->image_dir, &place->version, err);
    }
    if (code)
        vt__place_free(place);
    else
        place->dir = vt_path_join(place->image_dir, place->version);
    vt_free(store);
    return code;
}

void vt__place_free(struct vt__place *place)
{
    vt_free(place->name);
    vt_free(place->version);
    vt_free(place->image_dir);
    vt_free(place->dir);
    *place = (struct vt__place){0};
}

/* A folder anywhere; one of the store is known by its name and version. */
static enum vt_code find_folder(const char *path, struct vt__place *place, struct vt_error *err)
{
    *place = (struct vt__place){.dir = realpath(path, NULL)};
    if (!place->dir)
        return vt_fail_sys(err, errno, OP, "cannot open the image folder %s", path);
    char *store = vt__store_dir(NULL), *real = store ? realpath(store, NULL) : NULL;
    char *parent = vt_path_dir(place->dir), *grandparent = vt_path_dir(parent);
    uint64_t key;
    bool inside =
        real && !strcmp(real, grandparent) && vt__version_parse(vt_path_base(place->dir), &key);
    place->name = vt_strdup(vt_path_base(inside ? parent : place->dir));
    place->version = inside ? vt_strdup(vt_path_base(place->dir)) : NULL;
    vt_free(grandparent);
    vt_free(parent);
    free(real);
    vt_free(store);
    return VT_OK;
}

static void warn_deprecated(const struct vt_image *image)
{
    struct vt_image_version version;
    if (image->version && !vt__version_load(image->dir, &version, NULL)) {
        if (version.deprecated)
            vt_log(VT_LOG_WARNING, "image %s@%s is deprecated: %s", image->name, image->version,
                   version.deprecated);
        vt__version_clear(&version);
    }
}

enum vt_code vt_image_open(const char *name, struct vt_image **out, struct vt_error *err)
{
    struct vt_error local = VT_ERROR_INIT;
    struct vt__place place;
    err = err ? err : &local;
    *out = NULL;
    if (!name || !*name)
        return vt_fail(err, VT_EINVAL, OP, "an image needs a name");
    enum vt_code code =
        strchr(name, '/') ? find_folder(name, &place, err) : vt__find_version(name, &place, err);
    if (code)
        return code;
    struct vt_image *image = vt_calloc(1, sizeof *image);
    image->name = place.name;
    image->version = place.version;
    image->dir = place.dir;
    vt_free(place.image_dir);
    if (image->version)
        code = vt_image_use(image->dir, &image->use, err);
    if (!code)
        code = vt__image_describe(image, err);
    if (code) {
        vt_image_free(image);
        return code;
    }
    warn_deprecated(image);
    *out = image;
    return VT_OK;
}

void vt_image_free(struct vt_image *image)
{
    if (!image)
        return;
    char *owned[] = {image->name,        image->dir,     image->os,           image->arch,
                     image->kernel,      image->initrd,  image->append,       image->disk,
                     image->disk_format, image->ready,   image->shutdown,     image->reboot,
                     image->ssh_user,    image->ssh_key, image->ssh_password, image->ssh_host_key,
                     image->created,     image->version, image->iso,          image->seed,
                     image->firmware,    image->update,  image->auxiliary,    image->hardware_model,
                     image->os_version};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        vt_free(owned[i]);
    for (size_t i = 0; image->channels && image->channels[i]; i++)
        vt_free(image->channels[i]);
    vt_free(image->channels);
    if (image->use > 0)
        close(image->use);
    vt_free(image);
}
