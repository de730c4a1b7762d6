#include "cli/profile_common.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "vmtest/run.h"

enum vt_code vt_profile_set_read(const struct vt_command *self, char **args,
                                 struct vt_profile_set *set, struct vt_findings *unreadable,
                                 struct vt_error *err)
{
    size_t n = 0;
    *set = (struct vt_profile_set){0};
    enum vt_code code = vt_profile_paths((const char *const *)args, &set->paths, err);
    if (code)
        return code;
    while (set->paths[n])
        n++;
    set->v = vt_calloc(n, sizeof(struct vt_profile *));
    for (size_t i = 0; i < n; i++) {
        struct vt_error why = VT_ERROR_INIT;
        if (!vt_profile_read(set->paths[i], &set->v[set->n], &why)) {
            set->n++;
            continue;
        }
        set->failed++;
        if (unreadable)
            vt_findings_unreadable(unreadable, set->paths[i], &why);
        else
            vt_cli_error(self, &why);
    }
    return VT_OK;
}

int vt_profile_exit(const struct vt_profile_set *set, const struct vt_findings *findings,
                    enum vt_severity fail_on)
{
    if (set->failed)
        return VT_EXIT_USAGE;
    return vt_findings_count(findings, fail_on) ? VT_EXIT_FAILED : VT_EXIT_OK;
}

void vt_profile_set_free(struct vt_profile_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        vt_profile_free(set->v[i]);
    vt_free(set->v);
    vt_profile_paths_free(set->paths);
    *set = (struct vt_profile_set){0};
}

void vt_profile_print(const struct vt_findings *findings)
{
    for (size_t i = 0; i < findings->n; i++) {
        const struct vt_finding *f = &findings->v[i];
        printf("%s:", f->file);
        if (f->line)
            printf("%u:%u:", f->line, f->column);
        printf(" %s: %s [%s]\n", vt_severity_name(f->severity), f->message, f->rule);
        if (f->path[0])
            printf("    at %s\n", f->path);
        if (f->hint)
            printf("    %s\n", f->hint);
    }
}

void vt_profile_summary(size_t files, const struct vt_findings *findings)
{
    size_t errors = vt_findings_count(findings, VT_FINDING_ERROR);
    size_t warnings = vt_findings_count(findings, VT_WARNING) - errors;
    size_t notes = findings->n - errors - warnings;
    fprintf(stderr, "%zu profile%s: %zu error%s, %zu warning%s, %zu note%s\n", files,
            files == 1 ? "" : "s", errors, errors == 1 ? "" : "s", warnings,
            warnings == 1 ? "" : "s", notes, notes == 1 ? "" : "s");
}

void vt_profile_print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    printf("\n");
    json_decref(value);
}

int vt_profile_failed(const struct vt_command *self, const struct vt_error *err)
{
    vt_cli_error(self, err);
    return VT_EXIT_USAGE;
}

bool vt_profile_fail_on(const struct vt_command *self, const char *text, enum vt_severity *out)
{
    static const char *const names[] = {"note", "warning", "error"};
    *out = VT_FINDING_ERROR;
    if (!text)
        return true;
    for (int i = VT_NOTE; i <= VT_FINDING_ERROR; i++)
        if (!strcmp(names[i], text)) {
            *out = (enum vt_severity)i;
            return true;
        }
    vt_cli_usage(self, "--fail-on takes error, warning or note, not \"%s\"", text);
    return false;
}

int vt_profile_check_run(const struct vt_command *self, char **args,
                         const struct vt_profile_check *how)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_profile_set set = {.n = 0};
    struct vt_findings findings = VT_FINDINGS_INIT;
    enum vt_severity fail_on;
    int code;
    if (!vt_profile_fail_on(self, how->fail_on, &fail_on))
        return VT_EXIT_USAGE;
    if (vt_profile_set_read(self, args, &set, NULL, &err)) {
        code = vt_profile_failed(self, &err);
    } else {
        how->check(&set, &findings, how->user);
        if (how->json)
            vt_profile_print_json(vt_findings_json(&findings));
        else
            vt_profile_print(&findings);
        vt_profile_summary(set.n, &findings);
        code = vt_profile_exit(&set, &findings, fail_on);
    }
    vt_findings_free(&findings);
    vt_profile_set_free(&set);
    return code;
}
