/* A program run to its end by a command that Ctrl-C may interrupt: recipes, qemu-img. */
#ifndef VT_CLI_PROGRAM_H
#define VT_CLI_PROGRAM_H

#include "vm/lease.h"
#include "vmtest/error.h"

#define VT_PROGRAM_LEASE_FD 3

struct vt_program {
    const char *op;               /* of errors */
    const char *what;             /* in messages: "the recipe small" */
    const char *const *argv;      /* NULL-terminated; argv[0] is looked for in PATH */
    const char *const *env;       /* NULL-terminated; NULL: this process's own */
    const char *cwd;              /* NULL: this process's own */
    const char *log;              /* file that its output is appended to; NULL: it goes to stderr */
    const char *out;              /* file for its standard output alone; NULL: as the rest */
    const struct vt_lease *lease; /* which its descriptor VT_PROGRAM_LEASE_FD holds, and what it
                                     starts by inheritance; NULL: none */
    double timeout;               /* seconds, more than 0 */
};

/* Runs it in a session of its own. SIGINT, SIGTERM and SIGHUP of this process, which the caller
 * holds back, end it: by SIGTERM first, 10 s later by SIGKILL; *signal is then the one that came,
 * else 0. A status other than 0 is VT_EIO, with the end of its log on standard error. */
enum vt_code vt_program_run(const struct vt_program *program, int *signal, struct vt_error *err);

/* Holds SIGINT, SIGTERM and SIGHUP back, and lets them come. */
void vt_signals_hold(void);
void vt_signals_release(void);

/* One that came and is held back, or 0. */
int vt_signals_pending(void);

#endif
