#include "vmtest/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <uv.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "loop/timer.h"
#include "run/cleanup.h"
#include "run/ledger.h"
#include "run/plan.h"
#include "run/results.h"
#include "run/worker.h"
#include "vmtest/report.h"
#include "vmtest/units.h"

#define GRACE_S 3.0 /* for a worker to tear down after Ctrl-C: all must be gone within 5 s */
#define TICK_S 0.25
#define MEMORY_LIMIT ((uint64_t)512 << 20)

struct run;

struct job {
    struct run *run;
    struct vt_job spec;
    struct vt_worker *worker; /* while it runs */
    struct vt_ledger ledger;
    double started;
    bool ended;
};

struct run {
    const struct vt_run_opts *opts;
    struct vt_loop *loop;
    struct vt_folders folders;
    struct job *jobs;
    size_t n, next, running;
    size_t limit; /* jobs at once */
    size_t counts[VT_OUTCOME_COUNT_];
    uv_signal_t signals[3];
    unsigned open_signals;
    struct vt_timer tick;
    struct vt_report *report;
    struct vt_buf pending;  /* lines for events.jsonl */
    struct vt_error broken; /* events.jsonl cannot be written */
    int signal;             /* the first one that came, or 0 */
    bool stopping;          /* no further job begins */
    bool usage, infrastructure, bug;
    double started;
};

static const int watched[3] = {SIGINT, SIGTERM, SIGHUP};

/* --- events --- */

static void stop_all(struct run *run, double grace)
{
    run->stopping = true;
    for (size_t i = 0; i < run->n; i++)
        if (run->jobs[i].worker)
            vt__worker_stop(run->jobs[i].worker, grace);
}

static void write_pending(struct run *run)
{
    if (run->pending.len && run->folders.events >= 0 && !run->broken.code &&
        vt_write_all(run->folders.events, run->pending.data, run->pending.len, "events.jsonl",
                     &run->broken))
        stop_all(run, GRACE_S); /* results that cannot be written are no results */
    vt_buf_clear(&run->pending);
}

static void record(struct run *run, const struct vt_event *event)
{
    vt_event_print(event, &run->pending);
    vt_buf_putc(&run->pending, '\n');
    vt_report_event(run->report, event);
    if (run->pending.len > (64u << 10))
        write_pending(run);
    if (run->opts->on_event)
        run->opts->on_event(event, run->opts->user);
}

static void record_own(struct run *run, json_t *object)
{
    struct vt_event event = vt_event_of(object);
    record(run, &event);
    json_decref(object);
    write_pending(run);
}

static json_t *host_facts(void)
{
    struct utsname u;
    if (uname(&u))
        memset(&u, 0, sizeof u);
    return json_pack("{s:s, s:s, s:s, s:i, s:I}", "os", u.sysname, "release", u.release, "arch",
                     u.machine, "cpus", vt_cpu_count(), "memory", (json_int_t)vt_memory_total());
}

static void record_start(struct run *run)
{
    json_t *event = vt_event_new("run_start"), *jobs = json_array();
    for (size_t i = 0; i < run->n; i++)
        json_array_append_new(jobs, json_pack("{s:i, s:s}", "job", run->jobs[i].spec.number,
                                              "suite", run->jobs[i].spec.suite_name));
    const struct vt_run_opts *o = run->opts;
    json_t *more = json_pack(
        "{s:i, s:s, s:s, s:s*, s:o, s:o, s:{s:s?, s:s?, s:s?, s:s?, s:f, s:b, s:b, s:i, s:f, s:i}}",
        "version", 1, "vmtest", VT_VERSION, "run", run->folders.run_id, "results",
        run->folders.results, "host", host_facts(), "jobs", jobs, "options", "filter", o->filter,
        "driver", o->driver, "channel", o->channel, "mdm", o->mdm, "wait", o->wait, "fail_fast",
        o->fail_fast, "dry_run", o->dry_run, "jobs", (int)run->limit, "timeout", o->test_timeout,
        "keep", (int)o->keep);
    json_object_update(event, more);
    json_decref(more);
    record_own(run, event);
}

/* --- jobs --- */

static void start_jobs(struct run *run);

static void on_worker_event(const struct vt_event *event, void *user)
{
    struct job *job = user;
    vt__ledger_event(&job->ledger, event);
    record(job->run, event);
}

