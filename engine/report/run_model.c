#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "report/model.h"

#define JOBS_MAX 65536
#define TESTS_MAX 1000000 /* per job */
#define ARTIFACTS_MAX 100 /* per test */

/* ---- texts ---- */

/* Without NUL bytes, which JSON has. */
static void add_clean(struct vt_buf *out, const char *text, size_t n)
{
    for (const char *nul; (nul = memchr(text, '\0', n));) {
        vt_buf_add(out, text, (size_t)(nul - text));
        vt_buf_puts(out, "\xef\xbf\xbd");
        n -= (size_t)(nul - text) + 1;
        text = nul + 1;
    }
    vt_buf_add(out, text, n);
}

/* How much of a text may be kept: whole characters, within the bounds of one and of all. */
static size_t keep(struct vt__model *m, const char *text, size_t n, size_t limit)
{
    if (m->text >= VT__REPORT_TEXT && limit > VT__REPORT_SHORT)
        limit = VT__REPORT_SHORT;
    if (n > limit) {
        n = limit;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    m->text += n;
    return n;
}

static void cut_note(struct vt_buf *out, size_t cut)
{
    if (cut)
        vt_buf_printf(out, "\n[%zu bytes cut here; events.jsonl has them]", cut);
}

/* A copy of a member's text, or NULL where there is none or it is empty. */
static char *get_text(struct vt__model *m, const struct vt_event *event, const char *key,
                      size_t limit)
{
    struct vt_text text = vt_event_text(event, key);
    if (!text.size)
        return NULL;
    size_t kept = keep(m, text.data, text.size, limit);
    struct vt_buf out = VT_BUF_INIT;
    add_clean(&out, text.data, kept);
    cut_note(&out, text.size - kept);
    return vt_buf_steal(&out);
}

/* Sets a field from a member, if that says anything, and anything new. */
static void take_text(struct vt__model *m, char **field, const struct vt_event *event,
                      const char *key)
{
    struct vt_text text = vt_event_text(event, key);
    if (!text.size ||
        (*field && strlen(*field) == text.size && !memcmp(*field, text.data, text.size)))
        return;
    vt_free(*field);
    *field = get_text(m, event, key, VT__REPORT_SHORT);
}

double vt__seconds(double value)
{
    return !(value > 0) ? 0 : value > 1e9 ? 1e9 : value;
}

/* Seconds since 1970 at the begin of a day of 1970 or later. */
static double day_begin(int year, int month, int day)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int past = year - 1, leaps = past / 4 - past / 100 + past / 400 - 477;
    int days = 365 * (year - 1970) + leaps + before[month - 1] + (leap && month > 2) + day - 1;
    return days * 86400.0;
}

double vt__time_parse(struct vt_text text)
{
    static const char form[] = "0000-00-00T00:00:00";
    static const int field_of[] = {0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5};
    int fields[6] = {0}; /* year to second */
    size_t i = 0;
    if (text.size < sizeof form)
        return 0;
    for (; form[i]; i++) {
        bool digit = text.data[i] >= '0' && text.data[i] <= '9';
        if (form[i] == '0' ? !digit : text.data[i] != form[i])
            return 0;
        if (digit)
            fields[field_of[i]] = fields[field_of[i]] * 10 + (text.data[i] - '0');
    }
    double fraction = 0, unit = 1;
    if (text.data[i] == '.')
        for (i++; i < text.size && text.data[i] >= '0' && text.data[i] <= '9'; i++)
            fraction = fraction * 10 + (text.data[i] - '0'), unit *= 10;
    if (i + 1 != text.size || text.data[i] != 'Z' || fields[0] < 1970 || fields[1] < 1 ||
        fields[1] > 12 || fields[2] < 1 || fields[2] > 31 || fields[3] > 23 || fields[4] > 59 ||
        fields[5] > 60)
        return 0;
    return day_begin(fields[0], fields[1], fields[2]) + fields[3] * 3600 + fields[4] * 60 +
           fields[5] + fraction / unit;
}

/* ---- jobs and tests ---- */

