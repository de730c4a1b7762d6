/* Results that were allocated in C, as Lua values: let go of also where Lua has no memory left. */
#ifndef VTL_GIVE_H
#define VTL_GIVE_H

#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>

/* Push the value, which they take over, and give 1; or raise. */
int vtl_give_json(lua_State *L, json_t *value);
int vtl_give_text(lua_State *L, char *data, size_t n);

#endif
