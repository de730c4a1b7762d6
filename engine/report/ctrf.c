/* CTRF (Common Test Report Format, ctrf.io), a JSON of fixed members: what is ours alone stands
 * under "extra". */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "report/model.h"

#define SPEC_VERSION "0.0.0"

static const char *status_of(enum vt_outcome outcome)
{
    static const char *const names[VT_OUTCOME_COUNT_] = {
        [VT_PASSED] = "passed",    [VT_FAILED] = "failed",   [VT_ERROR] = "failed",
        [VT_SKIPPED] = "skipped",  [VT_XFAILED] = "other",   [VT_XPASSED] = "failed",
        [VT_TIMED_OUT] = "failed", [VT_NOT_RUN] = "pending",
    };
    return names[outcome];
}

static json_t *milliseconds(double seconds)
{
    return json_integer((json_int_t)(seconds * 1000 + 0.5));
}

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text)
        vt_json_set_text(object, key, text, strlen(text));
}

/* A list of lines, as CTRF has output. */
static void set_lines(json_t *object, const char *key, const struct vt_buf *text)
{
    if (!text->len)
        return;
    json_t *lines = json_array();
    const char *p = text->data, *end = text->data + text->len;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t n = newline ? (size_t)(newline - p) : (size_t)(end - p);
        json_array_append_new(lines, json_stringn(p, n));
        p += n + 1;
    }
    json_object_set_new(object, key, lines);
}

/* --- tests: there may be very many, so that their text is written at once, without a tree --- */

static void quote(struct vt_buf *out, const char *text, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    size_t from = 0;
    vt_buf_putc(out, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        vt_buf_add(out, text + from, i - from);
        from = i + 1;
        if (c == '\n') {
            vt_buf_puts(out, "\\n");
        } else if (c >= 0x20) {
            const char escape[] = {'\\', (char)c};
            vt_buf_add(out, escape, sizeof escape);
        } else {
            const char escape[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            vt_buf_add(out, escape, sizeof escape);
        }
    }
    vt_buf_add(out, text + from, n - from);
    vt_buf_putc(out, '"');
}

/* The key of a member that is not its object's first. */
static inline void next(struct vt_buf *out, const char *key)
{
    vt_buf_puts(out, ", \"");
    vt_buf_puts(out, key);
    vt_buf_puts(out, "\": ");
}

static void next_text(struct vt_buf *out, const char *key, const char *text)
{
    if (!text)
        return;
    next(out, key);
    quote(out, text, strlen(text));
}

static void next_uint(struct vt_buf *out, const char *key, uint64_t value)
{
    next(out, key);
    vt_buf_uint(out, value);
}

static void next_ms(struct vt_buf *out, const char *key, double seconds)
{
    next_uint(out, key, (uint64_t)(seconds * 1000 + 0.5));
}

static void next_lines(struct vt_buf *out, const char *key, const struct vt_buf *text)
{
    if (!text->len)
        return;
    next(out, key);
    vt_buf_putc(out, '[');
    const char *p = text->data, *end = text->data + text->len;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t n = newline ? (size_t)(newline - p) : (size_t)(end - p);
        vt_buf_puts(out, p > text->data ? ", " : "");
        quote(out, p, n);
        p += n + 1;
    }
    vt_buf_putc(out, ']');
}

static void next_attempts(struct vt_buf *out, const struct vt__test *test)
{
    if (!test->earlier_count)
        return;
    next_uint(out, "retries", test->earlier_count);
    next(out, "retryAttempts");
    for (size_t i = 0; i < test->earlier_count; i++) {
        const struct vt__attempt *a = &test->earlier[i];
        vt_buf_puts(out, i ? ", {\"attempt\": " : "[{\"attempt\": ");
        vt_buf_uint(out, i + 1);
        next_text(out, "status", status_of(a->outcome));
        next_ms(out, "duration", a->duration);
        next_text(out, "message", a->message);
        vt_buf_putc(out, '}');
    }
    vt_buf_putc(out, ']');
    next(out, "flaky");
    vt_buf_puts(out, vt__test_is_flaky(test) ? "true" : "false");
}

static void next_tags(struct vt_buf *out, const struct vt__test *test)
{
    size_t i;
    json_t *tag;
    bool any = false;
    if (!test->tags)
        return;
    next(out, "tags");
    vt_buf_putc(out, '[');
    json_array_foreach(test->tags, i, tag)
    {
        if (!json_is_string(tag))
            continue;
        vt_buf_puts(out, any ? ", " : "");
        quote(out, json_string_value(tag), json_string_length(tag));
        any = true;
    }
    vt_buf_putc(out, ']');
}

static const char *media_type(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && !strcmp(dot, ".png") ? "image/png" : "text/plain";
}

static void next_attachments(struct vt_buf *out, const struct vt__test *test)
{
    if (!test->artifacts)
        return;
    next(out, "attachments");
    for (size_t i = 0; i < json_array_size(test->artifacts); i++) {
        const char *path = json_string_value(json_array_get(test->artifacts, i));
        const char *name = strrchr(path, '/');
        name = name ? name + 1 : path;
        vt_buf_puts(out, i ? ", {\"name\": " : "[{\"name\": ");
        quote(out, name, strlen(name));
        next_text(out, "contentType", media_type(path));
        next_text(out, "path", path);
        vt_buf_putc(out, '}');
    }
    vt_buf_putc(out, ']');
}

