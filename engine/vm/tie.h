/* Ties a hypervisor's process to this one, so that nothing stays behind when vmtest is killed.
 *
 * The hypervisor is not started directly but by the hidden command
 *   vmtest __tie [--lock FILE] [--use DIR] [--tied PID] -- PROGRAM ARGUMENT…
 * which takes the kernel's lock on FILE (if any), marks the image's version in DIR as used (if any,
 * see vt_image_use), asks to be killed when its parent PID ends, and becomes PROGRAM. The lock is
 * held, with the process's id in the file, and the image is in use, for exactly as long as PROGRAM
 * lives. Where the kernel cannot kill a process with its parent (macOS), the command stays
 * as PROGRAM's parent, in the same process group, and watches; SIGINT, SIGUSR1 and SIGUSR2 to the
 * group are for PROGRAM alone. */
#ifndef VT_VM_TIE_H
#define VT_VM_TIE_H

#include <stdbool.h>

#include "core/args.h"
#include "vmtest/error.h"

/* Exit codes of the command itself, with a message on its standard error. */
enum vt_tie_exit {
    VT_TIE_USAGE = 64,
    VT_TIE_ORPHAN = 74, /* the parent was gone before the start */
    VT_TIE_LOCKED = 75, /* another process holds the lock */
    VT_TIE_NOT_RUN = 127,
};

/* The command; argc and argv as main() got them, argv[1] is "__tie". Returns only on failure
 * (on macOS also with the program's exit status). */
int vt_tie_main(int argc, char **argv);

struct vt_tie {
    const char *lock; /* path of a lock file, or NULL */
    const char *use;  /* folder of an image's version, or NULL */
    bool tied;        /* false: it may outlive this process */
};

/* Begins the argv of a tied process: the caller adds PROGRAM and its arguments. The vmtest program
 * is $VMTEST_PROGRAM, else this program itself. */
enum vt_code vt_tie_begin(struct vt_args *args, const struct vt_tie *tie, struct vt_error *err);

#endif
