/* vmtest image show NAME[@VERSION] */
#include <stdio.h>
#include <string.h>

#include "cli/image_common.h"
#include "core/json.h"
#include "vmtest/image.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

enum { JSON };

static const struct vt_option options[] = {
    [JSON] = {0, "json", NULL, "a JSON object instead of lines"},
    {0},
};

static void line(const char *title, const char *text)
{
    if (!text)
        return;
    printf("%-12s ", title);
    vt_print_text(text, 0);
    printf("\n");
}

/* How commands get into its guests; never a password or a key. */
static json_t *ways_in(const struct vt_image *image)
{
    json_t *list = json_array();
    for (size_t i = 0; image->channels && image->channels[i]; i++) {
        json_t *way = json_pack("{s:s}", "channel", image->channels[i]);
        if (!strcmp(image->channels[i], "ssh") && image->ssh_user) {
            json_object_set_new(way, "user", json_string(image->ssh_user));
            json_object_set_new(way, "key", json_boolean(image->ssh_key));
            json_object_set_new(way, "password", json_boolean(image->ssh_password));
        }
        json_array_append_new(list, way);
    }
    return list;
}

static void print_ways(const json_t *ways)
{
    const char *title = "ways in";
    for (size_t i = 0; i < json_array_size(ways); i++, title = "") {
        const json_t *way = json_array_get(ways, i);
        const char *user = vt_json_str(way, "user", NULL);
        bool key = vt_json_bool(way, "key", false), password = vt_json_bool(way, "password", false);
        printf("%-12s %s", title, vt_json_str(way, "channel", ""));
        if (user) {
            printf(" as ");
            vt_print_text(user, 0);
            printf(", by %s", key && password ? "a key or a password"
                              : key           ? "a key"
                              : password      ? "a password"
                                              : "no password");
        }
        printf("\n");
    }
    if (!json_array_size(ways))
        printf("%-12s none: no commands can be run in it\n", title);
}

static void print_files(const json_t *files)
{
    const char *title = "files";
    char size[32];
    for (size_t i = 0; i < json_array_size(files); i++, title = "") {
        const json_t *file = json_array_get(files, i);
        printf("%-12s %-16s %10s  sha256 %s\n", title, vt_json_str(file, "name", ""),
               vt_format_size(size, sizeof size, (uint64_t)vt_json_int(file, "size", 0)),
               vt_json_str(file, "sha256", ""));
    }
}

static void print_member(const char *title, const char *key, const json_t *value)
{
    printf("%-12s ", title);
    vt_print_text(key, 0);
    if (json_is_string(value)) {
        printf(": ");
        vt_print_text(json_string_value(value), 0);
    } else if (json_is_array(value) || json_is_object(value)) {
        size_t n = json_is_array(value) ? json_array_size(value) : json_object_size(value);
        printf(": %zu (--json lists them)", n);
    } else if (json_is_integer(value)) {
        printf(": %lld", (long long)json_integer_value(value));
    }
    printf("\n");
}

/* What the packages of the version that it was made of became. */
static void print_changes(json_t *changes)
{
    const char *title = "changes", *name;
    json_t *what;
    if (!json_object_size(changes))
        printf("%-12s none\n", title);
    json_object_foreach(changes, name, what)
    {
        print_member(title, name, what);
        title = "";
    }
}

/* Text as it is, lists and objects by their number (`--json` has them in full), but for changes. */
static void print_contents(const json_t *contents)
{
    union {
        const json_t *from;
        json_t *to;
    } mutable = {.from = contents};
    const char *title = "contents";
    json_t *changes = json_object_get(contents, "changes");
    for (void *at = json_object_iter(mutable.to); at; at = json_object_iter_next(mutable.to, at)) {
        const json_t *value = json_object_iter_value(at);
        if (value == changes)
            continue;
        print_member(title, json_object_iter_key(at), value);
        title = "";
    }
    if (json_is_object(changes))
        print_changes(changes);
}

static void print_lines(const struct vt_image_version *v, const json_t *ways)
{
    char size[32];
    const char *role = vt_image_role_name(v->role);
    printf("%-12s %s@%s%s%s%s\n", "image", v->name, v->version, v->latest ? ", latest" : "",
           *role ? ", role " : "", role);
    line("deprecated", v->deprecated);
    line("description", v->description);
    printf("%-12s ", "system");
    vt_print_text(v->os, 0);
    printf(" on ");
    vt_print_text(v->arch, 0);
    printf("\n");
    line("created", v->created);
    line("size", vt_format_size(size, sizeof size, v->bytes));
    line("sha256", v->sha256);
    line("recipe", v->recipe);
    line("", v->recipe_sha256);
    line("made of", v->parent);
    print_ways(ways);
    print_contents(v->contents);
    print_files(v->files);
    line("folder", v->dir);
    printf("%-12s image = \"%s%s%s\" in a suite\n", "to use it", v->name, v->latest ? "" : "@",
           v->latest ? "" : v->version);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_image_version *version = NULL;
    struct vt_image *image = NULL;
    int code = VT_EXIT_OK;
    if (vt_image_version_find(args[0], &version, &err) ||
        vt_image_open(version->dir, &image, &err)) {
        code = vt_image_failed(self, &err);
    } else {
        json_t *ways = ways_in(image);
        if (values[JSON]) {
            json_t *object = vt_image_json(version);
            json_object_set(object, "ways_in", ways);
            json_dumpf(object, stdout, JSON_INDENT(2));
            printf("\n");
            json_decref(object);
        } else {
            print_lines(version, ways);
        }
        json_decref(ways);
    }
    vt_image_free(image);
    if (version)
        vt_image_versions_free(version, 1);
    return code;
}

const struct vt_command vt_cmd_image_show = {
    .name = "image show",
    .args = "NAME[@VERSION]",
    .summary = "what is in an image, where it comes from, how to get in and to use it",
    .example = "vmtest image show small\nvmtest image show bookworm@20260131.2 --json",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
