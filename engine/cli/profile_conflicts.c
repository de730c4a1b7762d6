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

static void check(const struct vt_profile_set *set, struct vt_findings *findings, void *user)
{
    vt_profile_conflicts(set->v, set->n, user, findings);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_facts *facts = NULL;
    if (vt_facts_open(values[SCHEMA], &facts, &err))
        return vt_profile_failed(self, &err);
    const struct vt_profile_check how = {
        .fail_on = values[FAIL_ON], .json = values[JSON] != NULL, .check = check, .user = facts};
    int code = vt_profile_check_run(self, args, &how);
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
