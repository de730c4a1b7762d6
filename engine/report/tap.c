/* TAP version 14, with YAML diagnostics. */
#include <string.h>

#include "report/model.h"

/* One line: line ends become blanks; '#' and '\' are escaped, since they mean something there. */
static void description(struct vt_buf *out, const char *text)
{
    const char *from = text;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool marks = c == '#' || c == '\\', control = c < 0x20 || c == 0x7f;
        if (!marks && !control)
            continue;
        vt_buf_add(out, from, (size_t)(text - from));
        vt_buf_putc(out, marks ? '\\' : ' ');
        from = text + control;
    }
    vt_buf_add(out, from, (size_t)(text - from));
}

/* Characters that YAML allows and that end no line there. */
static void yaml_char(struct vt_buf *out, const char *text, size_t *i)
{
    const unsigned char *c = (const unsigned char *)text + *i;
    bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;
    bool line = c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9);
    bool none = c[0] == 0xef && ((c[1] == 0xbb && c[2] == 0xbf) || (c[1] == 0xbf && c[2] >= 0xbe));
    if ((c[0] < 0x20 && c[0] != '\t') || c[0] == 0x7f || c1 || line || none) {
        vt_buf_puts(out, "\xef\xbf\xbd");
        *i += c1 ? 2 : line || none ? 3 : 1;
        return;
    }
    vt_buf_putc(out, (char)c[0]);
    ++*i;
}

/* A member as a literal block: every line of it indented, nothing of it is markup. */
static void yaml_text(struct vt_buf *out, const char *key, const char *text)
{
    if (!text)
        return;
    size_t n = strlen(text);
    while (n && text[n - 1] == '\n')
        n--;
    vt_buf_printf(out, "  %s: |2-\n    ", key);
    for (size_t i = 0; i < n;) {
        if (text[i] == '\n') {
            vt_buf_puts(out, "\n    ");
            i++;
        } else if (text[i] == '\r' && text[i + 1] == '\n') {
            i++;
        } else {
            yaml_char(out, text, &i);
        }
    }
    vt_buf_putc(out, '\n');
}

static void diagnostics(struct vt_buf *out, const struct vt__test *test)
{
    vt_buf_printf(out, "  ---\n  outcome: %s\n", vt_outcome_name(test->outcome));
    vt_buf_printf(out, "  duration_ms: %.0f\n", test->duration * 1000);
    yaml_text(out, "message", test->message);
    yaml_text(out, "trace", test->trace);
    yaml_text(out, "reason", test->reason);
    if (test->file) {
        vt_buf_puts(out, "  at:\n    file: |2-\n      ");
        for (size_t i = 0; test->file[i];)
            yaml_char(out, test->file, &i);
        vt_buf_printf(out, "\n    line: %lld\n", (long long)test->line);
    }
    vt_buf_puts(out, "  ...\n");
}

static void directive(struct vt_buf *out, const char *word, const char *label, const char *reason)
{
    vt_buf_printf(out, " # %s %s", word, label);
    if (reason) {
        vt_buf_puts(out, *label ? ": " : "");
        description(out, reason);
    }
}

static void write_test(struct vt_buf *out, size_t number, const struct vt__job *job,
                       const struct vt__test *test)
{
    bool good = !vt_outcome_is_failure(test->outcome) && test->outcome != VT_XFAILED;
    bool skipped = test->outcome == VT_SKIPPED || test->outcome == VT_NOT_RUN;
    vt_buf_puts(out, good || skipped ? "ok " : "not ok ");
    vt_buf_uint(out, number);
    vt_buf_puts(out, " - ");
    description(out, job->suite);
    vt_buf_puts(out, ": ");
    if (test->cls) {
        description(out, test->cls);
        vt_buf_putc(out, '.');
    }
    description(out, test->name);
    if (test->outcome == VT_SKIPPED)
        directive(out, "SKIP", "", test->reason ? test->reason : test->message);
    else if (test->outcome == VT_NOT_RUN)
        directive(out, "SKIP", "not run", test->reason);
    else if (test->outcome == VT_XFAILED)
        directive(out, "TODO", "", test->reason);
    vt_buf_putc(out, '\n');
    if (!good && !skipped)
        diagnostics(out, test);
    if (vt__test_is_flaky(test))
        vt_buf_printf(out, "# flaky: passed at attempt %zu\n", test->earlier_count + 1);
}

void vt__report_tap(const struct vt__model *m, struct vt_buf *out)
{
    size_t total = 0, number = 0;
    for (size_t i = 0; i < m->count; i++)
        total += vt__job_rows(m->jobs[i]);
    vt_buf_printf(out, "TAP version 14\n1..%zu\n", total);
    const struct vt__job *crashed = NULL;
    for (size_t i = 0; i < m->count; i++) {
        const struct vt__job *job = m->jobs[i];
        struct vt_buf on = VT_BUF_INIT;
        vt__vms_text(job->vms, &on);
        if (on.len) {
            vt_buf_puts(out, "# ");
            description(out, job->suite);
            vt_buf_puts(out, " ran on ");
            description(out, on.data);
            vt_buf_putc(out, '\n');
        }
        vt_buf_free(&on);
        for (size_t k = 0; k < vt__job_rows(job); k++)
            write_test(out, ++number, job, vt__job_row(job, k));
        bool broken =
            (job->outcome && !strcmp(job->outcome, "crashed")) || (job->started && !job->ended);
        if (broken && !crashed)
            crashed = job;
    }
    if (!crashed)
        return;
    /* last of all: a reader ends there */
    vt_buf_puts(out, "Bail out! ");
    description(out, crashed->suite);
    vt_buf_puts(out, ": ");
    description(out, crashed->reason ? crashed->reason : "the run ended before this suite did");
    vt_buf_putc(out, '\n');
}
