/* JUnit XML as Jenkins, GitLab and GitHub's actions read it. */
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/sys.h"
#include "core/text.h"
#include "report/model.h"

/* Appends UTF-8 text with what XML 1.0 does not allow replaced by U+FFFD, and markup escaped. In an
 * attribute line ends and tabs are written as references: a parser would make them blanks. */
static void escape(struct vt_buf *out, const char *text, size_t n, bool attribute)
{
    size_t from = 0;
    for (size_t i = 0, len; i < n; i += len) {
        unsigned char c = (unsigned char)text[i];
        const char *ref = NULL;
        len = 1;
        if (c == '&' || c == '<' || c == '>')
            ref = c == '&' ? "&amp;" : c == '<' ? "&lt;" : "&gt;";
        else if (c == '"' && attribute)
            ref = "&quot;";
        else if (c == '\r')
            ref = "&#13;";
        else if (c == '\n' || c == '\t')
            ref = !attribute ? NULL : c == '\n' ? "&#10;" : "&#9;";
        else if (c < 0x20)
            ref = "\xef\xbf\xbd";
        else if (c == 0xef && n - i >= 3 && !memcmp(text + i, "\xef\xbf", 2) &&
                 (unsigned char)text[i + 2] >= 0xbe) /* U+FFFE and U+FFFF */
            ref = "\xef\xbf\xbd", len = 3;
        if (!ref)
            continue;
        vt_buf_add(out, text + from, i - from);
        vt_buf_puts(out, ref);
        from = i + len;
    }
    vt_buf_add(out, text + from, n - from);
}

static void attribute(struct vt_buf *out, const char *name, const char *value)
{
    vt_buf_putc(out, ' ');
    vt_buf_puts(out, name);
    vt_buf_puts(out, "=\"");
    escape(out, value, strlen(value), true);
    vt_buf_putc(out, '"');
}

static void element(struct vt_buf *out, const char *indent, const char *name,
                    const struct vt_buf *text)
{
    if (!text->len)
        return;
    vt_buf_printf(out, "%s<%s>", indent, name);
    escape(out, text->data, text->len, false);
    vt_buf_printf(out, "</%s>\n", name);
}

struct sums {
    size_t tests, failures, errors, skipped;
};

static const char *kind_of(enum vt_outcome outcome)
{
    switch (outcome) {
    case VT_FAILED:
    case VT_XPASSED:
        return "failure";
    case VT_ERROR:
    case VT_TIMED_OUT:
        return "error";
    case VT_SKIPPED:
    case VT_XFAILED:
    case VT_NOT_RUN:
        return "skipped";
    default:
        return NULL;
    }
}

static void add_sums(struct sums *sums, const struct vt__job *job)
{
    for (size_t i = 0; i < vt__job_rows(job); i++) {
        const char *kind = kind_of(vt__job_row(job, i)->outcome);
        sums->tests++;
        sums->failures += kind && *kind == 'f';
        sums->errors += kind && *kind == 'e';
        sums->skipped += kind && *kind == 's';
    }
}

static void write_sums(struct vt_buf *out, const struct sums *sums, double seconds, double start)
{
    char when[40];
    vt_buf_printf(out,
                  " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" time=\"%.3f\"",
                  sums->tests, sums->failures, sums->errors, sums->skipped, seconds);
    vt_format_time(when, sizeof when, start);
    attribute(out, "timestamp", when);
}

static const char *label_of(enum vt_outcome outcome)
{
    return outcome == VT_XFAILED   ? "expected failure"
           : outcome == VT_XPASSED ? "passed, but was expected to fail"
           : outcome == VT_NOT_RUN ? "not run"
                                   : NULL;
}

static void write_outcome(struct vt_buf *out, const struct vt__test *test, const char *kind)
{
    const char *label = label_of(test->outcome);
    const char *text = test->message ? test->message : test->reason ? test->reason : "";
    const char *first = test->outcome == VT_FAILED || test->outcome == VT_ERROR ? text
                        : test->reason                                          ? test->reason
                                                                                : text;
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "%s%s", label ? label : "", label && *first ? ": " : "");
    size_t n = strcspn(first, "\n");
    vt_buf_add(&line, first, vt_utf8_prefix(first, n < 500 ? n : 500));
    vt_buf_printf(out, "      <%s", kind);
    if (line.len)
        attribute(out, "message", line.data);
    vt_buf_free(&line);
    if (*kind != 's')
        attribute(out, "type", vt_outcome_name(test->outcome));
    if (!*text && !test->trace) {
        vt_buf_puts(out, "/>\n");
        return;
    }
    vt_buf_putc(out, '>');
    escape(out, text, strlen(text), false);
    if (test->trace) {
        vt_buf_puts(out, *text ? "\n\n" : "");
        escape(out, test->trace, strlen(test->trace), false);
    }
    vt_buf_printf(out, "</%s>\n", kind);
}