struct verdict {
    const char *outcome;
    enum vt_outcome running; /* what the test that ran then gets */
    char reason[200];
};

static struct verdict judge(struct run *run, const struct vt_worker_end *end)
{
    struct verdict v = {.running = VT_ERROR};
    char text[32];
    if (end->overdue) {
        v.outcome = "timed_out";
        v.running = VT_TIMED_OUT;
        snprintf(v.reason, sizeof v.reason,
                 "the worker process did not come back within %s and was ended",
                 vt_format_duration(text, sizeof text, end->limit));
    } else if (run->signal || end->status == VT_WORKER_INTERRUPTED) {
        v.outcome = "interrupted";
        snprintf(v.reason, sizeof v.reason, "the run was interrupted");
    } else if (end->signal == SIGKILL) {
        v.outcome = "infrastructure";
        run->infrastructure = true;
        snprintf(v.reason, sizeof v.reason,
                 "the worker process was killed from outside (by hand, or for want of memory)");
    } else if (end->signal) {
        v.outcome = "crashed";
        run->bug = true;
        snprintf(v.reason, sizeof v.reason,
                 "the worker process crashed by signal %d: a bug in vmtest", end->signal);
    } else if (end->status == VT_WORKER_OK) {
        v.outcome = "ok";
    } else if (end->status == VT_WORKER_FAILED) {
        v.outcome = "failed";
    } else if (end->status == VT_WORKER_LOAD_ERROR) {
        v.outcome = "load_error";
        run->usage = true;
    } else if (end->status == VT_WORKER_INFRASTRUCTURE) {
        v.outcome = "infrastructure";
        run->infrastructure = true;
    } else if (end->status == VT_WORKER_EMPTY) {
        v.outcome = "empty";
    } else {
        v.outcome = "crashed";
        run->bug = true;
        snprintf(v.reason, sizeof v.reason,
                 "the worker process ended with the unknown status %d: a bug in vmtest",
                 end->status);
    }
    return v;
}

static void end_job(struct job *job, const struct verdict *v, const struct vt_worker_end *end)
{
    struct run *run = job->run;
    const char *reason = v->reason[0] ? v->reason : "the suite ended before it";
    for (json_t *missing; !run->opts->list_only &&
                          (missing = vt__ledger_missing(&job->ledger, v->running, reason, reason));
         json_decref(missing)) {
        json_object_set_new(missing, "job", json_integer(job->spec.number));
        struct vt_event end_event = vt_event_of(missing);
        on_worker_event(&end_event, job);
    }
    json_t *event = vt_event_new("job_end");
    json_t *more =
        json_pack("{s:i, s:s, s:s, s:f, s:i, s:i}", "job", job->spec.number, "outcome", v->outcome,
                  "reason", v->reason, "duration", vt_monotonic() - job->started, "exit",
                  end ? end->status : -1, "signal", end ? end->signal : 0);
    json_object_update(event, more);
    json_decref(more);
    for (int i = 0; i < VT_OUTCOME_COUNT_; i++) {
        run->counts[i] += job->ledger.counts[i];
        if (vt_outcome_is_failure((enum vt_outcome)i) && job->ledger.counts[i] &&
            run->opts->fail_fast)
            run->stopping = true;
    }
    job->ended = true;
    vt__ledger_free(&job->ledger);
    record_own(run, event);
}

static void on_worker_ended(const struct vt_worker_end *end, void *user)
{
    struct job *job = user;
    struct run *run = job->run;
    job->worker = NULL;
    run->running--;
    struct verdict v = judge(run, end);
    end_job(job, &v, end);
    start_jobs(run);
}

