/* One worker process: started, fed its job, listened to, watched, ended. */
#ifndef VT_RUN_WORKER_H
#define VT_RUN_WORKER_H

#include "vmtest/event.h"
#include "vmtest/job.h"
#include "vmtest/loop.h"

struct vt_worker;

struct vt_worker_end {
    int status;   /* exit status, or -1 */
    int signal;   /* what ended it, or 0 */
    bool overdue; /* the parent ended it, since it reported nothing for too long */
    double limit; /* that time, seconds */
};

struct vt_worker_handlers {
    /* Each has the job's number. */
    void (*event)(const struct vt_event *event, void *user);
    /* Called once, last: the process is gone, with its whole process group, and everything it
     * wrote was given to `event`. The worker is freed afterwards. */
    void (*ended)(const struct vt_worker_end *end, void *user);
    void *user;
};

/* Starts `vmtest __worker` with this job. NULL with *err set where that fails. */
struct vt_worker *vt__worker_start(struct vt_loop *loop, const struct vt_job *job,
                                   const struct vt_worker_handlers *handlers, struct vt_error *err);
long vt__worker_pid(const struct vt_worker *w);

/* Asks it to end (SIGTERM); ends it hard after `grace` seconds (0: at once). */
void vt__worker_stop(struct vt_worker *w, double grace);

#endif
