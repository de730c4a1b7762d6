/* The profiles that arguments stand for. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "core/args.h"
#include "core/fs.h"
#include "core/mem.h"
#include "vmtest/profile.h"

#define OP "profile.read"
#define MAX_DEPTH 32

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_profile(const char *name)
{
    static const char end[] = ".mobileconfig";
    size_t n = strlen(name);
    return n >= sizeof end && !strcmp(name + n - (sizeof end - 1), end);
}

static void look(const char *dir, struct vt_args *found, int depth)
{
    struct dirent **entries = NULL;
    int n = depth < MAX_DEPTH ? scandir(dir, &entries, visible, by_name) : 0;
    for (int i = 0; i < n; i++) {
        char *path = vt_path_join(dir, entries[i]->d_name);
        if (vt_is_dir(path))
            look(path, found, depth + 1);
        else if (is_profile(path))
            vt_args_add(found, path);
        vt_free(path);
        free(entries[i]);
    }
    free(entries);
}

enum vt_code vt_profile_paths(const char *const *paths, char ***out, struct vt_error *err)
{
    struct vt_args found = VT_ARGS_INIT;
    enum vt_code code = VT_OK;
    for (; !code && *paths; paths++) {
        size_t before = found.n;
        if (!vt_is_dir(*paths)) { /* one that does not exist is told when it is read */
            vt_args_add(&found, *paths);
            continue;
        }
        look(*paths, &found, 0);
        if (found.n == before)
            code = vt_fail(err, VT_ENOTFOUND, OP, "%s: there is no *.mobileconfig in this folder",
                           *paths);
    }
    if (code)
        vt_args_free(&found);
    *out = code ? NULL : found.v;
    return code;
}

void vt_profile_paths_free(char **paths)
{
    for (char **path = paths; path && *path; path++)
        vt_free(*path);
    vt_free(paths);
}
