/* vmtest image role NAME[@VERSION] ROLE */
#include <stdio.h>

#include "cli/image_common.h"
#include "vmtest/run.h"

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    enum vt_image_role role;
    (void)values;
    if (vt_image_role_parse(args[1], &role, &err) || vt_image_set_role(args[0], role, &err))
        return vt_image_failed(self, &err);
    fprintf(stderr, "%s: role %s\n", args[0], args[1]);
    return VT_EXIT_OK;
}

const struct vt_command vt_cmd_image_role = {
    .name = "image role",
    .args = "NAME[@VERSION] ROLE",
    .summary = "gives a version the role legacy, current or beta, or none",
    .details = "One version of an image has a role; a new version takes over that of the latest\n"
               "before it. `vmtest gc` leaves versions with a role alone.",
    .example = "vmtest image role sid beta\nvmtest image role bookworm@20260131.2 legacy",
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
