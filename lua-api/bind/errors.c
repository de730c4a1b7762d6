#include "errors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_LINES 30

static bool is_own(const lua_Debug *ar)
{
    return !strncmp(ar->source, VTL_CHUNK_PREFIX, sizeof VTL_CHUNK_PREFIX - 1);
}

void vtl_push_where(lua_State *L)
{
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && !is_own(&ar)) {
            lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

static bool is_library(const lua_Debug *ar)
{
    size_t n = strlen(ar->source);
    return is_own(ar) || *ar->what == 'C' ||
           (n >= 11 && !strcmp(ar->source + n - 11, "luaunit.lua"));
}

char *vtl_trace(lua_State *of)
{
    struct vtl_line text = {0};
    lua_Debug ar;
    int lines = 0;
    for (int level = 0; lines < TRACE_LINES && lua_getstack(of, level, &ar); level++) {
        char line[256];
        lua_getinfo(of, "Slnt", &ar);
        if (is_library(&ar) || ar.currentline <= 0)
            continue;
        int n = snprintf(line, sizeof line, "%s%s:%d: in ", lines++ ? "\n" : "", ar.short_src,
                         ar.currentline);
        if (*ar.what == 'm')
            snprintf(line + n, sizeof line - (size_t)n, "main chunk");
        else if (*ar.namewhat && *ar.namewhat != 'l' && *ar.namewhat != 'u')
            snprintf(line + n, sizeof line - (size_t)n, "%s '%s'", ar.namewhat, ar.name);
        else
            snprintf(line + n, sizeof line - (size_t)n, "function <%s:%d>", ar.short_src,
                     ar.linedefined);
        vtl_line_raw(&text, line);
    }
    if (!text.data)
        return vtl_strdup("");
    char *out = vtl_alloc(text.len + 1);
    memcpy(out, text.data, text.len);
    vtl_line_free(&text);
    return out;
}

static void set_text(lua_State *L, const char *key, const char *text)
{
    if (text && *text) {
        lua_pushstring(L, text);
        lua_setfield(L, -2, key);
    }
}

void vtl_push_error(lua_State *L, const struct vt_error *err, const char *vm)
{
    luaL_checkstack(L, 6, "error");
    lua_createtable(L, 0, 7);
    luaL_setmetatable(L, VTL_ERROR);
    set_text(L, "code", vt_code_name(err->code));
    set_text(L, "op", err->op);
    set_text(L, "message", err->message);
    set_text(L, "hint", err->hint);
    set_text(L, "vm", vm);
    vtl_push_where(L);
    lua_setfield(L, -2, "where");
}

void vtl_push_guest_error(lua_State *L, const struct vt_error *err, const char *vm, const char *op)
{
    vtl_push_error(L, err, vm);
    if (!strncmp(err->op, "guest.", 6)) {
        lua_pushstring(L, op);
        lua_setfield(L, -2, "op");
    }
}

void vtl_raise(lua_State *L, const struct vt_error *err, const char *vm)
{
    vtl_push_error(L, err, vm);
    lua_error(L);
    abort(); /* lua_error() does not return */
}

void vtl_raise_code(lua_State *L, enum vt_code code, const char *op, const char *fmt, ...)
{
    struct vt_error err = VT_ERROR_INIT;
    char text[sizeof err.message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    vt_fail(&err, code, op, "%s", text);
    vtl_raise(L, &err, NULL);
}

static void add_field(lua_State *L, luaL_Buffer *b, const char *before, const char *key,
                      const char *after)
{
    if (lua_getfield(L, 1, key) == LUA_TSTRING && lua_rawlen(L, -1)) {
        lua_pushfstring(L, "%s%s%s", before, lua_tostring(L, -1), after);
        lua_remove(L, -2);
        luaL_addvalue(b);
    } else {
        lua_pop(L, 1);
    }
}

/* "suite.lua:12: vm.exec: timed out after 5s (VM web)\nhint: …" */
static int error_tostring(lua_State *L)
{
    luaL_Buffer b;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    luaL_buffinit(L, &b);
    add_field(L, &b, "", "where", ": ");
    add_field(L, &b, "", "op", ": ");
    add_field(L, &b, "", "message", "");
    add_field(L, &b, " (VM ", "vm", ")");
    add_field(L, &b, "\nhint: ", "hint", "");
    luaL_pushresult(&b);
    return 1;
}

/* So that `"did not work: " .. err` is no second error. */
static int error_concat(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    luaL_tolstring(L, 2, NULL);
    lua_concat(L, 2);
    return 1;
}

/* raise(code, op, message [, hint [, extra]]): extra's members become fields of the error. */
static int raise_error(lua_State *L)
{
    static const char *const names[] = {"code", "op", "message", "hint"};
    lua_settop(L, 5);
    lua_createtable(L, 0, 8);
    luaL_setmetatable(L, VTL_ERROR);
    if (lua_istable(L, 5)) {
        lua_pushnil(L);
        while (lua_next(L, 5)) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, 6);
        }
    }
    for (int i = 0; i < 4; i++) {
        lua_pushvalue(L, i + 1);
        lua_setfield(L, 6, names[i]);
    }
    vtl_push_where(L);
    lua_setfield(L, 6, "where");
    return lua_error(L);
}

/* is_error(value): one of ours? */
static int is_error(lua_State *L)
{
    lua_pushboolean(L, lua_istable(L, 1) && lua_getmetatable(L, 1) &&
                           luaL_getmetatable(L, VTL_ERROR) && lua_rawequal(L, -1, -2));
    return 1;
}

static int where(lua_State *L)
{
    vtl_push_where(L);
    return 1;
}

void vtl_bind_errors(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__tostring", error_tostring}, {"__concat", error_concat}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"raise", raise_error}, {"is_error", is_error}, {"where", where}, {NULL, NULL}};
    luaL_newmetatable(L, VTL_ERROR);
    luaL_setfuncs(L, meta, 0);
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
