/* What the parent knows of one job's tests, from its events: which were planned, which runs now,
 * which ended; so that a worker that dies leaves no test without an outcome. */
#ifndef VT_RUN_LEDGER_H
#define VT_RUN_LEDGER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "vmtest/event.h"

struct vt_ledger {
    struct vt_buf plan; /* what `plan` said of each test, one JSON object after the other */
    struct vt_ledger_test {
        size_t at, size; /* in `plan`; size 0: not planned, or ended */
    } * tests;           /* by id - 1 */
    size_t n, room;
    size_t ended;   /* that many from the first on have ended */
    size_t running; /* id, 0 where none is */
    size_t counts[VT_OUTCOME_COUNT_];
    bool load_error, setup_error;
};

/* Takes note of an event of this job. */
void vt__ledger_event(struct vt_ledger *l, const struct vt_event *event);

/* A test_end event for a test that has none yet, first the running one (with `running_outcome`
 * and `why`), then those that never began (not_run, with `reason`); NULL when there is no more.
 * The caller feeds each back through vt__ledger_event(). */
json_t *vt__ledger_missing(struct vt_ledger *l, enum vt_outcome running_outcome, const char *why,
                           const char *reason);

void vt__ledger_free(struct vt_ledger *l);

#endif
