/* vmtest features: what Apple's Virtualization framework can do, on this Mac or on one that is
 * told. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "core/json.h"
#include "vmtest/apple.h"
#include "vmtest/run.h"

enum { HOST_VERSION, ARCH, CHIP, GUEST_OS, GUEST_VERSION, JSON, MARKDOWN };

static const struct vt_option options[] = {
    [HOST_VERSION] = {0, "host-version", "V", "macOS of the host (default: this host's)"},
    [ARCH] = {0, "arch", "A", "arm64 or x86_64 (default: this host's)"},
    [CHIP] = {0, "chip", "NAME", "\"Apple M2\" (default: this host's)"},
    [GUEST_OS] = {0, "guest-os", "OS", "macos or linux (default: either)"},
    [GUEST_VERSION] = {0, "guest-version", "V", "macOS of a macOS guest"},
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of lines"},
    [MARKDOWN] = {0, "markdown", NULL, "the table of docs/mac.md, of all features"},
    {0},
};

static const char *arches(const struct vt_apple_feature_info *f)
{
    return f->on_arm64 && f->on_x86_64 ? "any" : f->on_arm64 ? "arm64" : "x86_64";
}

static const char *guests(const struct vt_apple_feature_info *f)
{
    return f->of_macos && f->of_linux ? "any" : f->of_macos ? "macOS" : "Linux";
}

static void print_markdown(void)
{
    printf("| feature | what it is | host | guests | guest's macOS | processor | and |\n"
           "|---|---|---|---|---|---|---|\n");
    for (enum vt_apple_feature i = 0; i < VT_APPLE_FEATURE_COUNT_; i++) {
        const struct vt_apple_feature_info *f = vt_apple_feature_info(i);
        printf("| `%s` | %s | %s | %s | %s | %s", f->name, f->what, f->host, guests(f),
               f->guest ? f->guest : "", arches(f));
        if (f->chip)
            printf(", M%d or later", f->chip);
        printf(" | %s |\n", f->also ? f->also : "");
    }
}

static json_t *to_json(const struct vt_apple_feature_info *f, const struct vt_error *why)
{
    json_t *one = json_pack("{s:s, s:s, s:s, s:s*, s:s, s:s, s:s*, s:b, s:s*}", "name", f->name,
                            "what", f->what, "host", f->host, "guest_version", f->guest, "guests",
                            guests(f), "arch", arches(f), "also", f->also, "supported", !why->code,
                            "reason", why->code ? why->message : NULL);
    if (f->chip)
        json_object_set_new(one, "chip", json_integer(f->chip));
    return one;
}

static int tell(const struct vt_command *self, const struct vt_apple_place *place, bool as_json)
{
    json_t *all = json_array();
    for (enum vt_apple_feature i = 0; i < VT_APPLE_FEATURE_COUNT_; i++) {
        const struct vt_apple_feature_info *f = vt_apple_feature_info(i);
        struct vt_error why = VT_ERROR_INIT;
        enum vt_code code = vt_apple_supports(i, place, &why);
        if (code && code != VT_EUNSUPPORTED) {
            json_decref(all);
            vt_cli_error(self, &why);
            return VT_EXIT_USAGE;
        }
        json_array_append_new(all, to_json(f, &why));
        if (!as_json)
            printf("%-4s%-19s%s%s%s\n", code ? "no" : "yes", f->name, code ? why.message : f->what,
                   !code && f->also ? "; it takes: " : "", !code && f->also ? f->also : "");
    }
    if (as_json) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        printf("\n");
    }
    json_decref(all);
    return VT_EXIT_OK;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    (void)args;
    if (values[MARKDOWN]) {
        if (values[JSON] || values[HOST_VERSION] || values[ARCH] || values[CHIP] ||
            values[GUEST_OS] || values[GUEST_VERSION])
            return vt_cli_usage(self, "--markdown is the whole table and takes no other option");
        print_markdown();
        return VT_EXIT_OK;
    }
    struct vt_apple_place place;
    struct vt_error why = VT_ERROR_INIT;
    bool mac = vt_apple_host(&place, &why) == VT_OK;
    if (values[HOST_VERSION] || values[ARCH] || values[CHIP]) /* another host than this one */
        place = (struct vt_apple_place){
            .host_version = values[HOST_VERSION], .arch = values[ARCH], .chip = values[CHIP]};
    else if (!mac) {
        vt_hint(&why, "name one: --host-version 15.1 --arch arm64; --markdown shows the table");
        vt_cli_error(self, &why);
        return VT_EXIT_USAGE;
    }
    place.guest_os = values[GUEST_OS];
    place.guest_version = values[GUEST_VERSION];
    if (place.guest_os && strcmp(place.guest_os, "macos") != 0 &&
        strcmp(place.guest_os, "linux") != 0)
        return vt_cli_usage(self, "--guest-os is macos or linux, not \"%s\"", place.guest_os);
    return tell(self, &place, values[JSON] != NULL);
}

const struct vt_command vt_cmd_features = {
    .name = "features",
    .args = "",
    .summary = "shows what Apple's virtualization can do on a Mac",
    .details = "On a Mac: on this one, unless another is told. What is not told is not looked at.",
    .example = "vmtest features --host-version 13.6 --arch arm64\n"
               "vmtest features --host-version 26 --guest-os macos --guest-version 27 --json",
    .options = options,
    .max_args = 0,
    .run = run,
};
