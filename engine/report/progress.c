/* Live progress, made from a run's events as they come. */
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "report/model.h"
#include "report/screen.h"
#include "vmtest/report.h"
#include "vmtest/units.h"

#define DRAW_EVERY_S 0.1
#define KEPT_MAX ((size_t)64 << 10) /* of lines that wait for the next drawing */
#define MESSAGE_LINES 40
#define JOBS_MAX 65536

struct guest {
    char *name;
    char state[16];
    double since;
    struct guest *next;
};

struct job {
    char *suite, *folder;
    struct vt_buf test; /* the name of the one that runs, or empty */
    char *transcript;   /* where the test's last command was recorded, or NULL */
    bool started, ended;
    size_t planned, counts[VT_OUTCOME_COUNT_];
    double test_since;
    struct guest *guests;
    json_t *vms; /* {name: facts} */
};

struct vt_progress {
    struct vt__screen screen;
    bool verbose;
    struct job **jobs;
    size_t count;
    size_t counts[VT_OUTCOME_COUNT_];
    size_t problems;
    char *results; /* the run's folder, or NULL */
    double started;
    bool dry_run;
};

static void set_string(char **field, const char *value)
{
    char *copy = vt_strdup(value);
    vt_free(*field);
    *field = copy;
}

static struct job *get_job(struct vt_progress *p, int64_t number)
{
    if (number < 1 || number > JOBS_MAX)
        return NULL;
    if ((size_t)number > p->count) {
        p->jobs = vt_realloc(p->jobs, (size_t)number * sizeof(void *));
        memset(p->jobs + p->count, 0, ((size_t)number - p->count) * sizeof(void *));
        p->count = (size_t)number;
    }
    struct job **job = &p->jobs[number - 1];
    if (!*job) {
        *job = vt_calloc(1, sizeof **job);
        (*job)->vms = json_object();
        (*job)->suite = vt_strdup("suite");
    }
    return *job;
}

/* ---- what is in place ---- */

static size_t sum(const size_t *counts)
{
    size_t all = 0;
    for (int i = 0; i < VT_OUTCOME_COUNT_; i++)
        all += counts[i];
    return all;
}

/* "3 failed, 10 passed, 1 skipped" */
static void add_counts(struct vt_buf *out, const size_t *counts)
{
    static const struct {
        enum vt_outcome outcome;
        const char *name;
    } order[] = {{VT_FAILED, "failed"},   {VT_ERROR, "error"},    {VT_TIMED_OUT, "timed out"},
                 {VT_XPASSED, "xpassed"}, {VT_PASSED, "passed"},  {VT_SKIPPED, "skipped"},
                 {VT_XFAILED, "xfailed"}, {VT_NOT_RUN, "not run"}};
    size_t start = out->len;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (counts[order[i].outcome])
            vt_buf_printf(out, "%s%zu %s", out->len > start ? ", " : "", counts[order[i].outcome],
                          order[i].name);
    if (out->len == start)
        vt_buf_puts(out, "no test");
}

static void add_job_status(const struct job *job, double now, struct vt_buf *out)
{
    char time[32];
    vt_buf_printf(out, "\n  %s: ", job->suite);
    if (job->test.len)
        vt_buf_printf(out, "%s %s", job->test.data,
                      vt_format_duration(time, sizeof time, now - job->test_since));
    else
        vt_buf_puts(out, job->planned ? "between tests" : "loading");
    for (const struct guest *g = job->guests; g; g = g->next)
        vt_buf_printf(out, "  [%s: %s %s]", g->name, g->state,
                      vt_format_duration(time, sizeof time, now - g->since));
}

