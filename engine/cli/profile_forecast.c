/* vmtest profile forecast --to DIR FILE... */
#include "cli/profile_common.h"
#include "vmtest/run.h"

enum { FROM, TO, FAIL_ON, JSON };

static const struct vt_option options[] = {
    [FROM] = {0, "from", "SCHEMA",
              "the schema of today: 15.1 (the default), a table or a checkout"},
    [TO] = {0, "to", "DIR", "the schema to come: a checkout, as of a beta, or a table"},
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
    struct vt_facts *from = NULL, *to = NULL;
    enum vt_severity fail_on;
    int code;
    if (!values[TO])
        return vt_cli_usage(self, "--to is missing: the schema to come");
    if (!vt_profile_fail_on(self, values[FAIL_ON], &fail_on))
        return VT_EXIT_USAGE;
    if (vt_facts_open(values[FROM], &from, &err) || vt_facts_open(values[TO], &to, &err) ||
        vt_profile_set_read(self, args, &set, NULL, &err)) {
        code = vt_profile_failed(self, &err);
    } else {
        for (size_t i = 0; i < set.n; i++)
            vt_profile_forecast(set.v[i], from, to, &findings);
        if (values[JSON])
            vt_profile_print_json(vt_findings_json(&findings));
        else
            vt_profile_print(&findings);
        vt_profile_summary(set.n, &findings);
        code = vt_profile_exit(&set, &findings, fail_on);
    }
    vt_findings_free(&findings);
    vt_profile_set_free(&set);
    vt_facts_free(from);
    vt_facts_free(to);
    return code;
}

const struct vt_command vt_cmd_profile_forecast = {
    .name = "profile forecast",
    .args = "FILE...",
    .summary = "lists what a newer schema changes for configuration profiles",
    .details =
        "What a beta's schema deprecates, removes, changes or adds for what is in these profiles.\n"
        "Exit: 0 nothing, 1 errors found, 2 wrong usage or a file that cannot be read.",
    .example = "vmtest profile forecast --from 15.1 --to device-management profiles",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