/* What it printed, and what it left to look at, as the CI systems' attachment lines. */
static void write_system_out(struct vt_buf *out, const struct vt__test *test)
{
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_add(&text, test->out.data, test->out.len);
    for (size_t i = 0; i < json_array_size(test->artifacts); i++)
        vt_buf_printf(&text, "%s[[ATTACHMENT|%s]]\n",
                      text.len && text.data[text.len - 1] != '\n' ? "\n" : "",
                      json_string_value(json_array_get(test->artifacts, i)));
    element(out, "      ", "system-out", &text);
    vt_buf_free(&text);
}

static void write_test(struct vt_buf *out, const struct vt__job *job, const struct vt__test *test)
{
    vt_buf_puts(out, "    <testcase");
    vt_buf_puts(out, " classname=\"");
    escape(out, job->suite, strlen(job->suite), true);
    if (test->cls) {
        vt_buf_putc(out, '.');
        escape(out, test->cls, strlen(test->cls), true);
    }
    vt_buf_putc(out, '"');
    attribute(out, "name", test->name);
    vt_buf_puts(out, " time=\"");
    vt_buf_thousandths(out, test->duration);
    vt_buf_putc(out, '"');
    if (test->file)
        attribute(out, "file", test->file);
    if (test->line > 0) {
        vt_buf_puts(out, " line=\"");
        vt_buf_uint(out, (uint64_t)test->line);
        vt_buf_putc(out, '"');
    }
    const char *kind = kind_of(test->outcome);
    if (!kind && !test->out.len && !test->err.len && !test->earlier_count && !test->artifacts) {
        vt_buf_puts(out, "/>\n");
        return;
    }
    vt_buf_puts(out, ">\n");
    if (kind)
        write_outcome(out, test, kind);
    for (size_t i = 0; !kind && i < test->earlier_count; i++) {
        const struct vt__attempt *attempt = &test->earlier[i];
        if (!vt_outcome_is_failure(attempt->outcome))
            continue;
        vt_buf_puts(out, "      <flakyFailure");
        attribute(out, "message", attempt->message ? attempt->message : "");
        attribute(out, "type", vt_outcome_name(attempt->outcome));
        vt_buf_puts(out, "/>\n");
    }
    write_system_out(out, test);
    element(out, "      ", "system-err", &test->err);
    vt_buf_puts(out, "    </testcase>\n");
}

static void property(struct vt_buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    vt_buf_puts(out, "      <property");
    attribute(out, "name", name);
    attribute(out, "value", value);
    vt_buf_puts(out, "/>\n");
}

static void write_properties(struct vt_buf *out, const struct vt__model *m,
                             const struct vt__job *job)
{
    static const char *const facts[] = {"driver", "accel", "hypervisor", "image", "state"};
    vt_buf_puts(out, "    <properties>\n");
    property(out, "vmtest.version", m->version);
    property(out, "vmtest.run", m->run);
    property(out, "vmtest.outcome", job->outcome);
    property(out, "vmtest.reason", job->reason);
    if (m->dry_run)
        property(out, "vmtest.dry_run", "true");
    const char *name;
    json_t *vm;
    json_object_foreach(job->vms, name, vm)
    {
        struct vt_buf key = VT_BUF_INIT;
        for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
            vt_buf_clear(&key);
            vt_buf_printf(&key, "vm.%s.%s", name, facts[i]);
            property(out, key.data, vt_json_str(vm, facts[i], NULL));
        }
        vt_buf_clear(&key);
        vt_buf_printf(&key, "vm.%s.simulated", name);
        if (vt_json_bool(vm, "simulated", false))
            property(out, key.data, "true");
        vt_buf_free(&key);
    }
    vt_buf_puts(out, "    </properties>\n");
}

void vt__report_junit(const struct vt__model *m, struct vt_buf *out)
{
    struct sums all = {0};
    for (size_t i = 0; i < m->count; i++)
        add_sums(&all, m->jobs[i]);
    vt_buf_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"vmtest\"");
    write_sums(out, &all, m->duration, m->start);
    vt_buf_puts(out, ">\n");
    for (size_t i = 0; i < m->count; i++) {
        const struct vt__job *job = m->jobs[i];
        struct sums sums = {0};
        add_sums(&sums, job);
        vt_buf_puts(out, "  <testsuite");
        attribute(out, "name", job->suite);
        vt_buf_printf(out, " id=\"%zu\"", i);
        write_sums(out, &sums, job->duration, job->start > 0 ? job->start : m->start);
        attribute(out, "hostname", vt_json_str(m->host, "name", "localhost"));
        vt_buf_puts(out, ">\n");
        write_properties(out, m, job);
        for (size_t k = 0; k < vt__job_rows(job); k++)
            write_test(out, job, vt__job_row(job, k));
        element(out, "    ", "system-out", &job->out);
        element(out, "    ", "system-err", &job->err);
        vt_buf_puts(out, "  </testsuite>\n");
    }
    vt_buf_puts(out, "</testsuites>\n");
}
