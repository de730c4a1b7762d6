#include "task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "vmtest/units.h"
#include "watch.h"

#define STOP_GRACE 5.0 /* seconds for a tearDown when the job is stopped */

static void resume(struct vtl_task *t);

struct vtl_task *vtl_guard_of(struct vtl_task *t)
{
    while (!t->guard)
        t = t->parent;
    return t;
}

static bool is_below(const struct vtl_task *t, const struct vtl_task *above)
{
    while (t && t != above && !t->shielded)
        t = t->parent;
    return t == above;
}

const struct vt_error *vtl_interrupt(const struct vtl_task *t)
{
    for (; t && !t->shielded; t = t->parent)
        if (t->interrupt.code)
            return &t->interrupt;
    return NULL;
}

/* ---- how tasks begin ---- */

static int on_error(lua_State *L)
{
    struct vtl_task *t = vtl_host(L)->current;
    char *own = vtl_trace(L);
    free(t->trace);
    t->trace = own;
    if (t->inner_trace) {
        size_t n = strlen(t->inner_trace) + strlen(own) + 2;
        t->trace = vtl_alloc(n);
        snprintf(t->trace, n, "%s\n%s", t->inner_trace, own);
        free(own);
    }
    return 1; /* the error as it is */
}

static int task_ended(lua_State *L, int status, lua_KContext context)
{
    struct vtl_task *t = vtl_host(L)->current;
    (void)context;
    bool ok = status == LUA_OK || status == LUA_YIELD;
    t->outcome = ok ? VTL_DONE : VTL_RAISED;
    t->out_of_memory = status == LUA_ERRMEM;
    lua_remove(L, 1);
    return ok ? lua_gettop(L) : 1;
}

static int task_main(lua_State *L)
{
    lua_pushcfunction(L, on_error);
    lua_insert(L, 1);
    return task_ended(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, task_ended), 0);
}

static lua_State *take_thread(lua_State *L, int *ref)
{
    struct vtl_host *h = vtl_host(L);
    if (h->idle_ref == LUA_NOREF) {
        lua_State *co = lua_newthread(L);
        *ref = luaL_ref(L, LUA_REGISTRYINDEX);
        return co;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->idle_ref);
    lua_State *co = lua_tothread(L, -1);
    lua_pop(L, 1);
    *ref = h->idle_ref;
    h->idle_ref = LUA_NOREF;
    return co;
}

struct vtl_task *vtl_task_start(lua_State *L, int nargs, struct vtl_task *parent, bool guard,
                                double timeout)
{
    struct vtl_host *h = vtl_host(L);
    int ref;
    luaL_checkstack(L, 3, "task");
    lua_State *co = take_thread(L, &ref);
    if (!lua_checkstack(co, nargs + 8))
        luaL_error(L, "too many arguments");
    struct vtl_task *t = vtl_alloc(sizeof *t);
    *t = (struct vtl_task){.host = h,
                           .next = h->tasks,
                           .parent = parent,
                           .co = co,
                           .ref = ref,
                           .guard = guard,
                           .shielded = !parent};
    h->tasks = t;
    if (parent)
        parent->children++;
    vtl_task_deadline(t, timeout);
    lua_pushcfunction(co, task_main);
    lua_xmove(L, co, nargs + 1);
    resume(t);
    return t;
}

void vtl_task_deadline(struct vtl_task *t, double seconds)
{
    t->timeout = seconds;
    t->deadline = vt_loop_now(t->host->loop) + seconds;
    t->wall_deadline = vtl_now() + seconds;
    if (t->timer)
        vt_op_forget(t->timer);
    t->timer = NULL;
}

/* ---- how they end ---- */

static void let_go(struct vtl_task *t)
{
    struct vtl_host *h = t->host;
    if (t->op)
        vt_op_forget(t->op);
    if (t->timer)
        vt_op_forget(t->timer);
    bool reusable = t->outcome == VTL_DONE || t->outcome == VTL_RAISED;
    if (reusable && h->idle_ref == LUA_NOREF && lua_status(t->co) == LUA_OK) {
        lua_settop(t->co, 0);
        lua_sethook(t->co, NULL, 0, 0);
        h->idle_ref = t->ref;
    } else {
        luaL_unref(h->L, LUA_REGISTRYINDEX, t->ref);
    }
    free(t->trace);
    free(t->inner_trace);
    free(t);
}

