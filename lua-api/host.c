#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bind/bind.h"
#include "errors.h"
#include "mdm.h"
#include "task.h"
#include "vm.h"
#include "vmtest_lua.h"
#include "watch.h"

#define EXIT_BUG 70

struct vtl_host *vtl_host(lua_State *L)
{
    return *(struct vtl_host **)lua_getextraspace(L);
}

double vtl_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *or_die(void *p)
{
    if (!p) {
        fputs("vmtest: out of memory\n", stderr);
        exit(EXIT_BUG);
    }
    return p;
}

void *vtl_alloc(size_t n)
{
    return or_die(calloc(1, n ? n : 1));
}

char *vtl_strdup(const char *s)
{
    return or_die(strdup(s));
}

void *vtl_lua_alloc(void *host, void *p, size_t old_size, size_t new_size)
{
    struct vtl_host *h = host;
    size_t old = p ? old_size : 0;
    if (new_size == 0) {
        free(p);
        h->memory -= old;
        return NULL;
    }
    size_t limit = h->memory_limit;
    if (limit && h->memory_reserve)
        limit += h->memory_reserve;
    if (limit && new_size > old && h->memory + (new_size - old) > limit) {
        h->memory_denied = true;
        return NULL;
    }
    void *q = realloc(p, new_size);
    if (q)
        h->memory += new_size - old;
    return q;
}

void vtl_host_turn(struct vtl_host *h)
{
    if (vtl_watch_stop_asked() && !h->stopping)
        vtl_stop(h);
    vtl_output_flush(h);
    vt_event_flush(h->events, NULL);
    vt_loop_run_once(h->loop, true);
}

static int on_panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    fprintf(stderr, "vmtest: bug: unprotected error in Lua: %s\n", text ? text : "?");
    vt_event_flush(vtl_host(L)->events, NULL);
    _exit(EXIT_BUG);
}

static void on_warning(void *host, const char *text, int to_be_continued)
{
    struct vtl_host *h = host;
    static char whole[1024];
    size_t n = strlen(whole);
    snprintf(whole + n, sizeof whole - n, "%s", text);
    if (to_be_continued)
        return;
    if (*whole != '@')
        vtl_event_log(h, "warning", whole);
    *whole = '\0';
}

static int load_embedded(lua_State *L)
{
    const struct vtl_embedded *e = &vtl_embedded[lua_tointeger(L, lua_upvalueindex(1))];
    if (luaL_loadbufferx(L, (const char *)e->data, e->size, e->chunk, "t") != LUA_OK)
        return lua_error(L);
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_setupvalue(L, -2, 1);              /* _ENV */
    lua_pushvalue(L, lua_upvalueindex(2)); /* the raw functions */
    lua_call(L, 1, 1);
    return 1;
}

static void set_string(lua_State *L, const char *key, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

static void set_bool(lua_State *L, const char *key, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, key);
}

static void push_job(lua_State *L, const struct vt_job *job)
{
    lua_createtable(L, 0, 16);
    set_string(L, "suite", job->suite);
    set_string(L, "suite_name", job->suite_name);
    set_string(L, "filter", job->filter);
    set_string(L, "results", job->results_dir);
    set_string(L, "scratch", job->scratch_dir);
    set_string(L, "driver", job->driver);
    set_string(L, "channel", job->channel);
    set_string(L, "mdm", job->mdm);
    set_string(L, "mdm_credentials", job->mdm_credentials);
    set_string(L, "mdm_ca", job->mdm_ca);
    lua_pushnumber(L, job->wait);
    lua_setfield(L, -2, "wait");
    set_bool(L, "fail_fast", job->fail_fast);
    set_bool(L, "list_only", job->list_only);
    set_bool(L, "dry_run", job->dry_run);
    set_bool(L, "keep_failed", job->keep_failed);
    set_bool(L, "keep_always", job->keep_always);
    lua_pushnumber(L, job->test_timeout);
    lua_setfield(L, -2, "test_timeout");
}

static void bind_raw(lua_State *L)
{
    lua_newtable(L);
    vtl_bind_errors(L);
    vtl_bind_tasks(L);
    vtl_bind_events(L);
    vtl_bind_loop(L);
    vtl_bind_units(L);
    vtl_bind_vm(L);
    vtl_bind_snapshots(L);
    vtl_bind_devices(L);
    vtl_bind_exec(L);
    vtl_bind_transfer(L);
    vtl_bind_profile(L);
    vtl_bind_plist(L);
    vtl_bind_mdm(L);
    vtl_bind_mdm_devices(L);
    push_job(L, vtl_host(L)->job);
    lua_setfield(L, -2, "job");
}

