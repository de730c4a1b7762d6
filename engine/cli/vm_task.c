#include "cli/vm_task.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "vmtest/run.h"

#define PATIENCE_S 5.0 /* for another command to let go of a VM */
#define LOOK_S 0.05
#define ATTACH_S 30.0
#define REACH_S 5.0 /* for a guest to accept a connection; scaled */

static struct vt_loop *volatile woken;
static volatile sig_atomic_t signalled;

static void on_signal(int sig)
{
    signalled = sig;
    if (woken)
        vt_loop_wake(woken);
}

static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

int vt_vm_exit_code(const struct vt_error *err)
{
    switch (err->code) {
    case VT_OK:
        return VT_EXIT_OK;
    case VT_EINVAL:
    case VT_ENOTFOUND:
    case VT_ESTATE:
    case VT_EUNSUPPORTED:
        return VT_EXIT_USAGE;
    case VT_EINTERNAL:
        return VT_EXIT_BUG;
    default:
        return VT_EXIT_INFRASTRUCTURE;
    }
}

/* --- names --- */

static bool has(char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

bool vt_vm_names(const struct vt_command *self, char **patterns, char ***names, size_t *count)
{
    *names = NULL;
    *count = 0;
    for (; *patterns; patterns++) {
        struct vt_error err = VT_ERROR_INIT;
        char **words;
        size_t n;
        if (vt_names_expand(*patterns, &words, &n, &err)) {
            vt_cli_error(self, &err);
            vt_names_free(*names, *count);
            return false;
        }
        *names = vt_realloc(*names, (*count + n + 1) * sizeof **names);
        for (size_t i = 0; i < n; i++) {
            if (has(*names, *count, words[i])) {
                vt_free(words[i]);
                continue;
            }
            (*names)[(*count)++] = words[i];
        }
        vt_free(words);
    }
    return true;
}

/* --- steps --- */

void vt_vm_task_say(const struct vt_vm_task *t, const char *fmt, ...)
{
    struct vt_buf line = VT_BUF_INIT;
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    vt_buf_printf(&line, "%s: %s\n", t->name, text);
    fputs(line.data, stderr);
    vt_buf_free(&line);
}

void vt_vm_task_end(struct vt_vm_task *t)
{
    struct vt_error err = VT_ERROR_INIT;
    if (t->done)
        return;
    t->done = true;
    if (t->vm && signalled && t->err.code == VT_ECANCELED && vt_vm_task_runs(t))
        vt_vm_task_say(t, "interrupted; the VM runs on");
    if (t->vm) {
        vt_named_vm_free(t->named, t->vm, !t->starting);
        vt_named_ended(t->named);
    }
    t->vm = NULL;
    if (t->filling && vt_named_make_fresh(t->named, &err))
        vt_cli_error(t->command, &err);
    vt_named_free(t->named);
    t->named = NULL;
}

void vt_vm_task_wait(struct vt_vm_task *t, struct vt_op *op, vt_vm_step step)
{
    t->op = op;
    t->step = step;
    t->any_end = false;
    if (!op)
        vt_vm_task_end(t);
    else if (signalled)
        vt_op_cancel(op);
}

/* Goes on with the next step, which waits for something or ends the task. */
static void go(struct vt_vm_task *t, vt_vm_step step)
{
    t->op = NULL;
    if (step)
        step(t);
    else
        vt_vm_task_end(t);
}

void vt_vm_task_op(struct vt_op *op, void *task)
{
    struct vt_vm_task *t = task;
    const struct vt_error *why = vt_op_error(op);
    if (t->done) /* what was under way when it ended */
        return;
    vt_vm_step step = t->step;
    bool stopped = why && (!t->any_end || why->code == VT_ECANCELED);
    t->op = op;
    if (stopped)
        t->err = *why;
    else if (step)
        step(t);
    if (t->op == op)
        t->op = NULL;
    if (stopped || !step)
        vt_vm_task_end(t);
}

bool vt_vm_task_runs(const struct vt_vm_task *t)
{
    enum vt_vm_state state = vt_vm_state(t->vm);
    return state == VT_VM_RUNNING || state == VT_VM_PAUSED;
}

bool vt_vm_task_needs_running(struct vt_vm_task *t)
{
    if (vt_vm_task_runs(t))
        return true;
    vt_fail(&t->err, VT_ESTATE, "vm", "VM %s does not run", t->name);
    vt_hint(&t->err, "`vmtest vm start %s` starts it", t->name);
    vt_vm_task_end(t);
    return false;
}

static void on_state(struct vt_vm *vm, enum vt_vm_state state, const char *reason, void *user)
{
    struct vt_vm_task *t = user;
    struct vt_error err = VT_ERROR_INIT;
    (void)vm;
    (void)reason;
    t->starting = state == VT_VM_STARTING;
    if (!t->starting) {
        vt_named_ended(t->named);
    } else if (vt_named_begin(t->named, &err)) {
        vt_cli_error(t->command, &err);
    }
}

static void boot(struct vt_vm_task *t)
{
    t->filling = false;
    if (vt_vm_task_runs(t)) { /* the base had memory */
        go(t, t->then);
        return;
    }
    vt_vm_task_wait(t, vt_vm_start(t->vm, t->wait_ready, t->timeout, vt_vm_task_op, t, &t->err),
                    t->then);
}

void vt_vm_task_start(struct vt_vm_task *t, bool wait_ready, double timeout, vt_vm_step then)
{
    t->then = then;
    t->wait_ready = wait_ready;
    t->timeout = timeout;
    t->filling = t->named->base && vt_named_is_fresh(t->named);
    if (!t->filling)
        boot(t);
    else
        vt_vm_task_wait(t, vt_vm_restore(t->vm, t->named->base, timeout, vt_vm_task_op, t, &t->err),
                        boot);
}

void vt_vm_task_reach(struct vt_vm_task *t, vt_vm_step then)
{
    const struct vt_exec_opts opts = {.command = ":", .timeout = REACH_S * vt_vm_time_scale(t->vm)};
    struct vt_op *op = vt_vm_exec(t->vm, &opts, vt_vm_task_op, t, NULL);
    if (!op) { /* it has no way in */
        go(t, then);
        return;
    }
    vt_vm_task_wait(t, op, then);
    t->any_end = true;
}

bool vt_vm_task_make_fresh(struct vt_vm_task *t)
{
    vt_named_vm_free(t->named, t->vm, true); /* it knows disks that are about to go */
    t->vm = NULL;
    if (vt_named_make_fresh(t->named, &t->err) || vt_named_vm(t->named, t->loop, &t->vm, &t->err)) {
        vt_vm_task_end(t);
        return false;
    }
    vt_vm_on_state(t->vm, on_state, t);
    return true;
}

/* --- the frame --- */

static void take_up(struct vt_vm_task *t)
{
    bool runs = vt_named_pid(t->named) != 0;
    if (!runs && !t->named->dir) {
        vt_fail(&t->err, VT_ESTATE, "vm", "VM %s has ended", t->name);
        vt_hint(&t->err, "`vmtest vm rm %s` removes what is left of it", t->name);
    } else if (!vt_named_vm(t->named, t->loop, &t->vm, &t->err)) {
        vt_vm_on_state(t->vm, on_state, t);
    }
    if (t->err.code)
        vt_vm_task_end(t);
    else if (runs)
        vt_vm_task_wait(t, vt_vm_attach(t->vm, ATTACH_S, vt_vm_task_op, t, &t->err), t->begin);
    else
        t->begin(t);
}

static void take(struct vt_vm_task *t)
{
    struct vt_error err = VT_ERROR_INIT;
    t->op = NULL;
    if (!vt_named_lock(t->named, &err)) {
        take_up(t);
    } else if (err.code == VT_EBUSY && !vt_named_in_run(t->named) &&
               vt_loop_now(t->loop) < t->patience) {
        vt_vm_task_wait(t, vt_sleep(t->loop, LOOK_S, vt_vm_task_op, t, &t->err), take);
    } else {
        t->err = err;
        vt_vm_task_end(t);
    }
}

static void begin(struct vt_vm_task *t)
{
    t->since = vt_loop_now(t->loop);
    t->patience = t->since + PATIENCE_S;
    if (vt_named_find(t->name, &t->named, &t->err)) {
        vt_vm_task_end(t);
        return;
    }
    t->named->wait = t->wait;
    take(t);
}

static void cancel_all(struct vt_vm_task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!tasks[i].done && tasks[i].op)
            vt_op_cancel(tasks[i].op);
}