static void start_job(struct job *job)
{
    struct run *run = job->run;
    static const struct vt_worker_handlers handlers = {on_worker_event, on_worker_ended, NULL};
    struct vt_worker_handlers own = handlers;
    own.user = job;
    struct vt_error err = VT_ERROR_INIT;
    job->started = vt_monotonic();
    job->spec.results_dir =
        vt__folders_job(&run->folders, job->spec.number, job->spec.suite_name, &err);
    if (job->spec.results_dir)
        job->worker = vt__worker_start(run->loop, &job->spec, &own, &err);
    if (!job->worker) {
        struct verdict v = {.outcome = "infrastructure", .running = VT_NOT_RUN};
        snprintf(v.reason, sizeof v.reason, "%.190s", err.message);
        run->infrastructure = true;
        end_job(job, &v, NULL);
        return;
    }
    run->running++;
    json_t *event = vt_event_new("job_start");
    json_object_set_new(event, "job", json_integer(job->spec.number));
    json_object_set_new(event, "suite", json_string(job->spec.suite_name));
    json_object_set_new(event, "results", json_string(vt_path_base(job->spec.results_dir)));
    json_object_set_new(event, "pid", json_integer(vt__worker_pid(job->worker)));
    record_own(run, event);
}

static void start_jobs(struct run *run)
{
    while (!run->stopping && run->next < run->n && run->running < run->limit)
        start_job(&run->jobs[run->next++]);
}

/* --- the run --- */

static void on_signal(uv_signal_t *handle, int number)
{
    struct run *run = handle->data;
    bool again = run->signal != 0;
    if (!again)
        run->signal = number;
    stop_all(run, again ? 0 : GRACE_S);
}

static void on_tick(struct vt_timer *timer)
{
    struct run *run = timer->user;
    write_pending(run);
    if (run->opts->on_event)
        run->opts->on_event(NULL, run->opts->user);
    vt_timer_set(timer, run->loop, TICK_S, on_tick, run);
}

static void on_signal_closed(uv_handle_t *handle)
{
    ((struct run *)handle->data)->open_signals--;
}

static void watch_signals(struct run *run)
{
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 3; i++) {
        uv_signal_init(vt_loop_uv(run->loop), &run->signals[i]);
        run->signals[i].data = run;
        run->open_signals++;
        uv_signal_start(&run->signals[i], on_signal, watched[i]);
    }
}

static void unwatch_signals(struct run *run)
{
    for (int i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&run->signals[i], on_signal_closed);
    while (run->open_signals)
        vt_loop_run_once(run->loop, true);
}

static void plan_jobs(struct run *run, struct vt_suite *suites, size_t n)
{
    const struct vt_run_opts *o = run->opts;
    int half = vt_cpu_count() / 2;
    run->limit = o->jobs > 0 ? (size_t)o->jobs : half > 0 ? (size_t)half : 1;
    run->jobs = vt_calloc(n, sizeof *run->jobs);
    run->n = n;
    for (size_t i = 0; i < n; i++) {
        run->jobs[i].run = run;
        run->jobs[i].spec = (struct vt_job){
            .number = (int)i + 1,
            .run_id = vt_strdup(run->folders.run_id),
            .suite = vt_strdup(suites[i].path),
            .suite_name = vt_strdup(suites[i].name),
            .runtime_dir = vt_strdup(run->folders.runtime),
            .scratch_dir = vt_strdup(run->folders.scratch),
            .filter = vt_strdup(o->filter),
            .driver = vt_strdup(o->driver),
            .channel = vt_strdup(o->channel),
            .mdm = vt_strdup(o->mdm),
            .mdm_credentials = vt_strdup(o->mdm_credentials),
            .mdm_ca = vt_strdup(o->mdm_ca),
            .wait = o->wait,
            .fail_fast = o->fail_fast,
            .list_only = o->list_only,
            .dry_run = o->dry_run,
            .keep_failed = o->keep == VT_KEEP_FAIL,
            .keep_always = o->keep == VT_KEEP_ALWAYS,
            .test_timeout = o->test_timeout,
            .memory_limit = o->memory_limit ? o->memory_limit : MEMORY_LIMIT,
        };
    }
}

/* 2 before 3 before 1 before 4; never a count. */
static int exit_code(const struct run *run)
{
    size_t failures = 0, ran = 0;
    for (int i = 0; i < VT_OUTCOME_COUNT_; i++) {
        ran += i == VT_NOT_RUN ? 0 : run->counts[i];
        failures += vt_outcome_is_failure((enum vt_outcome)i) ? run->counts[i] : 0;
    }
    if (run->signal)
        return run->signal == SIGINT ? VT_EXIT_SIGINT : VT_EXIT_SIGTERM;
    if (run->bug)
        return VT_EXIT_BUG;
    if (run->usage)
        return VT_EXIT_USAGE;
    if (run->infrastructure || run->broken.code)
        return VT_EXIT_INFRASTRUCTURE;
    if (failures)
        return VT_EXIT_FAILED;
    return ran || run->opts->list_only ? VT_EXIT_OK : VT_EXIT_NOTHING_RAN;
}

