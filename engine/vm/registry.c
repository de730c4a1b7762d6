#include "vmtest/registry.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/paths.h"
#include "vm/internal.h"
#include "vmtest/log.h"

#define END_S 5 /* for a killed process to be gone */

void vt__registry_write(const struct vt_vm *vm)
{
    if (!vm->config.state_dir || vm->driver->virtual_clock)
        return;
    struct vt_error err = VT_ERROR_INIT;
    json_t *facts = vt_vm_info(vm);
    json_object_set_new(facts, "name", json_string(vm->config.name));
    json_object_set_new(facts, "scratch_dir", json_string(vm->config.scratch_dir));
    if (vm->config.persistent)
        json_object_set_new(facts, "persistent", json_true());
    json_object_set_new(facts, "console_log", json_string(vm->config.console_log));
    json_object_set_new(facts, "config", vt_vm_config_to_json(&vm->config));
    char *path = vt_path_join(vm->config.state_dir, "vm.json");
    if (vt_json_save(path, facts, 0600, &err))
        vt_log(VT_LOG_WARNING, "`vmtest vm` will not see VM %s: %s", vm->config.name, err.message);
    vt_free(path);
    json_decref(facts);
}

void vt__registry_remove(const struct vt_vm *vm)
{
    struct vt_error err = VT_ERROR_INIT;
    if (vm->config.state_dir && vt_remove_tree(vm->config.state_dir, &err))
        vt_log(VT_LOG_WARNING, "%s", err.message);
    if (vm->config.scratch_dir && !vm->config.persistent &&
        vt_remove_tree(vm->config.scratch_dir, &err))
        vt_log(VT_LOG_WARNING, "%s", err.message);
}

void vt__registry_keep(const struct vt_vm *vm)
{
    struct vt_error err = VT_ERROR_INIT;
    char *path = vt_path_join(vm->config.state_dir, "kept");
    if (vt_write_file(path, "", 0, 0600, &err))
        vt_log(VT_LOG_WARNING, "VM %s cannot be kept: %s", vm->config.name, err.message);
    vt_free(path);
}

struct list {
    struct vt_registered *vms;
    size_t n;
};

static void add(struct list *list, const char *run, bool run_alive, char *dir)
{
    char *path = vt_path_join(dir, "vm.json"), *lock = vt_path_join(dir, "lock");
    json_t *facts = NULL;
    long pid = 0;
    bool alive = vt_lock_held(lock, &pid);
    if (vt_json_load(path, &facts, NULL) == VT_OK) {
        list->vms = vt_realloc(list->vms, (list->n + 1) * sizeof *list->vms);
        list->vms[list->n++] = (struct vt_registered){
            .run = vt_strdup(run),
            .name = vt_strdup(vt_json_str(facts, "name", "?")),
            .dir = vt_strdup(dir),
            .scratch_dir = vt_json_bool(facts, "persistent", false)
                               ? NULL
                               : vt_strdup(vt_json_str(facts, "scratch_dir", NULL)),
            .pid = alive ? pid : 0,
            .run_alive = run_alive,
            .facts = facts,
        };
    }
    vt_free(path);
    vt_free(lock);
    vt_free(dir);
}

/* Calls fn for each folder of `path`. */
static void each_folder(const char *path, void (*fn)(const char *name, char *full, void *), void *u)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *full = vt_path_join(path, e->d_name);
        if (e->d_name[0] != '.' && vt_is_dir(full))
            fn(e->d_name, full, u);
        else
            vt_free(full);
    }
    if (d)
        closedir(d);
}

struct scan {
    struct list *list;
    const char *run;
    bool run_alive;
};

static void scan_vm(const char *name, char *full, void *user)
{
    struct scan *scan = user;
    (void)name;
    add(scan->list, scan->run, scan->run_alive, full);
}

static void scan_run(const char *name, char *full, void *user)
{
    char *lock = vt_path_join(full, "lock");
    struct scan scan = {.list = user, .run = name, .run_alive = vt_lock_held(lock, NULL)};
    each_folder(full, scan_vm, &scan);
    vt_free(lock);
    vt_free(full);
}

static int compare(const void *a, const void *b)
{
    const struct vt_registered *x = a, *y = b;
    int order = strcmp(x->run, y->run);
    return order ? order : strcmp(x->name, y->name);
}

enum vt_code vt_registry_list(struct vt_registered **vms, size_t *count, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct list list = {0};
    *vms = NULL;
    *count = 0;
    char *root = vt_runtime_dir(NULL, &own);
    if (!root)
        return vt_error_copy(err, &own);
    each_folder(root, scan_run, &list);
    vt_free(root);
    if (list.n)
        qsort(list.vms, list.n, sizeof *list.vms, compare);
    *vms = list.vms;
    *count = list.n;
    return VT_OK;
}

void vt_registered_free(struct vt_registered *vms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        vt_free(vms[i].run);
        vt_free(vms[i].name);
        vt_free(vms[i].dir);
        vt_free(vms[i].scratch_dir);
        json_decref(vms[i].facts);
    }
    vt_free(vms);
}

enum vt_code vt_registered_remove(const struct vt_registered *vm, struct vt_error *err)
{
    char *lock = vt_path_join(vm->dir, "lock");
    long pid = 0;
    /* the lock proves that the id still is this VM's process */
    if (vt_lock_held(lock, &pid) && pid > 1 && kill((pid_t)pid, SIGKILL) && errno != ESRCH) {
        vt_free(lock);
        return vt_fail_sys(err, errno, "vm.rm", "cannot end VM %s (process %ld)", vm->name, pid);
    }
    for (int i = 0; i < END_S * 100 && vt_lock_held(lock, NULL); i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    bool held = vt_lock_held(lock, NULL);
    vt_free(lock);
    if (held)
        return vt_fail(err, VT_EBUSY, "vm.rm", "process %ld of VM %s does not end", pid, vm->name);
    enum vt_code code = vt_remove_tree(vm->dir, err);
    if (!code && vm->scratch_dir)
        code = vt_remove_tree(vm->scratch_dir, err);
    return code;
}