/* Marks t's descendants, and frees what is marked. */
static void kill_below(struct vtl_task *t)
{
    struct vtl_host *h = t->host;
    for (struct vtl_task *x = h->tasks; x; x = x->next)
        for (const struct vtl_task *up = x->parent; up && !x->doomed; up = up->parent)
            x->doomed = up == t;
    for (struct vtl_task **at = &h->tasks; *at;) {
        struct vtl_task *x = *at;
        if (!x->doomed) {
            at = &x->next;
            continue;
        }
        *at = x->next;
        let_go(x);
    }
}

void vtl_task_free(struct vtl_task *t)
{
    t->doomed = true;
    kill_below(t);
}

static void cancel_ops_below(struct vtl_task *t)
{
    for (struct vtl_task *x = t->host->tasks; x; x = x->next)
        if (x->op && is_below(x, t))
            vt_op_cancel(x->op);
}

/* A deadline's error says what was waited for, the longest of it. */
static void tell_what_waits(struct vtl_task *t)
{
    const struct vtl_task *longest = NULL;
    char took[24];
    for (const struct vtl_task *x = t->host->tasks; x; x = x->next)
        if (x->op && is_below(x, t) && (!longest || x->op_since < longest->op_since))
            longest = x;
    if (!longest)
        return;
    vt_format_duration(took, sizeof took, vt_loop_now(t->host->loop) - longest->op_since);
    vt_error_append(&t->interrupt, ", in %s for %s", vt_op_name(longest->op), took);
}

void vtl_interrupt_task(struct vtl_task *t, const struct vt_error *why)
{
    if (t->interrupt.code || t->outcome != VTL_RUNNING)
        return;
    t->interrupt = *why;
    if (why->code == VT_ETIMEDOUT)
        tell_what_waits(t);
    vtl_guard_of(t)->leave_at = vtl_now() + VTL_LEAVE_GRACE;
    cancel_ops_below(t);
}

static void cancel_siblings(struct vtl_task *t)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_ECANCELED, "vmtest.parallel", "cancelled: another function failed");
    for (struct vtl_task *x = t->host->tasks; x; x = x->next)
        if (x != t && x->parent == t->parent && !x->guard)
            vtl_interrupt_task(x, &why);
}

static void end(struct vtl_task *t)
{
    struct vtl_task *parent = t->parent;
    if (t->timer)
        vt_op_forget(t->timer);
    t->timer = NULL;
    kill_below(t);
    if (!parent)
        return;
    parent->children--;
    if (t->outcome != VTL_DONE && !t->guard) {
        if (!parent->failed)
            parent->failed = t;
        cancel_siblings(t);
    }
    if (!parent->on_stack && !parent->children)
        resume(parent);
}

/* ---- how they run: the one place that resumes ---- */

static void watch_for(struct vtl_task *t)
{
    double when = 0;
    for (; t && !t->shielded; t = t->parent) {
        double at = t->interrupt.code ? vtl_guard_of(t)->leave_at : t->wall_deadline;
        if ((t->interrupt.code || t->timeout > 0) && (when == 0 || at < when))
            when = at;
    }
    vtl_watch_until(when);
}

/* Makes t (or nothing: NULL) what runs. The host itself may use more memory than the suite. */
static void enter(struct vtl_host *h, struct vtl_task *t, lua_State *thread)
{
    h->current = t;
    h->running = thread;
    h->memory_reserve = !t || t->shielded ? VTL_MEMORY_RESERVE : 0;
    watch_for(t);
}

static void resume(struct vtl_task *t)
{
    struct vtl_host *h = t->host;
    struct vtl_task *outer = h->current, *guard = vtl_guard_of(t);
    lua_State *outer_thread = h->running;
    if (guard->leaving && lua_status(t->co) == LUA_YIELD) {
        t->outcome = VTL_LEFT;
        end(t);
        return;
    }
    int results, status;
    int nargs = lua_status(t->co) == LUA_YIELD ? 0 : lua_gettop(t->co) - 1;
    t->on_stack = true;
    enter(h, t, t->co);
    status = lua_resume(t->co, outer_thread, nargs, &results);
    t->on_stack = false;
    enter(h, outer, outer_thread);
    if (status == LUA_YIELD && (t->op || t->children) && !guard->leaving)
        return; /* it waits */
    if (status == LUA_YIELD || guard->leaving)
        t->outcome = VTL_LEFT;
    else if (status != LUA_OK)
        t->outcome = VTL_RAISED;
    end(t);
}

