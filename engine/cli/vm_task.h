/* What a `vm` command does to the VMs it names, all of them side by side in one loop: find each,
 * take it for this process, take it up where it runs, do the command's steps, and let go of it:
 * what runs then, runs on. Ctrl-C cancels what is under way; what had begun is put right. */
#ifndef VT_CLI_VM_TASK_H
#define VT_CLI_VM_TASK_H

#include "cli/options.h"
#include "core/buf.h"
#include "vmtest/named.h"

struct vt_vm_task;
typedef void (*vt_vm_step)(struct vt_vm_task *task);

struct vt_vm_task {
    const struct vt_command *command;
    struct vt_loop *loop;
    const char *name; /* as typed, patterns expanded */
    struct vt_named *named;
    struct vt_vm *vm;
    void *user; /* the command's own */
    double wait;

    struct vt_op *op; /* under way; in a step: the one that has just ended */
    vt_vm_step step;  /* what follows when it has succeeded; NULL: nothing more */
    bool any_end;     /* and also when it has failed */
    vt_vm_step begin, then;
    bool starting, filling; /* half started; and from its base, which fills its disks */
    bool wait_ready;
    double timeout;
    struct vt_error err;
    bool done;
    double since,
        patience; /* loop time: of the beginning; till when another command is waited for */
};

struct vt_vm_task_opts {
    vt_vm_step begin; /* the VM is there: running, paused, or (DEFINED) not running */
    void *user;
    double wait; /* seconds that a start or restore waits for room on the host */
};

/* Names by patterns, each once, in order. False after an error message. */
bool vt_vm_names(const struct vt_command *self, char **patterns, char ***names, size_t *count);

/* Does it to all of them and reports errors. Returns the exit code. */
int vt_vm_tasks(const struct vt_command *self, char *const *names, size_t count,
                const struct vt_vm_task_opts *opts);
int vt_vm_tasks_by_pattern(const struct vt_command *self, char **patterns,
                           const struct vt_vm_task_opts *opts);

/* For steps. An operation is started as vt_vm_pause(t->vm, vt_vm_task_op, t, &t->err), and handed
 * on with what follows it: */
void vt_vm_task_wait(struct vt_vm_task *t, struct vt_op *op, vt_vm_step step);
void vt_vm_task_op(struct vt_op *op, void *task);
/* The task is over; it failed where t->err is set. */
void vt_vm_task_end(struct vt_vm_task *t);
/* "web: started, 2.1 s" on stderr. */
void vt_vm_task_say(const struct vt_vm_task *t, const char *fmt, ...) VT_PRINTF(2, 3);

bool vt_vm_task_runs(const struct vt_vm_task *t); /* or is paused */
/* False, and the task has ended, where the VM does not run. */
bool vt_vm_task_needs_running(struct vt_vm_task *t);

/* Drops what a VM that does not run has written; t->vm is a new one. False, and the task has ended,
 * where that fails. */
bool vt_vm_task_make_fresh(struct vt_vm_task *t);

/* Starts the VM: from its base where it is fresh and has one. */
void vt_vm_task_start(struct vt_vm_task *t, bool wait_ready, double timeout, vt_vm_step then);
/* Makes a connection to the guest, if one can be had soon, and goes on in any case: some requests
 * are put to the guest where it can be reached, and to the hypervisor otherwise. */
void vt_vm_task_reach(struct vt_vm_task *t, vt_vm_step then);

/* `vmtest vm start --wait` of these; vm_verbs.c. */
int vt_vm_start_all(const struct vt_command *self, char *const *names, size_t count, double wait);

/* 2 for what the user can put right by another command line, 3 for the rest. */
int vt_vm_exit_code(const struct vt_error *err);

#endif