/* Makes room for `wanted` pointers; new ones are NULL. */
static void *grow(void *list, size_t *count, size_t *room, size_t wanted)
{
    if (wanted > *room) {
        *room = wanted > *room * 2 ? wanted : *room * 2;
        list = vt_realloc(list, *room * sizeof(void *));
    }
    memset((char *)list + *count * sizeof(void *), 0, (wanted - *count) * sizeof(void *));
    *count = wanted;
    return list;
}

static struct vt__job *get_job(struct vt__model *m, int64_t number)
{
    if (number < 1 || number > JOBS_MAX)
        return NULL;
    if ((size_t)number > m->count)
        m->jobs = grow(m->jobs, &m->count, &m->room, (size_t)number);
    struct vt__job **job = &m->jobs[number - 1];
    if (!*job) {
        *job = vt_calloc(1, sizeof **job);
        (*job)->number = number;
        (*job)->vms = json_object();
    }
    return *job;
}

static struct vt__test *get_test(struct vt__job *job, int64_t id)
{
    if (id < 1 || id > TESTS_MAX)
        return NULL;
    if ((size_t)id > job->count)
        job->tests = grow(job->tests, &job->count, &job->room, (size_t)id);
    struct vt__test **test = &job->tests[id - 1];
    if (!*test)
        *test = vt_calloc(1, sizeof **test);
    return *test;
}

/* What a plan entry, a start or an end says of the test itself. */
static void describe(struct vt__model *m, struct vt__test *test, const struct vt_event *event)
{
    take_text(m, &test->name, event, "name");
    take_text(m, &test->cls, event, "class");
    take_text(m, &test->file, event, "file");
    int64_t line = vt_event_int(event, "line", 0);
    if (line > 0)
        test->line = line;
}

static void plan(struct vt__model *m, struct vt__job *job, const struct vt_event *event)
{
    struct vt_event_items tests = vt_event_items(event, "tests");
    for (struct vt_event entry; vt_event_next(&tests, &entry);) {
        struct vt__test *test = get_test(job, vt_event_int(&entry, "id", 0));
        if (!test)
            continue;
        describe(m, test, &entry);
        json_decref(test->tags);
        test->tags = vt_event_member(&entry, "tags");
        if (!json_array_size(test->tags)) {
            json_decref(test->tags);
            test->tags = NULL;
        }
    }
}

/* The end that is there becomes that of an earlier attempt. */
static void begin_again(struct vt__test *test)
{
    size_t n = test->earlier_count;
    if (!(n & (n + 1)))
        test->earlier = vt_realloc(test->earlier, (n * 2 + 1) * sizeof *test->earlier);
    test->earlier[test->earlier_count++] =
        (struct vt__attempt){test->outcome, test->duration, test->message};
    vt_free(test->trace);
    vt_free(test->reason);
    test->message = test->trace = test->reason = NULL;
    test->ended = false;
}

static void start_test(struct vt__model *m, struct vt__job *job, const struct vt_event *event,
                       double now)
{
    struct vt__test *test = get_test(job, vt_event_int(event, "id", 0));
    if (!test)
        return;
    describe(m, test, event);
    if (test->ended)
        begin_again(test);
    test->started = true;
    test->start = now;
    job->running = test;
}

/* Paths of what a test left to look at, from the run's folder on. */
static json_t *get_artifacts(const struct vt__job *job, const struct vt_event *event)
{
    json_t *given = vt_event_member(event, "artifacts"), *list = json_array();
    for (size_t i = 0; i < json_array_size(given) && i < ARTIFACTS_MAX; i++) {
        const char *path = json_string_value(json_array_get(given, i));
        if (path && *path && strlen(path) <= VT__REPORT_SHORT)
            json_array_append_new(list, job->results ? json_sprintf("%s/%s", job->results, path)
                                                     : json_string(path));
    }
    json_decref(given);
    if (json_array_size(list))
        return list;
    json_decref(list);
    return NULL;
}

