/* Events: one JSON object per line in events.jsonl, the one truth of a run.
 *
 * A worker writes them to its standard output; the parent adds "job" and appends them to the file;
 * reports and the terminal are made from them. Every event has
 *   "type"  what happened (below)
 *   "time"  RFC 3339, UTC, milliseconds
 *   "job"   the job's number, from 1 (not in events of the run as a whole)
 *
 * By the parent:
 *   run_start  {"version":1,"vmtest":"0.1.0","run","results":folder,
 *               "host":{"os","arch","cpus","memory"},"options":{…},"jobs":[{"job","suite"}]}
 *   job_start  {"suite","results":name of its folder below the run's,"pid"}
 *   job_end    {"outcome":"ok"|"failed"|"load_error"|"infrastructure"|"crashed"|"timed_out"|
 *               "interrupted"|"empty","reason","duration","exit","signal"}
 *   run_end    {"exit","duration","counts":{outcome:n},"interrupted":bool}
 * By the worker:
 *   plan       {"tests":[{"id","name","class","file","line","tags","timeout"}]}  may come in parts;
 *              ids count from 1 within the job
 *   deadline   {"seconds","what"}  outside a test: the next event comes within that time
 *   test_start {"id","name","timeout"}   timeout: seconds the test may take from now on, its
 *              tearDown included; the parent ends a worker that is busy with it for longer
 *   test_end   {"id","name","class","file","line","outcome","message","trace","duration",
 *               "reason","xfail","artifacts":[paths below the job's folder of results]}
 *   suite_error{"message","trace","stage":"load"|"setup"|"teardown"}  the suite as a whole failed
 *   vm_state   {"vm","state","reason","info":{…}}
 *   op         {"vm","op":"exec"|"put"|"get"|"start"|…,"command"|"argv","status","signal","ms",
 *               "error","out":{"file","offset","size"},"truncated"}
 *   output     {"stream":"stdout"|"stderr","text"}      what the suite itself printed
 *   log        {"level","text"}
 *
 * Outcomes of a test: passed, failed (an assertion), error (anything else), skipped, xfailed,
 * xpassed, timed_out, not_run. xfailed and skipped count as success, xpassed as failure where the
 * mark is strict. A test without a test_end (its worker died) becomes not_run, or timed_out or
 * error where it was the one running: the parent writes that test_end with "by":"parent". */
#ifndef VMTEST_EVENT_H
#define VMTEST_EVENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"

/* Longest line that is read back, bytes. */
#define VT_EVENT_LINE_MAX ((size_t)4 << 20)

enum vt_outcome {
    VT_PASSED,
    VT_FAILED,
    VT_ERROR,
    VT_SKIPPED,
    VT_XFAILED,
    VT_XPASSED,
    VT_TIMED_OUT,
    VT_NOT_RUN,
    VT_OUTCOME_COUNT_
};

/* "passed", "failed", … and back; VT_OUTCOME_COUNT_ for a name that is none. */
const char *vt_outcome_name(enum vt_outcome outcome);
enum vt_outcome vt_outcome_parse(const char *name);

/* True where a run with such an outcome fails. */
bool vt_outcome_is_failure(enum vt_outcome outcome);

/* --- one event, to be looked at --- */

enum vt_event_type {
    VT_EVENT_OTHER, /* of a later version, say: to be passed over */
    VT_EVENT_RUN_START,
    VT_EVENT_JOB_START,
    VT_EVENT_JOB_END,
    VT_EVENT_RUN_END,
    VT_EVENT_PLAN,
    VT_EVENT_DEADLINE,
    VT_EVENT_TEST_START,
    VT_EVENT_TEST_END,
    VT_EVENT_SUITE_ERROR,
    VT_EVENT_VM_STATE,
    VT_EVENT_OP,
    VT_EVENT_OUTPUT,
    VT_EVENT_LOG,
    VT_EVENT_TYPE_COUNT_
};

