/* What can be asked of a VM and done to it, but for commands and files. */
#include "vm.h"

#include <stdlib.h>
#include <string.h>

#include "action.h"
#include "bind.h"
#include "errors.h"
#include "give.h"
#include "mdm.h"

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

/* vm_act(vm, action, timeout) */
static int vm_act(lua_State *L)
{
    int what = (int)luaL_checkinteger(L, 2);
    luaL_argcheck(L, what >= 0 && what < ACTION_COUNT, 2, "no such action");
    struct vtl_vm *v = vtl_check_vm(L, 1, action_names[what]);
    double timeout = luaL_optnumber(L, 3, 0);
    struct vtl_task *t = vtl_enter(L, action_names[what]);
    struct vt_error err = VT_ERROR_INIT;
    vtl_act_begin(L, action_names[what] + strlen("vm."), NULL, false);
    return vtl_act_wait(L, begin(v, (enum action)what, timeout, t, &err), &err);
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

/* vms(): all that have not ended */
static int vms(lua_State *L)
{
    lua_Integer n = 0;
    lua_newtable(L);
    for (struct vtl_vm *v = vtl_host(L)->vms; v; v = v->next) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, v->ref);
        lua_rawseti(L, -2, ++n);
    }
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

static int vm_info(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.info");
    return vtl_give_json(L, vt_vm_info(v->vm));
}

/* vm_console_tail(vm, bytes) */
static int vm_console_tail(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.console_tail");
    lua_Integer limit = luaL_checkinteger(L, 2);
    struct vt_error why = VT_ERROR_INIT;
    char *text = NULL;
    if (!vt_vm_supports(v->vm, VT_CAP_CONSOLE, &why))
        vtl_raise(L, &why, v->name);
    vt_vm_console_tail(v->vm, limit > 0 ? (size_t)limit : 0, &text);
    return vtl_give_text(L, text, strlen(text));
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

/* end_scope(n, leave_running): ends the VMs of scope n and of those within it, and their MDM
 * servers */
static int end_scope(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    int from = (int)luaL_checkinteger(L, 1);
    for (struct vtl_vm *v = h->vms, *next; v; v = next) {
        next = v->next;
        if (v->scope >= from)
            vtl_vm_end(v, lua_toboolean(L, 2));
    }
    vtl_mdms_end_scope(h, from);
    return 0;
}

/* capabilities(): the names that vm_supports() knows */
static int capabilities(lua_State *L)
{
    lua_createtable(L, VT_CAP_COUNT_, 0);
    for (int cap = 0; cap < VT_CAP_COUNT_; cap++) {
        lua_pushstring(L, vt_capability_name((enum vt_capability)cap));
        lua_rawseti(L, -2, cap + 1);
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
                                         {"vm_new_from", vtl_vm_new_from},
                                         {"vms", vms},
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
                                         {"capabilities", capabilities},
                                         {"vm_methods", vm_methods},
                                         {NULL, NULL}};
    vtl_vm_metatable(L);
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
