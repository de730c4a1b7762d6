/* Tasks: Lua code that may wait.
 *
 * A task is a coroutine of the host. It waits by vtl_wait(), the one place that yields, and runs
 * by resume() in task.c, the one place that resumes. A guard is a task with a deadline that its
 * parent waits for (a test, a setUp, the suite's main chunk); vmtest.parallel() makes child tasks
 * within it. What interrupts a guard (its deadline, a stop) is raised in every task below it, at
 * whatever it waits for, and again at each primitive and each tick of the watch (watch.h). Code
 * that catches that too is left by the host after a grace: its coroutine yields and is dropped. */
#ifndef VTL_TASK_H
#define VTL_TASK_H

#include "host.h"

#define VTL_LEAVE_GRACE 2.0 /* seconds of running on after an interrupt before it is left */

enum vtl_outcome {
    VTL_RUNNING, /* runs, or waits */
    VTL_DONE,
    VTL_RAISED, /* its error is on its stack */
    VTL_LEFT,   /* os.exit(), or caught every interrupt: dropped in the midst */
};

struct vtl_task {
    struct vtl_host *host;
    struct vtl_task *next;
    struct vtl_task *parent; /* NULL: the root */
    lua_State *co;
    int ref; /* registry: anchors co */
    enum vtl_outcome outcome;
    bool guard;
    bool on_stack;             /* its lua_resume() has not returned */
    bool shielded;             /* a guard that interrupts stop at: the runner runs in it */
    bool leaving;              /* of a guard: all below it leave at the next chance */
    bool exited;               /* of a guard: it leaves because of os.exit() */
    bool doomed;               /* about to be freed */
    bool cleanup;              /* a tearDown: a stop gives it some seconds more */
    unsigned children;         /* that have not ended */
    struct vtl_task *failed;   /* the first child that did not succeed */
    struct vt_op *op;          /* waits for it, */
    double op_since;           /* vt_loop_now() */
    struct vt_op *ended_op;    /* while resumed by it */
    struct vt_op *timer;       /* wakes at the deadline, while the loop runs */
    double timeout;            /* seconds; 0: none */
    double deadline;           /* on the loop's clock */
    double wall_deadline;      /* on the monotonic clock, for code that does not wait */
    struct vt_error interrupt; /* of a guard or child: set once, raised ever after */
    double leave_at;           /* vtl_now() at which it is left */
    bool out_of_memory;        /* what it raised is that */
    char *trace;               /* where its error was raised; freed with it */
    char *inner_trace;         /* where the child raised what it raises again */
};

/* Makes a task of the function and arguments on top of L's stack (which are popped) and runs it
 * until it ends or waits. Raises only for want of memory, before anything is made. */
struct vtl_task *vtl_task_start(lua_State *L, int nargs, struct vtl_task *parent, bool guard,
                                double timeout);
void vtl_task_free(struct vtl_task *t); /* and all below it, whatever they do */

/* The task that called, where it may wait now; else raises what is wrong. `op` names the
 * primitive. */
struct vtl_task *vtl_enter(lua_State *L, const char *op);

/* Waits for an operation started with vtl_on_op and this task; `k` runs afterwards, with
 * vtl_ended() giving the operation. op NULL: raises *err. */
int vtl_wait(lua_State *L, struct vtl_task *t, struct vt_op *op, lua_KFunction k,
             struct vt_error *err, const char *vm);
void vtl_on_op(struct vt_op *op, void *task);

/* In `k`: the operation; *err is its failure, or what interrupted the task, or NULL. */
struct vt_op *vtl_ended(lua_State *L, const struct vt_error **err);

/* The error that this task is to raise: its own or that of a task above it; NULL: none. */
const struct vt_error *vtl_interrupt(const struct vtl_task *t);
void vtl_interrupt_task(struct vtl_task *t, const struct vt_error *why);

/* Calls fn(lightuserdata) from the loop, on behalf of a task that waits: fn may not wait. False
 * where it raised (for want of memory, or interrupted). */
bool vtl_task_call(struct vtl_task *t, lua_CFunction fn, void *arg);

/* The guard a task belongs to. */
struct vtl_task *vtl_guard_of(struct vtl_task *t);

/* Interrupts all that run or wait: the job is to stop. */
void vtl_stop(struct vtl_host *h);

/* Leaves the running guard from whatever depth: yields where that is possible, else raises, and
 * again at the next instruction. To be returned. */
int vtl_leave(lua_State *L);

/* (Re)starts a guard's deadline; 0: none. */
void vtl_task_deadline(struct vtl_task *t, double seconds);

void vtl_bind_tasks(lua_State *L); /* guard, parallel, shield, …: into the table on top */

#endif
