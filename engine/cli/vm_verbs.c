/* vmtest vm start, stop, kill, pause, resume, reboot, reset, wait: one thing done to each VM. */
#include <stdio.h>
#include <string.h>

#include "cli/vm_task.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

/* Options by their place in each table, and what was asked. */
struct asked {
    double timeout; /* 0: the default */
    bool now;       /* start --no-wait, stop --kill, reboot --hard */
};

static const struct asked *asked(const struct vt_vm_task *t)
{
    return t->user;
}

static void say_done(struct vt_vm_task *t, const char *what)
{
    vt_vm_task_say(t, "%s, %.1f s", what, vt_loop_now(t->loop) - t->since);
    vt_vm_task_end(t);
}

static void say_already(struct vt_vm_task *t, const char *what)
{
    vt_vm_task_say(t, "%s already", what);
    vt_vm_task_end(t);
}

/* --- start --- */

static void started(struct vt_vm_task *t)
{
    say_done(t, "started");
}

static void start(struct vt_vm_task *t)
{
    if (vt_vm_task_runs(t))
        say_already(t,
                    vt_vm_state(t->vm) == VT_VM_PAUSED ? "is paused: it has been started" : "runs");
    else
        vt_vm_task_start(t, !asked(t)->now, asked(t)->timeout, started);
}

int vt_vm_start_all(const struct vt_command *self, char *const *names, size_t count, double wait)
{
    struct asked plain = {0};
    const struct vt_vm_task_opts opts = {.begin = start, .user = &plain, .wait = wait};
    return vt_vm_tasks(self, names, count, &opts);
}

/* --- stop, kill --- */

static void stopped(struct vt_vm_task *t)
{
    say_done(t, "stopped");
}

static void killed(struct vt_vm_task *t)
{
    say_done(t, "killed");
}

static void kill_it(struct vt_vm_task *t)
{
    vt_vm_task_wait(t, vt_vm_kill(t->vm, vt_vm_task_op, t, &t->err), killed);
}

static void stop_or_kill(struct vt_vm_task *t)
{
    if (vt_vm_state(t->vm) == VT_VM_STOPPED) {
        stopped(t);
        return;
    }
    t->err = (struct vt_error)VT_ERROR_INIT;
    kill_it(t);
}

static void shut_down(struct vt_vm_task *t)
{
    vt_vm_task_wait(t, vt_vm_stop(t->vm, asked(t)->timeout, vt_vm_task_op, t, &t->err),
                    asked(t)->now ? stop_or_kill : stopped);
    t->any_end = asked(t)->now;
}

static void stop(struct vt_vm_task *t)
{
    if (!vt_vm_task_runs(t))
        say_already(t, "is stopped");
    else if (asked(t)->now && vt_vm_state(t->vm) == VT_VM_PAUSED)
        kill_it(t);
    else
        vt_vm_task_reach(t, shut_down);
}

static void kill_vm(struct vt_vm_task *t)
{
    if (!vt_vm_task_runs(t))
        say_already(t, "is stopped");
    else
        kill_it(t);
}

/* --- pause, resume --- */

static void paused(struct vt_vm_task *t)
{
    say_done(t, "paused");
}

static void pause_vm(struct vt_vm_task *t)
{
    if (!vt_vm_task_needs_running(t))
        return;
    if (vt_vm_state(t->vm) == VT_VM_PAUSED)
        say_already(t, "is paused");
    else
        vt_vm_task_wait(t, vt_vm_pause(t->vm, vt_vm_task_op, t, &t->err), paused);
}

static void resumed(struct vt_vm_task *t)
{
    say_done(t, "resumed");
}

static void resume(struct vt_vm_task *t)
{
    if (!vt_vm_task_needs_running(t))
        return;
    if (vt_vm_state(t->vm) == VT_VM_RUNNING)
        say_already(t, "runs");
    else
        vt_vm_task_wait(t, vt_vm_resume(t->vm, vt_vm_task_op, t, &t->err), resumed);
}

/* --- reboot --- */

static void rebooted(struct vt_vm_task *t)
{
    say_done(t, "restarted");
}

static void restart(struct vt_vm_task *t)
{
    struct vt_op *op =
        vt_vm_reboot(t->vm, asked(t)->now, asked(t)->timeout, vt_vm_task_op, t, &t->err);
    vt_vm_task_wait(t, op, rebooted);
}

static void reboot(struct vt_vm_task *t)
{
    if (!vt_vm_task_needs_running(t))
        return;
    if (asked(t)->now)
        restart(t);
    else
        vt_vm_task_reach(t, restart);
}

/* --- reset --- */

static void reset_and_started(struct vt_vm_task *t)
{
    say_done(t, "is as it was made, and runs");
}

static void start_anew(struct vt_vm_task *t)
{
    if (vt_vm_task_make_fresh(t))
        vt_vm_task_start(t, true, asked(t)->timeout, reset_and_started);
}

static void reset(struct vt_vm_task *t)
{
    if (!t->named->dir) {
        vt_fail(&t->err, VT_EUNSUPPORTED, "vm.reset",
                "VM %s belongs to a run: it was not made by `vmtest vm create` or `vm clone`",
                t->name);
        vt_hint(&t->err, "`vmtest vm clone` makes VMs that can be reset");
        vt_vm_task_end(t);
    } else if (vt_vm_task_runs(t)) {
        vt_vm_task_wait(t, vt_vm_kill(t->vm, vt_vm_task_op, t, &t->err), start_anew);
    } else if (vt_vm_task_make_fresh(t)) {
        say_done(t, "is as it was made");
    }
}