static void end_unstarted(struct run *run)
{
    struct verdict v = {.outcome = "interrupted", .running = VT_NOT_RUN};
    snprintf(v.reason, sizeof v.reason, "%s",
             run->signal        ? "the run was interrupted"
             : run->broken.code ? "results cannot be written"
                                : "stopped at the first failure (-x)");
    for (size_t i = run->next; i < run->n; i++) {
        run->jobs[i].started = vt_monotonic();
        end_job(&run->jobs[i], &v, NULL);
    }
}

static void record_end(struct run *run, int code)
{
    json_t *counts = json_object(), *event = vt_event_new("run_end");
    for (int i = 0; i < VT_OUTCOME_COUNT_; i++)
        json_object_set_new(counts, vt_outcome_name((enum vt_outcome)i),
                            json_integer((json_int_t)run->counts[i]));
    json_t *more =
        json_pack("{s:i, s:f, s:o, s:b}", "exit", code, "duration", vt_monotonic() - run->started,
                  "counts", counts, "interrupted", run->signal != 0);
    json_object_update(event, more);
    json_decref(more);
    record_own(run, event);
}

static void run_jobs(struct run *run)
{
    run->started = vt_monotonic();
    watch_signals(run);
    record_start(run);
    vt_timer_set(&run->tick, run->loop, TICK_S, on_tick, run);
    start_jobs(run);
    while (run->running)
        vt_loop_run_once(run->loop, true);
    end_unstarted(run);
    vt_timer_clear(&run->tick);
    unwatch_signals(run);
}

static enum vt_code finish(struct run *run, int *code, struct vt_error *err)
{
    *code = exit_code(run);
    record_end(run, *code);
    if (run->broken.code)
        return vt_error_copy(err, &run->broken);
    if (run->folders.results && vt_report_write(run->report, run->folders.results, err)) {
        if (*code == VT_EXIT_OK || *code == VT_EXIT_FAILED)
            *code = VT_EXIT_INFRASTRUCTURE;
        return err ? err->code : VT_EIO;
    }
    return VT_OK;
}

static void free_run(struct run *run)
{
    for (size_t i = 0; i < run->n; i++) {
        vt_job_clear(&run->jobs[i].spec);
        vt__ledger_free(&run->jobs[i].ledger);
    }
    vt_free(run->jobs);
    vt_buf_free(&run->pending);
    vt_report_free(run->report);
    vt_loop_free(run->loop);
}

static enum vt_code run_in_folders(struct run *run, struct vt_suite *suites, size_t n, int *code,
                                   struct vt_error *err)
{
    struct vt_janitor janitor;
    enum vt_code result = vt__janitor_start(&janitor, run->folders.runtime, run->folders.scratch,
                                            run->folders.results, err);
    if (result)
        return result;
    result = vt__folders_make(&run->folders, err);
    if (result == VT_EINVAL || result == VT_EBUSY)
        *code = VT_EXIT_USAGE;
    if (!result) {
        plan_jobs(run, suites, n);
        run_jobs(run);
        result = finish(run, code, err);
    }
    free_run(run);
    vt__folders_close(&run->folders);
    vt__janitor_end(&janitor);
    return result;
}

enum vt_code vt_run(const struct vt_run_opts *opts, int *code, char **results_dir,
                    struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct vt_suite *suites;
    size_t n;
    if (results_dir)
        *results_dir = NULL;
    *code = VT_EXIT_USAGE;
    if (vt__plan(opts->suites, &suites, &n, &own))
        return vt_error_copy(err, &own);
    *code = VT_EXIT_INFRASTRUCTURE;
    vt_sweep();
    struct run run = {.opts = opts, .loop = vt_loop_new(&own), .report = vt_report_new()};
    if (run.loop && !vt__folders_name(&run.folders, opts->results_dir, opts->list_only, &own)) {
        if (results_dir)
            *results_dir = vt_strdup(run.folders.results);
        run_in_folders(&run, suites, n, code, &own);
    }
    vt__plan_free(suites, n);
    return vt_error_copy(err, &own);
}