bool vtl_task_call(struct vtl_task *t, lua_CFunction fn, void *arg)
{
    struct vtl_host *h = t->host;
    struct vtl_task *outer = h->current;
    lua_State *outer_thread = h->running;
    enter(h, t, h->L);
    h->quiet++;
    lua_pushcfunction(h->L, fn);
    lua_pushlightuserdata(h->L, arg);
    bool ok = lua_pcall(h->L, 1, 0, 0) == LUA_OK;
    if (!ok)
        lua_pop(h->L, 1);
    lua_sethook(h->L, NULL, 0, 0);
    h->quiet--;
    enter(h, outer, outer_thread);
    return ok;
}

void vtl_on_op(struct vt_op *op, void *task)
{
    struct vtl_task *t = task;
    t->op = NULL;
    t->ended_op = op;
    resume(t);
}

struct vt_op *vtl_ended(lua_State *L, const struct vt_error **err)
{
    struct vtl_task *t = vtl_host(L)->current;
    struct vt_op *op = t->ended_op;
    t->ended_op = NULL;
    *err = vt_op_error(op);
    if (*err && (*err)->code == VT_ECANCELED && vtl_interrupt(t))
        *err = vtl_interrupt(t);
    return op;
}

/* ---- how they wait ---- */

struct vtl_task *vtl_enter(lua_State *L, const char *op)
{
    struct vtl_host *h = vtl_host(L);
    struct vtl_task *t = h->current;
    const struct vt_error *why = t ? vtl_interrupt(t) : NULL;
    if (why)
        vtl_raise(L, why, NULL);
    if (h->quiet)
        vtl_raise_code(L, VT_ESTATE, op, "an on_output function cannot wait");
    if (!t || L != t->co)
        vtl_raise_code(L, VT_ESTATE, op,
                       "it waits, which a coroutine made by coroutine.create or coroutine.wrap "
                       "cannot: use vmtest.parallel to run things side by side");
    if (!lua_isyieldable(L))
        vtl_raise_code(L, VT_ESTATE, op,
                       "it waits, which is not possible inside require, table.sort, string.gsub "
                       "or a metamethod called from C: do it before and pass the result in");
    return t;
}

static void on_deadline(struct vt_op *op, void *task)
{
    struct vtl_task *t = task;
    t->timer = NULL;
    if (vt_op_error(op))
        return;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_ETIMEDOUT, "test", "timed out after %.3gs", t->timeout);
    vtl_interrupt_task(t, &why);
}

/* Deadlines get a timer only when a task waits: most never do. */
static void arm_deadlines(struct vtl_task *t)
{
    for (; t && !t->shielded; t = t->parent) {
        double left = t->deadline - vt_loop_now(t->host->loop);
        if (t->timeout > 0 && !t->timer && !t->interrupt.code)
            t->timer = vt_sleep(t->host->loop, left > 0 ? left : 0, on_deadline, t, NULL);
    }
}

int vtl_wait(lua_State *L, struct vtl_task *t, struct vt_op *op, lua_KFunction k,
             struct vt_error *err, const char *vm)
{
    if (!op)
        vtl_raise(L, err, vm);
    t->op = op;
    t->op_since = vt_loop_now(t->host->loop);
    arm_deadlines(t);
    return lua_yieldk(L, 0, 0, k);
}

int vtl_leave(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    vtl_guard_of(h->current)->leaving = true;
    if (lua_isyieldable(L))
        return lua_yield(L, 0);
    lua_sethook(L, vtl_watch_hook, LUA_MASKCOUNT, 1);
    return luaL_error(L, "the suite is being left");
}

void vtl_stop(struct vtl_host *h)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_ECANCELED, "run", "the run was stopped");
    h->stopping = true;
    for (struct vtl_task *t = h->tasks; t; t = t->next) {
        if (!t->guard || t->shielded || !t->parent)
            continue;
        if (!t->cleanup) {
            vtl_interrupt_task(t, &why);
        } else if (t->deadline - vt_loop_now(h->loop) > STOP_GRACE || t->timeout <= 0) {
            vtl_task_deadline(t, STOP_GRACE);
            arm_deadlines(t);
        }
    }
}

/* ---- what Lua sees ---- */

/* Gives what a guard came to: nil and its first result, or how it ended ("raised", "memory",
 * "timeout", "canceled", "exit"), its error, and where it was raised. */
