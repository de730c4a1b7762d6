/* How a VM is made and how it ends: its folders, its name, its place in the scopes. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errors.h"
#include "task.h"

static char *join(const char *a, const char *b)
{
    size_t n = strlen(a) + strlen(b) + 2;
    char *out = vtl_alloc(n);
    snprintf(out, n, "%s/%s", a, b);
    return out;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

/* Of a VM that could not be made; one that was takes its folders along. */
static void remove_dir(char *dir)
{
    if (dir)
        nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

void vtl_vm_end(struct vtl_vm *v, bool leave_running)
{
    struct vtl_host *h = v->host;
    if (!v->vm)
        return;
    bool left = leave_running && v->kept;
    h->left_running = h->left_running || left;
    struct vt_vm *vm = v->vm;
    v->vm = NULL;
    vt_vm_free(vm, left);
    for (struct vtl_vm **at = &h->vms; *at; at = &(*at)->next) {
        if (*at == v) {
            *at = v->next;
            break;
        }
    }
    vt_vm_config_clear(&v->config);
    free(v->state_dir);
    free(v->scratch_dir);
    vtl_transcript(v, left ? "left running (--keep)" : "ended", NULL, 0, NULL, 0);
    if (v->transcript_fd >= 0)
        close(v->transcript_fd);
    v->transcript_fd = -1;
    luaL_unref(h->L, LUA_REGISTRYINDEX, v->ref);
    v->ref = LUA_NOREF;
}

void vtl_vms_end(struct vtl_host *h)
{
    while (h->vms)
        vtl_vm_end(h->vms, h->job->keep_always);
}

struct vtl_vm *vtl_check_vm(lua_State *L, int arg, const char *op)
{
    struct vtl_vm *v = luaL_checkudata(L, arg, VTL_VM);
    if (!v->vm)
        vtl_raise_code(L, VT_ESTATE, op,
                       "the VM %s has ended: it belonged to a test, a class or a "
                       "block that is over",
                       v->name ? v->name : "?");
    return v;
}

static void on_state(struct vt_vm *vm, enum vt_vm_state state, const char *reason, void *user)
{
    struct vtl_vm *v = user;
    char line[512];
    snprintf(line, sizeof line, "%s%s%s", vt_vm_state_name(state), reason ? ": " : "",
             reason ? reason : "");
    vtl_transcript(v, line, NULL, 0, NULL, 0);
    struct vtl_line *l = vtl_event(v->host, "vm_state");
    vtl_line_str(l, "vm", v->name);
    vtl_line_str(l, "state", vt_vm_state_name(state));
    vtl_line_str(l, "reason", reason);
    json_t *info = vt_vm_info(vm);
    char *text = info ? json_dumps(info, JSON_COMPACT) : NULL;
    if (text) {
        vtl_line_key(l, "info");
        vtl_line_raw(l, text);
    }
    free(text);
    json_decref(info);
    vtl_event_end(v->host);
}

/* Makes the VM's folders and the VM. Nothing in here may raise. */
static void make(struct vtl_vm *v, struct vt_vm_config *config, struct vt_error *err)
{
    const struct vt_job *job = v->host->job;
    char folder[160];
    snprintf(folder, sizeof folder, "%d-%s", job->number, v->name);
    v->state_dir = join(job->runtime_dir, folder);
    v->scratch_dir = join(job->scratch_dir, folder);
    char *results = join(job->results_dir, v->name), *console = join(results, "console.log");
    const char *dirs[] = {v->state_dir, v->scratch_dir, results};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && !err->code; i++) {
        bool same = i == 1 && !strcmp(v->state_dir, v->scratch_dir);
        if (!same && mkdir(dirs[i], i < 2 ? 0700 : 0755) && !(i == 2 && errno == EEXIST))
            vt_fail_sys(err, errno, "vm.new", "cannot make the folder %s", dirs[i]);
    }
    if (!err->code) {
        vtl_transcript_open(v, results);
        config->name = v->name;
        config->state_dir = v->state_dir;
        config->scratch_dir = v->scratch_dir;
        config->console_log = console;
        config->keep = v->kept;
        config->run = job->run_id;
        config->wait = job->wait;
        vt_vm_new(v->host->loop, config, &v->vm, err);
    }
    free(results);
    free(console);
}

/* Reads the configuration. */
static enum vt_code read_config(struct vtl_vm *v, const char *text, struct vt_error *err)
{
    json_t *object = json_loads(text, 0, NULL);
    enum vt_code code = vt_vm_config_from_json(object, true, &v->config, err);
    json_decref(object);
    return code;
}