static size_t still_going(const struct vt_vm_task *tasks, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += !tasks[i].done;
    return n;
}

static int report(const struct vt_vm_task *tasks, size_t count)
{
    int code = VT_EXIT_OK;
    for (size_t i = 0; i < count; i++) {
        const struct vt_error *err = &tasks[i].err;
        int one = vt_vm_exit_code(err);
        if (err->code == VT_ECANCELED && signalled)
            continue;
        if (one)
            vt_cli_error(tasks[i].command, err);
        if (code == VT_EXIT_OK || (one == VT_EXIT_USAGE && code == VT_EXIT_INFRASTRUCTURE))
            code = one;
    }
    if (signalled == SIGINT)
        return VT_EXIT_SIGINT;
    return signalled ? VT_EXIT_SIGTERM : code;
}

int vt_vm_tasks(const struct vt_command *self, char *const *names, size_t count,
                const struct vt_vm_task_opts *opts)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_loop *loop = vt_loop_new(&err);
    vt_drivers_init();
    if (!loop) {
        vt_cli_error(self, &err);
        return VT_EXIT_INFRASTRUCTURE;
    }
    struct vt_vm_task *tasks = vt_calloc(count, sizeof *tasks);
    woken = loop;
    catch_signals();
    for (size_t i = 0; i < count; i++) {
        tasks[i] = (struct vt_vm_task){.command = self,
                                       .loop = loop,
                                       .name = names[i],
                                       .user = opts->user,
                                       .wait = opts->wait,
                                       .begin = opts->begin};
        begin(&tasks[i]);
    }
    for (bool cancelled = false; still_going(tasks, count);) {
        vt_loop_run_once(loop, true);
        if (signalled && !cancelled) {
            cancelled = true;
            cancel_all(tasks, count);
        }
    }
    woken = NULL;
    vt_loop_free(loop);
    int code = report(tasks, count);
    vt_free(tasks);
    return code;
}

int vt_vm_tasks_by_pattern(const struct vt_command *self, char **patterns,
                           const struct vt_vm_task_opts *opts)
{
    char **names;
    size_t count;
    if (!vt_vm_names(self, patterns, &names, &count))
        return VT_EXIT_USAGE;
    int code = vt_vm_tasks(self, names, count, opts);
    vt_names_free(names, count);
    return code;
}
