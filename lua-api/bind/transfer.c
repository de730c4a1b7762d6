/* Files into and out of a guest. */
#include <stdio.h>

#include "bind.h"
#include "errors.h"
#include "task.h"
#include "vm.h"
#include "vmtest/units.h"

enum { ARG_VM = 1, ARG_OPTS, SLOT_STARTED };

static void set_integer(lua_State *L, const char *key, lua_Integer value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, key);
}

static void report(struct vtl_vm *v, bool put, const char *local, const char *remote,
                   const struct vt_transfer_result *r, const struct vt_error *err, double seconds)
{
    char line[2600], size[32], took[32];
    vt_format_size(size, sizeof size, r ? r->bytes : 0);
    vt_format_duration(took, sizeof took, seconds);
    snprintf(line, sizeof line, "%s %.500s %s %.500s: %s%s, after %s", put ? "put" : "get",
             put ? local : remote, put ? "to" : "into", put ? remote : local,
             err ? err->message : size, err || !r || r->files < 2 ? "" : " in several files", took);
    struct vtl_op_report o = {
        .op = put ? "put" : "get", .text = remote, .seconds = seconds, .error = err};
    o.place = vtl_transcript(v, line, NULL, 0, NULL, 0);
    vtl_op_event(v, &o);
}

static int transferred(lua_State *L, int status, lua_KContext context)
{
    struct vtl_vm *v = luaL_checkudata(L, ARG_VM, VTL_VM);
    const struct vt_error *err;
    (void)status;
    (void)context;
    struct vt_op *op = vtl_ended(L, &err);
    const struct vt_transfer_result *r = vt_op_result(op);
    lua_getfield(L, ARG_OPTS, "get");
    bool get = lua_toboolean(L, -1);
    lua_getfield(L, ARG_OPTS, "remote");
    lua_getfield(L, ARG_OPTS, "local");
    const char *remote = lua_tostring(L, -2), *local = lua_tostring(L, -1);
    double seconds = vt_loop_now(v->host->loop) - lua_tonumber(L, SLOT_STARTED);
    report(v, !get, local ? local : "memory", remote ? remote : "?", err ? NULL : r, err, seconds);
    if (err) {
        vtl_push_guest_error(L, err, v->name, get ? "vm.get" : "vm.put");
        return lua_error(L);
    }
    lua_createtable(L, 0, 6);
    set_integer(L, "bytes", (lua_Integer)r->bytes);
    set_integer(L, "files", r->files);
    set_integer(L, "skipped", r->skipped);
    lua_pushnumber(L, r->duration);
    lua_setfield(L, -2, "duration");
    if (*r->sha256) {
        lua_pushstring(L, r->sha256);
        lua_setfield(L, -2, "sha256");
    }
    if (r->data) {
        lua_pushlstring(L, r->data, r->size);
        lua_setfield(L, -2, "data");
    }
    return 1;
}

/* vm_transfer(vm, {get, remote, local, data, limit, mode, verify, timeout}) */
static int vm_transfer(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, ARG_VM, "vm.transfer");
    luaL_checktype(L, ARG_OPTS, LUA_TTABLE);
    struct vtl_task *t = vtl_enter(L, "vm.transfer");
    struct vt_error err = VT_ERROR_INIT;
    struct vt_transfer_opts o = {0};
    lua_settop(L, ARG_OPTS);
    lua_pushnumber(L, vt_loop_now(t->host->loop));
    lua_getfield(L, ARG_OPTS, "get");
    o.direction = lua_toboolean(L, -1) ? VT_GET : VT_PUT;
    lua_getfield(L, ARG_OPTS, "remote");
    o.remote = luaL_checkstring(L, -1);
    lua_getfield(L, ARG_OPTS, "local");
    o.local = lua_tostring(L, -1);
    lua_getfield(L, ARG_OPTS, "data");
    o.data = lua_tolstring(L, -1, &o.size);
    lua_getfield(L, ARG_OPTS, "limit");
    o.limit = (size_t)lua_tointeger(L, -1);
    lua_getfield(L, ARG_OPTS, "mode");
    o.mode = (unsigned)lua_tointeger(L, -1);
    lua_getfield(L, ARG_OPTS, "verify");
    o.verify = lua_toboolean(L, -1);
    lua_getfield(L, ARG_OPTS, "timeout");
    o.timeout = lua_tonumber(L, -1);
    return vtl_wait(L, t, vt_vm_transfer(v->vm, &o, vtl_on_op, t, &err), transferred, &err,
                    v->name);
}

void vtl_bind_transfer(lua_State *L)
{
    static const luaL_Reg functions[] = {{"vm_transfer", vm_transfer}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
