/* What can be asked of a VM and done to it, but for commands and files. */
#include "vm.h"

#include <stdlib.h>
#include <string.h>

#include "bind.h"
#include "errors.h"
#include "task.h"
#include "vmtest/units.h"

enum action { START, STOP, KILL, PAUSE, RESUME, REBOOT, RESET, WAIT_STOPPED, ACTION_COUNT };

static const char *const action_names[ACTION_COUNT] = {
    [START] = "vm.start",   [STOP] = "vm.stop",
    [KILL] = "vm.kill",     [PAUSE] = "vm.pause",
    [RESUME] = "vm.resume", [REBOOT] = "vm.reboot",
    [RESET] = "vm.reboot",  [WAIT_STOPPED] = "vm.wait_stopped",
};

static struct vt_op *begin(struct vtl_vm *v, enum action what, double timeout, struct vtl_task *t,
                           struct vt_error *err)
{
    switch (what) {
    case START:
        return vt_vm_start(v->vm, true, timeout, vtl_on_op, t, err);
    case STOP:
        return vt_vm_stop(v->vm, timeout, vtl_on_op, t, err);
    case KILL:
        return vt_vm_kill(v->vm, vtl_on_op, t, err);
    case PAUSE:
        return vt_vm_pause(v->vm, vtl_on_op, t, err);
    case RESUME:
        return vt_vm_resume(v->vm, vtl_on_op, t, err);
    case REBOOT:
    case RESET:
        return vt_vm_reboot(v->vm, what == RESET, timeout, vtl_on_op, t, err);
    default:
        return vt_vm_wait_stopped(v->vm, timeout, vtl_on_op, t, err);
    }
}

static int acted(lua_State *L, int status, lua_KContext what)
{
    const struct vt_error *err;
    struct vtl_vm *v = luaL_checkudata(L, 1, VTL_VM);
    (void)status;
    (void)what;
    vtl_ended(L, &err);
    double seconds = vt_loop_now(v->host->loop) - lua_tonumber(L, 4);
    const char *name = action_names[lua_tointeger(L, 2)] + strlen("vm.");
    char line[1400], took[32];
    snprintf(line, sizeof line, "%s: %s after %s", name, err ? err->message : "done",
             vt_format_duration(took, sizeof took, seconds));
    struct vtl_place place = vtl_transcript(v, line, NULL, 0, NULL, 0);
    struct vtl_op_report r = {.op = name, .seconds = seconds, .error = err, .place = place};
    vtl_op_event(v, &r);
    if (err)
        vtl_raise(L, err, v->name);
    return 0;
}

/* vm_act(vm, action, timeout) */
static int vm_act(lua_State *L)
{
    int what = (int)luaL_checkinteger(L, 2);
    luaL_argcheck(L, what >= 0 && what < ACTION_COUNT, 2, "no such action");
    struct vtl_vm *v = vtl_check_vm(L, 1, action_names[what]);
    double timeout = luaL_optnumber(L, 3, 0);
    struct vtl_task *t = vtl_enter(L, action_names[what]);
    struct vt_error err = VT_ERROR_INIT;
    lua_settop(L, 3);
    lua_pushnumber(L, vt_loop_now(t->host->loop));
    return vtl_wait(L, t, begin(v, (enum action)what, timeout, t, &err), acted, &err, v->name);
}

static int vm_state(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.state");
    lua_pushstring(L, vt_vm_state_name(vt_vm_state(v->vm)));
    lua_pushstring(L, vt_vm_reason(v->vm));
    return 2;
}

static int vm_name(lua_State *L)
{
    struct vtl_vm *v = luaL_checkudata(L, 1, VTL_VM);
    lua_pushstring(L, v->name);
    return 1;
}

static int vm_alive(lua_State *L)
{
    struct vtl_vm *v = luaL_checkudata(L, 1, VTL_VM);
    lua_pushboolean(L, v->vm != NULL);
    return 1;
}