static void end_test(struct vt__model *m, struct vt__job *job, const struct vt_event *event)
{
    struct vt__test *test = get_test(job, vt_event_int(event, "id", 0));
    if (!test)
        return;
    describe(m, test, event);
    if (test->ended)
        begin_again(test);
    test->outcome = vt_event_outcome(event);
    test->ended = true;
    test->duration = vt__seconds(vt_event_num(event, "duration", 0));
    test->message = get_text(m, event, "message", VT__REPORT_MESSAGE);
    test->trace = get_text(m, event, "trace", VT__REPORT_MESSAGE);
    test->reason = get_text(m, event, "reason", VT__REPORT_SHORT);
    if (!test->reason)
        test->reason = get_text(m, event, "xfail", VT__REPORT_SHORT);
    json_decref(test->artifacts);
    test->artifacts = get_artifacts(job, event);
    if (job->running == test)
        job->running = NULL;
}

static struct vt__test *add_problem(struct vt__model *m, struct vt__job *job, const char *name,
                                    char *message)
{
    job->problems =
        grow(job->problems, &job->problem_count, &job->problem_room, job->problem_count + 1);
    struct vt__test *test = vt_calloc(1, sizeof *test);
    job->problems[job->problem_count - 1] = test;
    test->name = vt_strdup(name);
    test->outcome = VT_ERROR;
    test->started = test->ended = test->problem = true;
    test->message = message;
    m->problems++;
    return test;
}

/* ---- the rest ---- */

static void output(struct vt__model *m, struct vt__job *job, const struct vt_event *event)
{
    struct vt_text text = vt_event_text(event, "text");
    bool is_err = vt_event_is(event, "stream", "stderr");
    struct vt__test *test = job->running;
    struct vt_buf *to = test ? (is_err ? &test->err : &test->out) : is_err ? &job->err : &job->out;
    size_t *cut = test ? (is_err ? &test->err_cut : &test->out_cut)
                       : (is_err ? &job->err_cut : &job->out_cut);
    if (!text.size)
        return;
    size_t room = to->len < VT__REPORT_OUTPUT && !*cut ? VT__REPORT_OUTPUT - to->len : 0;
    size_t kept = keep(m, text.data, text.size, room);
    add_clean(to, text.data, kept);
    *cut += text.size - kept;
}

static void vm_state(struct vt__job *job, const json_t *event)
{
    const char *name = vt_json_str(event, "vm", NULL);
    if (!name || (!json_object_get(job->vms, name) && json_object_size(job->vms) >= 1000))
        return;
    json_t *facts = json_object_get(job->vms, name);
    if (!facts) {
        facts = json_object();
        json_object_set_new(job->vms, name, facts);
    }
    json_t *info = json_object_get(event, "info");
    if (json_is_object(info))
        json_object_update(facts, info);
    json_object_set(facts, "state", json_object_get(event, "state"));
}

static void suite_error(struct vt__model *m, struct vt__job *job, const struct vt_event *event)
{
    char name[64];
    if (job->problem_count >= 1000)
        return;
    char *stage = get_text(m, event, "stage", VT__REPORT_SHORT);
    snprintf(name, sizeof name, "(suite %.40s)", stage ? stage : "error");
    vt_free(stage);
    struct vt__test *test =
        add_problem(m, job, name, get_text(m, event, "message", VT__REPORT_MESSAGE));
    test->trace = get_text(m, event, "trace", VT__REPORT_MESSAGE);
}

static void start_run(struct vt__model *m, const struct vt_event *event, double now)
{
    m->start = now;
    take_text(m, &m->run, event, "run");
    take_text(m, &m->version, event, "vmtest");
    json_t *options = vt_event_member(event, "options");
    m->dry_run = vt_json_bool(options, "dry_run", false);
    json_decref(options);
    json_decref(m->host);
    m->host = vt_event_member(event, "host");
    struct vt_event_items jobs = vt_event_items(event, "jobs");
    for (struct vt_event entry; vt_event_next(&jobs, &entry);) {
        struct vt__job *job = get_job(m, vt_event_int(&entry, "job", 0));
        if (job)
            take_text(m, &job->suite, &entry, "suite");
    }
}

static void end_run(struct vt__model *m, const struct vt_event *event)
{
    json_t *interrupted = vt_event_member(event, "interrupted");
    m->ended = true;
    m->duration = vt__seconds(vt_event_num(event, "duration", 0));
    m->interrupted = json_is_true(interrupted);
    json_decref(interrupted);
}

static void end_job(struct vt__model *m, struct vt__job *job, const struct vt_event *event)
{
    job->ended = true;
    job->running = NULL;
    job->duration = vt__seconds(vt_event_num(event, "duration", 0));
    take_text(m, &job->outcome, event, "outcome");
    take_text(m, &job->reason, event, "reason");
}

