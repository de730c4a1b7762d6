/* The image store: folders below HOME/images. */
#include "vmtest/image.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/text.h"
#include "image/describe.h"

#define OP "image.open"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Half-built images and what else a script keeps there have names that begin with a dot. */
static bool is_image(const char *store, const char *name)
{
    if (!vt_is_plain_name(name))
        return false;
    char *dir = vt_path_join(store, name), *json = vt_path_join(dir, "image.json");
    bool found = vt_is_file(json);
    vt_free(json);
    vt_free(dir);
    return found;
}

enum vt_code vt_image_names(char ***names, size_t *count, struct vt_error *err)
{
    *names = NULL;
    *count = 0;
    char *store = vt_home_dir("images", err);
    if (!store)
        return err ? err->code : VT_EIO;
    DIR *dir = opendir(store);
    if (!dir) {
        enum vt_code code = vt_fail_sys(err, errno, "image.list", "cannot read %s", store);
        vt_free(store);
        return code;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        if (!is_image(store, e->d_name))
            continue;
        *names = vt_realloc(*names, (*count + 1) * sizeof **names);
        (*names)[(*count)++] = vt_strdup(e->d_name);
    }
    closedir(dir);
    vt_free(store);
    if (*count)
        qsort(*names, *count, sizeof **names, by_name);
    return VT_OK;
}

void vt_image_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        vt_free(names[i]);
    vt_free(names);
}

static enum vt_code not_found(const char *name, const char *where, struct vt_error *err)
{
    char **names;
    size_t count;
    enum vt_code code = vt_image_names(&names, &count, err);
    if (code)
        return code;
    struct vt_buf list = VT_BUF_INIT;
    for (size_t i = 0; i < count; i++)
        vt_buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    const char *const *known = (const char *const *)(void *)names;
    const char *near = vt_nearest(name, known, count);
    if (count)
        code = vt_fail(err, VT_ENOTFOUND, OP, "no image \"%s\" in %s; there %s: %s", name, where,
                       count == 1 ? "is" : "are", vt_buf_str(&list));
    else
        code = vt_fail(err, VT_ENOTFOUND, OP, "no image \"%s\": %s is empty", name, where);
    if (near)
        vt_hint(err, "did you mean \"%s\"?", near);
    else
        vt_hint(err, "scripts/image-small builds the image \"small\"");
    vt_buf_free(&list);
    vt_image_names_free(names, count);
    return code;
}

static enum vt_code find_dir(const char *name, char **dir, struct vt_error *err)
{
    char *store = NULL;
    enum vt_code code = VT_OK;
    if (strchr(name, '/')) {
        *dir = realpath(name, NULL);
        if (!*dir)
            code = vt_fail_sys(err, errno, OP, "cannot open the image folder %s", name);
        return code;
    }
    store = vt_home_dir("images", err);
    if (!store)
        return err ? err->code : VT_EIO;
    *dir = vt_path_join(store, name);
    if (!vt_is_plain_name(name) || !vt_is_dir(*dir))
        code = not_found(name, store, err);
    if (code) {
        vt_free(*dir);
        *dir = NULL;
    }
    vt_free(store);
    return code;
}

enum vt_code vt_image_open(const char *name, struct vt_image **out, struct vt_error *err)
{
    struct vt_error local = VT_ERROR_INIT;
    err = err ? err : &local;
    *out = NULL;
    if (!name || !*name)
        return vt_fail(err, VT_EINVAL, OP, "an image needs a name");
    char *dir = NULL;
    enum vt_code code = find_dir(name, &dir, err);
    if (code)
        return code;
    struct vt_image *image = vt_calloc(1, sizeof *image);
    image->name = vt_strdup(vt_path_base(dir));
    image->dir = dir;
    code = vt__image_describe(image, err);
    if (code)
        vt_image_free(image);
    else
        *out = image;
    return code;
}

void vt_image_free(struct vt_image *image)
{
    if (!image)
        return;
    char *owned[] = {image->name,        image->dir,     image->os,           image->arch,
                     image->kernel,      image->initrd,  image->append,       image->disk,
                     image->disk_format, image->ready,   image->shutdown,     image->reboot,
                     image->ssh_user,    image->ssh_key, image->ssh_password, image->ssh_host_key,
                     image->created};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        vt_free(owned[i]);
    vt_free(image);
}
