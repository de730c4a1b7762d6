#include "action.h"

#include <stdio.h>
#include <string.h>

#include "errors.h"
#include "vmtest/units.h"

enum { NAME, TEXT, STARTED, TEXT_RESULT };

void vtl_act_tell(struct vtl_vm *v, const char *name, const char *text, double seconds,
                  const struct vt_error *err)
{
    char line[2000], took[32];
    snprintf(line, sizeof line, "%s%s%.500s: %s after %s", name, text ? " " : "", text ? text : "",
             err ? err->message : "done", vt_format_duration(took, sizeof took, seconds));
    struct vtl_place place = vtl_transcript(v, line, NULL, 0, NULL, 0);
    struct vtl_op_report r = {
        .op = name, .text = text, .seconds = seconds, .error = err, .place = place};
    vtl_op_event(v, &r);
}

static int acted(lua_State *L, int status, lua_KContext context)
{
    const struct vt_error *err;
    struct vtl_vm *v = luaL_checkudata(L, 1, VTL_VM);
    int at = lua_gettop(L) - TEXT_RESULT; /* where vtl_act_begin() began */
    (void)status;
    (void)context;
    struct vt_op *op = vtl_ended(L, &err);
    double seconds = vt_loop_now(v->host->loop) - lua_tonumber(L, at + STARTED);
    vtl_act_tell(v, lua_tostring(L, at + NAME), lua_tostring(L, at + TEXT), seconds, err);
    if (err)
        vtl_raise(L, err, v->name);
    if (!lua_toboolean(L, at + TEXT_RESULT))
        return 0;
    lua_pushstring(L, vt_op_result(op));
    return 1;
}

void vtl_act_begin(lua_State *L, const char *name, const char *text, bool text_result)
{
    luaL_checkstack(L, 8, "action");
    lua_pushstring(L, name);
    lua_pushstring(L, text);
    lua_pushnumber(L, vt_loop_now(vtl_host(L)->loop));
    lua_pushboolean(L, text_result);
}

int vtl_act_wait(lua_State *L, struct vt_op *op, struct vt_error *err)
{
    const struct vtl_vm *v = luaL_checkudata(L, 1, VTL_VM);
    return vtl_wait(L, vtl_host(L)->current, op, acted, err, v->name);
}
