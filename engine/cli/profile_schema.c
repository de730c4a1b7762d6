/* vmtest profile schema DIR */
#include <stdio.h>
#include <string.h>

#include "cli/profile_common.h"
#include "core/fs.h"
#include "core/mem.h"
#include "vmtest/run.h"

enum { NAME, OUTPUT };

static const struct vt_option options[] = {
    [NAME] = {0, "name", "NAME",
              "what the table is called: the version of macOS (default: the folder)"},
    [OUTPUT] = {'o', "output", "FILE", "where the table goes (default: standard output)"},
    {0},
};

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    char *text = NULL;
    const char *name = values[NAME] ? values[NAME] : vt_path_base(args[0]);
    if (!*name || strpbrk(name, "\t\n"))
        return vt_cli_usage(self, "a name is due: --name 15.1");
    if (vt_facts_compile(args[0], name, &text, &err))
        return vt_profile_failed(self, &err);
    if (!values[OUTPUT])
        fputs(text, stdout);
    else
        vt_write_file(values[OUTPUT], text, strlen(text), 0644, &err);
    vt_free(text);
    return err.code ? vt_profile_failed(self, &err) : VT_EXIT_OK;
}

const struct vt_command vt_cmd_profile_schema = {
    .name = "profile schema",
    .args = "DIR",
    .summary = "compiles Apple's schema of profiles to a table of facts",
    .details =
        "DIR is a checkout of apple/device-management. The table can be given to --schema, --from\n"
        "and --to instead of DIR.",
    .example = "vmtest profile schema --name 15.1 -o macos-15.1.facts device-management",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