static int guard_ended(lua_State *L, int status, lua_KContext context)
{
    struct vtl_task *t = lua_touserdata(L, 1);
    (void)status;
    (void)context;
    lua_settop(L, 0);
    bool has_error = t->outcome == VTL_RAISED && lua_gettop(t->co);
    if (t->exited)
        lua_pushliteral(L, "exit");
    else if (t->interrupt.code)
        lua_pushstring(L, vt_code_name(t->interrupt.code));
    else if (t->outcome == VTL_RAISED)
        lua_pushstring(L, t->out_of_memory ? "memory" : "raised");
    else
        lua_pushnil(L);
    if (has_error || (t->outcome == VTL_DONE && lua_gettop(t->co))) {
        lua_settop(t->co, 1);
        lua_xmove(t->co, L, 1);
    } else if (t->interrupt.code) {
        vtl_push_error(L, &t->interrupt, NULL);
    } else {
        lua_pushnil(L);
    }
    lua_pushstring(L, t->trace ? t->trace : "");
    struct vtl_host *h = t->host;
    vtl_task_free(t);
    if (h->memory_denied) { /* what the suite left behind must not starve the next test: string
                               buffers ask for memory without a collection before they give up */
        h->memory_denied = false;
        lua_gc(L, LUA_GCCOLLECT);
    }
    return 3;
}

/* guard(timeout, cleanup, function, …). A runner started where nothing can be yielded (by a
 * module that is being required) runs the loop itself. */
static int guard(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    struct vtl_task *self = h->current;
    double timeout = luaL_checknumber(L, 1);
    bool cleanup = lua_toboolean(L, 2);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    if (h->stopping && cleanup && (timeout <= 0 || timeout > STOP_GRACE))
        timeout = STOP_GRACE;
    struct vtl_task *t = vtl_task_start(L, lua_gettop(L) - 3, self, true, timeout);
    t->cleanup = cleanup;
    lua_settop(L, 0);
    lua_pushlightuserdata(L, t);
    if (t->outcome == VTL_RUNNING && L == self->co && lua_isyieldable(L))
        return lua_yieldk(L, 0, 0, guard_ended);
    while (t->outcome == VTL_RUNNING)
        vtl_host_turn(h);
    return guard_ended(L, LUA_OK, 0);
}

/* What parallel() waits for, in order. */
struct child {
    struct vtl_task *task;
};

static int parallel_ended(lua_State *L, int status, lua_KContext n)
{
    struct vtl_task *self = vtl_host(L)->current, *failed = self->failed;
    struct child *list = lua_touserdata(L, (int)n + 1);
    (void)status;
    if (vtl_guard_of(self)->leaving)
        return vtl_leave(L);
    if (failed) {
        lua_settop(L, 0);
        if (failed->outcome == VTL_RAISED && lua_gettop(failed->co))
            lua_xmove(failed->co, L, 1);
        free(self->inner_trace);
        self->inner_trace = failed->trace;
        failed->trace = NULL;
        self->failed = NULL;
        kill_below(self);
        return lua_error(L);
    }
    luaL_checkstack(L, (int)n, "results");
    for (int i = 0; i < n; i++) {
        lua_settop(list[i].task->co, 1);
        lua_xmove(list[i].task->co, L, 1);
        vtl_task_free(list[i].task);
    }
    return (int)n;
}

/* parallel(f1, f2, …): the first result of each. */
static int parallel(lua_State *L)
{
    int n = lua_gettop(L);
    for (int i = 1; i <= n; i++)
        luaL_checktype(L, i, LUA_TFUNCTION);
    struct vtl_task *self = vtl_enter(L, "vmtest.parallel");
    struct child *list = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *list, 0);
    for (int i = 0; i < n && !self->failed; i++) {
        lua_pushvalue(L, i + 1);
        list[i].task = vtl_task_start(L, 0, self, false, 0);
    }
    if (self->children) {
        arm_deadlines(self);
        return lua_yieldk(L, 0, n, parallel_ended);
    }
    return parallel_ended(L, LUA_OK, n);
}

/* shield(on, timeout): the running guard runs tests now: what interrupts them stops at it. */
static int shield(lua_State *L)
{
    struct vtl_task *t = vtl_guard_of(vtl_host(L)->current);
    t->shielded = lua_toboolean(L, 1) || !t->parent;
    vtl_task_deadline(t, t->shielded ? 0 : luaL_checknumber(L, 2));
    enter(t->host, t->host->current, t->host->running);
    return 0;
}

static int stopping(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    if (vtl_watch_stop_asked() && !h->stopping)
        vtl_stop(h);
    lua_pushboolean(L, h->stopping);
    return 1;
}

/* is_task(): may the caller wait here? */
static int can_wait(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    lua_pushboolean(L, h->current && L == h->current->co && lua_isyieldable(L) && !h->quiet);
    return 1;
}

void vtl_bind_tasks(lua_State *L)
{
    static const luaL_Reg functions[] = {{"guard", guard},       {"parallel", parallel},
                                         {"shield", shield},     {"stopping", stopping},
                                         {"can_wait", can_wait}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
