/* A job: one suite file for one worker process. The parent hands it to the worker as one JSON
 * line on its standard input (`vmtest __worker`); that pipe stays open for the run, and its end
 * tells the worker that the parent is gone. */
#ifndef VMTEST_JOB_H
#define VMTEST_JOB_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmtest/error.h"

struct vt_job {
    int number;        /* from 1 */
    char *run_id;      /* plain name */
    char *suite;       /* absolute path of the suite file */
    char *suite_name;  /* as the user knows it, for names in reports */
    char *results_dir; /* this job's own existing folder below the run's results */
    char *runtime_dir; /* the run's folder for sockets and locks; VMs get folders below it */
    char *scratch_dir; /* the run's folder for disks; VMs get folders below it */
    char *filter;      /* -k: expression over test names, or NULL */
    char *driver;      /* for VMs whose suite names none, or NULL */
    char *channel;     /* the same */
    char *mdm;         /* the run's MDM server: "KIND" or "KIND=URL", "none"; NULL: "lab" */
    char *mdm_credentials, *mdm_ca; /* files, as in vt_mdm_opts, or NULL */
    double wait;                    /* seconds a VM waits for capacity; 0: it is refused at once */
    bool fail_fast;                 /* -x: stop after the first failure */
    bool list_only;                 /* emit the plan and end */
    bool dry_run; /* VMs are simulated: guests answer every command with success, marked */
    bool keep_failed, keep_always; /* --keep */
    double test_timeout;           /* seconds a test may take where it does not say, > 0 */
    uint64_t memory_limit;         /* bytes of Lua memory */
};

/* The worker's exit codes; anything else is a crash. */
enum vt_worker_exit {
    VT_WORKER_OK = 0,             /* every test passed, was skipped or xfailed */
    VT_WORKER_FAILED = 1,         /* some test did not */
    VT_WORKER_LOAD_ERROR = 2,     /* the suite could not be loaded, or uses vmtest wrongly */
    VT_WORKER_INFRASTRUCTURE = 3, /* a VM could not be had, and nothing worse happened */
    VT_WORKER_EMPTY = 4,          /* no test was selected */
    VT_WORKER_INTERRUPTED = 5,    /* told to stop by SIGTERM, or the parent is gone */
};

/* A new JSON object for the job, and back: *job is filled with copies, vt_job_clear() frees them.
 * VT_EPROTO where a member is missing or of the wrong type. */
json_t *vt_job_to_json(const struct vt_job *job);
enum vt_code vt_job_from_json(const json_t *object, struct vt_job *job, struct vt_error *err);
void vt_job_clear(struct vt_job *job);

#endif
