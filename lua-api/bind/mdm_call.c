#include "mdm_call.h"

#include "errors.h"

const char *vtl_opt_text(lua_State *L, int table, const char *key)
{
    lua_getfield(L, table, key);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_pop(L, 1);
    return text;
}

double vtl_opt_number(lua_State *L, int table, const char *key)
{
    lua_getfield(L, table, key);
    double value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value;
}

bool vtl_opt_bool(lua_State *L, int table, const char *key)
{
    lua_getfield(L, table, key);
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

void vtl_set_text(lua_State *L, const char *key, const char *text)
{
    if (!text)
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
}

void vtl_set_number(lua_State *L, const char *key, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

void vtl_set_bool(lua_State *L, const char *key, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, key);
}

int vtl_mdm_result(lua_State *L, void (*push)(lua_State *L, const void *result))
{
    const struct vt_error *err;
    struct vt_op *op = vtl_ended(L, &err);
    if (err)
        vtl_raise(L, err, NULL);
    luaL_checkstack(L, 8, "result");
    push(L, vt_op_result(op));
    return 1;
}
