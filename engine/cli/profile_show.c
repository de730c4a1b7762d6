/* vmtest profile show FILE... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/profile_common.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "vmtest/run.h"

enum { JSON };

static const struct vt_option options[] = {
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of text"},
    {0},
};

static void line(const char *indent, const char *name, const json_t *object, const char *key)
{
    const char *text = vt_json_str(object, key, NULL);
    if (!text)
        return;
    char *copy = vt_strdup(text);
    vt_text_printable(copy);
    printf("%s%-13s %s\n", indent, name, copy);
    vt_free(copy);
}

static void print_settings(json_t *settings)
{
    const char *key;
    json_t *value;
    json_object_foreach(settings, key, value)
    {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        char *name = vt_strdup(key);
        vt_text_printable(name);
        if (text)
            vt_text_printable(text);
        printf("      %s = %s\n", name, text ? text : "?");
        vt_free(name);
        free(text);
    }
}

static void print(const json_t *p)
{
    size_t i;
    json_t *one;
    printf("%s\n", vt_json_str(p, "file", ""));
    line("  ", "name", p, "display_name");
    line("  ", "identifier", p, "identifier");
    line("  ", "uuid", p, "uuid");
    line("  ", "organization", p, "organization");
    line("  ", "scope", p, "scope");
    printf("  %-13s %s%s\n", "format", vt_json_str(p, "format", ""),
           vt_json_bool(p, "signed", false) ? ", signed" : "");
    json_array_foreach(json_object_get(p, "signers"), i, one)
    {
        line("  ", "signer", one, "subject");
        line("  ", "issuer", one, "issuer");
        line("  ", "valid until", one, "not_after");
    }
    if (vt_json_bool(p, "signed", false) && !vt_json_bool(p, "signature_good", false))
        printf("  %-13s does not hold\n", "signature");
    json_array_foreach(json_object_get(p, "payloads"), i, one)
    {
        printf("  payload %-5zu %s\n", i, vt_json_str(one, "type", "(without a type)"));
        line("    ", "identifier", one, "identifier");
        print_settings(json_object_get(one, "settings"));
    }
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_profile_set set;
    json_t *all = json_array();
    if (vt_profile_set_read(self, args, &set, NULL, &err)) {
        json_decref(all);
        return vt_profile_failed(self, &err);
    }
    for (size_t i = 0; i < set.n; i++)
        json_array_append_new(all, vt_profile_show(set.v[i]));
    if (values[JSON]) {
        vt_profile_print_json(all);
    } else {
        for (size_t i = 0; i < set.n; i++)
            print(json_array_get(all, i));
        json_decref(all);
    }
    int code = set.failed ? VT_EXIT_USAGE : VT_EXIT_OK;
    vt_profile_set_free(&set);
    return code;
}

const struct vt_command vt_cmd_profile_show = {
    .name = "profile show",
    .args = "FILE...",
    .summary = "shows what is in configuration profiles, and who signed them",
    .details =
        "FILE is as for `vmtest profile lint`. Values of keys that hold secrets are not shown.",
    .example = "vmtest profile show wifi.mobileconfig\n"
               "vmtest profile show --json profiles | jq '.[].payloads[].type'",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