static void draw(struct vt_progress *p)
{
    struct vt_buf status = VT_BUF_INIT;
    double now = vt_monotonic();
    char time[32];
    size_t planned = 0;
    bool any = false;
    for (size_t i = 0; i < p->count; i++) {
        planned += p->jobs[i] ? p->jobs[i]->planned : 0;
        any = any || (p->jobs[i] && p->jobs[i]->started && !p->jobs[i]->ended);
    }
    if (any) {
        vt_buf_printf(&status, "%zu of %zu tests, ", sum(p->counts), planned);
        add_counts(&status, p->counts);
        vt_buf_printf(&status, ", %s", vt_format_duration(time, sizeof time, now - p->started));
        for (size_t i = 0; i < p->count; i++)
            if (p->jobs[i] && p->jobs[i]->started && !p->jobs[i]->ended)
                add_job_status(p->jobs[i], now, &status);
    }
    vt__screen_draw(&p->screen, vt_buf_str(&status));
    vt_buf_free(&status);
}

void vt_progress_tick(struct vt_progress *p)
{
    draw(p);
}

/* ---- lines that stay ---- */

static enum vt__color color_of(enum vt_outcome outcome)
{
    if (vt_outcome_is_failure(outcome))
        return outcome == VT_NOT_RUN ? VT__YELLOW : VT__RED;
    return outcome == VT_PASSED ? VT__GREEN : VT__YELLOW;
}

static void print_message(struct vt_progress *p, const char *text, size_t n)
{
    size_t lines = 0;
    while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    while (n && lines < MESSAGE_LINES) {
        const char *newline = memchr(text, '\n', n);
        size_t part = newline ? (size_t)(newline - text) : n;
        size_t shown = part < 2000 ? part : 2000;
        vt__screen_printf(&p->screen, VT__PLAIN, "    %.*s%s", (int)shown, text,
                          shown < part ? " [cut]" : "");
        part += newline != NULL;
        text += part;
        n -= part;
        lines++;
    }
    if (n)
        vt__screen_printf(&p->screen, VT__DIM, "    [%zu more bytes in the reports]", n);
}

static void print_member(struct vt_progress *p, const json_t *event, const char *key)
{
    const json_t *value = json_object_get(event, key);
    if (json_string_length(value))
        print_message(p, json_string_value(value), json_string_length(value));
}

static void print_place(struct vt_progress *p, const struct job *job, const json_t *event)
{
    const char *file = vt_json_str(event, "file", NULL);
    if (file)
        vt__screen_printf(&p->screen, VT__DIM, "    at %s:%lld", file,
                          (long long)vt_json_int(event, "line", 0));
    if (p->results && job->folder)
        vt__screen_printf(&p->screen, VT__DIM, "    transcript: %s/%s%s%s", p->results, job->folder,
                          job->transcript ? "/" : "", job->transcript ? job->transcript : "");
}

static void add_name(struct vt_buf *out, struct vt_text name, struct vt_text cls)
{
    if (!name.data)
        name = (struct vt_text){"(unnamed test)", strlen("(unnamed test)")};
    if (cls.data) {
        vt_buf_add(out, cls.data, cls.size);
        vt_buf_putc(out, '.');
    }
    name = vt__short_name(name, cls);
    vt_buf_add(out, name.data, name.size);
}

static void print_test(struct vt_progress *p, const struct job *job, enum vt_outcome outcome,
                       json_t *event)
{
    const struct vt_event e = vt_event_of(event);
    struct vt_text cls = vt_event_text(&e, "class"), name = vt_event_text(&e, "name");
    char time[32];
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "%s %s: ", vt_outcome_name(outcome), job->suite);
    add_name(&line, name, cls);
    const char *reason = vt_json_str(event, "reason", vt_json_str(event, "xfail", NULL));
    if (reason && *reason)
        vt_buf_printf(&line, " (%s)", reason);
    if (outcome != VT_NOT_RUN && outcome != VT_SKIPPED)
        vt_buf_printf(
            &line, " %s",
            vt_format_duration(time, sizeof time, vt__seconds(vt_json_num(event, "duration", 0))));
    vt__screen_line(&p->screen, color_of(outcome), line.data, line.len);
    vt_buf_free(&line);
    if (!vt_outcome_is_failure(outcome) || outcome == VT_NOT_RUN)
        return;
    print_member(p, event, "message");
    print_member(p, event, "trace");
    print_place(p, job, event);
}

