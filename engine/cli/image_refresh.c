/* vmtest image refresh NAME */
#include <stdio.h>

#include "cli/lua_build.h"
#include "core/buf.h"
#include "vmtest/image.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

#define OP "image.refresh"
#define TIMEOUT_S 3600.0

enum { COMMAND, TIMEOUT, VERBOSE };

static const struct vt_option options[] = {
    [COMMAND] = {0, "command", "LINE", "what updates the guest, instead of the image's \"update\""},
    [TIMEOUT] = {0, "timeout", "TIME", "give up after this time (default: 1h)"},
    [VERBOSE] = {'v', "verbose", NULL, "shows every command in the guest"},
    {0},
};

static enum vt_code fill(struct vt_making *m, struct vt_error *err)
{
    return vt_lua_build_run(m, m->user, err);
}

/* What stands against refreshing it, before anything is begun. */
static enum vt_code check(const char *name, const struct vt_image *image, struct vt_error *err)
{
    if (!image->version) {
        vt_fail(err, VT_EINVAL, OP, "%s is a folder outside the store: it has no versions", name);
        return VT_EINVAL;
    }
    if (!image->disk) {
        vt_fail(err, VT_EUNSUPPORTED, OP,
                "the image %s has no disk: what is installed in it is gone at its next start",
                image->name);
        vt_hint(err, "build it anew: vmtest image build RECIPE %s", image->name);
        return VT_EUNSUPPORTED;
    }
    if (!image->channels[0]) {
        vt_fail(err, VT_EUNSUPPORTED, OP,
                "the image %s has no way in: no commands can be run in it", image->name);
        vt_hint(err, "add \"ssh\" or \"channels\" to its image.json, and import it again");
        return VT_EUNSUPPORTED;
    }
    return VT_OK;
}

static int refresh(const struct vt_command *self, const char *const *values,
                   const struct vt_image *image)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf version = VT_BUF_INIT, what = VT_BUF_INIT;
    vt_buf_printf(&version, "%s@%s", image->name, image->version);
    vt_buf_printf(&what, "refresh %s", version.data);
    int code;
    struct vt_lua_build lua = {
        .refresh = version.data,
        .update = values[COMMAND] ? values[COMMAND] : image->update,
    };
    struct vt_making m = {
        .self = self,
        .build = {.name = image->name, .verbose = values[VERBOSE] != NULL, .timeout = TIMEOUT_S},
        .made = {.recipe = what.data},
        .fill = fill,
        .user = &lua,
    };
    if (values[TIMEOUT] && vt_parse_duration(values[TIMEOUT], &m.build.timeout, &err))
        code = vt_cli_usage(self, "--timeout: %s; %s", err.message, err.hint);
    else if (!(m.build.timeout > 0))
        code = vt_cli_usage(self, "--timeout must be above 0");
    else
        code = vt_making_run(&m);
    vt_buf_free(&what);
    vt_buf_free(&version);
    return code;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_image *image = NULL;
    int code = VT_EXIT_USAGE;
    if (vt_image_open(args[0], &image, &err) || check(args[0], image, &err))
        vt_cli_error(self, &err);
    else
        code = refresh(self, values, image);
    vt_image_free(image);
    return code;
}

const struct vt_command vt_cmd_image_refresh = {
    .name = "image refresh",
    .args = "NAME",
    .summary = "installs updates in an image and keeps the result as a new version",
    .details = "Boots the latest version (or NAME@VERSION) on a disk of its own, runs the update\n"
               "command of its image.json (\"update\"; without one, what its system calls for),\n"
               "restarts it, checks that it answers, shuts it down cleanly, and stores the new\n"
               "version. The old one stays. Nothing is stored where any of that fails.",
    .example = "vmtest image refresh bookworm\n"
               "vmtest image refresh bookworm --command 'apt-get -y install curl'",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
