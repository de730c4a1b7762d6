/* Findings as SARIF 2.1.0 (OASIS), as GitHub's code scanning and editors read it. */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "profile/findings.h"

static bool is_used(const struct vt_findings *f, const char *rule)
{
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->v[i].rule, rule))
            return true;
    return false;
}

/* The rules that were found; *index gets each one's place, by its number. */
static json_t *rules(const struct vt_findings *f, int *index)
{
    json_t *all = json_array();
    for (size_t i = 0; i < VT_RULE_COUNT_; i++) {
        const struct vt_rule *rule = vt_rule_at(i);
        index[i] = (int)json_array_size(all);
        if (is_used(f, rule->id))
            json_array_append_new(all, json_pack("{s:s, s:{s:s}, s:{s:s}}", "id", rule->id,
                                                 "shortDescription", "text", rule->text,
                                                 "defaultConfiguration", "level",
                                                 vt_severity_name(rule->severity)));
    }
    return all;
}

static int index_of(const char *rule, const int *index)
{
    for (size_t i = 0; i < VT_RULE_COUNT_; i++)
        if (!strcmp(vt_rule_at(i)->id, rule))
            return index[i];
    return -1;
}

/* A path as a URI reference: everything but unreserved characters and slashes is escaped. */
static json_t *uri(const char *path)
{
    struct vt_buf out = VT_BUF_INIT;
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    if (*path == '/')
        vt_buf_puts(&out, "file://");
    for (; *path; path++)
        if (strchr(plain, *path))
            vt_buf_putc(&out, *path);
        else
            vt_buf_printf(&out, "%%%02X", (unsigned char)*path);
    json_t *value = json_string(vt_buf_str(&out));
    vt_buf_free(&out);
    return value;
}

static json_t *result(const struct vt_finding *one, const int *index)
{
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "%s%s%s", one->message, one->hint ? "; " : "", one->hint ? one->hint : "");
    json_t *place = json_pack("{s:{s:o}}", "artifactLocation", "uri", uri(one->file));
    if (one->line)
        json_object_set_new(
            place, "region",
            json_pack("{s:i, s:i}", "startLine", (int)one->line, "startColumn", (int)one->column));
    json_t *location = json_pack("{s:o}", "physicalLocation", place);
    if (one->path[0])
        json_object_set_new(location, "logicalLocations",
                            json_pack("[{s:s}]", "fullyQualifiedName", one->path));
    json_t *object = json_pack("{s:s, s:i, s:s, s:{s:s}, s:[o]}", "ruleId", one->rule, "ruleIndex",
                               index_of(one->rule, index), "level", vt_severity_name(one->severity),
                               "message", "text", vt_buf_str(&text), "locations", location);
    vt_buf_free(&text);
    return object;
}

char *vt_findings_sarif(const struct vt_findings *f)
{
    int index[VT_RULE_COUNT_];
    json_t *results = json_array(), *known = rules(f, index);
    for (size_t i = 0; i < f->n; i++)
        json_array_append_new(results, result(&f->v[i], index));
    json_t *all = json_pack("{s:s, s:s, s:[{s:{s:{s:s, s:s, s:o}}, s:o}]}", "$schema",
                            "https://json.schemastore.org/sarif-2.1.0.json", "version", "2.1.0",
                            "runs", "tool", "driver", "name", "vmtest", "version", VT_VERSION,
                            "rules", known, "results", results);
    char *text = json_dumps(all, JSON_INDENT(2));
    struct vt_buf out = VT_BUF_INIT;
    vt_buf_puts(&out, text ? text : "");
    vt_buf_puts(&out, "\n");
    free(text);
    json_decref(all);
    return vt_buf_steal(&out);
}
