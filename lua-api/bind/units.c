#include "vmtest/units.h"

#include "bind.h"
#include "errors.h"

/* duration(number or text): seconds, or nil and what is wrong */
static int duration(lua_State *L)
{
    struct vt_error err = VT_ERROR_INIT;
    double seconds = 0;
    if (lua_type(L, 1) == LUA_TNUMBER)
        seconds = lua_tonumber(L, 1);
    else
        vt_parse_duration(luaL_checkstring(L, 1), &seconds, &err);
    if (!err.code && !(seconds >= 0 && seconds <= 366 * 86400.0))
        vt_fail(&err, VT_EINVAL, "duration", "%g is no number of seconds from 0 to a year",
                seconds);
    if (err.code) {
        luaL_pushfail(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    lua_pushnumber(L, seconds);
    return 1;
}

/* size(number or text): bytes, or nil and what is wrong */
static int size(lua_State *L)
{
    struct vt_error err = VT_ERROR_INIT;
    uint64_t bytes = 0;
    if (lua_type(L, 1) == LUA_TNUMBER) {
        double n = lua_tonumber(L, 1);
        if (n >= 0 && n <= 9e15)
            bytes = (uint64_t)n;
        else
            vt_fail(&err, VT_EINVAL, "size", "%g is no number of bytes", n);
    } else {
        vt_parse_size(luaL_checkstring(L, 1), &bytes, &err);
    }
    if (err.code) {
        luaL_pushfail(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    lua_pushinteger(L, (lua_Integer)bytes);
    return 1;
}

static int format_duration(lua_State *L)
{
    char out[32];
    lua_pushstring(L, vt_format_duration(out, sizeof out, luaL_checknumber(L, 1)));
    return 1;
}

void vtl_bind_units(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"duration", duration}, {"size", size}, {"format_duration", format_duration}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
