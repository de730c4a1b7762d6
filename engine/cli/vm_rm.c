/* vmtest vm rm NAME... */
#include <stdio.h>

#include "cli/options.h"
#include "cli/vm_find.h"
#include "vmtest/run.h"

enum { ALL, FORCE };

static const struct vt_option options[] = {
    [ALL] = {'a', "all", NULL, "every kept VM"},
    [FORCE] = {'f', "force", NULL, "also a VM that a run under way uses"},
    {0},
};

static bool remove_one(const struct vt_command *self, const struct vt_registered *vm, bool force)
{
    struct vt_error err = VT_ERROR_INIT;
    if (vm->run_alive && !force) {
        vt_fail(&err, VT_EBUSY, "vm.rm", "VM %s is in use by the run %s", vm->name, vm->run);
        vt_hint(&err, "end that run, or use --force");
    } else if (!vt_registered_remove(vm, &err)) {
        fprintf(stderr, "removed %s/%s\n", vm->run, vm->name);
        return true;
    }
    vt_cli_error(self, &err);
    return false;
}

static int remove_all(const struct vt_command *self, bool force)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_registered *vms;
    size_t n;
    if (vt_registry_list(&vms, &n, &err)) {
        vt_cli_error(self, &err);
        return VT_EXIT_INFRASTRUCTURE;
    }
    bool good = true;
    for (size_t i = 0; i < n; i++)
        if (force || !vms[i].run_alive)
            good &= remove_one(self, &vms[i], force);
    vt_registered_free(vms, n);
    return good ? VT_EXIT_OK : VT_EXIT_INFRASTRUCTURE;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    bool force = values[FORCE] != NULL;
    int code = VT_EXIT_OK;
    if (!values[ALL] == !args[0])
        return vt_cli_usage(self, "name VMs, or use --all");
    if (values[ALL])
        code = remove_all(self, force);
    for (; *args; args++) {
        struct vt_error err = VT_ERROR_INIT;
        struct vt_found found;
        if (vt_vm_find(*args, &found, &err)) {
            vt_cli_error(self, &err);
            code = VT_EXIT_USAGE;
        } else {
            if (!remove_one(self, found.vm, force) && code == VT_EXIT_OK)
                code = VT_EXIT_INFRASTRUCTURE;
            vt_found_free(&found);
        }
    }
    vt_sweep(); /* the folders of runs that have no VM left */
    return code;
}

const struct vt_command vt_cmd_vm_rm = {
    .name = "vm rm",
    .args = "NAME...",
    .summary = "ends VMs and removes their disks",
    .example = "vmtest vm rm testwifi\nvmtest vm rm --all",
    .options = options,
    .max_args = -1,
    .run = run,
};
