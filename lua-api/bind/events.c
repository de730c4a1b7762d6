#include <stdio.h>

#include "bind.h"
#include "host.h"

#define PLAN_PART 200               /* tests in one plan event */
#define MESSAGE_MAX ((size_t)16384) /* bytes of a message or a trace; the head is kept */

static const char *field(lua_State *L, int table, const char *key, size_t *n)
{
    lua_getfield(L, table, key);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, n) : NULL;
    lua_pop(L, 1); /* the table keeps it */
    return text;
}

static void text_field(lua_State *L, int table, struct vtl_line *l, const char *key)
{
    size_t n = 0;
    const char *text = field(L, table, key, &n);
    vtl_line_text(l, key, text, n);
}

static void name_fields(lua_State *L, int table, struct vtl_line *l)
{
    size_t n = 0;
    const char *text = field(L, table, "method", &n);
    vtl_line_text(l, "name", text, n);
    text_field(L, table, l, "class");
}

static double number_field(lua_State *L, int table, const char *key)
{
    lua_getfield(L, table, key);
    double value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value;
}

/* The list on top of the stack, or an empty one for what is none. */
static void add_list(lua_State *L, struct vtl_line *l, const char *key)
{
    int n = lua_istable(L, -1) ? (int)lua_rawlen(L, -1) : 0;
    vtl_line_key(l, key);
    vtl_line_raw(l, "[");
    for (int i = 1; i <= n; i++) {
        size_t len;
        lua_rawgeti(L, -1, i);
        const char *text = luaL_tolstring(L, -1, &len);
        vtl_line_raw(l, i > 1 ? "," : "");
        vtl_line_quoted(l, text, len);
        lua_pop(L, 2);
    }
    vtl_line_raw(l, "]");
}

static void tags_field(lua_State *L, int table, struct vtl_line *l)
{
    lua_getfield(L, table, "tags");
    add_list(L, l, "tags");
    lua_pop(L, 1);
}

static void plan_test(lua_State *L, int table, struct vtl_line *l)
{
    char id[32];
    snprintf(id, sizeof id, "{\"id\":%d", (int)number_field(L, table, "id"));
    vtl_line_raw(l, id);
    name_fields(L, table, l);
    text_field(L, table, l, "file");
    vtl_line_int(l, "line", (long long)number_field(L, table, "line"));
    tags_field(L, table, l);
    vtl_line_num(l, "timeout", number_field(L, table, "timeout"));
    vtl_line_raw(l, "}");
}

/* plan(tests) */
static int plan(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer n = luaL_len(L, 1);
    for (lua_Integer i = 1; i <= n || i == 1; i += PLAN_PART) {
        struct vtl_line *l = vtl_event(h, "plan");
        vtl_line_key(l, "tests");
        vtl_line_raw(l, "[");
        for (lua_Integer k = i; k <= n && k < i + PLAN_PART; k++) {
            vtl_line_raw(l, k > i ? "," : "");
            lua_rawgeti(L, 1, k);
            plan_test(L, 2, l);
            lua_settop(L, 1);
        }
        vtl_line_raw(l, "]");
        vtl_event_end(h);
    }
    vt_event_flush(h->events, NULL);
    return 0;
}

/* test_start(test, seconds): the line takes what was pending along, in one write */
static int test_start(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    double timeout = luaL_checknumber(L, 2);
    struct vtl_line *l = vtl_event(h, "test_start");
    vtl_line_int(l, "id", (long long)number_field(L, 1, "id"));
    name_fields(L, 1, l);
    vtl_line_num(l, "timeout", timeout);
    vtl_event_end(h);
    vt_event_flush(h->events, NULL);
    h->output.told = 0;
    h->output.cut = false;
    h->test_began = vt_loop_now(h->loop);
    h->test_began_wall = vtl_now();
    return 0;
}

static void capped(lua_State *L, int arg, struct vtl_line *l, const char *key)
{
    size_t n = 0;
    const char *text = lua_type(L, arg) == LUA_TSTRING ? lua_tolstring(L, arg, &n) : NULL;
    if (!text || !n)
        return;
    if (n <= MESSAGE_MAX) {
        vtl_line_text(l, key, text, n);
        return;
    }
    lua_pushlstring(L, text, MESSAGE_MAX);
    lua_pushfstring(L, "%s\n[%I more bytes]", lua_tostring(L, -1), (lua_Integer)(n - MESSAGE_MAX));
    text = lua_tolstring(L, -1, &n);
    vtl_line_text(l, key, text, n);
    lua_pop(L, 2);
}

/* Seconds since the test began: real ones, or virtual ones where those are more. */
static double test_seconds(const struct vtl_host *h)
{
    double wall = vtl_now() - h->test_began_wall;
    double loop = vt_loop_now(h->loop) - h->test_began;
    return wall > loop ? wall : loop;
}

/* test_end(test, outcome, has run, message, trace, reason, xfail, artifacts): its seconds */
static int test_end(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    lua_settop(L, 8);
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *outcome = luaL_checkstring(L, 2);
    double duration = lua_toboolean(L, 3) ? test_seconds(h) : 0;
    if (vt_outcome_parse(outcome) == VT_OUTCOME_COUNT_)
        return luaL_error(L, "no such outcome: %s", outcome);
    struct vtl_line *l = vtl_event(h, "test_end");
    vtl_line_int(l, "id", (long long)number_field(L, 1, "id"));
    name_fields(L, 1, l);
    text_field(L, 1, l, "file");
    vtl_line_int(l, "line", (long long)number_field(L, 1, "line"));
    vtl_line_str(l, "outcome", outcome);
    vtl_line_num(l, "duration", duration);
    capped(L, 4, l, "message");
    capped(L, 5, l, "trace");
    capped(L, 6, l, "reason");
    capped(L, 7, l, "xfail");
    if (lua_istable(L, 8))
        add_list(L, l, "artifacts");
    vtl_event_end(h);
    lua_pushnumber(L, duration);
    return 1;
}

/* suite_error(stage, message, trace) */
static int suite_error(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    lua_settop(L, 3);
    const char *stage = luaL_checkstring(L, 1);
    struct vtl_line *l = vtl_event(h, "suite_error");
    vtl_line_str(l, "stage", stage);
    capped(L, 2, l, "message");
    capped(L, 3, l, "trace");
    vtl_event_end(h);
    return 0;
}

/* log(level, text) */
static int log_event(lua_State *L)
{
    const char *level = luaL_checkstring(L, 1), *text = luaL_checkstring(L, 2);
    vtl_event_log(vtl_host(L), level, text);
    return 0;
}

/* deadline(seconds, what): tells the parent how long the suite is busy with it at most */
static int deadline(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    double seconds = luaL_checknumber(L, 1);
    const char *what = luaL_checkstring(L, 2);
    struct vtl_line *l = vtl_event(h, "deadline");
    vtl_line_num(l, "seconds", seconds);
    vtl_line_str(l, "what", what);
    vtl_event_end(h);
    vt_event_flush(h->events, NULL);
    return 0;
}

/* list_mode(): from now on VMs are refused, for the plan alone is wanted */
static int list_mode(lua_State *L)
{
    vtl_host(L)->list_only = true;
    return 0;
}

/* exit_code(): of the last os.exit() */
static int exit_code(lua_State *L)
{
    lua_pushinteger(L, vtl_host(L)->exit_code);
    return 1;
}

void vtl_bind_events(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"plan", plan},           {"test_start", test_start},   {"test_end", test_end},
        {"log", log_event},       {"suite_error", suite_error}, {"list_mode", list_mode},
        {"exit_code", exit_code}, {"deadline", deadline},       {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
