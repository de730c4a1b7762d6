/* os.exit and os.execute. The first ends the suite instead of the process; the second waits in
 * the loop, so that other functions of vmtest.parallel go on. */
#include <limits.h>
#include <string.h>

#include "bind.h"
#include "errors.h"
#include "task.h"

#define LONGEST (365 * 86400.0) /* a command's own limit: the test's deadline comes first */

static int os_exit(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    lua_Integer code = 0;
    if (lua_isboolean(L, 1))
        code = !lua_toboolean(L, 1);
    else
        code = luaL_optinteger(L, 1, 0);
    h->exit_code = (int)(code > INT_MAX ? INT_MAX : code < INT_MIN ? INT_MIN : code);
    vtl_guard_of(h->current)->exited = true;
    return vtl_leave(L);
}

static int executed(lua_State *L, int status, lua_KContext context)
{
    const struct vt_error *err;
    struct vt_op *op = vtl_ended(L, &err);
    (void)status;
    (void)context;
    if (err)
        vtl_raise(L, err, NULL);
    const struct vt_process_result *r = vt_op_result(op);
    if (r->status == 0)
        lua_pushboolean(L, true);
    else
        luaL_pushfail(L);
    lua_pushstring(L, r->signal ? "signal" : "exit");
    lua_pushinteger(L, r->signal ? r->signal : r->status);
    return 3;
}

static int os_execute(lua_State *L)
{
    struct vtl_task *self = vtl_host(L)->current;
    if (lua_isnoneornil(L, 1)) {
        lua_pushboolean(L, true);
        return 1;
    }
    const char *command = luaL_checkstring(L, 1);
    if (L != self->co || !lua_isyieldable(L)) { /* cannot wait here: it blocks, as in plain Lua */
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_insert(L, 1);
        lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
        return lua_gettop(L);
    }
    struct vtl_task *t = vtl_enter(L, "os.execute");
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    const struct vt_process_opts opts = {
        .argv = argv, .timeout = LONGEST, .inherit_output = true, .same_group = true};
    struct vt_error err = VT_ERROR_INIT;
    struct vt_op *op = vt_process_run(t->host->loop, &opts, vtl_on_op, t, &err);
    return vtl_wait(L, t, op, executed, &err, NULL);
}

void vtl_open_os(lua_State *L)
{
    lua_getglobal(L, "os");
    lua_pushcfunction(L, os_exit);
    lua_setfield(L, -2, "exit");
    lua_getfield(L, -1, "execute");
    lua_pushcclosure(L, os_execute, 1);
    lua_setfield(L, -2, "execute");
    lua_pop(L, 1);
}
