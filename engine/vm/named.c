/* VMs that live longer than a process: finding one, taking it, and the VM object of it. */
#include "vm/named.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/text.h"
#include "vm/driver.h"
#include "vm/internal.h"
#include "vmtest/log.h"

#define OP "vm"
#define BEGUN "begun" /* in state_dir, while a start is under way: "start" or "restore" */
#define BEGUN_MAX ((size_t)64)
#define END_MS 5000
#define CAME_FROM "came-from" /* in dir: name of the snapshot it was last at */
#define PATH_LIMIT ((size_t)4096)

static char *under(const char *dir, const char *name)
{
    return dir ? vt_path_join(dir, name) : NULL;
}

/* --- reading --- */

enum vt_code vt__named_read(const char *name, struct vt_named **out, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    json_t *file = NULL;
    char *home = vt_home_dir(NULL, &own), *runtime = vt_runtime_dir(NULL, &own);
    char *root = under(home, VT_NAMED_RUN), *states = under(runtime, VT_NAMED_RUN);
    char *dir = under(root, name), *path = under(dir, "vm.json");
    if (!own.code && !vt_is_file(path))
        vt_fail(&own, VT_ENOTFOUND, OP, "there is no VM \"%s\"", name);
    else if (!own.code && !vt_json_load(path, &file, &own) &&
             !json_is_object(json_object_get(file, "config")))
        vt_fail(&own, VT_EINVAL, OP, "%s has no \"config\"", path);
    if (!own.code) {
        struct vt_named *n = vt_calloc(1, sizeof *n);
        n->name = vt_strdup(name);
        n->run = vt_strdup(VT_NAMED_RUN);
        n->dir = vt_strdup(dir);
        n->state_dir = vt_path_join(states, name);
        n->scratch_dir = vt_path_join(dir, "disks");
        n->snapshots_dir = vt_path_join(dir, "snapshots");
        n->console_log = vt_path_join(dir, "console.log");
        n->created = vt_strdup(vt_json_str(file, "created", NULL));
        n->source = vt_strdup(vt_json_str(file, "source", NULL));
        n->base = vt_strdup(vt_json_str(file, "base", NULL));
        n->config_json = json_incref(json_object_get(file, "config"));
        n->lock = -1;
        *out = n;
    }
    json_decref(file);
    char *paths[] = {path, dir, root, states, home, runtime};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        vt_free(paths[i]);
    return vt_error_copy(err, &own);
}

enum vt_code vt__named_of_run(const struct vt_registered *vm, struct vt_named **out,
                              struct vt_error *err)
{
    json_t *config = json_object_get(vm->facts, "config");
    if (!json_is_object(config) || !vm->scratch_dir)
        return vt_fail(err, VT_EUNSUPPORTED, OP, "VM %s/%s did not write down what it is made of",
                       vm->run, vm->name);
    struct vt_named *n = vt_calloc(1, sizeof *n);
    n->name = vt_strdup(vm->name);
    n->run = vt_strdup(vm->run);
    n->state_dir = vt_strdup(vm->dir);
    n->scratch_dir = vt_strdup(vm->scratch_dir);
    n->snapshots_dir = vt_path_join(vm->scratch_dir, "snapshots");
    n->console_log = vt_strdup(vt_json_str(vm->facts, "console_log", NULL));
    n->config_json = json_incref(config);
    n->lock = -1;
    *out = n;
    return VT_OK;
}

void vt_named_free(struct vt_named *n)
{
    if (!n)
        return;
    if (n->lock >= 0)
        close(n->lock);
    char *owned[] = {n->name,          n->run,         n->dir,     n->state_dir, n->scratch_dir,
                     n->snapshots_dir, n->console_log, n->created, n->source,    n->base};
    if (n->loaded) { /* the folders are those above */
        n->config.state_dir = n->config.scratch_dir = n->config.console_log = NULL;
        vt_vm_config_clear(&n->config);
    }
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        vt_free(owned[i]);
    json_decref(n->config_json);
    vt_free(n);
}

/* --- finding --- */

struct known {
    struct vt_named **named;
    size_t named_count;
    struct vt_registered *runs;
    size_t run_count;
};