static void job_event(struct vt__model *m, struct vt__job *job, const struct vt_event *event,
                      double now)
{
    json_t *object;
    switch (event->type) {
    case VT_EVENT_JOB_START:
        job->started = true;
        job->start = now;
        take_text(m, &job->suite, event, "suite");
        take_text(m, &job->results, event, "results");
        break;
    case VT_EVENT_JOB_END:
        end_job(m, job, event);
        break;
    case VT_EVENT_PLAN:
        plan(m, job, event);
        break;
    case VT_EVENT_TEST_START:
        start_test(m, job, event, now);
        break;
    case VT_EVENT_TEST_END:
        end_test(m, job, event);
        break;
    case VT_EVENT_OUTPUT:
        output(m, job, event);
        break;
    case VT_EVENT_VM_STATE:
        object = vt_event_json(event);
        vm_state(job, object);
        json_decref(object);
        break;
    case VT_EVENT_SUITE_ERROR:
        suite_error(m, job, event);
        break;
    default:
        break;
    }
}

void vt__model_event(struct vt__model *m, const struct vt_event *event)
{
    double now = vt__time_parse(vt_event_text(event, "time"));
    if (now > m->stop)
        m->stop = now;
    if (event->type == VT_EVENT_RUN_START) {
        start_run(m, event, now);
    } else if (event->type == VT_EVENT_RUN_END) {
        end_run(m, event);
    } else {
        struct vt__job *job = get_job(m, vt_event_int(event, "job", 0));
        if (job)
            job_event(m, job, event, now);
    }
}

/* ---- the end ---- */

/* What becomes of a test that has no end of its own. */
static void conclude(struct vt__job *job, struct vt__test *test, bool was_running, double stop)
{
    bool overdue = job->outcome && !strcmp(job->outcome, "timed_out");
    const char *why = job->reason  ? job->reason
                      : job->ended ? "the suite ended before it"
                                   : "the run ended without a word: vmtest itself was ended";
    test->ended = true;
    test->outcome = !was_running ? VT_NOT_RUN : overdue ? VT_TIMED_OUT : VT_ERROR;
    if (!was_running) {
        test->reason = vt_strdup(why);
        return;
    }
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "the worker died while this test ran: %s", why);
    test->message = vt_buf_steal(&text);
    test->duration = test->start > 0 && stop > test->start ? stop - test->start : 0;
}

static void shorten_name(struct vt__test *test)
{
    if (!test->name) {
        test->name = vt_strdup("(unnamed test)");
        return;
    }
    struct vt_text whole = {test->name, strlen(test->name)};
    struct vt_text name =
        vt__short_name(whole, (struct vt_text){test->cls, test->cls ? strlen(test->cls) : 0});
    memmove(test->name, name.data, name.size + 1);
}

static void finish_job(struct vt__model *m, struct vt__job *job)
{
    static const char *const bad[] = {"crashed", "timed_out", "infrastructure", "load_error"};
    if (!job->suite) {
        char name[32];
        snprintf(name, sizeof name, "job %lld", (long long)job->number);
        job->suite = vt_strdup(name);
    }
    bool blamed = job->problem_count > 0;
    for (size_t i = 0; i < job->count; i++) {
        struct vt__test *test = get_test(job, (int64_t)i + 1);
        if (!test)
            break;
        shorten_name(test);
        if (!test->ended)
            conclude(job, test, test->started, m->stop);
        cut_note(&test->out, test->out_cut);
        cut_note(&test->err, test->err_cut);
        m->counts[test->outcome]++;
        m->flaky += vt__test_is_flaky(test);
        blamed = blamed || test->outcome == VT_ERROR || test->outcome == VT_TIMED_OUT;
    }
    cut_note(&job->out, job->out_cut);
    cut_note(&job->err, job->err_cut);
    bool broken = job->started && !job->ended;
    for (size_t i = 0; job->outcome && i < sizeof bad / sizeof *bad; i++)
        broken = broken || !strcmp(job->outcome, bad[i]);
    if (!broken || blamed)
        return;
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "%s%s%s",
                  job->outcome ? job->outcome : "the run ended before this suite did",
                  job->reason ? ": " : "", job->reason ? job->reason : "");
    add_problem(m, job, "(suite)", vt_buf_steal(&text));
}