static void test_end(struct vt_progress *p, struct job *job, const struct vt_event *event)
{
    enum vt_outcome outcome = vt_event_outcome(event);
    job->counts[outcome]++;
    p->counts[outcome]++;
    vt_buf_clear(&job->test);
    if (outcome == VT_PASSED && !p->verbose)
        return;
    json_t *object = vt_event_json(event);
    print_test(p, job, outcome, object);
    json_decref(object);
}

static void job_end(struct vt_progress *p, struct job *job, const json_t *event)
{
    char time[32];
    const char *outcome = vt_json_str(event, "outcome", ""), *reason;
    job->ended = true;
    reason = vt_json_str(event, "reason", "");
    if (strcmp(outcome, "ok") != 0 && strcmp(outcome, "failed") != 0 && *outcome) {
        vt__screen_printf(&p->screen, VT__RED, "%s: %s%s%s", job->suite, outcome,
                          *reason ? ": " : "", reason);
    }
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "%s: ", job->suite);
    add_counts(&line, job->counts);
    vt_buf_printf(
        &line, " in %s",
        vt_format_duration(time, sizeof time, vt__seconds(vt_json_num(event, "duration", 0))));
    vt__screen_line(&p->screen, VT__PLAIN, line.data, line.len);
    vt_buf_free(&line);
}

static void suite_error(struct vt_progress *p, const struct job *job, const json_t *event)
{
    vt__screen_printf(&p->screen, VT__RED, "%s: the suite failed in %s", job->suite,
                      vt_json_str(event, "stage", "itself"));
    p->problems++;
    print_member(p, event, "message");
    print_member(p, event, "trace");
    if (p->results && job->folder)
        vt__screen_printf(&p->screen, VT__DIM, "    transcript: %s/%s", p->results, job->folder);
}

/* ---- VMs ---- */

static struct guest *get_guest(struct job *job, const char *name)
{
    struct guest **at = &job->guests;
    size_t n = 0;
    while (*at && strcmp((*at)->name, name) != 0 && n++ < 1000)
        at = &(*at)->next;
    if (!*at) {
        *at = vt_calloc(1, sizeof **at);
        (*at)->name = vt_strdup(name);
    }
    return *at;
}

static void guest_does(struct job *job, const char *name, const char *what)
{
    struct guest *guest = get_guest(job, name);
    snprintf(guest->state, sizeof guest->state, "%s", what);
    guest->since = vt_monotonic();
}

static void vm_state(struct vt_progress *p, struct job *job, const json_t *event)
{
    const char *name = vt_json_str(event, "vm", NULL), *state = vt_json_str(event, "state", "");
    if (!name)
        return;
    json_t *info = json_object_get(event, "info");
    if (json_is_object(info) && json_object_size(job->vms) < 1000)
        json_object_set(job->vms, name, info);
    struct guest *guest = get_guest(job, name);
    bool booting = !strcmp(guest->state, "booting");
    if (!strcmp(state, "starting"))
        guest_does(job, name, "booting");
    else if (strcmp(state, "running") != 0 || !booting) /* it runs, but does not answer yet */
        guest_does(job, name, state);
    const char *reason = vt_json_str(event, "reason", "");
    if (!strcmp(state, "crashed"))
        vt__screen_printf(&p->screen, VT__RED, "vm %s: crashed: %s", name, reason);
    else if (p->verbose)
        vt__screen_printf(&p->screen, VT__DIM, "vm %s: %s%s%s", name, state, *reason ? ": " : "",
                          reason);
}

static void booted(struct vt_progress *p, struct job *job, const char *name, double seconds)
{
    char time[32];
    struct vt_buf on = VT_BUF_INIT;
    json_t *facts = json_object_get(job->vms, name);
    json_t *alone = facts ? json_pack("{s:O}", name, facts) : NULL;
    vt__vms_text(alone, &on);
    vt__screen_printf(&p->screen, VT__PLAIN, "vm %s: booted in %s%s%s%s", name,
                      vt_format_duration(time, sizeof time, seconds), on.len ? " (" : "",
                      vt_buf_str(&on), on.len ? ")" : "");
    json_decref(alone);
    vt_buf_free(&on);
    guest_does(job, name, "running");
}

