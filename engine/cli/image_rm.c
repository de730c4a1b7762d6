/* vmtest image rm NAME[@VERSION]... */
#include <stdio.h>
#include <string.h>

#include "cli/image_common.h"
#include "core/json.h"
#include "core/mem.h"
#include "vmtest/registry.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

enum { FORCE };

static const struct vt_option options[] = {
    [FORCE] = {'f', "force", NULL, "also the latest of several, and one with a role"},
    {0},
};

/* Adds the VMs that run on a version of this image, so that they need not be searched. */
static void name_users(const char *name, struct vt_error *err)
{
    struct vt_registered *vms;
    size_t n, length = strcspn(name, "@"), shown = 0;
    if (vt_registry_list(&vms, &n, NULL))
        return;
    for (size_t i = 0; i < n; i++) {
        const char *image = vt_json_str(vms[i].facts, "image", "");
        if (vms[i].pid && strlen(image) == length && !strncmp(image, name, length))
            vt_error_append(err, "%s %s/%s", shown++ ? "," : "; on that image:", vms[i].run,
                            vms[i].name);
    }
    vt_registered_free(vms, n);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    int code = VT_EXIT_OK;
    for (; *args; args++) {
        struct vt_error err = VT_ERROR_INIT;
        uint64_t freed = 0;
        char size[32];
        if (!vt_image_remove(*args, values[FORCE] != NULL, &freed, &err)) {
            fprintf(stderr, "removed %s: %s freed\n", *args,
                    vt_format_size(size, sizeof size, freed));
            continue;
        }
        if (err.code == VT_EBUSY)
            name_users(*args, &err);
        int failed = vt_image_failed(self, &err);
        code = code == VT_EXIT_USAGE ? code : failed;
    }
    return code;
}

const struct vt_command vt_cmd_image_rm = {
    .name = "image rm",
    .args = "NAME[@VERSION]...",
    .summary = "removes a version, or an image with all its versions",
    .details =
        "What is in use stays, also with --force: by a VM that runs, by a saved snapshot, by\n"
        "a named VM.",
    .example = "vmtest image rm bookworm@20260131.2\nvmtest image rm old-mac",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
