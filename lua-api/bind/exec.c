/* Commands in a guest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"
#include "errors.h"
#include "give.h"
#include "task.h"
#include "vm.h"
#include "vmtest/units.h"

/* A command under way: a userdata on the waiting task's stack. */
struct call {
    struct vtl_vm *vm;
    struct vtl_task *task;
    const char *command;
    const char **argv;
    size_t input_size;
    double started;
    bool has_output_fn; /* registry[call] = {function, its error} */
    bool output_failed;
};

struct chunk {
    struct call *call;
    enum vt_stream stream;
    const char *data;
    size_t n;
};

enum { ARG_VM = 1, ARG_COMMAND, ARG_ARGV, ARG_OPTS, SLOT_CALL, SLOT_FIRST_FREE };

static int deliver(lua_State *L)
{
    struct chunk *c = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, c->call);
    lua_rawgeti(L, -1, 1);
    lua_pushstring(L, c->stream == VT_STDOUT ? "stdout" : "stderr");
    lua_pushlstring(L, c->data, c->n);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        lua_rawseti(L, -2, 2);
        c->call->output_failed = true;
    }
    return 0;
}

static void on_output(enum vt_stream stream, const char *data, size_t n, void *user)
{
    struct call *call = user;
    struct chunk c = {.call = call, .stream = stream, .data = data, .n = n};
    if (call->output_failed)
        return;
    if (!vtl_task_call(call->task, deliver, &c))
        call->output_failed = true;
    if (call->output_failed && call->task->op)
        vt_op_cancel(call->task->op);
}

static void set_result(lua_State *L, const struct vt_exec_result *r)
{
    if (r->status >= 0) {
        lua_pushinteger(L, r->status);
        lua_setfield(L, -2, "status");
    }
    lua_pushstring(L, r->signal);
    lua_setfield(L, -2, "signal");
    lua_pushlstring(L, r->out ? r->out : "", r->out_size);
    lua_setfield(L, -2, "stdout");
    lua_pushlstring(L, r->err ? r->err : "", r->err_size);
    lua_setfield(L, -2, "stderr");
    lua_pushnumber(L, r->duration);
    lua_setfield(L, -2, "duration");
    lua_pushboolean(L, r->truncated);
    lua_setfield(L, -2, "truncated");
}

static char *command_text(const struct call *c)
{
    struct vtl_line text = {0};
    vtl_line_raw(&text, c->argv ? "exec" : "$ ");
    for (size_t i = 0; c->argv && c->argv[i]; i++) {
        vtl_line_raw(&text, " ");
        vtl_line_quoted(&text, c->argv[i], strlen(c->argv[i]));
    }
    vtl_line_raw(&text, c->command ? c->command : "");
    char *out = vtl_alloc(text.len + 1);
    memcpy(out, text.data, text.len);
    vtl_line_free(&text);
    return out;
}

/* Transcript and event. */
static void report(const struct call *c, const struct vt_exec_result *r,
                   const struct vt_error *error, double seconds)
{
    static const struct vt_exec_result nothing = {.status = -1};
    char took[32], input[48] = "";
    char *command = command_text(c);
    size_t n = strlen(command) + 1500;
    char *line = vtl_alloc(n);
    const struct vt_exec_result *x = r ? r : &nothing;
    vt_format_duration(took, sizeof took, seconds);
    if (c->input_size)
        snprintf(input, sizeof input, " < %zu bytes of input", c->input_size);
    if (error)
        snprintf(line, n, "%s%s\n=> %s, after %s", command, input, error->message, took);
    else if (x->signal)
        snprintf(line, n, "%s%s\n=> ended by signal %s, after %s", command, input, x->signal, took);
    else
        snprintf(line, n, "%s%s\n=> status %d, after %s%s", command, input, x->status, took,
                 x->truncated ? ", output cut" : "");
    struct vtl_op_report o = {.op = "exec",
                              .text = c->command,
                              .argv = c->argv,
                              .status = error ? NULL : &x->status,
                              .signal = x->signal,
                              .seconds = seconds,
                              .error = error,
                              .truncated = x->truncated};
    o.place = vtl_transcript(c->vm, line, x->out, x->out_size, x->err, x->err_size);
    free(line);
    free(command);
    vtl_op_event(c->vm, &o);
}

static int executed(lua_State *L, int status, lua_KContext context)
{
    struct call *c = lua_touserdata(L, SLOT_CALL);
    const struct vt_error *err;
    (void)status;
    (void)context;
    struct vt_op *op = vtl_ended(L, &err);
    const struct vt_exec_result *r = vt_op_result(op);
    report(c, r, err, vt_loop_now(c->vm->host->loop) - c->started);
    if (c->has_output_fn) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, c);
        lua_pushnil(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, c);
        lua_rawgeti(L, -1, 2);
        if (c->output_failed && !vtl_interrupt(c->task))
            return lua_error(L);
    }
    if (err) {
        vtl_push_guest_error(L, err, c->vm->name, "vm.exec");
        if (r)
            set_result(L, r);
        return lua_error(L);
    }
    lua_createtable(L, 0, 6);
    set_result(L, r);
    return 1;
}

static void read_opts(lua_State *L, struct vt_exec_opts *o)
{
    lua_getfield(L, ARG_OPTS, "timeout");
    o->timeout = lua_tonumber(L, -1);
    lua_getfield(L, ARG_OPTS, "stdin");
    o->input = lua_tolstring(L, -1, &o->input_size);
    lua_getfield(L, ARG_OPTS, "cwd");
    o->cwd = lua_tostring(L, -1);
    lua_getfield(L, ARG_OPTS, "pty");
    o->pty = lua_toboolean(L, -1);
    lua_getfield(L, ARG_OPTS, "limit");
    o->output_limit = (size_t)lua_tointeger(L, -1);
    lua_pop(L, 5); /* the table keeps them */
    if (lua_getfield(L, ARG_OPTS, "env") == LUA_TTABLE)
        o->env = vtl_string_list(L, lua_gettop(L));
}

/* vm_exec(vm, command or nil, argv or nil, opts): the table of results */
static int vm_exec(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, ARG_VM, "vm.exec");
    luaL_checktype(L, ARG_OPTS, LUA_TTABLE);
    struct vtl_task *t = vtl_enter(L, "vm.exec");
    struct vt_error err = VT_ERROR_INIT;
    struct vt_exec_opts o = {0};
    lua_settop(L, ARG_OPTS);
    struct call *c = lua_newuserdatauv(L, sizeof *c, 0);
    *c = (struct call){.vm = v, .task = t, .started = vt_loop_now(t->host->loop)};
    read_opts(L, &o);
    if (lua_istable(L, ARG_ARGV))
        o.argv = c->argv = vtl_string_list(L, ARG_ARGV);
    else
        o.command = c->command = luaL_checkstring(L, ARG_COMMAND);
    c->input_size = o.input_size;
    lua_getfield(L, ARG_OPTS, "on_output");
    if (lua_isfunction(L, -1)) {
        lua_createtable(L, 2, 0);
        lua_insert(L, -2);
        lua_rawseti(L, -2, 1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, c);
        c->has_output_fn = true;
        o.on_output = on_output;
        o.output_user = c;
    }
    return vtl_wait(L, t, vt_vm_exec(v->vm, &o, vtl_on_op, t, &err), executed, &err, v->name);
}

void vtl_bind_exec(lua_State *L)
{
    static const luaL_Reg functions[] = {{"vm_exec", vm_exec}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
