/* Values of Lua for C, and of C for Lua: results that were allocated in C are let go of also where
 * Lua has no memory left. */
#ifndef VTL_GIVE_H
#define VTL_GIVE_H

#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>

/* Push the value, which they take over, and give 1; or raise. */
int vtl_give_json(lua_State *L, json_t *value);
int vtl_give_text(lua_State *L, char *data, size_t n);

/* A NULL-terminated array of the strings in the table at `index` (absolute), as a userdata that is
 * pushed; the table keeps the strings. */
const char **vtl_string_list(lua_State *L, int index);

#endif
