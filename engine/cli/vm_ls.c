/* vmtest vm ls */
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "cli/vm_rows.h"
#include "core/json.h"
#include "vmtest/run.h"

enum { JSON };

static const struct vt_option options[] = {
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of a table"},
    {0},
};

static const char *of(const json_t *row)
{
    if (vt_json_bool(row, "named", false))
        return vt_json_str(row, "source", "-");
    return vt_json_bool(row, "run_alive", false) ? "a run under way" : "a run that ended (kept)";
}

static void print_row(const json_t *row)
{
    const json_t *facts = json_object_get(row, "facts");
    bool named = vt_json_bool(row, "named", false);
    long long pid = vt_json_int(row, "pid", 0);
    long long port = vt_json_int(json_object_get(facts, "ssh"), "port", 0);
    char pid_text[24] = "-", port_text[24] = "-";
    if (pid)
        snprintf(pid_text, sizeof pid_text, "%lld", pid);
    if (port && pid)
        snprintf(port_text, sizeof port_text, "%lld", port);
    const char *image = vt_json_str(row, "image", "-"), *base = strrchr(image, '/');
    printf("%-20s %-9s %-8s %-6s %-20s %-24s %s\n", vt_json_str(row, "name", "?"),
           vt_json_str(row, "state", "?"), pid_text, port_text, base ? base + 1 : image,
           named ? "-" : vt_json_str(row, "run", "-"), of(row));
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    (void)args;
    struct vt_error err = VT_ERROR_INIT;
    json_t *rows;
    if (vt_vm_rows(&rows, &err)) {
        vt_cli_error(self, &err);
        json_decref(rows);
        return VT_EXIT_INFRASTRUCTURE;
    }
    if (values[JSON]) {
        json_dumpf(rows, stdout, JSON_INDENT(2));
        printf("\n");
    } else if (!json_array_size(rows)) {
        fprintf(stderr, "there is no VM\n");
    } else {
        printf("%-20s %-9s %-8s %-6s %-20s %-24s %s\n", "NAME", "STATE", "PID", "SSH", "IMAGE",
               "RUN", "MADE FROM");
        for (size_t i = 0; i < json_array_size(rows); i++)
            print_row(json_array_get(rows, i));
    }
    json_decref(rows);
    return VT_EXIT_OK;
}

const struct vt_command vt_cmd_vm_ls = {
    .name = "vm ls",
    .args = "",
    .summary = "lists the VMs of this user: named ones, those of runs, and kept ones",
    .example = "vmtest vm ls\nvmtest vm ls --json",
    .options = options,
    .max_args = 0,
    .run = run,
};
