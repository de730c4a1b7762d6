/* Reports, made from a run's events alone. */
#ifndef VMTEST_REPORT_H
#define VMTEST_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "vmtest/error.h"
#include "vmtest/event.h"

/* Reads DIR/events.jsonl and writes DIR/junit.xml, DIR/results.tap and DIR/ctrf.json, each
 * atomically. Works on the events of a run that crashed too: tests without an end are reported
 * as not run. */
enum vt_code vt_report_write_all(const char *dir, struct vt_error *err);

/* The same from events that are at hand: those of one run, in their order. */
struct vt_report;
struct vt_report *vt_report_new(void);
void vt_report_event(struct vt_report *r, const struct vt_event *event);
/* Ends the run's model, once, and writes the reports into dir. */
enum vt_code vt_report_write(struct vt_report *r, const char *dir, struct vt_error *err);
void vt_report_free(struct vt_report *r);

/* Live progress on a terminal or a pipe, fed with the run's events as they come. */
struct vt_progress;
struct vt_progress_opts {
    FILE *out; /* not owned */
    bool tty;  /* lines may be rewritten in place */
    bool color;
    int width;    /* columns of the terminal; 0: 80 */
    bool verbose; /* also guest commands and passed tests one by one */
};
struct vt_progress *vt_progress_new(const struct vt_progress_opts *opts);
void vt_progress_event(struct vt_progress *p, const struct vt_event *event);
void vt_progress_tick(struct vt_progress *p); /* about 4 times a second, while a TTY waits */
void vt_progress_free(struct vt_progress *p); /* clears what was in place */

#endif
