/* vmtest image verify [NAME[@VERSION]...] */
#include <stdio.h>

#include "cli/image_common.h"
#include "vmtest/run.h"

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_image_version *all;
    size_t n;
    int code = VT_EXIT_OK;
    (void)values;
    if (vt_image_check_names(args, &err) || vt_image_versions(&all, &n, &err))
        return vt_image_failed(self, &err);
    for (size_t i = 0; i < n; i++) {
        struct vt_error why = VT_ERROR_INIT;
        if (!vt_image_is_named(&all[i], args))
            continue;
        if (!vt_image_verify(&all[i], &why)) {
            printf("%s@%s: ok\n", all[i].name, all[i].version);
            continue;
        }
        printf("%s@%s: damaged\n", all[i].name, all[i].version);
        vt_cli_error(self, &why);
        code = VT_EXIT_INFRASTRUCTURE;
    }
    vt_image_versions_free(all, n);
    return code;
}

const struct vt_command vt_cmd_image_verify = {
    .name = "image verify",
    .args = "[NAME[@VERSION]...]",
    .summary = "checks every file of images against its digest",
    .details = "NAME is all versions of an image; without one, all images are checked.\n"
               "The exit code is 3 where a file is damaged, missing or too many.",
    .example = "vmtest image verify\nvmtest image verify bookworm",
    .max_args = -1,
    .run = run,
};
