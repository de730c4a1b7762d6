/* vmtest vm rm NAME... */
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "cli/vm_find.h"
#include "cli/vm_task.h"
#include "core/mem.h"
#include "vmtest/registry.h"
#include "vmtest/run.h"

enum { ALL, FORCE };

static const struct vt_option options[] = {
    [ALL] = {'a', "all", NULL, "every VM that a run left running; named VMs stay"},
    [FORCE] = {'f', "force", NULL, "also a named VM that runs, or one that a run under way uses"},
    {0},
};

static bool remove_registered(const struct vt_command *self, const struct vt_registered *vm,
                              bool force)
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

/* Of runs: all of them, or (name not NULL) one that is in use, by force. */
static int remove_of_runs(const struct vt_command *self, const char *run, const char *name,
                          bool force)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_registered *vms;
    size_t n;
    if (vt_registry_list(&vms, &n, &err)) {
        vt_cli_error(self, &err);
        return VT_EXIT_INFRASTRUCTURE;
    }
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        bool wanted = name ? !strcmp(vms[i].run, run) && !strcmp(vms[i].name, name)
                           : strcmp(vms[i].run, VT_NAMED_RUN) != 0 && (force || !vms[i].run_alive);
        if (wanted)
            good &= remove_registered(self, &vms[i], force);
    }
    vt_registered_free(vms, n);
    return good ? VT_EXIT_OK : VT_EXIT_INFRASTRUCTURE;
}

static enum vt_code remove_named(const char *name, bool force, struct vt_error *err)
{
    struct vt_named *named;
    enum vt_code code = vt_vm_take(name, &named, err);
    if (code)
        return code;
    if (named->dir && vt_named_pid(named) && !force) {
        code = vt_fail(err, VT_EBUSY, "vm.rm", "VM %s runs", name);
        vt_hint(err, "`vmtest vm stop %s` first, or use --force", name);
    } else {
        code = vt_named_remove(named, err);
    }
    if (!code)
        fprintf(stderr, "removed %s%s%s\n", named->dir ? "" : named->run, named->dir ? "" : "/",
                named->name);
    vt_named_free(named);
    return code;
}

static int remove_one(const struct vt_command *self, const char *name, bool force,
                      struct vt_error *err)
{
    struct vt_named *named;
    if (force && !vt_named_find(name, &named, NULL)) {
        bool in_run = vt_named_in_run(named);
        int code = in_run ? remove_of_runs(self, named->run, named->name, true) : VT_EXIT_OK;
        vt_named_free(named);
        if (in_run)
            return code;
    }
    remove_named(name, force, err);
    return vt_vm_exit_code(err);
}

/* A VM that others were made from goes after them: in rounds, till nothing more goes. */
static int remove_all_of(const struct vt_command *self, char **names, size_t count, bool force)
{
    struct vt_error *errs = vt_calloc(count + 1, sizeof *errs);
    bool *gone = vt_calloc(count + 1, sizeof *gone), progress = true;
    int code = VT_EXIT_OK;
    while (progress) {
        progress = false;
        for (size_t i = 0; i < count; i++) {
            if (gone[i] || (errs[i].code && errs[i].code != VT_EBUSY))
                continue;
            errs[i] = (struct vt_error)VT_ERROR_INIT;
            gone[i] = remove_one(self, names[i], force, &errs[i]) == VT_EXIT_OK;
            progress |= gone[i];
        }
    }
    for (size_t i = 0; i < count; i++) {
        int one = vt_vm_exit_code(&errs[i]);
        if (errs[i].code)
            vt_cli_error(self, &errs[i]);
        if (!gone[i] && (code == VT_EXIT_OK || one == VT_EXIT_USAGE))
            code = one ? one : VT_EXIT_INFRASTRUCTURE;
    }
    vt_free(errs);
    vt_free(gone);
    return code;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    bool force = values[FORCE] != NULL;
    char **names;
    size_t count;
    if (!values[ALL] == !args[0])
        return vt_cli_usage(self, "name VMs, or use --all");
    if (!vt_vm_names(self, args, &names, &count))
        return VT_EXIT_USAGE;
    int code = values[ALL] ? remove_of_runs(self, NULL, NULL, force)
                           : remove_all_of(self, names, count, force);
    vt_names_free(names, count);
    vt_sweep(); /* the folders of runs that have no VM left */
    return code;
}

const struct vt_command vt_cmd_vm_rm = {
    .name = "vm rm",
    .args = "NAME...",
    .summary = "removes VMs with their disks and snapshots",
    .details = "Those that a run left running are ended first. 'student-{1..20}' stands for\n"
               "twenty VMs.",
    .example = "vmtest vm rm web 'student-{1..20}'\nvmtest vm rm --all",
    .options = options,
    .max_args = -1,
    .run = run,
};
