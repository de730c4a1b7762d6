#include "give.h"

#include <stdlib.h>

struct text {
    const char *data;
    size_t n;
};

/* Pushes a JSON value; nesting is bounded by who writes it. */
static void push_json(lua_State *L, json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;
    luaL_checkstack(L, 4, "facts");
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        lua_newtable(L);
        json_object_foreach(value, key, member)
        {
            push_json(L, member);
            lua_setfield(L, -2, key);
        }
        break;
    case JSON_ARRAY:
        lua_newtable(L);
        json_array_foreach(value, i, member)
        {
            push_json(L, member);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(value));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(value));
        break;
    case JSON_NULL:
        lua_pushnil(L);
        break;
    default:
        lua_pushboolean(L, json_is_true(value));
    }
}

static int push_json_arg(lua_State *L)
{
    push_json(L, lua_touserdata(L, 1));
    return 1;
}

static int push_text_arg(lua_State *L)
{
    const struct text *text = lua_touserdata(L, 1);
    lua_pushlstring(L, text->data, text->n);
    return 1;
}

int vtl_give_json(lua_State *L, json_t *value)
{
    lua_pushcfunction(L, push_json_arg); /* no allocation: C stack slots are there */
    lua_pushlightuserdata(L, value);
    int rc = lua_pcall(L, 1, 1, 0);
    json_decref(value);
    return rc == LUA_OK ? 1 : lua_error(L);
}

int vtl_give_text(lua_State *L, char *data, size_t n)
{
    struct text text = {data, n};
    lua_pushcfunction(L, push_text_arg);
    lua_pushlightuserdata(L, &text);
    int rc = lua_pcall(L, 1, 1, 0);
    free(data);
    return rc == LUA_OK ? 1 : lua_error(L);
}

const char **vtl_string_list(lua_State *L, int index)
{
    size_t n = lua_rawlen(L, index);
    const char **list = lua_newuserdatauv(L, (n + 1) * sizeof *list, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        list[i] = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        lua_pop(L, 1); /* the table keeps it */
    }
    list[n] = NULL;
    return list;
}
