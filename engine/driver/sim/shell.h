/* The simulated guest and its processes: shell lines and argv lists, run in the guest's own time.
 * It knows nothing of VMs; what a command does to the whole machine goes through `power`. */
#ifndef VT_DRIVER_SIM_SHELL_H
#define VT_DRIVER_SIM_SHELL_H

#include "driver/sim/clock.h"
#include "driver/sim/fs.h"
#include "driver/sim/words.h"
#include "vmtest/guest.h"

#define VT__SIM_PENDING_MAX ((size_t)64 << 20) /* bytes a process may write at one instant */

enum vt__sim_power { VT__SIM_POWEROFF, VT__SIM_REBOOT, VT__SIM_PANIC };

struct vt__sim_guest {
    struct vt__sim_clock clock;
    struct vt__sim_fs *fs;
    const char *hostname, *sysname, *machine;
    bool dry_run; /* what it does not know succeeds silently */
    int next_pid;
    struct vt__sim_proc *procs; /* all that live */

    /* The guest powers off, restarts or panics: called from inside a command, so it must not end
     * anything there and then. */
    void (*power)(struct vt__sim_guest *guest, enum vt__sim_power what);
};

/* A process as the channel sees it: one shell line or argv list with all it started. */
struct vt__sim_proc;

struct vt__sim_chunk {
    enum vt_stream stream;
    size_t size;
};

/* What a process wrote since it was asked last, in order. */
struct vt__sim_output {
    struct vt_buf bytes;
    struct vt__sim_chunk *chunks;
    size_t count;
};

struct vt__sim_exit {
    bool ended; /* the command ended and nothing holds its output any more */
    int status;
    const char *signal; /* NULL where it exited */
};

/* Told after each step of a process, last of all: the process may be killed in it. */
typedef void (*vt__sim_notify_fn)(struct vt__sim_proc *proc, void *user);

/* Starts a process. `opts` is read during the call only. Runs nothing yet: its first step comes
 * from the loop after `delay` seconds. */
struct vt__sim_proc *vt__sim_proc_start(struct vt__sim_guest *guest,
                                        const struct vt_exec_opts *opts, double delay,
                                        vt__sim_notify_fn notify, void *user);

/* Hands over what was written; the caller frees it by vt__sim_output_clear(). */
struct vt__sim_output vt__sim_proc_take(struct vt__sim_proc *proc, struct vt__sim_exit *result);
void vt__sim_output_clear(struct vt__sim_output *output);

/* Nobody listens to an ended process any more: its background commands live on. */
void vt__sim_proc_detach(struct vt__sim_proc *proc);

/* Ends a process with all it started. Notifies nobody. */
void vt__sim_proc_kill(struct vt__sim_proc *proc);

/* For commands.c. */

struct vt__sim_task; /* a shell or a background command of a process */

/* Where a command's output goes. */
struct vt__sim_route {
    bool to_file;
    enum vt_stream stream; /* where not to a file */
    char *path;
};

/* A command while it runs. */
struct vt__sim_call {
    struct vt__sim_guest *guest;
    struct vt__sim_task *task;
    char **argv; /* NULL-terminated */
    size_t argc;
    char **cwd;                /* of the shell; may be replaced */
    struct vt__sim_vars *vars; /* of the shell */
    const char *input;         /* what is left of standard input */
    size_t input_size;
    bool input_taken; /* set by the command */
    struct vt__sim_route route[3];
    int pid; /* of the shell */

    /* Set by commands instead of a status. */
    double wait;        /* > 0: ends with status 0 this much later */
    const char *repeat; /* written again and again, for ever */
    bool forever;       /* never ends */
    bool leave;         /* the shell ends with this status */
    const char *signal; /* the shell is ended by this signal */
};

/* Writes to the command's stdout or stderr (fd 1, 2). False where that failed: the command ends
 * with status 1. */
bool vt__sim_write(struct vt__sim_call *call, int fd, const void *data, size_t n);
bool vt__sim_print(struct vt__sim_call *call, int fd, const char *fmt, ...) VT_PRINTF(3, 4);

/* Runs one command (argv[0] is looked for among the guest's); `shell` tells whether a shell runs
 * it, so that its built-in commands are known. Returns its status. */
int vt__sim_command_run(struct vt__sim_call *call, bool shell);

#endif
