/* vmtest profile diff A B */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/profile_common.h"
#include "core/json.h"
#include "core/text.h"
#include "vmtest/run.h"

enum { JSON };

static const struct vt_option options[] = {
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of lines"},
    {0},
};

static void put(const char *sign, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    if (text)
        vt_text_printable(text);
    printf("  %s %s\n", sign, text ? text : "?");
    free(text);
}

static void print(const json_t *changes)
{
    size_t i;
    json_t *change;
    json_array_foreach(changes, i, change)
    {
        const json_t *old = json_object_get(change, "old"), *new = json_object_get(change, "new");
        printf("%s: %s\n", vt_json_str(change, "path", ""), vt_json_str(change, "change", ""));
        if (old)
            put("-", old);
        if (new)
            put("+", new);
    }
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_profile *a = NULL, *b = NULL;
    int code = VT_EXIT_OK;
    if (!strcmp(args[0], "-") && !strcmp(args[1], "-"))
        return vt_cli_usage(self, "standard input can be only one of the two");
    if (vt_profile_read(args[0], &a, &err) || vt_profile_read(args[1], &b, &err)) {
        code = vt_profile_failed(self, &err);
    } else {
        json_t *changes = vt_profile_diff(a, b);
        code = json_array_size(changes) ? VT_EXIT_FAILED : VT_EXIT_OK;
        if (values[JSON])
            vt_profile_print_json(json_incref(changes));
        else
            print(changes);
        json_decref(changes);
    }
    vt_profile_free(a);
    vt_profile_free(b);
    return code;
}

const struct vt_command vt_cmd_profile_diff = {
    .name = "profile diff",
    .args = "A B",
    .summary = "shows what differs in meaning between two configuration profiles",
    .details = "The order of keys and payloads, generated UUIDs, the format and signatures are no\n"
               "difference. Exit: 0 none, 1 differences, 2 a file that cannot be read.",
    .example = "vmtest profile diff old.mobileconfig new.mobileconfig\n"
               "git show HEAD:wifi.mobileconfig | vmtest profile diff - wifi.mobileconfig",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