static int vm_scale(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.scale");
    lua_pushnumber(L, vt_vm_time_scale(v->vm));
    return 1;
}

static int vm_supports(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.supports");
    const char *name = luaL_checkstring(L, 2);
    struct vt_error why = VT_ERROR_INIT;
    for (int cap = 0; cap < VT_CAP_COUNT_; cap++) {
        if (strcmp(vt_capability_name((enum vt_capability)cap), name) != 0)
            continue;
        bool can = vt_vm_supports(v->vm, (enum vt_capability)cap, &why);
        lua_pushboolean(L, can);
        if (can)
            return 1;
        lua_pushstring(L, why.message);
        return 2;
    }
    return luaL_argerror(L, 2, "no such capability");
}

/* Pushes a JSON value; nesting is bounded by what drivers write. */
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

static int vm_info(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.info");
    lua_pushcfunction(L, push_json_arg);
    json_t *info = vt_vm_info(v->vm);
    lua_pushlightuserdata(L, info); /* C stack slots are there: this cannot raise */
    int rc = lua_pcall(L, 1, 1, 0);
    json_decref(info);
    return rc == LUA_OK ? 1 : lua_error(L);
}

static int push_text_arg(lua_State *L)
{
    lua_pushstring(L, lua_touserdata(L, 1));
    return 1;
}

/* vm_console_tail(vm, bytes) */
static int vm_console_tail(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.console_tail");
    lua_Integer limit = luaL_checkinteger(L, 2);
    char *text = NULL;
    lua_pushcfunction(L, push_text_arg);
    vt_vm_console_tail(v->vm, limit > 0 ? (size_t)limit : 0, &text);
    lua_pushlightuserdata(L, text);
    int rc = lua_pcall(L, 1, 1, 0);
    free(text);
    return rc == LUA_OK ? 1 : lua_error(L);
}

/* vm_end(vm, leave_running) */
static int vm_end(lua_State *L)
{
    struct vtl_vm *v = luaL_checkudata(L, 1, VTL_VM);
    vtl_vm_end(v, lua_toboolean(L, 2));
    return 0;
}

/* scope(n): what VMs made from now on belong to; gives the one before */
static int scope(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    lua_pushinteger(L, h->scope);
    h->scope = (int)luaL_checkinteger(L, 1);
    return 1;
}

/* set_scope(vm, n) */
static int set_scope(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.new");
    v->scope = (int)luaL_checkinteger(L, 2);
    return 0;
}

/* end_scope(n, leave_running): ends the VMs of scope n and of those within it */
static int end_scope(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    int from = (int)luaL_checkinteger(L, 1);
    for (struct vtl_vm *v = h->vms, *next; v; v = next) {
        next = v->next;
        if (v->scope >= from)
            vtl_vm_end(v, lua_toboolean(L, 2));
    }
    return 0;
}

static int drivers(lua_State *L)
{
    const char *const *names = vt_driver_names();
    lua_newtable(L);
    for (int i = 0; names[i]; i++) {
        lua_pushstring(L, names[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* vm_methods(table): what indexing a VM finds */
static int vm_methods(lua_State *L)
{
    lua_settop(L, 2);
    luaL_getmetatable(L, VTL_VM);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "__tostring");
    return 0;
}

void vtl_bind_vm(lua_State *L)
{
    static const luaL_Reg functions[] = {{"vm_new", vtl_vm_new},
                                         {"vm_act", vm_act},
                                         {"vm_state", vm_state},
                                         {"vm_name", vm_name},
                                         {"vm_alive", vm_alive},
                                         {"vm_scale", vm_scale},
                                         {"vm_supports", vm_supports},
                                         {"vm_info", vm_info},
                                         {"vm_console_tail", vm_console_tail},
                                         {"vm_end", vm_end},
                                         {"scope", scope},
                                         {"set_scope", set_scope},
                                         {"end_scope", end_scope},
                                         {"drivers", drivers},
                                         {"vm_methods", vm_methods},
                                         {NULL, NULL}};
    vtl_vm_metatable(L);
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
