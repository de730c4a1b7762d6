/* vmtest vm info NAME */
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "cli/vm_rows.h"
#include "cli/vm_task.h"
#include "core/json.h"
#include "core/mem.h"
#include "vmtest/run.h"

enum { JSON };

static const struct vt_option options[] = {
    [JSON] = {0, "json", NULL, "all that is known, as a JSON object"},
    {0},
};

static void add_snapshots(json_t *row, const struct vt_named *n)
{
    struct vt_snapshot *all;
    size_t count;
    json_t *names = json_array();
    if (!vt_vm_snapshots(NULL, n->snapshots_dir, &all, &count, NULL)) {
        for (size_t i = 0; i < count; i++)
            json_array_append_new(names, json_string(all[i].name));
        vt_snapshots_free(all, count);
    }
    json_object_set_new(row, "snapshots", names);
}

static void print_value(const char *key, const json_t *value)
{
    if (json_is_string(value)) {
        printf("%-14s %s\n", key, json_string_value(value));
        return;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    printf("%-14s %s\n", key, text ? text : "?");
    free(text);
}

static void print(const json_t *row)
{
    static const char *const keys[] = {"name",    "state", "pid",      "in_use_by",
                                       "run",     "image", "source",   "base",
                                       "created", "dir",   "snapshots"};
    static const char *const facts[] = {"hypervisor", "accel", "forwards", "ssh", "console_log"};
    const json_t *known = json_object_get(row, "facts"), *config = json_object_get(row, "config");
    const char *key;
    json_t *value;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(row, keys[i]))
            print_value(keys[i], json_object_get(row, keys[i]));
    json_t *copy = json_deep_copy(config);
    json_object_foreach(copy, key, value)
    {
        if (strcmp(key, "name") != 0 && strcmp(key, "image") != 0)
            print_value(key, value);
    }
    json_decref(copy);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (json_object_get(known, facts[i]) && !json_object_get(config, facts[i]))
            print_value(facts[i], json_object_get(known, facts[i]));
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_named *named;
    if (vt_named_find(args[0], &named, &err)) {
        vt_cli_error(self, &err);
        return vt_vm_exit_code(&err);
    }
    json_t *row = vt_vm_row(named);
    json_object_set(row, "config", named->config_json);
    add_snapshots(row, named);
    if (values[JSON]) {
        json_dumpf(row, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        print(row);
    }
    json_decref(row);
    vt_named_free(named);
    return VT_EXIT_OK;
}

const struct vt_command vt_cmd_vm_info = {
    .name = "vm info",
    .args = "NAME",
    .summary = "shows all that is known of a VM",
    .example = "vmtest vm info web\nvmtest vm info web --json",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
