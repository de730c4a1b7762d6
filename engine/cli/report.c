/* vmtest report RUN */
#include <stdio.h>

#include "cli/options.h"
#include "core/fs.h"
#include "core/mem.h"
#include "vmtest/report.h"
#include "vmtest/run.h"

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    (void)values;
    struct vt_error err = VT_ERROR_INIT;
    if (vt_report_write_all(args[0], &err)) {
        vt_hint(&err, "RUN is a results folder, one with an events.jsonl");
        vt_cli_error(self, &err);
        return err.code == VT_ENOTFOUND ? VT_EXIT_USAGE : VT_EXIT_INFRASTRUCTURE;
    }
    static const char *const files[] = {"junit.xml", "results.tap", "ctrf.json"};
    for (size_t i = 0; i < 3; i++) {
        char *path = vt_path_join(args[0], files[i]);
        printf("%s\n", path);
        vt_free(path);
    }
    return VT_EXIT_OK;
}

const struct vt_command vt_cmd_report = {
    .name = "report",
    .args = "RUN",
    .summary = "writes the reports of a run anew from its events",
    .details = "RUN is a results folder. Works for a run that was killed as well: tests that have\n"
               "no end in its events.jsonl are reported as not run.",
    .example = "vmtest report vmtest-results/latest",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
