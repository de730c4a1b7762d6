/* vmtest image deprecate NAME[@VERSION] REASON */
#include <stdio.h>

#include "cli/image_common.h"
#include "vmtest/run.h"

enum { UNDO };

static const struct vt_option options[] = {
    [UNDO] = {0, "undo", NULL, "takes the mark away"},
    {0},
};

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    if (!values[UNDO] == !args[1])
        return vt_cli_usage(self, values[UNDO] ? "--undo needs no reason"
                                               : "say why, for those who still use it");
    if (vt_image_deprecate(args[0], values[UNDO] ? NULL : args[1], &err))
        return vt_image_failed(self, &err);
    fprintf(stderr, "%s is %s deprecated\n", args[0], values[UNDO] ? "no longer" : "now");
    return VT_EXIT_OK;
}

const struct vt_command vt_cmd_image_deprecate = {
    .name = "image deprecate",
    .args = "NAME[@VERSION] [REASON]",
    .summary = "marks a version as not to be used any more",
    .details =
        "It can still be used by NAME@VERSION, with a warning. NAME alone then is the newest\n"
        "version that is not deprecated. `vmtest gc` removes it once nobody needs it.",
    .example = "vmtest image deprecate bookworm@20260131.2 'loses its clock after a restore'\n"
               "vmtest image deprecate bookworm@20260131.2 --undo",
    .options = options,
    .min_args = 1,
    .max_args = 2,
    .run = run,
};
