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

#define MAX_FORWARDS 32

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
    struct vt_vm *vm = v->vm;
    v->vm = NULL;
    vt_vm_free(vm, left);
    for (struct vtl_vm **at = &h->vms; *at; at = &(*at)->next) {
        if (*at == v) {
            *at = v->next;
            break;
        }
    }
    vt_image_free(v->image);
    v->image = NULL;
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

/* The configuration's parts, as the face made them; it has checked types and names. */
struct config {
    struct vt_vm_config vm;
    struct vt_forward forwards[MAX_FORWARDS];
    json_t *sim;
    char *results, *console;
};

static const char *string_field(lua_State *L, const char *key)
{
    lua_getfield(L, 1, key);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return text;
}

static lua_Integer integer_field(lua_State *L, const char *key)
{
    lua_getfield(L, 1, key);
    lua_Integer value = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return value;
}

static void read_forwards(lua_State *L, struct config *c)
{
    if (lua_getfield(L, 1, "forwards") == LUA_TTABLE) {
        size_t n = lua_rawlen(L, -1);
        for (size_t i = 0; i < n && i < MAX_FORWARDS; i++) {
            lua_rawgeti(L, -1, (lua_Integer)i + 1);
            lua_getfield(L, -1, "guest");
            lua_getfield(L, -2, "host");
            c->forwards[i] = (struct vt_forward){.guest_port = (int)lua_tointeger(L, -2),
                                                 .host_port = (int)lua_tointeger(L, -1)};
            lua_pop(L, 3);
            c->vm.forward_count = i + 1;
        }
    }
    lua_pop(L, 1);
    c->vm.forwards = c->forwards;
}

/* Makes the VM's folders and the VM. Nothing in here may raise. */
static void make(struct vtl_vm *v, struct config *c, const char *image, struct vt_error *err)
{
    const struct vt_job *job = v->host->job;
    char folder[160];
    snprintf(folder, sizeof folder, "%d-%s", job->number, v->name);
    if (image && vt_image_open(image, &v->image, err))
        return;
    v->state_dir = join(job->runtime_dir, folder);
    v->scratch_dir = join(job->scratch_dir, folder);
    c->results = join(job->results_dir, v->name);
    c->console = join(c->results, "console.log");
    const char *dirs[] = {v->state_dir, v->scratch_dir, c->results};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        bool same = i == 1 && !strcmp(v->state_dir, v->scratch_dir);
        if (!same && mkdir(dirs[i], i < 2 ? 0700 : 0755) && !(i == 2 && errno == EEXIST)) {
            vt_fail_sys(err, errno, "vm.new", "cannot make the folder %s", dirs[i]);
            return;
        }
    }
    vtl_transcript_open(v, c->results);
    c->vm.name = v->name;
    c->vm.image = v->image;
    c->vm.state_dir = v->state_dir;
    c->vm.scratch_dir = v->scratch_dir;
    c->vm.console_log = c->console;
    c->vm.keep = v->kept;
    c->vm.sim = c->sim;
    vt_vm_new(v->host->loop, &c->vm, &v->vm, err);
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

/* vm_new{name, driver, image, memory, cpus, accel, forwards, sim (JSON text)} */
int vtl_vm_new(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    struct vt_error err = VT_ERROR_INIT;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (h->list_only)
        vtl_raise_code(L, VT_ESTATE, "vm.new",
                       "a list of tests was asked for, so no VM is made: VMs belong into tests, "
                       "setUp, setupClass or setupSuite, not at the top of a suite");
    struct config c = {.vm = {.driver = string_field(L, "driver"),
                              .memory = (uint64_t)integer_field(L, "memory"),
                              .cpus = (int)integer_field(L, "cpus"),
                              .accel = string_field(L, "accel")}};
    const char *name = string_field(L, "name"), *image = string_field(L, "image");
    const char *sim = string_field(L, "sim");
    luaL_argcheck(L, name, 1, "a VM needs a name");
    read_forwards(L, &c);
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
    c.sim = sim ? json_loads(sim, 0, NULL) : NULL;
    make(v, &c, image, &err);
    json_decref(c.sim);
    free(c.results);
    free(c.console);
    if (v->vm) {
        v->next = h->vms;
        h->vms = v;
        vt_vm_on_state(v->vm, on_state, v);
        return 1;
    }
    vt_image_free(v->image);
    v->image = NULL;
    remove_dir(v->state_dir);
    remove_dir(v->scratch_dir);
    if (v->transcript_fd >= 0)
        close(v->transcript_fd);
    luaL_unref(L, LUA_REGISTRYINDEX, v->ref);
    vtl_raise(L, &err, v->name);
}
