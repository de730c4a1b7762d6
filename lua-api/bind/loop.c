#include "bind.h"
#include "errors.h"
#include "task.h"

static int slept(lua_State *L, int status, lua_KContext context)
{
    const struct vt_error *err;
    (void)status;
    (void)context;
    vtl_ended(L, &err);
    if (err)
        vtl_raise(L, err, NULL);
    return 0;
}

/* sleep(seconds) */
static int sleep_for(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    struct vtl_task *t = vtl_enter(L, "vmtest.sleep");
    struct vt_error err = VT_ERROR_INIT;
    struct vt_op *op = vt_sleep(t->host->loop, seconds, vtl_on_op, t, &err);
    return vtl_wait(L, t, op, slept, &err, NULL);
}

/* now(): seconds on the loop's clock */
static int now(lua_State *L)
{
    lua_pushnumber(L, vt_loop_now(vtl_host(L)->loop));
    return 1;
}

/* wall(): seconds on the monotonic clock */
static int wall(lua_State *L)
{
    lua_pushnumber(L, vtl_now());
    return 1;
}

/* fn_info(function): where it is defined: file, line */
static int fn_info(lua_State *L)
{
    lua_Debug ar;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_getinfo(L, ">S", &ar);
    lua_pushstring(L, *ar.source == '@' ? ar.source + 1 : ar.short_src);
    lua_pushinteger(L, ar.linedefined > 0 ? ar.linedefined : 0);
    return 2;
}

void vtl_bind_loop(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"sleep", sleep_for}, {"now", now}, {"wall", wall}, {"fn_info", fn_info}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
