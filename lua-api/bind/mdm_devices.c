/* Devices at an MDM server: commands and their answers, declarations, push. */
#include <string.h>

#include "bind.h"
#include "errors.h"
#include "give.h"
#include "mdm_call.h"

/* Reads the JSON text at `arg`; raises where it is none. The caller lets go of it. */
static json_t *object_arg(lua_State *L, int arg)
{
    size_t n;
    const char *text = luaL_checklstring(L, arg, &n);
    json_t *object = json_loadb(text, n, 0, NULL);
    luaL_argcheck(L, object, arg, "no JSON object");
    return object;
}

static int nothing(lua_State *L, int status, lua_KContext context)
{
    const struct vt_error *err;
    (void)status;
    (void)context;
    vtl_ended(L, &err);
    if (err)
        vtl_raise(L, err, NULL);
    return 0;
}

/* mdm_push(server, udid, timeout) */
static int mdm_push(lua_State *L)
{
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "mdm.push");
    const char *udid = luaL_checkstring(L, 2);
    double timeout = luaL_checknumber(L, 3);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "mdm.push");
    struct vt_op *op = vt_mdm_push(m->mdm, udid, timeout, vtl_on_op, t, &err);
    return vtl_wait(L, t, op, nothing, &err, NULL);
}

/* ---- commands ---- */

static void push_queued(lua_State *L, const void *result)
{
    const struct vt_mdm_queued *q = result;
    lua_createtable(L, 0, 3);
    vtl_set_text(L, "uuid", q->uuid);
    vtl_set_text(L, "problem", q->push_problem);
    vtl_set_bool(L, "pushed", q->pushed);
}

static int queued(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return vtl_mdm_result(L, push_queued);
}

/* mdm_enqueue(server, udid, command as JSON text, {no_push, force, timeout}):
 * {uuid, pushed, problem} */
static int mdm_enqueue(lua_State *L)
{
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "device.command");
    luaL_checktype(L, 4, LUA_TTABLE);
    struct vt_error err = VT_ERROR_INIT;
    struct vt_mdm_command c = {.udid = luaL_checkstring(L, 2),
                               .no_push = vtl_opt_bool(L, 4, "no_push"),
                               .force = vtl_opt_bool(L, 4, "force"),
                               .timeout = vtl_opt_number(L, 4, "timeout")};
    struct vtl_task *t = vtl_enter(L, "device.command");
    json_t *command = object_arg(L, 3);
    c.command = command;
    struct vt_op *op = vt_mdm_enqueue(m->mdm, &c, vtl_on_op, t, &err);
    json_decref(command);
    return vtl_wait(L, t, op, queued, &err, NULL);
}

static void push_answer(lua_State *L, const void *result)
{
    const struct vt_mdm_answer *a = result;
    lua_createtable(L, 0, 8);
    vtl_set_text(L, "uuid", a->uuid);
    vtl_set_text(L, "request_type", a->request_type);
    vtl_set_text(L, "status", vt_mdm_status_name(a->status));
    vtl_set_text(L, "errors", a->errors);
    lua_pushinteger(L, a->not_now);
    lua_setfield(L, -2, "not_now");
    lua_pushlstring(L, a->raw ? a->raw : "", a->raw ? a->raw_size : 0);
    lua_setfield(L, -2, "raw");
    if (a->error_chain) {
        vtl_give_json(L, json_deep_copy(a->error_chain));
        lua_setfield(L, -2, "error_chain");
    }
    if (a->reply) {
        vtl_give_json(L, json_deep_copy(a->reply));
        lua_setfield(L, -2, "reply");
    }
}

static int answered(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return vtl_mdm_result(L, push_answer);
}