void vt__model_finish(struct vt__model *m)
{
    if (m->duration <= 0 && m->start > 0 && m->stop > m->start)
        m->duration = m->stop - m->start;
    if (m->start <= 0)
        m->start = m->stop;
    for (size_t i = 0; i < m->count; i++) {
        struct vt__job *job = get_job(m, (int64_t)i + 1);
        if (job)
            finish_job(m, job);
    }
}

struct vt_text vt__short_name(struct vt_text name, struct vt_text cls)
{
    size_t n = cls.size;
    if (n && name.size > n + 1 && !memcmp(name.data, cls.data, n) && name.data[n] == '.')
        return (struct vt_text){name.data + n + 1, name.size - n - 1};
    return name;
}

bool vt__test_is_flaky(const struct vt__test *test)
{
    if (test->outcome != VT_PASSED)
        return false;
    for (size_t i = 0; i < test->earlier_count; i++)
        if (vt_outcome_is_failure(test->earlier[i].outcome))
            return true;
    return false;
}

size_t vt__job_rows(const struct vt__job *job)
{
    return job->count + job->problem_count;
}

const struct vt__test *vt__job_row(const struct vt__job *job, size_t i)
{
    return i < job->count ? job->tests[i] : job->problems[i - job->count];
}

static void free_tests(struct vt__test **tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct vt__test *test = tests[i];
        if (!test)
            continue;
        for (size_t k = 0; k < test->earlier_count; k++)
            vt_free(test->earlier[k].message);
        vt_free(test->earlier);
        vt_free(test->name);
        vt_free(test->cls);
        vt_free(test->file);
        vt_free(test->message);
        vt_free(test->trace);
        vt_free(test->reason);
        vt_buf_free(&test->out);
        vt_buf_free(&test->err);
        json_decref(test->tags);
        json_decref(test->artifacts);
        vt_free(test);
    }
    vt_free(tests);
}

void vt__model_clear(struct vt__model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct vt__job *job = m->jobs[i];
        if (!job)
            continue;
        free_tests(job->tests, job->count);
        free_tests(job->problems, job->problem_count);
        vt_free(job->suite);
        vt_free(job->results);
        vt_free(job->outcome);
        vt_free(job->reason);
        vt_buf_free(&job->out);
        vt_buf_free(&job->err);
        json_decref(job->vms);
        vt_free(job);
    }
    vt_free(m->jobs);
    vt_free(m->run);
    vt_free(m->version);
    json_decref(m->host);
    *m = (struct vt__model){0};
}

/* ---- on what ---- */

static void add_fact(struct vt_buf *one, const json_t *facts, const char *key, const char *before)
{
    const char *value = vt_json_str(facts, key, NULL);
    if (value && *value)
        vt_buf_printf(one, "%s%s%s", one->len ? ", " : "", before, value);
}

void vt__vms_text(const json_t *vms, struct vt_buf *out)
{
    union {
        const json_t *from;
        json_t *to;
    } u = {.from = vms}; /* jansson's iterators know no const */
    const char *name;
    json_t *facts;
    size_t start = out->len;
    json_object_foreach(u.to, name, facts)
    {
        struct vt_buf one = VT_BUF_INIT;
        if (vt_json_bool(facts, "simulated", false))
            vt_buf_puts(&one, "simulated");
        else
            add_fact(&one, facts, "driver", "");
        if (vt_json_bool(facts, "fake", false)) /* a stand-in for the real hypervisor */
            vt_buf_puts(&one, " (fake)");
        add_fact(&one, facts, "accel", "");
        add_fact(&one, facts, "image", "image ");
        /* VMs of one kind are one entry */
        const char *seen = one.len ? strstr(vt_buf_str(out) + start, one.data) : "";
        bool whole = seen && (!*seen || seen[one.len] == ';' || !seen[one.len]);
        if (!whole && out->len - start < 500)
            vt_buf_printf(out, "%s%s", out->len > start ? "; " : "", one.data);
        vt_buf_free(&one);
    }
}