/* --- the commands --- */

enum { TIMEOUT, NOW, WAIT }; /* a command that lacks one has it as NULL */

static int run_verb(const struct vt_command *self, const char *const *values, char **args,
                    vt_vm_step begin)
{
    struct asked a = {.now = values[NOW] != NULL};
    struct vt_error err = VT_ERROR_INIT;
    if (values[TIMEOUT] && (vt_parse_duration(values[TIMEOUT], &a.timeout, &err) || a.timeout <= 0))
        return vt_cli_usage(self, "--timeout takes a time above 0, such as 90s or 5m, not \"%s\"",
                            values[TIMEOUT]);
    struct vt_vm_task_opts opts = {.begin = begin, .user = &a};
    if (!vt_cli_wait(self, values[WAIT], &opts.wait))
        return VT_EXIT_USAGE;
    return vt_vm_tasks_by_pattern(self, args, &opts);
}

#define VERB(id, fn)                                                                               \
    static int run_##id(const struct vt_command *self, const char *const *values, char **args)     \
    {                                                                                              \
        return run_verb(self, values, args, fn);                                                   \
    }

VERB(start, start)
VERB(stop, stop)
VERB(kill, kill_vm)
VERB(pause, pause_vm)
VERB(resume, resume)
VERB(reboot, reboot)

enum { RESET_WAIT = 1 };

static int run_reset(const struct vt_command *self, const char *const *values, char **args)
{
    const char *const own[] = {
        [TIMEOUT] = values[TIMEOUT], [NOW] = NULL, [WAIT] = values[RESET_WAIT]};
    return run_verb(self, own, args, reset);
}

static const char names_are[] =
    "NAME is a named VM, or one that a run left running (RUN/NAME where several are called so);\n"
    "'student-{1..20}' stands for twenty. Several are served side by side.";

static const struct vt_option start_options[] = {
    [TIMEOUT] = {0, "timeout", "TIME", "for its guest to answer (default: as its image says)"},
    [NOW] = {0, "no-wait", NULL, "come back when it runs, before its guest answers"},
    [WAIT] = VT_OPTION_WAIT,
    {0},
};

const struct vt_command vt_cmd_vm_start = {
    .name = "vm start",
    .args = "NAME...",
    .summary = "starts VMs, and waits till their guests answer",
    .details = names_are,
    .example = "vmtest vm start web\nvmtest vm start --wait=10m 'student-{1..20}'",
    .options = start_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_start,
};

static const struct vt_option stop_options[] = {
    [TIMEOUT] = {0, "timeout", "TIME", "for its guest to power off (default: 30s, or 5m emulated)"},
    [NOW] = {0, "kill", NULL, "end it hard where it does not"},
    {0},
};

const struct vt_command vt_cmd_vm_stop = {
    .name = "vm stop",
    .args = "NAME...",
    .summary = "asks guests to power off, and waits till they have",
    .details = names_are,
    .example = "vmtest vm stop web\nvmtest vm stop --timeout 20s --kill 'student-{1..20}'",
    .options = stop_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_stop,
};

static const struct vt_option reboot_options[] = {
    [TIMEOUT] = {0, "timeout", "TIME", "for its guest to answer again"},
    [NOW] = {0, "hard", NULL, "by the reset button, not by the guest's own command"},
    {0},
};

const struct vt_command vt_cmd_vm_reboot = {
    .name = "vm reboot",
    .args = "NAME...",
    .summary = "restarts guests, and waits till they answer again",
    .details = names_are,
    .example = "vmtest vm reboot web",
    .options = reboot_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_reboot,
};

static const struct vt_option reset_options[] = {
    [TIMEOUT] = {0, "timeout", "TIME", "for its guest to answer, where it runs"},
    [RESET_WAIT] = VT_OPTION_WAIT,
    {0},
};

const struct vt_command vt_cmd_vm_reset = {
    .name = "vm reset",
    .args = "NAME...",
    .summary = "puts VMs back to what they were created or cloned as",
    .details = "What they have written since is lost; one that runs is started again.\n"
               "'student-{1..20}' stands for twenty VMs.",
    .example = "vmtest vm reset 'student-{1..20}'",
    .options = reset_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_reset,
};

#define PLAIN(id, word, what, line)                                                                \
    const struct vt_command vt_cmd_vm_##id = {                                                     \
        .name = "vm " word,                                                                        \
        .args = "NAME...",                                                                         \
        .summary = (what),                                                                         \
        .details = names_are,                                                                      \
        .example = (line),                                                                         \
        .min_args = 1,                                                                             \
        .max_args = -1,                                                                            \
        .run = run_##id,                                                                           \
    }

PLAIN(kill, "kill", "ends VMs hard, at once; their disks stay", "vmtest vm kill web");
PLAIN(pause, "pause", "holds VMs as they are", "vmtest vm pause web");
PLAIN(resume, "resume", "lets paused VMs go on", "vmtest vm resume web");