static void not_found(const char *name, const struct known *k, struct vt_error *err)
{
    const char **names = vt_calloc(k->named_count + k->run_count + 1, sizeof *names);
    struct vt_buf list = VT_BUF_INIT;
    size_t n = 0;
    for (size_t i = 0; i < k->named_count; i++)
        names[n++] = k->named[i]->name;
    for (size_t i = 0; i < k->run_count; i++)
        if (strcmp(k->runs[i].run, VT_NAMED_RUN) != 0)
            names[n++] = k->runs[i].name;
    for (size_t i = 0; i < n && i < 20; i++)
        vt_buf_printf(&list, "%s%s", i ? ", " : "; there are: ", names[i]);
    if (n > 20)
        vt_buf_printf(&list, ", … (%zu in all)", n);
    vt_fail(err, VT_ENOTFOUND, OP, "there is no VM \"%s\"%s", name, vt_buf_str(&list));
    const char *near = vt_nearest(name, names, n);
    if (near)
        vt_hint(err, "did you mean %s?", near);
    else
        vt_hint(err,
                "`vmtest vm create %s --image NAME` makes one; `vmtest run --keep fail` leaves "
                "the VMs of failed tests running",
                vt_is_plain_name(name) ? name : "NAME");
    vt_buf_free(&list);
    vt_free(names);
}

static bool matches(const struct vt_registered *vm, const char *name)
{
    const char *slash = strchr(name, '/');
    if (!strcmp(vm->run, VT_NAMED_RUN))
        return false;
    if (!slash)
        return !strcmp(vm->name, name);
    size_t n = (size_t)(slash - name);
    return strlen(vm->run) == n && !strncmp(vm->run, name, n) && !strcmp(vm->name, slash + 1);
}

static enum vt_code find_in_runs(const char *name, struct vt_named **out, struct vt_error *err)
{
    struct known k = {0};
    const struct vt_registered *found = NULL;
    size_t hits = 0;
    enum vt_code code = vt_registry_list(&k.runs, &k.run_count, err);
    for (size_t i = 0; i < k.run_count; i++) {
        if (matches(&k.runs[i], name)) {
            found = &k.runs[i];
            hits++;
        }
    }
    if (!code && hits == 1) {
        code = vt__named_of_run(found, out, err);
    } else if (!code && hits) {
        code = vt_fail(err, VT_EINVAL, OP, "%zu VMs are called \"%s\"", hits, name);
        vt_hint(err, "name it as RUN/NAME: `vmtest vm ls` shows them");
    } else if (!code && !vt_named_list(&k.named, &k.named_count, err)) {
        not_found(name, &k, err);
        code = VT_ENOTFOUND;
    }
    vt_named_list_free(k.named, k.named_count);
    vt_registered_free(k.runs, k.run_count);
    return code;
}

enum vt_code vt_named_find(const char *name, struct vt_named **out, struct vt_error *err)
{
    static const char own[] = VT_NAMED_RUN "/";
    const char *plain = strncmp(name, own, sizeof own - 1) ? name : name + sizeof own - 1;
    struct vt_error mine = VT_ERROR_INIT;
    *out = NULL;
    if (vt_is_plain_name(plain) && vt__named_read(plain, out, &mine) != VT_ENOTFOUND)
        return vt_error_copy(err, &mine);
    return find_in_runs(name, out, err);
}

/* --- who has it --- */

static char *hypervisor_lock(const struct vt_named *n)
{
    return vt_path_join(n->state_dir, "lock");
}

long vt_named_pid(const struct vt_named *n)
{
    long pid = 0;
    char *lock = hypervisor_lock(n);
    bool runs = vt_lock_held(lock, &pid);
    vt_free(lock);
    return runs ? pid : 0;
}

bool vt_named_in_run(const struct vt_named *n)
{
    if (!strcmp(n->run, VT_NAMED_RUN))
        return false;
    char *root = vt_path_dir(n->state_dir), *lock = vt_path_join(root, "lock");
    bool held = vt_lock_held(lock, NULL);
    vt_free(lock);
    vt_free(root);
    return held;
}

char *vt__named_lock_path(const struct vt_named *n)
{
    return vt_path_join(n->dir ? n->dir : n->state_dir, n->dir ? "lock" : "in-use");
}

