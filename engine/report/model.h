/* What a run came to, built from its events alone. */
#ifndef VT_REPORT_MODEL_H
#define VT_REPORT_MODEL_H

#include <jansson.h>

#include "core/buf.h"
#include "vmtest/event.h"

/* Texts are kept up to these many bytes, with a note where they were cut. All of them together are
 * bounded too: when VT__REPORT_TEXT is used up, each further one keeps VT__REPORT_SHORT. */
#define VT__REPORT_MESSAGE ((size_t)64 << 10)
#define VT__REPORT_OUTPUT ((size_t)64 << 10) /* of each stream of a test */
#define VT__REPORT_TEXT ((size_t)64 << 20)
#define VT__REPORT_SHORT ((size_t)1 << 10)

struct vt__attempt { /* one that was not the last */
    enum vt_outcome outcome;
    double duration;
    char *message; /* or NULL */
};

struct vt__test {
    char *name;        /* never NULL, never empty */
    char *cls, *file;  /* or NULL */
    int64_t line;      /* 0: not known */
    json_t *tags;      /* array that is not empty, or NULL */
    json_t *artifacts; /* array of paths below the run's results, or NULL */
    bool started, ended;
    enum vt_outcome outcome;
    double start;                   /* seconds since 1970, 0: not known */
    double duration;                /* seconds */
    char *message, *trace, *reason; /* or NULL */
    struct vt_buf out, err;         /* what the suite printed meanwhile */
    size_t out_cut, err_cut;        /* bytes that were not kept */
    struct vt__attempt *earlier;
    size_t earlier_count;
    bool problem; /* no test: what went wrong around them */
};

struct vt__job {
    int64_t number;
    char *suite;   /* never NULL */
    char *results; /* its folder below the run's results, or NULL */
    bool started, ended;
    char *outcome, *reason; /* of job_end, or NULL */
    double start, duration;
    struct vt__test **tests; /* in plan order; none is NULL once the model is finished */
    size_t count, room;
    struct vt__test **problems; /* what went wrong around the tests */
    size_t problem_count, problem_room;
    struct vt__test *running; /* or NULL */
    json_t *vms;              /* {name: facts} */
    struct vt_buf out, err;   /* printed outside tests */
    size_t out_cut, err_cut;
};

struct vt__model {
    char *run, *version; /* or NULL */
    json_t *host;        /* or NULL */
    double start, stop;  /* seconds since 1970 */
    double duration;
    bool dry_run, interrupted, ended;
    struct vt__job **jobs; /* by number; none is NULL once finished */
    size_t count, room;
    size_t counts[VT_OUTCOME_COUNT_]; /* of tests; problems are not in them */
    size_t problems, flaky;
    size_t text; /* bytes of text kept so far */
};

void vt__model_event(struct vt__model *model, const struct vt_event *event);

/* Call once, after the last event: tests without an end get one, and jobs that failed as a whole
 * a problem that stands among their tests. */
void vt__model_finish(struct vt__model *model);
void vt__model_clear(struct vt__model *model);

/* A job's rows in reports: its tests, then its problems. */
size_t vt__job_rows(const struct vt__job *job);
const struct vt__test *vt__job_row(const struct vt__job *job, size_t i);

/* True where the test passed in the end after an attempt that had not. */
bool vt__test_is_flaky(const struct vt__test *test);

/* A test's name without its class ("TestA.testB" of class "TestA": "testB"); there may be no
 * class. */
struct vt_text vt__short_name(struct vt_text name, struct vt_text cls);

/* A time that passed: between 0 and 1e9 seconds, whatever is said. */
double vt__seconds(double value);

/* Seconds since 1970 of a time in UTC as events have it ("2026-01-31T12:00:00.123Z", with any
 * number of decimals or none); 0 where it is none. */
double vt__time_parse(struct vt_text text);

/* A short text of what a job ran on ("qemu, tcg, image small"; "simulated"), appended to `out`;
 * nothing where no VM was used. */
void vt__vms_text(const json_t *vms, struct vt_buf *out);

/* The reports: each appends its whole text. */
void vt__report_junit(const struct vt__model *model, struct vt_buf *out);
void vt__report_tap(const struct vt__model *model, struct vt_buf *out);
void vt__report_ctrf(const struct vt__model *model, struct vt_buf *out);

#endif