/* What is ours alone. */
static void next_extra(struct vt_buf *out, const struct vt__test *test)
{
    if (!test->reason && !test->problem)
        return;
    next(out, "extra");
    vt_buf_puts(out, test->problem ? "{\"problem\": true" : "{\"reason\": ");
    if (test->problem)
        next_text(out, "reason", test->reason);
    else
        quote(out, test->reason, strlen(test->reason));
    vt_buf_putc(out, '}');
}

static void write_test(struct vt_buf *out, const struct vt__job *job, const struct vt__test *test)
{
    vt_buf_puts(out, "{\"name\": ");
    quote(out, test->name, strlen(test->name));
    next_text(out, "status", status_of(test->outcome));
    next_text(out, "rawStatus", vt_outcome_name(test->outcome));
    next_ms(out, "duration", test->duration);
    if (test->start > 0) {
        next_ms(out, "start", test->start);
        next_ms(out, "stop", test->start + test->duration);
    }
    next(out, "suite");
    vt_buf_putc(out, '[');
    quote(out, job->suite, strlen(job->suite));
    if (test->cls) {
        vt_buf_puts(out, ", ");
        quote(out, test->cls, strlen(test->cls));
    }
    vt_buf_putc(out, ']');
    next_text(out, "message", test->message ? test->message : test->reason);
    next_text(out, "trace", test->trace);
    next_text(out, "filePath", test->file);
    if (test->line > 0)
        next_uint(out, "line", (uint64_t)test->line);
    next_tags(out, test);
    next_attempts(out, test);
    next_lines(out, "stdout", &test->out);
    next_lines(out, "stderr", &test->err);
    next_attachments(out, test);
    next_extra(out, test);
    vt_buf_putc(out, '}');
}

/* --- what stands there once --- */

static json_t *job_of(const struct vt__job *job)
{
    json_t *one = json_pack("{s:I, s:o, s:O}", "job", (json_int_t)job->number, "duration",
                            milliseconds(job->duration), "vms", job->vms);
    set_text(one, "suite", job->suite);
    set_text(one, "outcome", job->outcome);
    set_text(one, "reason", job->reason);
    set_lines(one, "stdout", &job->out);
    set_lines(one, "stderr", &job->err);
    return one;
}

static json_t *summary_of(const struct vt__model *m)
{
    const size_t *c = m->counts;
    size_t failed = c[VT_FAILED] + c[VT_ERROR] + c[VT_XPASSED] + c[VT_TIMED_OUT] + m->problems;
    size_t all = m->problems;
    for (int i = 0; i < VT_OUTCOME_COUNT_; i++)
        all += c[i];
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "tests",
                     (json_int_t)all, "passed", (json_int_t)c[VT_PASSED], "failed",
                     (json_int_t)failed, "skipped", (json_int_t)c[VT_SKIPPED], "pending",
                     (json_int_t)c[VT_NOT_RUN], "other", (json_int_t)c[VT_XFAILED], "flaky",
                     (json_int_t)m->flaky, "suites", (json_int_t)m->count, "start",
                     milliseconds(m->start), "stop", milliseconds(m->start + m->duration),
                     "duration", milliseconds(m->duration));
}

static json_t *environment_of(const struct vt__model *m)
{
    json_t *environment = json_object(), *extra = json_object(), *jobs = json_array();
    set_text(environment, "osPlatform", vt_json_str(m->host, "os", NULL));
    set_text(environment, "osRelease", vt_json_str(m->host, "release", NULL));
    for (size_t i = 0; i < m->count; i++)
        json_array_append_new(jobs, job_of(m->jobs[i]));
    json_object_set_new(extra, "jobs", jobs);
    set_text(extra, "run", m->run);
    json_object_set_new(extra, "dryRun", json_boolean(m->dry_run));
    json_object_set_new(extra, "interrupted", json_boolean(m->interrupted || !m->ended));
    if (m->host)
        json_object_set(extra, "host", m->host);
    json_object_set_new(environment, "extra", extra);
    return environment;
}

static int append(const char *text, size_t n, void *user)
{
    vt_buf_add(user, text, n);
    return 0;
}

/* A member of "results" that is made as a tree (taken over). */
static void write_tree(struct vt_buf *out, const char *key, json_t *tree)
{
    vt_buf_printf(out, "\"%s\": ", key);
    json_dump_callback(tree, append, out, JSON_INDENT(1));
    vt_buf_puts(out, ",\n");
    json_decref(tree);
}

void vt__report_ctrf(const struct vt__model *m, struct vt_buf *out)
{
    json_t *tool = json_pack("{s:s}", "name", "vmtest");
    set_text(tool, "version", m->version);
    vt_buf_puts(out, "{\"reportFormat\": \"CTRF\", \"specVersion\": \"" SPEC_VERSION
                     "\", \"generatedBy\": \"vmtest\",\n\"results\": {\n");
    write_tree(out, "tool", tool);
    write_tree(out, "summary", summary_of(m));
    write_tree(out, "environment", environment_of(m));
    vt_buf_puts(out, "\"tests\": [");
    const char *between = "\n";
    for (size_t i = 0; i < m->count; i++) {
        for (size_t k = 0; k < vt__job_rows(m->jobs[i]); k++) {
            vt_buf_puts(out, between);
            write_test(out, m->jobs[i], vt__job_row(m->jobs[i], k));
            between = ",\n";
        }
    }
    vt_buf_puts(out, "\n]}}\n");
}
