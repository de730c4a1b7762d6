#include "image/layout.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/sys.h"
#include "core/text.h"
#include "image/version.h"
#include "vmtest/image.h"

#define OP "image.store"
#define LOCK_WAIT_S 30.0
#define DIR_LOCK_TRIES 100 /* of 2 ms: others hold a folder's lock for a look */
#define COUNT_MAX 999999u

char *vt__store_dir(struct vt_error *err)
{
    return vt_home_dir("images", err);
}

void vt__names_add(struct vt__names *names, const char *name)
{
    names->v = vt_realloc(names->v, (names->n + 1) * sizeof *names->v);
    names->v[names->n++] = vt_strdup(name);
}

void vt__names_free(struct vt__names *names)
{
    for (size_t i = 0; i < names->n; i++)
        vt_free(names->v[i]);
    vt_free(names->v);
    *names = (struct vt__names){0};
}

enum vt_code vt__list(const char *dir, bool (*wanted)(const char *dir, const char *name),
                      int (*compare)(const void *, const void *), struct vt__names *out,
                      struct vt_error *err)
{
    *out = (struct vt__names){0};
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT || errno == ENOTDIR
                   ? VT_OK
                   : vt_fail_sys(err, errno, OP, "cannot read the folder %s", dir);
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && wanted(dir, e->d_name))
            vt__names_add(out, e->d_name);
    closedir(d);
    if (out->n)
        qsort(out->v, out->n, sizeof *out->v, compare);
    return VT_OK;
}

bool vt__version_parse(const char *text, uint64_t *key)
{
    uint64_t day = 0, count = 0;
    size_t i = 0;
    for (; i < 8 && isdigit((unsigned char)text[i]); i++)
        day = day * 10 + (uint64_t)(text[i] - '0');
    if (i != 8 || text[i] != '.' || text[9] == '0' || !isdigit((unsigned char)text[9]))
        return false;
    for (i = 9; isdigit((unsigned char)text[i]) && count <= COUNT_MAX; i++)
        count = count * 10 + (uint64_t)(text[i] - '0');
    *key = day << 20 | count;
    return !text[i] && count <= COUNT_MAX;
}

static bool is_version(const char *dir, const char *name)
{
    uint64_t key;
    if (!vt__version_parse(name, &key))
        return false;
    char *path = vt_path_join(dir, name);
    bool is = vt_is_dir(path);
    vt_free(path);
    return is;
}

static int by_version(const void *a, const void *b)
{
    uint64_t x = 0, y = 0;
    vt__version_parse(*(char *const *)a, &x);
    vt__version_parse(*(char *const *)b, &y);
    return x < y ? -1 : x > y;
}

enum vt_code vt__version_names(const char *image_dir, struct vt__names *out, struct vt_error *err)
{
    return vt__list(image_dir, is_version, by_version, out, err);
}

enum vt_code vt__split_name(const char *text, char **name, char **version, struct vt_error *err)
{
    const char *at = strchr(text, '@');
    uint64_t key;
    *name = at ? vt_strndup(text, (size_t)(at - text)) : vt_strdup(text);
    *version = at ? vt_strdup(at + 1) : NULL;
    enum vt_code code = VT_OK;
    if (!vt_is_plain_name(*name))
        code = vt_fail(err, VT_EINVAL, OP,
                       "\"%s\" cannot be an image's name: 1 to 64 letters, digits, '.', '_', '-'",
                       *name);
    else if (*version && !vt__version_parse(*version, &key))
        code = vt_fail(err, VT_EINVAL, OP,
                       "\"%s\" cannot be a version: they look like 20260131.1 (a day and a count)",
                       *version);
    if (!code)
        return VT_OK;
    vt_free(*name);
    vt_free(*version);
    *name = *version = NULL;
    return code;
}

enum vt_code vt__store_lock(int *fd, struct vt_error *err)
{
    char *store = vt__store_dir(err);
    *fd = -1;
    if (!store)
        return err ? err->code : VT_EIO;
    char *path = vt_path_join(store, ".lock");
    double end = vt_monotonic() + LOCK_WAIT_S;
    struct vt_error why = VT_ERROR_INIT;
    while (vt_lock_file(path, fd, &why) == VT_EBUSY && vt_monotonic() < end)
        why = (struct vt_error)VT_ERROR_INIT;
    vt_free(path);
    vt_free(store);
    return vt_error_copy(err, &why);
}