/* What was run in the guest, as one line. */
static void add_command(struct vt_buf *out, const json_t *event)
{
    size_t i;
    json_t *word;
    vt_buf_puts(out, vt_json_str(event, "command", ""));
    json_array_foreach(json_object_get(event, "argv"), i, word) vt_buf_printf(
        out, "%s%s", i ? " " : "", json_is_string(word) ? json_string_value(word) : "");
}

static void op(struct vt_progress *p, struct job *job, const json_t *event)
{
    const char *name = vt_json_str(event, "vm", NULL), *what = vt_json_str(event, "op", "");
    bool failed = json_object_get(event, "error") && !json_is_null(json_object_get(event, "error"));
    double seconds = vt__seconds(vt_json_num(event, "ms", 0)) / 1000;
    const char *file = vt_json_str(json_object_get(event, "out"), "file", NULL);
    if (file)
        set_string(&job->transcript, file);
    if (!name)
        return;
    if (!strcmp(what, "start") && !failed) {
        booted(p, job, name, seconds);
        return;
    }
    if (!p->verbose)
        return;
    char time[32];
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "vm %s: %s ", name, what);
    add_command(&line, event);
    if (json_is_integer(json_object_get(event, "status")))
        vt_buf_printf(&line, " -> %lld", (long long)vt_json_int(event, "status", 0));
    vt_buf_printf(&line, "%s %s", failed ? " failed" : "",
                  vt_format_duration(time, sizeof time, seconds));
    vt__screen_line(&p->screen, VT__DIM, line.data, line.len);
    vt_buf_free(&line);
}

/* ---- events ---- */

static void plan(struct job *job, const struct vt_event *event)
{
    struct vt_event_items tests = vt_event_items(event, "tests");
    for (struct vt_event test; vt_event_next(&tests, &test);)
        job->planned++;
}

static void test_start(struct job *job, const struct vt_event *event)
{
    struct vt_text cls = vt_event_text(event, "class"), name = vt_event_text(event, "name");
    vt_buf_clear(&job->test);
    add_name(&job->test, name, cls);
    job->test_since = vt_monotonic();
    set_string(&job->transcript, NULL);
}

static void run_start(struct vt_progress *p, const json_t *event)
{
    size_t i;
    json_t *entry;
    set_string(&p->results, vt_json_str(event, "results", NULL));
    p->dry_run = vt_json_bool(json_object_get(event, "options"), "dry_run", false);
    json_array_foreach(json_object_get(event, "jobs"), i, entry)
    {
        struct job *job = get_job(p, vt_json_int(entry, "job", 0));
        if (job)
            set_string(&job->suite, vt_json_str(entry, "suite", "suite"));
    }
}

static void run_end(struct vt_progress *p, const json_t *event)
{
    char time[32];
    struct vt_buf line = VT_BUF_INIT, on = VT_BUF_INIT;
    bool bad = p->problems > 0;
    json_t *vms = json_object();
    for (size_t i = 0; i < p->count; i++) {
        const char *name;
        json_t *facts;
        if (!p->jobs[i])
            continue;
        json_object_foreach(p->jobs[i]->vms, name, facts)
        {
            char key[64];
            snprintf(key, sizeof key, "%zu.%.40s", i, name);
            json_object_set(vms, key, facts);
        }
    }
    for (int i = 0; i < VT_OUTCOME_COUNT_; i++)
        bad = bad || (vt_outcome_is_failure((enum vt_outcome)i) && p->counts[i]);
    vt_buf_puts(&line, vt_json_bool(event, "interrupted", false) ? "interrupted: " : "");
    add_counts(&line, p->counts);
    vt_buf_printf(
        &line, " in %s",
        vt_format_duration(time, sizeof time, vt__seconds(vt_json_num(event, "duration", 0))));
    vt__screen_line(&p->screen, bad ? VT__RED : VT__GREEN, line.data, line.len);
    vt__vms_text(vms, &on);
    vt__screen_printf(&p->screen, VT__PLAIN, "on %s%s", on.len ? on.data : "no VM",
                      p->dry_run && on.len ? " (dry run)" : "");
    if (p->results)
        vt__screen_printf(&p->screen, VT__PLAIN, "results in %s", p->results);
    json_decref(vms);
    vt_buf_free(&on);
    vt_buf_free(&line);
}

