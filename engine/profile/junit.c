/* Findings as JUnit XML: a test case per profile, failed where there is an error. */
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/text.h"
#include "vmtest/profile.h"

/* XML, in an attribute or an element; what is no UTF-8 becomes U+FFFD. */
static void escape(struct vt_buf *out, const char *text)
{
    struct vt_buf valid = VT_BUF_INIT;
    vt_utf8_append(&valid, text, strlen(text));
    for (const char *c = vt_buf_str(&valid); *c; c++) {
        const char *ref = *c == '&'   ? "&amp;"
                          : *c == '<' ? "&lt;"
                          : *c == '>' ? "&gt;"
                          : *c == '"' ? "&quot;"
                                      : NULL;
        if (ref)
            vt_buf_puts(out, ref);
        else
            vt_buf_putc(out, (unsigned char)*c < 0x20 && *c != '\n' ? '?' : *c);
    }
    vt_buf_free(&valid);
}

static void put_findings(struct vt_buf *out, const struct vt_findings *f, const char *file,
                         bool errors)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct vt_finding *one = &f->v[i];
        if (strcmp(one->file, file) != 0 || (one->severity == VT_FINDING_ERROR) != errors)
            continue;
        if (one->line)
            vt_buf_printf(out, "%u:%u: ", one->line, one->column);
        vt_buf_printf(out, "%s: ", vt_severity_name(one->severity));
        escape(out, one->message);
        vt_buf_printf(out, " [%s] ", one->rule);
        escape(out, one->path);
        vt_buf_putc(out, '\n');
    }
}

static size_t errors_of(const struct vt_findings *f, const char *file)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        n += f->v[i].severity == VT_FINDING_ERROR && !strcmp(f->v[i].file, file);
    return n;
}

static void put_case(struct vt_buf *out, const struct vt_findings *f, const char *file)
{
    struct vt_buf rest = VT_BUF_INIT;
    size_t errors = errors_of(f, file);
    vt_buf_puts(out, "    <testcase classname=\"vmtest.profile.lint\" name=\"");
    escape(out, file);
    vt_buf_puts(out, "\">\n");
    if (errors) {
        vt_buf_printf(out, "      <failure message=\"%zu error%s\">", errors,
                      errors == 1 ? "" : "s");
        put_findings(out, f, file, true);
        vt_buf_puts(out, "</failure>\n");
    }
    put_findings(&rest, f, file, false);
    if (rest.len)
        vt_buf_printf(out, "      <system-out>%s</system-out>\n", rest.data);
    vt_buf_puts(out, "    </testcase>\n");
    vt_buf_free(&rest);
}

char *vt_findings_junit(const struct vt_findings *f, const char *const *files)
{
    struct vt_buf cases = VT_BUF_INIT, out = VT_BUF_INIT;
    size_t n = 0, failed = 0;
    for (; files[n]; n++) {
        const char *file = strcmp(files[n], "-") != 0 ? files[n] : "<stdin>";
        failed += errors_of(f, file) > 0;
        put_case(&cases, f, file);
    }
    vt_buf_printf(&out,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<testsuites tests=\"%zu\" failures=\"%zu\">\n"
                  "  <testsuite name=\"vmtest profile lint\" tests=\"%zu\" failures=\"%zu\" "
                  "errors=\"0\" skipped=\"0\">\n%s  </testsuite>\n</testsuites>\n",
                  n, failed, n, failed, vt_buf_str(&cases));
    vt_buf_free(&cases);
    return vt_buf_steal(&out);
}
