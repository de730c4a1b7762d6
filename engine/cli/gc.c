/* vmtest gc */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <uv.h>

#include "cli/image_common.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/sys.h"
#include "image/digest.h"
#include "vmtest/registry.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

#define KEEP_MAX 1000
#define NEW_S 2 /* a run that begins this very moment */

enum { DRY_RUN, KEEP, JSON };

static const struct vt_option options[] = {
    [DRY_RUN] = {'n', "dry-run", NULL, "only says what it would remove"},
    [KEEP] = {0, "keep", "N", "leaves the newest N versions of each image (default: 1)"},
    [JSON] = {0, "json", NULL, "a JSON object instead of lines"},
    {0},
};

struct collection {
    bool dry_run;
    json_t *json; /* array, or NULL: lines */
    size_t removed;
    uint64_t freed;
};

static void tell(const char *what, const char *path, uint64_t bytes, void *user)
{
    struct collection *c = user;
    char size[32];
    c->removed++;
    c->freed += bytes;
    if (c->json)
        json_array_append_new(c->json, json_pack("{s:s, s:s, s:I}", "what", what, "path", path,
                                                 "bytes", (json_int_t)bytes));
    else
        printf("%10s  %s: %s\n", vt_format_size(size, sizeof size, bytes), what, path);
}

static bool has_live_vm(const char *run)
{
    struct vt_registered *vms;
    size_t n;
    bool found = false;
    if (vt_registry_list(&vms, &n, NULL))
        return true; /* it cannot be told */
    for (size_t i = 0; i < n; i++)
        found |= vms[i].pid && !strcmp(vms[i].run, run);
    vt_registered_free(vms, n);
    return found;
}

/* A run's folder in the runtime directory tells whether it lives. Where there is none, it may be a
 * run with another runtime directory; but nothing outlives the host's last start. */
static bool is_dead(const char *run, const char *scratch, const char *runtime)
{
    struct stat st;
    double up = 0;
    if (lstat(scratch, &st))
        return false;
    if (!vt_is_dir(runtime))
        return !uv_uptime(&up) && (double)st.st_mtime < vt_wall() - up;
    char *lock = vt_path_join(runtime, "lock");
    bool dead = !vt_lock_held(lock, NULL) && time(NULL) - st.st_mtime >= NEW_S && !has_live_vm(run);
    vt_free(lock);
    return dead;
}

static void collect_scratch(struct collection *c)
{
    char *root = vt_home_dir("scratch", NULL), *runtimes = vt_runtime_dir(NULL, NULL);
    DIR *d = root && runtimes ? opendir(root) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        char *scratch = vt_path_join(root, e->d_name), *runtime = vt_path_join(runtimes, e->d_name);
        if (is_dead(e->d_name, scratch, runtime)) {
            uint64_t bytes = vt__disk_usage(scratch, true);
            if (c->dry_run || (vt_remove_tree(scratch, NULL) == VT_OK))
                tell("disks of a run that is gone", scratch, bytes, c);
        }
        vt_free(scratch);
        vt_free(runtime);
    }
    if (d)
        closedir(d);
    vt_free(root);
    vt_free(runtimes);
    if (!c->dry_run)
        vt_sweep(); /* and what else such runs left */
}

static bool is_package_cache(const char *name)
{
    return !strcmp(name, "packages") || !strncmp(name, "apt-", 4);
}

static void collect_cache(struct collection *c)
{
    char *root = vt_home_dir("cache", NULL);
    DIR *d = root ? opendir(root) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        char *path = vt_path_join(root, e->d_name);
        uint64_t bytes = is_package_cache(e->d_name) ? vt__disk_usage(path, true) : 0;
        if (bytes && (c->dry_run || vt_remove_tree(path, NULL) == VT_OK))
            tell("packages that can be downloaded again", path, bytes, c);
        vt_free(path);
    }
    if (d)
        closedir(d);
    vt_free(root);
}

static void print_end(struct collection *c)
{
    char size[32];
    if (c->json) {
        json_t *object = json_pack("{s:b, s:I, s:O}", "dry_run", (int)c->dry_run, "freed",
                                   (json_int_t)c->freed, "removed", c->json);
        json_dumpf(object, stdout, JSON_INDENT(2));
        printf("\n");
        json_decref(object);
        return;
    }
    vt_format_size(size, sizeof size, c->freed);
    if (c->dry_run)
        printf("would free %s; nothing was removed\n", size);
    else
        printf("freed %s\n", size);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    int keep = 1;
    (void)args;
    if (values[KEEP] && !vt_cli_int(self, "--keep", values[KEEP], 0, KEEP_MAX, &keep))
        return VT_EXIT_USAGE;
    struct collection c = {.dry_run = values[DRY_RUN] != NULL,
                           .json = values[JSON] ? json_array() : NULL};
    struct vt_image_gc gc = {.keep = (size_t)keep, .dry_run = c.dry_run, .tell = tell, .user = &c};
    collect_scratch(&c);
    enum vt_code code = vt_image_gc(&gc, &err);
    if (!code && !gc.making) /* who makes an image may be reading the packages */
        collect_cache(&c);
    print_end(&c);
    json_decref(c.json);
    return code ? vt_image_failed(self, &err) : VT_EXIT_OK;
}

const struct vt_command vt_cmd_gc = {
    .name = "gc",
    .args = "",
    .summary = "removes what nobody needs: old versions, leftovers, downloaded packages",
    .details =
        "Of each image these stay: the latest version, the newest N that are not deprecated,\n"
        "those with a role, and what is in use: by a process, a VM, a saved snapshot or a named\n"
        "VM. Imports that were interrupted are given up.",
    .example = "vmtest gc --dry-run\nvmtest gc --keep 3",
    .options = options,
    .max_args = 0,
    .run = run,
};
