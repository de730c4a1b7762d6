/* vmtest vm ls */
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "core/json.h"
#include "vmtest/registry.h"
#include "vmtest/run.h"

enum { JSON };

static const struct vt_option options[] = {
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of a table"},
    {0},
};

static const char *state_of(const struct vt_registered *vm)
{
    return vm->pid ? vt_json_str(vm->facts, "state", "running") : "ended";
}

static void print_table(const struct vt_registered *vms, size_t n)
{
    if (!n) {
        fprintf(stderr, "no VM runs\n");
        return;
    }
    printf("%-24s %-20s %-9s %-8s %-12s %-7s %s\n", "RUN", "NAME", "STATE", "PID", "IMAGE", "SSH",
           "OF");
    for (size_t i = 0; i < n; i++) {
        const struct vt_registered *vm = &vms[i];
        printf("%-24s %-20s %-9s %-8ld %-12s %-7lld %s\n", vm->run, vm->name, state_of(vm), vm->pid,
               vt_json_str(vm->facts, "image", "-"),
               (long long)vt_json_int(json_object_get(vm->facts, "ssh"), "port", 0),
               vm->run_alive ? "a run under way" : "a run that ended (kept)");
    }
}

static void print_json(const struct vt_registered *vms, size_t n)
{
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:I, s:b, s:O}", "run", vms[i].run,
                                             "name", vms[i].name, "state", state_of(&vms[i]), "pid",
                                             (json_int_t)vms[i].pid, "run_alive", vms[i].run_alive,
                                             "facts", vms[i].facts));
    json_dumpf(all, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(all);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    (void)args;
    struct vt_error err = VT_ERROR_INIT;
    struct vt_registered *vms;
    size_t n;
    if (vt_registry_list(&vms, &n, &err)) {
        vt_cli_error(self, &err);
        return VT_EXIT_INFRASTRUCTURE;
    }
    if (values[JSON])
        print_json(vms, n);
    else
        print_table(vms, n);
    vt_registered_free(vms, n);
    return VT_EXIT_OK;
}

const struct vt_command vt_cmd_vm_ls = {
    .name = "vm ls",
    .args = "",
    .summary = "lists the VMs of this user: of runs under way, and kept ones",
    .example = "vmtest vm ls\nvmtest vm ls --json",
    .options = options,
    .max_args = 0,
    .run = run,
};
