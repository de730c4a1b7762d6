/* vmtest image export NAME[@VERSION] FILE */
#include <stdio.h>

#include "cli/image_common.h"
#include "core/mem.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    char title[] = "export", data[32], bytes[32], before[32];
    struct vt_image_transfer transfer = {.progress = vt_image_progress, .user = title};
    (void)values;
    enum vt_code code = vt_image_export(args[0], args[1], &transfer, &err);
    vt_image_progress_end();
    if (code)
        return vt_image_failed(self, &err);
    if (transfer.resumed)
        fprintf(stderr, "went on after %s of an export that was interrupted\n",
                vt_format_size(before, sizeof before, transfer.resumed));
    fprintf(stderr, "exported %s: %s in %s; it holds the keys that open its guests\n",
            transfer.name, vt_format_size(data, sizeof data, transfer.data),
            vt_format_size(bytes, sizeof bytes, transfer.bytes));
    vt_free(transfer.name);
    return VT_EXIT_OK;
}

const struct vt_command vt_cmd_image_export = {
    .name = "image export",
    .args = "NAME[@VERSION] FILE",
    .summary = "writes a version to one file (\"-\": standard output)",
    .details =
        "The file holds all that the version is made of, compressed, without its holes; its\n"
        "private keys and passwords too: keep it as you keep those. It appears when it is\n"
        "whole; till then it is FILE.part, with which an interrupted export goes on.",
    .example = "vmtest image export bookworm bookworm.vmtest\n"
               "vmtest image export small - | ssh mac2 vmtest image import -",
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