/* An event, or an object in an array of one. Everything in it is borrowed: of events that a reader
 * gives, till its callback returns. Small, to be copied at will.
 *
 * Almost all events are plain (see event/scan.h) and are never made into a tree of JSON values:
 * members are looked up in the line itself. All others jansson has parsed; it has the last word on
 * what is JSON. Those who ask see no difference. */
struct vt_event {
    enum vt_event_type type;
    const char *line; /* as it was read, not NUL-terminated; NULL where it never was a line */
    size_t size;
    const struct vt__node *nodes; /* either the nodes of a plain line … */
    size_t node;                  /* … and which of them this is … */
    json_t *json;                 /* … or the object, not to be changed */
};

/* Text with its length: not NUL-terminated, and zero bytes may be in it. Valid UTF-8. */
struct vt_text {
    const char *data; /* NULL: there is none */
    size_t size;
};

/* The event that an object is, which stays the caller's. */
struct vt_event vt_event_of(json_t *object);

/* A member's value; no text, or the fallback, where it is missing or of another type. */
struct vt_text vt_event_text(const struct vt_event *e, const char *key);
int64_t vt_event_int(const struct vt_event *e, const char *key, int64_t fallback);
double vt_event_num(const struct vt_event *e, const char *key, double fallback);

/* True where the member is a string, and this one. */
bool vt_event_is(const struct vt_event *e, const char *key, const char *text);

/* The member "outcome"; VT_ERROR where it is none. */
enum vt_outcome vt_event_outcome(const struct vt_event *e);

/* Any member, and the whole event, as a tree: new references, NULL where there is no such member.
 * For what is rare. */
json_t *vt_event_member(const struct vt_event *e, const char *key);
json_t *vt_event_json(const struct vt_event *e);

/* Goes through the objects of a member that is an array; passes over what else is in it. */
struct vt_event_items {
    struct vt_event of;
    size_t next, end;
};
struct vt_event_items vt_event_items(const struct vt_event *e, const char *key);
bool vt_event_next(struct vt_event_items *items, struct vt_event *item);

/* Appends it as one line, without a newline: that which was read, if there is one. */
struct vt_buf;
void vt_event_print(const struct vt_event *e, struct vt_buf *out);

/* --- writing --- */

/* A new event with type and time. The caller adds members and decrefs it. */
json_t *vt_event_new(const char *type);

/* Where the worker writes its events. Buffered; vt_event_flush() writes them out. */
struct vt_event_writer;
struct vt_event_writer *vt_event_writer_new(int fd);
void vt_event_writer_free(struct vt_event_writer *w); /* flushes; does not close fd */

/* Appends the event, which it takes over (decref). Long texts of an event that would be longer
 * than VT_EVENT_LINE_MAX are cut, and say so. A failed write (the parent is gone) is
 * remembered and given by vt_event_flush(). */
void vt_event_write(struct vt_event_writer *w, json_t *event);
/* As vt_event_write for a line that is a serialised event already (no newline in it). */
void vt_event_write_line(struct vt_event_writer *w, const char *line, size_t n);
enum vt_code vt_event_flush(struct vt_event_writer *w, struct vt_error *err);

/* --- reading --- */

/* Reads a stream of lines piece by piece: fn gets each event that is an object with a string
 * "type". Where `job` is above 0, every event gets that "job", in front of its line; one that has
 * a "job" of its own is refused then. Lines that are too long, or not JSON, are counted and passed
 * to `bad` (may be NULL) cut to 200 bytes. */
struct vt_event_reader;
typedef void (*vt_event_fn)(const struct vt_event *event, void *user);
typedef void (*vt_event_bad_fn)(const char *line, const char *why, void *user);
struct vt_event_reader *vt_event_reader_new(int job, vt_event_fn fn, vt_event_bad_fn bad,
                                            void *user);
void vt_event_reader_feed(struct vt_event_reader *r, const char *data, size_t n);
void vt_event_reader_free(struct vt_event_reader *r);

/* Reads a whole events.jsonl; a torn last line (a crash) is passed over. */
enum vt_code vt_event_read_file(const char *path, vt_event_fn fn, void *user, struct vt_error *err);

#endif