enum vt_code vt__lock_dir(const char *dir, bool exclusive, int *fd, struct vt_error *err)
{
    struct stat there, held;
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return vt_fail_sys(err, errno, OP, "cannot open the folder %s", dir);
    int rc = -1;
    for (int i = 0; rc && i < DIR_LOCK_TRIES; i++) {
        if (i)
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        rc = flock(*fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
        if (rc && errno != EWOULDBLOCK && errno != EINTR)
            break;
    }
    enum vt_code code = VT_OK;
    if (rc)
        code = errno == EWOULDBLOCK ? vt_fail(err, VT_EBUSY, OP, "%s is in use", dir)
                                    : vt_fail_sys(err, errno, OP, "cannot lock %s", dir);
    else if (stat(dir, &there) || fstat(*fd, &held) || there.st_dev != held.st_dev ||
             there.st_ino != held.st_ino)
        code = vt_fail(err, VT_ENOTFOUND, OP, "%s was removed just now", dir);
    if (code) {
        close(*fd);
        *fd = -1;
    }
    return code;
}

enum vt_code vt__flush_dir(const char *dir, struct vt_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum vt_code code = VT_OK;
    if (fd < 0 || (fsync(fd) && errno != EINVAL)) /* some file systems cannot */
        code = vt_fail_sys(err, errno, OP, "cannot flush the folder %s", dir);
    if (fd >= 0)
        close(fd);
    return code;
}

/* The newest that is not deprecated, else the newest. */
static const char *choose_latest(const char *image_dir, const struct vt__names *all)
{
    for (size_t i = all->n; i > 0; i--) {
        char *dir = vt_path_join(image_dir, all->v[i - 1]);
        struct vt_image_version version = {0};
        bool good = !vt__version_load(dir, &version, NULL) && !version.deprecated;
        vt__version_clear(&version);
        vt_free(dir);
        if (good)
            return all->v[i - 1];
    }
    return all->n ? all->v[all->n - 1] : NULL;
}

char *vt__latest(const char *image_dir)
{
    struct vt__names all;
    if (vt__version_names(image_dir, &all, NULL))
        return NULL;
    char *version = vt_strdup(choose_latest(image_dir, &all));
    vt__names_free(&all);
    return version;
}

enum vt_code vt__relink(const char *image_dir, struct vt_error *err)
{
    struct vt__names all;
    enum vt_code code = vt__version_names(image_dir, &all, err);
    if (code)
        return code;
    const char *to = choose_latest(image_dir, &all);
    char *link = vt_path_join(image_dir, VT__LATEST);
    char *temp = vt_path_join(image_dir, ".latest.new");
    if (!to)
        unlink(link);
    else if ((unlink(temp) && errno != ENOENT) || symlink(to, temp) || rename(temp, link))
        code = vt_fail_sys(err, errno, OP, "cannot point %s to %s", link, to);
    if (!code)
        code = vt__flush_dir(image_dir, err);
    vt__names_free(&all);
    vt_free(temp);
    vt_free(link);
    return code;
}

static void list_words(struct vt_buf *out, char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vt_buf_printf(out, "%s%s", i ? ", " : "", words[i]);
}

enum vt_code vt__no_image(const char *name, const char *store, struct vt_error *err)
{
    char **names;
    size_t count;
    enum vt_code code = vt_image_names(&names, &count, err);
    if (code)
        return code;
    struct vt_buf list = VT_BUF_INIT;
    list_words(&list, names, count);
    const char *near = vt_nearest(name, (const char *const *)(void *)names, count);
    if (count)
        code = vt_fail(err, VT_ENOTFOUND, "image.open", "no image \"%s\" in %s; there %s: %s", name,
                       store, count == 1 ? "is" : "are", vt_buf_str(&list));
    else
        code =
            vt_fail(err, VT_ENOTFOUND, "image.open", "no image \"%s\": %s is empty", name, store);
    if (near)
        vt_hint(err, "did you mean \"%s\"?", near);
    else
        vt_hint(err, "`vmtest image build small` makes a small one in seconds");
    vt_buf_free(&list);
    vt_image_names_free(names, count);
    return code;
}

enum vt_code vt__no_version(const char *name, const char *version, const char *image_dir,
                            struct vt_error *err)
{
    struct vt__names all;
    enum vt_code code = vt__version_names(image_dir, &all, err);
    if (code)
        return code;
    struct vt_buf list = VT_BUF_INIT;
    list_words(&list, all.v, all.n);
    const char *near = vt_nearest(version, (const char *const *)(void *)all.v, all.n);
    code = vt_fail(err, VT_ENOTFOUND, "image.open", "image \"%s\" has no version %s; there %s: %s",
                   name, version, all.n == 1 ? "is" : "are", vt_buf_str(&list));
    if (near)
        vt_hint(err, "did you mean \"%s@%s\"? \"%s\" alone is the latest", name, near, name);
    else
        vt_hint(err, "\"%s\" alone is the latest", name);
    vt_buf_free(&list);
    vt__names_free(&all);
    return code;
}
