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

struct schemas {
    struct vt_facts *from, *to;
};

static void check(const struct vt_profile_set *set, struct vt_findings *findings, void *user)
{
    const struct schemas *schemas = user;
    for (size_t i = 0; i < set->n; i++)
        vt_profile_forecast(set->v[i], schemas->from, schemas->to, findings);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct schemas schemas = {NULL, NULL};
    int code;
    if (!values[TO])
        return vt_cli_usage(self, "--to is missing: the schema to come");
    if (vt_facts_open(values[FROM], &schemas.from, &err) ||
        vt_facts_open(values[TO], &schemas.to, &err)) {
        code = vt_profile_failed(self, &err);
    } else {
        const struct vt_profile_check how = {.fail_on = values[FAIL_ON],
                                             .json = values[JSON] != NULL,
                                             .check = check,
                                             .user = &schemas};
        code = vt_profile_check_run(self, args, &how);
    }
    vt_facts_free(schemas.from);
    vt_facts_free(schemas.to);
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
