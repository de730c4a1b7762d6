/* A run: suites → jobs → worker processes → events → reports. */
#ifndef VMTEST_RUN_H
#define VMTEST_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"
#include "vmtest/event.h"

enum vt_keep { VT_KEEP_NEVER, VT_KEEP_FAIL, VT_KEEP_ALWAYS };

struct vt_run_opts {
    const char *const *suites; /* files and folders; NULL-terminated, at least one */
    const char *filter;        /* -k, or NULL */
    const char *driver;        /* --driver: for VMs whose suite names none; NULL: "qemu" */
    const char *channel;       /* --channel: the same; NULL: what the image prefers */
    const char *mdm;           /* --mdm: "KIND" or "KIND=URL", "none"; NULL: "lab" */
    const char *mdm_credentials, *mdm_ca; /* files, as in vt_mdm_opts, or NULL */
    double wait;    /* --wait: seconds a VM waits for capacity; 0: refused at once */
    bool fail_fast; /* -x */
    bool list_only; /* nothing is run: only `plan` events come */
    bool dry_run;
    int jobs;              /* workers at once; 0: half the processors */
    double test_timeout;   /* seconds, more than 0 */
    uint64_t memory_limit; /* bytes of Lua memory per worker; 0: 512 MiB */
    enum vt_keep keep;
    const char *results_dir; /* -o; NULL: vmtest-results/RUN in the working folder */

    /* Sees every event of the run (borrowed), as it is written; and is called about four times a
     * second besides (event NULL). May be NULL. */
    void (*on_event)(const struct vt_event *event, void *user);
    void *user;
};

/* Exit codes of the command line. */
enum vt_exit {
    VT_EXIT_OK = 0,
    VT_EXIT_FAILED = 1,         /* tests failed */
    VT_EXIT_USAGE = 2,          /* usage, configuration or suite load */
    VT_EXIT_INFRASTRUCTURE = 3, /* boot, agent, limits */
    VT_EXIT_NOTHING_RAN = 4,
    VT_EXIT_BUG = 70,
    VT_EXIT_SIGINT = 130,
    VT_EXIT_SIGTERM = 143,
};

/* Runs to the end, SIGINT, SIGTERM and SIGHUP included. *exit_code gets an enum vt_exit; where
 * the run could not begin, the error's code is returned and *exit_code fits it. *results_dir (may
 * be NULL) gets the folder of the results, to be vt_free()d; NULL when list_only. */
enum vt_code vt_run(const struct vt_run_opts *opts, int *exit_code, char **results_dir,
                    struct vt_error *err);

/* The hidden command `vmtest __janitor`: waits till its parent is gone (end of standard input)
 * and then ends and removes what the run left. argv: RUN_DIR SCRATCH_DIR RESULTS_DIR ("" for none).
 */
int vt_janitor_main(int argc, char **argv);

/* Removes what dead runs of this user left behind (after a power cut, say): processes, folders.
 * Quick where there is nothing. */
void vt_sweep(void);

#endif
