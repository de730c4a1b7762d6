/* The suite's own coroutines. They work as in plain Lua; replaced are the functions that would
 * show that the suite itself runs in a coroutine, and those the watch must see through. */
#include "bind.h"
#include "task.h"

static bool is_task(lua_State *L)
{
    struct vtl_task *t = vtl_host(L)->current;
    return t && t->co == L;
}

/* Resumes co with its arguments on its stack: the number of results, or -1 with the error on top
 * of co. When the suite is being left meanwhile, so is L. */
static int run(lua_State *L, lua_State *co, int nargs)
{
    struct vtl_host *h = vtl_host(L);
    int results = 0;
    h->running = co;
    int status = lua_resume(co, L, nargs, &results);
    h->running = L;
    if (vtl_guard_of(h->current)->leaving)
        return vtl_leave(L);
    return status == LUA_OK || status == LUA_YIELD ? results : -1;
}

static bool can_resume(lua_State *co, int nargs)
{
    const char *why = NULL;
    int status = lua_status(co);
    if (!lua_checkstack(co, nargs + 1))
        why = "too many arguments to resume";
    else if (status != LUA_YIELD && (status != LUA_OK || lua_gettop(co) == 0))
        why = "cannot resume dead coroutine";
    if (why)
        lua_pushstring(co, why);
    return !why;
}

static int co_resume(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    int nargs = lua_gettop(L) - 1;
    lua_Debug ar;
    int results = -1;
    if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar)) {
        lua_pushboolean(L, false);
        lua_pushliteral(L, "cannot resume non-suspended coroutine");
        return 2;
    }
    if (can_resume(co, nargs)) {
        lua_xmove(L, co, nargs);
        results = run(L, co, nargs);
    }
    if (results < 0 || !lua_checkstack(L, results + 1)) {
        lua_pushboolean(L, false);
        lua_xmove(co, L, 1);
        return 2;
    }
    lua_pushboolean(L, true);
    lua_xmove(co, L, results);
    return results + 1;
}

static int wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int nargs = lua_gettop(L), results = -1;
    lua_Debug ar;
    if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar))
        return luaL_error(L, "cannot resume non-suspended coroutine");
    if (can_resume(co, nargs)) {
        lua_xmove(L, co, nargs);
        results = run(L, co, nargs);
    }
    if (results >= 0) {
        luaL_checkstack(L, results, "too many results");
        lua_xmove(co, L, results);
        return results;
    }
    if (lua_status(co) != LUA_OK && lua_status(co) != LUA_YIELD)
        lua_resetthread(co); /* closes its variables */
    lua_xmove(co, L, 1);
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int co_wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

static int co_yield (lua_State *L)
{
    if (is_task(L))
        return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

static int co_isyieldable(lua_State *L)
{
    lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
    lua_pushboolean(L, !is_task(co) && lua_isyieldable(co));
    return 1;
}

static int co_running(lua_State *L)
{
    lua_pushthread(L);
    lua_pushboolean(L, is_task(L));
    return 2;
}

void vtl_open_coroutines(lua_State *L)
{
    static const luaL_Reg functions[] = {{"resume", co_resume},   {"wrap", co_wrap},
                                         {"yield", co_yield },    {"isyieldable", co_isyieldable},
                                         {"running", co_running}, {NULL, NULL}};
    lua_getglobal(L, "coroutine");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
