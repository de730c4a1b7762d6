#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

#include "vmtest_lua.h"

bool vtl_versions(char *lua, size_t lua_size, char *unit, size_t unit_size)
{
    static const char find[] = "local path = assert(package.searchpath('luaunit', package.path))\n"
                               "local exit = os.exit\n" /* LuaUnit replaces it */
                               "local version = require('luaunit')._VERSION\n"
                               "os.exit = exit\n"
                               "return version .. ' (' .. path .. ')'";
    snprintf(lua, lua_size, "%s", LUA_RELEASE);
    lua_State *L = luaL_newstate();
    if (!L) {
        snprintf(unit, unit_size, "out of memory");
        return false;
    }
    luaL_openlibs(L);
    bool found = luaL_dostring(L, find) == LUA_OK;
    const char *text = lua_tostring(L, -1);
    snprintf(unit, unit_size, "%s", text ? text : "?");
    lua_close(L);
    return found;
}