static void copy_table(lua_State *L, int from)
{
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, from)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
}

/* The globals that the face sees: copies, so that a suite may replace functions of the standard
 * libraries (to mock the clock, say) without harm to the runner. */
static void push_environment(lua_State *L)
{
    static const char *const libraries[] = {"coroutine", "debug",  "io",   "math",
                                            "os",        "string", "table"};
    lua_pushglobaltable(L);
    copy_table(L, lua_gettop(L));
    lua_remove(L, -2);
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        lua_getfield(L, -1, libraries[i]);
        copy_table(L, lua_gettop(L));
        lua_setfield(L, -3, libraries[i]);
        lua_pop(L, 1);
    }
}

static int open_all(lua_State *L)
{
    luaL_openlibs(L);
    vtl_output_open(L);
    vtl_open_coroutines(L);
    vtl_open_os(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    bind_raw(L);
    push_environment(L);
    for (int i = 0; vtl_embedded[i].name; i++) {
        lua_pushinteger(L, i);
        lua_pushvalue(L, 2);
        lua_pushvalue(L, 3);
        lua_pushcclosure(L, load_embedded, 3);
        lua_setfield(L, 1, vtl_embedded[i].name);
    }
    /* the root task: the runner's main function */
    lua_getglobal(L, "require");
    lua_pushliteral(L, "vmtest.runner");
    lua_call(L, 1, 1);
    struct vtl_task *root = vtl_task_start(L, 0, NULL, true, 0);
    lua_pushlightuserdata(L, root);
    return 1;
}

static void report_bug(struct vtl_host *h, const char *what, const char *trace)
{
    struct vtl_line *l = vtl_event(h, "suite_error");
    vtl_line_str(l, "stage", "load");
    vtl_line_str(l, "message", what ? what : "the host failed without saying why");
    vtl_line_str(l, "trace", trace);
    vtl_event_end(h);
}

/* Runs the root task to its end; its result is the exit code. */
static int run_root(struct vtl_host *h, struct vtl_task *root)
{
    while (root->outcome == VTL_RUNNING)
        vtl_host_turn(h);
    if (root->outcome == VTL_DONE)
        return (int)lua_tointeger(root->co, -1);
    report_bug(h, lua_tostring(root->co, -1), root->trace);
    return EXIT_BUG;
}

static int run_state(struct vtl_host *h)
{
    lua_State *L = h->L = lua_newstate(vtl_lua_alloc, h);
    if (!L) {
        report_bug(h, "there is no memory for a Lua state", NULL);
        return VT_WORKER_INFRASTRUCTURE;
    }
    *(struct vtl_host **)lua_getextraspace(L) = h;
    lua_atpanic(L, on_panic);
    lua_setwarnf(L, on_warning, h);
    lua_pushcfunction(L, open_all);
    int code = EXIT_BUG;
    if (lua_pcall(L, 0, 1, 0) == LUA_OK)
        code = run_root(h, lua_touserdata(L, -1));
    else
        report_bug(h, lua_tostring(L, -1), NULL);
    while (h->tasks)
        vtl_task_free(h->tasks);
    vtl_vms_end(h);
    vtl_mdms_end(h);
    vtl_snapshots_end(h);
    lua_close(L);
    return code;
}

int vtl_run_job(const struct vt_job *job, struct vt_event_writer *events)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_host h = {.job = job,
                         .events = events,
                         .idle_ref = LUA_NOREF,
                         .scope = VTL_SCOPE_SUITE,
                         .memory_limit = job->memory_limit,
                         .memory_reserve = VTL_MEMORY_RESERVE};
    h.loop = vt_loop_new(&err);
    if (!h.loop) {
        report_bug(&h, err.message, NULL);
        vtl_line_free(&h.line);
        return VT_WORKER_INFRASTRUCTURE;
    }
    vtl_watch_start(&h);
    int code = run_state(&h);
    vtl_output_flush(&h);
    if (vt_event_flush(events, &err))
        code = VT_WORKER_INTERRUPTED;
    vtl_watch_end();
    vt_loop_free(h.loop);
    free(h.output.text);
    vtl_line_free(&h.line);
    return code;
}
