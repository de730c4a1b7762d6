/* vmtest image ls [NAME[@VERSION]...] */
#include <stdio.h>
#include <string.h>

#include "cli/image_common.h"
#include "core/text.h"
#include "vmtest/image.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

enum { JSON };

static const struct vt_option options[] = {
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of a table"},
    {0},
};

static void print_row(const struct vt_image_version *v, int name, int version)
{
    char size[32];
    printf("%-*s  %-*s  %-7s  %-7s  %-9s  ", name, v->name, version, v->version,
           vt_image_role_name(v->role), v->arch ? v->arch : "-",
           v->broken ? "-" : vt_format_size(size, sizeof size, v->bytes));
    vt_print_text(v->created ? v->created : "-", 16);
    printf("%s", v->latest ? "  latest" : "");
    if (v->broken || v->deprecated) {
        printf("%s: ", v->broken ? "  damaged" : "  deprecated");
        vt_print_text(v->broken ? v->broken : v->deprecated, 0);
    }
    printf("\n");
}

static void print_table(const struct vt_image_version *all, size_t n, char *const *names)
{
    int name = 4, version = 10;
    for (size_t i = 0; i < n; i++) {
        if ((int)strlen(all[i].name) > name)
            name = (int)strlen(all[i].name);
        if ((int)strlen(all[i].version) > version)
            version = (int)strlen(all[i].version);
    }
    printf("%-*s  %-*s  %-7s  %-7s  %-9s  %-16s  NOTE\n", name, "NAME", version, "VERSION", "ROLE",
           "ARCH", "SIZE", "CREATED");
    for (size_t i = 0; i < n; i++)
        if (vt_image_is_named(&all[i], names))
            print_row(&all[i], name, version);
}

static void print_json(const struct vt_image_version *all, size_t n, char *const *names)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        if (vt_image_is_named(&all[i], names))
            json_array_append_new(list, vt_image_json(&all[i]));
    json_dumpf(list, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(list);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_image_version *all;
    size_t n;
    if (vt_image_check_names(args, &err) || vt_image_versions(&all, &n, &err))
        return vt_image_failed(self, &err);
    if (values[JSON])
        print_json(all, n, args);
    else if (n)
        print_table(all, n, args);
    else
        fprintf(stderr, "there is no image; `vmtest image build small` makes one in seconds\n");
    vt_image_versions_free(all, n);
    return VT_EXIT_OK;
}

const struct vt_command vt_cmd_image_ls = {
    .name = "image ls",
    .args = "[NAME[@VERSION]...]",
    .summary = "lists the images and their versions",
    .example = "vmtest image ls\nvmtest image ls bookworm --json",
    .options = options,
    .max_args = -1,
    .run = run,
};