enum vt_code vt__named_end(const struct vt_named *n, struct vt_error *err)
{
    char *lock = hypervisor_lock(n);
    long pid = 0;
    /* the lock proves that the id still is this VM's process */
    if (vt_lock_held(lock, &pid) && pid > 1 && kill((pid_t)-pid, SIGKILL) && errno != ESRCH)
        vt_fail_sys(err, errno, OP, "cannot end VM %s (process %ld)", n->name, pid);
    for (int i = 0; i < END_MS && vt_lock_held(lock, NULL); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    bool held = vt_lock_held(lock, NULL);
    vt_free(lock);
    if (held)
        return vt_fail(err, VT_EBUSY, OP, "process %ld of VM %s does not end", pid, n->name);
    return vt_remove_tree(n->state_dir, err);
}

/* Puts right what a killed process left half done. */
static enum vt_code recover(struct vt_named *n, struct vt_error *err)
{
    struct vt_buf begun = VT_BUF_INIT;
    char *path = vt_path_join(n->state_dir, BEGUN);
    enum vt_code code = VT_OK;
    if (vt_is_file(path) && !vt_read_file(path, BEGUN_MAX, &begun, err)) {
        bool filled_disks = !strcmp(vt_buf_str(&begun), "restore");
        code = vt__named_end(n, err);
        if (!code && filled_disks)
            code = vt_named_make_fresh(n, err);
    }
    vt_buf_free(&begun);
    vt_free(path);
    return code;
}

enum vt_code vt_named_lock(struct vt_named *n, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    if (n->lock >= 0)
        return VT_OK;
    if (vt_named_in_run(n)) {
        code = vt_fail(err, VT_EBUSY, OP, "VM %s is in use by the run %s, which is under way",
                       n->name, n->run);
        vt_hint(err, "wait for that run to end, or end it");
        return code;
    }
    struct vt_error own = VT_ERROR_INIT;
    char *path = vt__named_lock_path(n);
    if (vt_lock_file(path, &n->lock, &own) == VT_EBUSY) {
        long pid = 0;
        vt_lock_held(path, &pid);
        code = vt_fail(err, VT_EBUSY, OP, "VM %s is in use by another vmtest command (process %ld)",
                       n->name, pid);
    } else if (own.code || (n->dir && recover(n, &own))) {
        code = vt_error_copy(err, &own);
        if (n->lock >= 0)
            close(n->lock);
        n->lock = -1;
    }
    vt_free(path);
    return code;
}

/* --- the VM of it --- */

enum vt_code vt_named_load(struct vt_named *n, struct vt_error *err)
{
    if (n->loaded)
        return VT_OK;
    enum vt_code code = vt_vm_config_from_json(n->config_json, true, &n->config, err);
    if (code)
        return code;
    n->config.state_dir = n->state_dir;
    n->config.scratch_dir = n->scratch_dir;
    n->config.console_log = n->console_log;
    n->config.keep = true;
    n->config.persistent = n->dir != NULL;
    n->loaded = true;
    return VT_OK;
}

static void read_came_from(const struct vt_named *n, struct vt_vm *vm)
{
    struct vt_buf dir = VT_BUF_INIT;
    char *path = under(n->dir, CAME_FROM);
    if (path && vt_is_file(path) && !vt_read_file(path, PATH_LIMIT, &dir, NULL))
        vm->came_from = vt_buf_steal(&dir);
    vt_buf_free(&dir);
    vt_free(path);
}

enum vt_code vt_named_vm(struct vt_named *n, struct vt_loop *loop, struct vt_vm **vm,
                         struct vt_error *err)
{
    *vm = NULL;
    enum vt_code code = vt_mkdirs(n->state_dir, err);
    if (!code)
        code = vt_mkdirs(n->scratch_dir, err);
    if (!code)
        code = vt_named_load(n, err);
    n->config.wait = n->wait;
    if (!code)
        code = vt_vm_new(loop, &n->config, vm, err);
    if (!code)
        read_came_from(n, *vm);
    return code;
}

void vt_named_vm_free(struct vt_named *n, struct vt_vm *vm, bool leave_running)
{
    struct vt_error err = VT_ERROR_INIT;
    char *path = under(n->dir, CAME_FROM);
    if (path && vm->came_from &&
        vt_write_file_unflushed(path, vm->came_from, strlen(vm->came_from), 0600, &err))
        vt_log(VT_LOG_WARNING, "VM %s: %s", n->name, err.message);
    vt_free(path);
    vt_vm_free(vm, leave_running);
}

enum vt_code vt_named_begin(struct vt_named *n, struct vt_error *err)
{
    const char *what = n->base && vt_named_is_fresh(n) ? "restore" : "start";
    char *path = vt_path_join(n->state_dir, BEGUN);
    enum vt_code code = vt_mkdirs(n->state_dir, err);
    if (!code)
        code = vt_write_file_unflushed(path, what, strlen(what), 0600, err);
    vt_free(path);
    return code;
}

void vt_named_ended(struct vt_named *n)
{
    char *path = vt_path_join(n->state_dir, BEGUN);
    unlink(path);
    vt_free(path);
}

bool vt_named_is_fresh(const struct vt_named *n)
{
    DIR *d = opendir(n->scratch_dir);
    bool empty = true;
    for (struct dirent *e; d && empty && (e = readdir(d));)
        empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    if (d)
        closedir(d);
    return empty;
}

enum vt_code vt_named_make_fresh(struct vt_named *n, struct vt_error *err)
{
    if (vt_named_pid(n))
        return vt_fail(err, VT_EBUSY, OP, "VM %s runs", n->name);
    char *came_from = under(n->dir, CAME_FROM);
    enum vt_code code = vt_remove_tree(n->scratch_dir, err);
    if (!code && came_from)
        code = vt_remove_tree(came_from, err);
    vt_free(came_from);
    return code ? code : vt_mkdirs(n->scratch_dir, err);
}
