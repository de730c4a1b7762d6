/* A run's folders: results (kept), runtime and scratch (gone at its end). */
#ifndef VT_RUN_RESULTS_H
#define VT_RUN_RESULTS_H

#include <stdbool.h>

#include "vmtest/error.h"

struct vt_folders {
    char *run_id;     /* "20260131-120000-a1b2c3" */
    char *results;    /* absolute; NULL when only listing */
    char *runtime;    /* RUNTIME/RUN; its file `lock` is held for the run's life */
    char *scratch;    /* HOME/scratch/RUN */
    int lock;         /* of runtime */
    int results_lock; /* of results, so that two runs do not share a folder; -1 */
    int events;       /* events.jsonl, open for appending; -1 when only listing */
};

/* Names them and makes nothing yet, so that the janitor can stand by first. */
enum vt_code vt__folders_name(struct vt_folders *f, const char *results_dir, bool list_only,
                              struct vt_error *err);

/* Makes them. A results folder of an earlier run is emptied of what that run wrote; one that
 * holds anything else is refused. */
enum vt_code vt__folders_make(struct vt_folders *f, struct vt_error *err);

/* Makes the results folder of a job and returns its path (vt_free()). NULL on failure. */
char *vt__folders_job(const struct vt_folders *f, int number, const char *suite_name,
                      struct vt_error *err);

/* Removes runtime and scratch (but for VMs that are kept), closes and frees. */
void vt__folders_close(struct vt_folders *f);

#endif
