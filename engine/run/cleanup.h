/* What ends and removes the leftovers of runs: at a run's end, by the janitor when the run was
 * killed, and at the next start after a power cut. */
#ifndef VT_RUN_CLEANUP_H
#define VT_RUN_CLEANUP_H

#include <sys/types.h>

#include "vmtest/error.h"
#include "vmtest/run.h"

/* Ends the VMs of a run that still live, but for kept ones, and removes its folders. The run's
 * own lock need not be free. */
void vt__cleanup_run(const char *runtime, const char *scratch);

/* The janitor: a process of its own session that outlives a killed run and cleans up after it.
 * It waits for the end of a pipe whose other end, `fd`, only this process holds. */
struct vt_janitor {
    int fd;
    pid_t pid;
};
enum vt_code vt__janitor_start(struct vt_janitor *janitor, const char *runtime, const char *scratch,
                               const char *results, struct vt_error *err);

/* Lets it go, after the run cleaned up, and waits for its end. */
void vt__janitor_end(struct vt_janitor *janitor);

#endif
