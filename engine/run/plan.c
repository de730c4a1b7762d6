#include "run/plan.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"

#define DEPTH_MAX 32

struct list {
    struct vt_suite *suites;
    size_t n;
};

static void add(struct list *list, const char *path, const char *name)
{
    char absolute[PATH_MAX];
    const char *real = realpath(path, absolute) ? absolute : path;
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->suites[i].path, real))
            return;
    list->suites = vt_realloc(list->suites, (list->n + 1) * sizeof *list->suites);
    list->suites[list->n++] = (struct vt_suite){.path = vt_strdup(real), .name = vt_strdup(name)};
}

static bool is_suite_file(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && !strcmp(name + n - 4, ".lua");
}

static int wanted(const struct dirent *e)
{
    return e->d_name[0] != '.' && e->d_name[0] != '_' && strcmp(e->d_name, "lib") != 0;
}

static enum vt_code add_folder(struct list *list, const char *dir, int depth, struct vt_error *err)
{
    struct dirent **entries;
    int n = depth < DEPTH_MAX ? scandir(dir, &entries, wanted, alphasort) : (errno = ELOOP, -1);
    if (n < 0)
        return vt_fail_sys(err, errno, "plan", "cannot read the folder %s", dir);
    enum vt_code code = VT_OK;
    for (int i = 0; i < n; i++) {
        char *path = vt_path_join(dir, entries[i]->d_name);
        if (!code && vt_is_dir(path))
            code = add_folder(list, path, depth + 1, err);
        else if (!code && vt_is_file(path) && is_suite_file(path))
            add(list, path, path);
        vt_free(path);
        free(entries[i]);
    }
    free(entries);
    return code;
}

/* What stands in the same folder under a name much like this one. */
static void suggest(const char *path, struct vt_error *err)
{
    char *dir = vt_path_dir(path);
    struct dirent **entries;
    int n = scandir(dir, &entries, wanted, alphasort);
    if (n < 0) {
        vt_hint(err, "there is no folder %s either", dir);
        vt_free(dir);
        return;
    }
    const char **names = vt_calloc((size_t)n + 1, sizeof *names);
    for (int i = 0; i < n; i++)
        names[i] = entries[i]->d_name;
    const char *near = vt_nearest(vt_path_base(path), names, (size_t)n);
    if (near && !strchr(path, '/'))
        vt_hint(err, "did you mean %s?", near);
    else if (near)
        vt_hint(err, "did you mean %s/%s?", dir, near);
    vt_free(names);
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    vt_free(dir);
}

static enum vt_code add_named(struct list *list, const char *name, struct vt_error *err)
{
    if (vt_is_file(name)) {
        add(list, name, name);
        return VT_OK;
    }
    if (!vt_is_dir(name)) {
        vt_fail(err, VT_ENOTFOUND, "plan", "there is no suite %s", name);
        suggest(name, err);
        return VT_ENOTFOUND;
    }
    size_t before = list->n;
    enum vt_code code = add_folder(list, name, 0, err);
    if (!code && list->n == before)
        code = vt_fail(err, VT_EINVAL, "plan", "the folder %s holds no suite (a *.lua file)", name);
    return code;
}

enum vt_code vt__plan(const char *const *names, struct vt_suite **suites, size_t *count,
                      struct vt_error *err)
{
    struct list list = {0};
    enum vt_code code = VT_OK;
    for (; *names && !code; names++)
        code = add_named(&list, *names, err);
    if (code) {
        vt__plan_free(list.suites, list.n);
        list = (struct list){0};
    }
    *suites = list.suites;
    *count = list.n;
    return code;
}

void vt__plan_free(struct vt_suite *suites, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        vt_free(suites[i].path);
        vt_free(suites[i].name);
    }
    vt_free(suites);
}