static void job_start(struct job *job, const json_t *event)
{
    job->started = true;
    set_string(&job->suite, vt_json_str(event, "suite", job->suite));
    set_string(&job->folder, vt_json_str(event, "results", NULL));
}

static void print_log(struct vt_progress *p, const json_t *event)
{
    const char *level = vt_json_str(event, "level", "");
    if (p->verbose || !strcmp(level, "error") || !strcmp(level, "warning"))
        vt__screen_printf(&p->screen, VT__YELLOW, "%s: %s", level, vt_json_str(event, "text", ""));
}

static void rare_job_event(struct vt_progress *p, struct job *job, enum vt_event_type type,
                           const json_t *event)
{
    switch (type) {
    case VT_EVENT_JOB_START:
        job_start(job, event);
        break;
    case VT_EVENT_JOB_END:
        job_end(p, job, event);
        break;
    case VT_EVENT_SUITE_ERROR:
        suite_error(p, job, event);
        break;
    case VT_EVENT_VM_STATE:
        vm_state(p, job, event);
        break;
    case VT_EVENT_OP:
        op(p, job, event);
        break;
    case VT_EVENT_OUTPUT:
        if (p->verbose)
            print_member(p, event, "text");
        break;
    default:
        break;
    }
}

/* The events that come with every test are looked at in place, for they may be many. */
static void job_event(struct vt_progress *p, struct job *job, const struct vt_event *event)
{
    if (event->type == VT_EVENT_PLAN) {
        plan(job, event);
    } else if (event->type == VT_EVENT_TEST_START) {
        test_start(job, event);
    } else if (event->type == VT_EVENT_TEST_END) {
        test_end(p, job, event);
    } else {
        json_t *object = vt_event_json(event);
        rare_job_event(p, job, event->type, object);
        json_decref(object);
    }
}

static void run_event(struct vt_progress *p, const struct vt_event *event)
{
    json_t *object = vt_event_json(event);
    if (event->type == VT_EVENT_RUN_START)
        run_start(p, object);
    else if (event->type == VT_EVENT_RUN_END)
        run_end(p, object);
    else
        print_log(p, object);
    json_decref(object);
}

void vt_progress_event(struct vt_progress *p, const struct vt_event *event)
{
    if (event->type == VT_EVENT_RUN_START || event->type == VT_EVENT_RUN_END ||
        event->type == VT_EVENT_LOG) {
        run_event(p, event);
    } else {
        struct job *job = get_job(p, vt_event_int(event, "job", 0));
        if (job)
            job_event(p, job, event);
    }
    if (p->screen.tty &&
        (p->screen.kept.len > KEPT_MAX || vt_monotonic() - p->screen.drawn >= DRAW_EVERY_S))
        draw(p);
}

struct vt_progress *vt_progress_new(const struct vt_progress_opts *opts)
{
    struct vt_progress *p = vt_calloc(1, sizeof *p);
    p->screen = (struct vt__screen){.out = opts->out,
                                    .tty = opts->tty,
                                    .color = opts->color,
                                    .width = opts->width > 0 ? opts->width : 80};
    p->verbose = opts->verbose;
    p->started = vt_monotonic();
    return p;
}

static void free_job(struct job *job)
{
    for (struct guest *g = job->guests, *next; g; g = next) {
        next = g->next;
        vt_free(g->name);
        vt_free(g);
    }
    vt_free(job->suite);
    vt_free(job->folder);
    vt_buf_free(&job->test);
    vt_free(job->transcript);
    json_decref(job->vms);
    vt_free(job);
}

void vt_progress_free(struct vt_progress *p)
{
    if (!p)
        return;
    vt__screen_draw(&p->screen, "");
    vt_buf_free(&p->screen.kept);
    for (size_t i = 0; i < p->count; i++)
        if (p->jobs[i])
            free_job(p->jobs[i]);
    vt_free(p->jobs);
    vt_free(p->results);
    vt_free(p);
}
