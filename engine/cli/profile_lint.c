/* vmtest profile lint FILE... */
#include <stdio.h>
#include <string.h>

#include "cli/profile_common.h"
#include "core/mem.h"
#include "profile/facts.h"
#include "vmtest/run.h"

enum { OS, SCHEMA, FAIL_ON, JSON, SARIF, JUNIT };

static const struct vt_option options[] = {
    [OS] = {0, "os", "VERSIONS", "versions of macOS to check for: 15.1,27.0 (default: 15.1)"},
    [SCHEMA] = {0, "schema", "DIR",
                "facts of this checkout of apple/device-management, or a table made of one"},
    [FAIL_ON] = {0, "fail-on", "SEVERITY",
                 "exit 1 from this on: error (the default), warning, note"},
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of lines"},
    [SARIF] = {0, "sarif", NULL, "SARIF 2.1.0 instead of lines"},
    [JUNIT] = {0, "junit", NULL, "JUnit XML instead of lines: a test case per profile"},
    {0},
};

/* A table knows nothing of what came after it. */
static void tell_unknown(const char *versions, const struct vt_facts *facts)
{
    const char *name = vt_facts_name(facts);
    for (const char *v = versions; v && vt_version_valid(name); v = strchr(v, ',')) {
        v += *v == ',';
        if (vt_version_compare(v, name) > 0) {
            fprintf(stderr,
                    "the facts are those of macOS %s: what later versions change is not known;\n"
                    "  --schema takes a newer checkout of apple/device-management\n",
                    name);
            return;
        }
    }
}

static void print(const char *const *values, const struct vt_profile_set *set,
                  const struct vt_findings *findings)
{
    char *text = NULL;
    if (values[JSON])
        vt_profile_print_json(vt_findings_json(findings));
    else if (values[SARIF])
        text = vt_findings_sarif(findings);
    else if (values[JUNIT])
        text = vt_findings_junit(findings, (const char *const *)set->paths);
    else
        vt_profile_print(findings);
    if (text)
        fputs(text, stdout);
    vt_free(text);
    vt_profile_summary(set->n + set->failed, findings);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_profile_set set = {.n = 0};
    struct vt_findings findings = VT_FINDINGS_INIT;
    struct vt_facts *facts = NULL;
    enum vt_severity fail_on;
    int code = VT_EXIT_OK;
    if ((values[JSON] != NULL) + (values[SARIF] != NULL) + (values[JUNIT] != NULL) > 1)
        return vt_cli_usage(self, "--json, --sarif and --junit exclude each other");
    if (!vt_profile_fail_on(self, values[FAIL_ON], &fail_on))
        return VT_EXIT_USAGE;
    if ((values[OS] && vt_os_check(values[OS], &err)) ||
        vt_facts_open(values[SCHEMA], &facts, &err) ||
        vt_profile_set_read(self, args, &set, &findings, &err)) {
        code = vt_profile_failed(self, &err);
    } else {
        for (size_t i = 0; i < set.n; i++)
            vt_profile_lint(set.v[i], facts, values[OS], &findings, NULL);
        print(values, &set, &findings);
        tell_unknown(values[OS], facts);
        code = vt_profile_exit(&set, &findings, fail_on);
    }
    vt_findings_free(&findings);
    vt_profile_set_free(&set);
    vt_facts_free(facts);
    return code;
}

const struct vt_command vt_cmd_profile_lint = {
    .name = "profile lint",
    .args = "FILE...",
    .summary = "checks configuration profiles against Apple's schema",
    .details =
        "FILE is a .mobileconfig (XML, binary or signed), a folder with some, or - for standard\n"
        "input. docs/profiles.md explains each rule. Exit: 0 nothing wrong, 1 errors found,\n"
        "2 wrong usage or a file that cannot be read.",
    .example = "vmtest profile lint wifi.mobileconfig\n"
               "vmtest profile lint --os 15.1,27.0 --sarif profiles > lint.sarif",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