static int vm_gc(lua_State *L)
{
    struct vtl_vm *v = luaL_checkudata(L, 1, VTL_VM);
    if (v->vm)
        vtl_vm_end(v, v->host->job->keep_always);
    free(v->name);
    free(v->transcript);
    v->name = v->transcript = NULL;
    return 0;
}

static int vm_close(lua_State *L)
{
    struct vtl_vm *v = luaL_checkudata(L, 1, VTL_VM);
    vtl_vm_end(v, v->host->job->keep_always);
    return 0;
}

void vtl_vm_metatable(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__gc", vm_gc}, {"__close", vm_close}, {NULL, NULL}};
    luaL_newmetatable(L, VTL_VM);
    luaL_setfuncs(L, meta, 0);
}

/* A userdata that is no VM yet, on top of the stack. */
static struct vtl_vm *push_new(lua_State *L, const char *name)
{
    struct vtl_host *h = vtl_host(L);
    if (h->list_only)
        vtl_raise_code(L, VT_ESTATE, "vm.new",
                       "a list of tests was asked for, so no VM is made: VMs belong into tests, "
                       "setUp, setupClass or setupSuite, not at the top of a suite");
    struct vtl_vm *v = lua_newuserdatauv(L, sizeof *v, 0);
    *v = (struct vtl_vm){.host = h,
                         .ref = LUA_NOREF,
                         .scope = h->scope,
                         .kept = h->job->keep_failed || h->job->keep_always,
                         .transcript_fd = -1};
    luaL_setmetatable(L, VTL_VM);
    v->name = vtl_strdup(name);
    lua_pushvalue(L, -1);
    v->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return v;
}

/* It becomes one, or *err is raised. */
static int give_new(lua_State *L, struct vtl_vm *v, const struct vt_error *err)
{
    struct vtl_host *h = v->host;
    if (v->vm) {
        v->next = h->vms;
        h->vms = v;
        vt_vm_on_state(v->vm, on_state, v);
        return 1;
    }
    vt_vm_config_clear(&v->config);
    remove_dir(v->state_dir);
    remove_dir(v->scratch_dir);
    if (v->transcript_fd >= 0)
        close(v->transcript_fd);
    v->transcript_fd = -1;
    luaL_unref(L, LUA_REGISTRYINDEX, v->ref);
    vtl_raise(L, err, v->name);
}

int vtl_vm_new(lua_State *L)
{
    struct vt_error err = VT_ERROR_INIT;
    const char *text = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
    lua_settop(L, 2);
    struct vtl_vm *v = push_new(L, name);
    if (!read_config(v, text, &err)) {
        struct vt_vm_config config = v->config; /* its name and folders are borrowed */
        make(v, &config, &err);
    }
    return give_new(L, v, &err);
}

int vtl_vm_new_from(lua_State *L)
{
    struct vt_error err = VT_ERROR_INIT;
    const char *dir = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
    bool free_ports = lua_toboolean(L, 3);
    lua_settop(L, 3);
    struct vtl_vm *v = push_new(L, name);
    if (!vt_snapshot_config(dir, &v->config, &err)) {
        struct vt_vm_config config = v->config;
        struct vt_forward *forwards = vtl_alloc((config.forward_count + 1) * sizeof *forwards);
        for (size_t i = 0; i < config.forward_count; i++) {
            forwards[i] = config.forwards[i];
            if (free_ports)
                forwards[i].host_port = 0;
        }
        config.forwards = forwards;
        make(v, &config, &err);
        free(forwards);
    }
    return give_new(L, v, &err);
}

const char *vtl_snapshots_dir(struct vtl_host *h, struct vt_error *err)
{
    char name[48];
    if (h->snapshots_dir)
        return h->snapshots_dir;
    snprintf(name, sizeof name, "%d.snapshots", h->job->number); /* VMs have "NUMBER-NAME" */
    char *dir = join(h->job->scratch_dir, name);
    if (mkdir(dir, 0700)) {
        vt_fail_sys(err, errno, "vm.snapshot", "cannot make the folder %s", dir);
        free(dir);
        return NULL;
    }
    h->snapshots_dir = dir;
    return dir;
}

void vtl_snapshots_end(struct vtl_host *h)
{
    if (h->left_running)
        free(h->snapshots_dir);
    else
        remove_dir(h->snapshots_dir);
    h->snapshots_dir = NULL;
}
