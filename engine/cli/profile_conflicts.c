/* vmtest profile conflicts FILE... */
#include "cli/profile_common.h"
#include "vmtest/run.h"

enum { SCHEMA, FAIL_ON, JSON };

static const struct vt_option options[] = {
    [SCHEMA] = {0, "schema", "DIR", "facts of this schema, as for `vmtest profile lint`"},
    [FAIL_ON] = {0, "fail-on", "SEVERITY",
                 "exit 1 from this on: error (the default), warning, note"},
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of lines"},
    {0},
};

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_profile_set set = {.n = 0};
    struct vt_findings findings = VT_FINDINGS_INIT;
    struct vt_facts *facts = NULL;
    enum vt_severity fail_on;
    int code;
    if (!vt_profile_fail_on(self, values[FAIL_ON], &fail_on))
        return VT_EXIT_USAGE;
    if (vt_facts_open(values[SCHEMA], &facts, &err) ||
        vt_profile_set_read(self, args, &set, NULL, &err)) {
        code = vt_profile_failed(self, &err);
    } else {
        vt_profile_conflicts(set.v, set.n, facts, &findings);
        if (values[JSON])
            vt_profile_print_json(vt_findings_json(&findings));
        else
            vt_profile_print(&findings);
        vt_profile_summary(set.n, &findings);
        code = vt_profile_exit(&set, &findings, fail_on);
    }
    vt_findings_free(&findings);
    vt_profile_set_free(&set);
    vt_facts_free(facts);
    return code;
}

const struct vt_command vt_cmd_profile_conflicts = {
    .name = "profile conflicts",
    .args = "FILE...",
    .summary = "finds what configuration profiles contradict each other in",
    .details = "FILE is as for `vmtest profile lint`. Exit: 0 nothing, 1 errors found, 2 wrong "
               "usage or a\n"
               "file that cannot be read.",
    .example = "vmtest profile conflicts baseline.mobileconfig wifi.mobileconfig\n"
               "vmtest profile conflicts --json profiles",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
