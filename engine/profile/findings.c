#include "profile/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

const char *vt_severity_name(enum vt_severity severity)
{
    return severity == VT_NOTE ? "note" : severity == VT_WARNING ? "warning" : "error";
}

/* Profiles are made by others: what is shown of them is printable. */
static char *printable(const char *text)
{
    char *copy = vt_strdup(text);
    vt_text_printable(copy);
    return copy;
}

static char *format(const char *fmt, va_list ap) VT_PRINTF(1, 0);
static char *format(const char *fmt, va_list ap)
{
    struct vt_buf text = VT_BUF_INIT;
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    vt_buf_reserve(&text, n > 0 ? (size_t)n : 0);
    vsnprintf(text.data, (size_t)(n > 0 ? n : 0) + 1, fmt, again);
    va_end(again);
    vt_text_printable(text.data);
    text.len = strlen(text.data);
    return vt_buf_steal(&text);
}

struct vt_finding *vt_find(struct vt_findings *f, enum vt_rule_id rule, const struct vt_profile *p,
                           const char *path, plist_t node, const char *fmt, ...)
{
    if (f->n == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 16;
        f->v = vt_realloc(f->v, f->cap * sizeof *f->v);
    }
    struct vt_finding *finding = &f->v[f->n++];
    const struct vt_rule *is = vt_rule_at(rule);
    va_list ap;
    *finding = (struct vt_finding){.severity = is->severity, .rule = is->id};
    finding->file = vt_strdup(p->name);
    finding->path = printable(path);
    vt_plist_place(p->info.places, node, &finding->line, &finding->column);
    va_start(ap, fmt);
    finding->message = format(fmt, ap);
    va_end(ap);
    return finding;
}

void vt_find_hint(struct vt_finding *finding, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vt_free(finding->hint);
    finding->hint = format(fmt, ap);
    va_end(ap);
}

void vt_findings_unreadable(struct vt_findings *f, const char *file, const struct vt_error *why)
{
    const struct vt_profile none = {.name = vt_strdup(file)};
    const char *text = why->message;
    size_t n = strlen(file);
    unsigned line = 0, column = 0;
    int end = 0;
    if (!strncmp(text, file, n) && text[n] == ':') { /* as the reader of XML tells places */
        text += n + 1;
        if (sscanf(text, "%u:%u: %n", &line, &column, &end) == 2 && end)
            text += end;
        text += strspn(text, " ");
    }
    struct vt_finding *finding = vt_find(f, VT_RULE_UNREADABLE, &none, "", NULL, "%s", text);
    finding->line = end ? line : 0;
    finding->column = end ? column : 0;
    vt_free(none.name);
}

void vt_findings_cut(struct vt_findings *f, size_t n)
{
    while (f->n > n) {
        struct vt_finding *last = &f->v[--f->n];
        vt_free(last->file);
        vt_free(last->path);
        vt_free(last->message);
        vt_free(last->hint);
        vt_free(last->os);
    }
}

size_t vt_findings_count(const struct vt_findings *f, enum vt_severity at_least)
{
    size_t count = 0;
    for (size_t i = 0; i < f->n; i++)
        count += f->v[i].severity >= at_least;
    return count;
}

json_t *vt_findings_json(const struct vt_findings *f)
{
    json_t *all = json_array();
    for (size_t i = 0; i < f->n; i++) {
        const struct vt_finding *one = &f->v[i];
        json_t *object =
            json_pack("{s:s, s:s}", "rule", one->rule, "severity", vt_severity_name(one->severity));
        vt_json_set_text(object, "file", one->file, strlen(one->file));
        json_object_set_new(object, "path", json_string(one->path));
        json_object_set_new(object, "message", json_string(one->message));
        if (one->hint)
            json_object_set_new(object, "hint", json_string(one->hint));
        if (one->os)
            json_object_set_new(object, "os", json_string(one->os));
        if (one->line) {
            json_object_set_new(object, "line", json_integer(one->line));
            json_object_set_new(object, "column", json_integer(one->column));
        }
        json_array_append_new(all, object);
    }
    return all;
}

void vt_findings_free(struct vt_findings *f)
{
    vt_findings_cut(f, 0);
    vt_free(f->v);
    *f = (struct vt_findings){0};
}