/* mdm_wait_answer(server, udid, uuid, timeout, stop at NotNow): {status, reply, error_chain, …} */
static int mdm_wait_answer(lua_State *L)
{
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "device.command");
    struct vt_error err = VT_ERROR_INIT;
    struct vt_mdm_answer_opts o = {.udid = luaL_checkstring(L, 2),
                                   .uuid = luaL_checkstring(L, 3),
                                   .timeout = luaL_checknumber(L, 4),
                                   .stop_at_not_now = lua_toboolean(L, 5)};
    struct vtl_task *t = vtl_enter(L, "device.command");
    struct vt_op *op = vt_mdm_wait_answer(m->mdm, &o, vtl_on_op, t, &err);
    return vtl_wait(L, t, op, answered, &err, NULL);
}

/* mdm_withdraw(server, udid, uuid, timeout) */
static int mdm_withdraw(lua_State *L)
{
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "device.command");
    const char *udid = luaL_checkstring(L, 2), *uuid = luaL_checkstring(L, 3);
    double timeout = luaL_checknumber(L, 4);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "device.command");
    struct vt_op *op = vt_mdm_withdraw(m->mdm, udid, uuid, timeout, vtl_on_op, t, &err);
    return vtl_wait(L, t, op, nothing, &err, NULL);
}

/* ---- declarations ---- */

/* mdm_declare(server, udid, declaration as JSON text, timeout): {uuid, pushed, problem} */
static int mdm_declare(lua_State *L)
{
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "device.declare");
    const char *udid = luaL_checkstring(L, 2);
    double timeout = luaL_checknumber(L, 4);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "device.declare");
    json_t *declaration = object_arg(L, 3);
    struct vt_op *op = vt_mdm_declare(m->mdm, udid, declaration, timeout, vtl_on_op, t, &err);
    json_decref(declaration);
    return vtl_wait(L, t, op, queued, &err, NULL);
}

/* mdm_undeclare(server, udid, identifier, timeout): {uuid, pushed, problem} */
static int mdm_undeclare(lua_State *L)
{
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "device.undeclare");
    const char *udid = luaL_checkstring(L, 2), *identifier = luaL_checkstring(L, 3);
    double timeout = luaL_checknumber(L, 4);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "device.undeclare");
    struct vt_op *op = vt_mdm_undeclare(m->mdm, udid, identifier, timeout, vtl_on_op, t, &err);
    return vtl_wait(L, t, op, queued, &err, NULL);
}

static void push_declared(lua_State *L, const void *result)
{
    const struct vt_mdm_declared *d = result;
    lua_createtable(L, 0, 5);
    vtl_set_text(L, "identifier", d->identifier);
    vtl_set_text(L, "server_token", d->server_token);
    vtl_set_text(L, "valid", d->valid);
    vtl_set_bool(L, "active", d->active);
    if (d->status) {
        vtl_give_json(L, json_deep_copy(d->status));
        lua_setfield(L, -2, "status");
    }
}

static int declared(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return vtl_mdm_result(L, push_declared);
}

/* mdm_wait_declared(server, udid, identifier, timeout): {active, valid, status, …} */
static int mdm_wait_declared(lua_State *L)
{
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "device.declare");
    const char *udid = luaL_checkstring(L, 2), *identifier = luaL_checkstring(L, 3);
    double timeout = luaL_checknumber(L, 4);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "device.declare");
    struct vt_op *op = vt_mdm_wait_declared(m->mdm, udid, identifier, timeout, vtl_on_op, t, &err);
    return vtl_wait(L, t, op, declared, &err, NULL);
}

void vtl_bind_mdm_devices(lua_State *L)
{
    static const luaL_Reg functions[] = {{"mdm_push", mdm_push},
                                         {"mdm_enqueue", mdm_enqueue},
                                         {"mdm_wait_answer", mdm_wait_answer},
                                         {"mdm_withdraw", mdm_withdraw},
                                         {"mdm_declare", mdm_declare},
                                         {"mdm_undeclare", mdm_undeclare},
                                         {"mdm_wait_declared", mdm_wait_declared},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
