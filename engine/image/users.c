#include "image/users.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/paths.h"

#define OP "image.users"
#define DEPTH_MAX 6 /* HOME/vms/NAME/snapshots/NAME/snapshot.json */
#define NESTING_MAX 16

static void note(struct vt__users *users, const char *path, const char *image)
{
    vt__names_add(&users->files, path);
    vt__names_add(&users->images, image);
}

/* Every member "image" that is text, at any depth: of a configuration, of facts. */
static bool find_images(struct vt__users *users, const char *path, const json_t *value, int depth)
{
    bool found = false;
    if (depth > NESTING_MAX)
        return false;
    for (size_t i = 0; i < json_array_size(value); i++)
        found |= find_images(users, path, json_array_get(value, i), depth + 1);
    union {
        const json_t *from;
        json_t *to;
    } mutable = {.from = value};
    for (void *at = json_object_iter(mutable.to); at; at = json_object_iter_next(mutable.to, at)) {
        const json_t *member = json_object_iter_value(at);
        if (!strcmp(json_object_iter_key(at), "image") && json_is_string(member)) {
            note(users, path, json_string_value(member));
            found = true;
        } else {
            found |= find_images(users, path, member, depth + 1);
        }
    }
    return found;
}

static void read_user(struct vt__users *users, const char *path)
{
    json_t *object = NULL;
    if (vt_json_load(path, &object, NULL))
        note(users, path, "?");
    else
        find_images(users, path, object, 0);
    json_decref(object);
}

static bool is_passed_over(const char *name, int depth)
{
    static const char *const names[] = {"images", "cache", "scratch", "recipes"};
    for (size_t i = 0; depth == 0 && i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name))
            return true;
    return name[0] == '.';
}

static enum vt_code walk(struct vt__users *users, const char *dir, int depth, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? VT_OK : vt_fail_sys(err, errno, OP, "cannot read %s", dir);
    for (struct dirent *e; !code && (e = readdir(d));) {
        if (is_passed_over(e->d_name, depth))
            continue;
        char *path = vt_path_join(dir, e->d_name);
        struct stat st;
        if (lstat(path, &st))
            st.st_mode = 0;
        if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
            code = walk(users, path, depth + 1, err);
        else if (S_ISREG(st.st_mode) &&
                 (!strcmp(e->d_name, "snapshot.json") || !strcmp(e->d_name, "vm.json")))
            read_user(users, path);
        vt_free(path);
    }
    closedir(d);
    return code;
}

enum vt_code vt__users_find(struct vt__users *users, struct vt_error *err)
{
    *users = (struct vt__users){{0}, {0}};
    char *home = vt_home_dir(NULL, err);
    if (!home)
        return err ? err->code : VT_EIO;
    enum vt_code code = walk(users, home, 0, err);
    if (code)
        vt__users_free(users);
    vt_free(home);
    return code;
}

void vt__users_free(struct vt__users *users)
{
    vt__names_free(&users->files);
    vt__names_free(&users->images);
}

const char *vt__users_of(const struct vt__users *users, const char *name, const char *version)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < users->images.n; i++) {
        const char *image = users->images.v[i];
        if (!strcmp(image, "?") || !strcmp(image, name) ||
            (!strncmp(image, name, n) && image[n] == '@' && !strcmp(image + n + 1, version)))
            return users->files.v[i];
    }
    return NULL;
}
