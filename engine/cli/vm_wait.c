/* vmtest vm wait NAME... */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/vm_task.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

#define WAIT_S 600.0
#define LOOK_NS 100000000

enum { TIMEOUT };

static const struct vt_option options[] = {
    [TIMEOUT] = {0, "timeout", "TIME", "give up after this time (default: 10m)"},
    {0},
};

/* Its hypervisor's lock tells; so nobody else is kept from working with the VM meanwhile. */
static enum vt_code await_end(const char *name, double deadline, struct vt_error *err)
{
    struct vt_named *named;
    enum vt_code code = vt_named_find(name, &named, err);
    while (!code && vt_named_pid(named)) {
        if (vt_monotonic() > deadline)
            code = vt_fail(err, VT_ETIMEDOUT, "vm.wait", "VM %s still runs", name);
        else
            nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    if (!code)
        fprintf(stderr, "%s: is stopped\n", name);
    vt_named_free(named);
    return code;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    double timeout = WAIT_S;
    char **names;
    size_t count;
    if (values[TIMEOUT] && (vt_parse_duration(values[TIMEOUT], &timeout, &err) || timeout <= 0))
        return vt_cli_usage(self, "--timeout takes a time above 0, such as 90s or 5m, not \"%s\"",
                            values[TIMEOUT]);
    if (!vt_vm_names(self, args, &names, &count))
        return VT_EXIT_USAGE;
    int code = VT_EXIT_OK;
    double deadline = vt_monotonic() + timeout;
    for (size_t i = 0; i < count && !code; i++) {
        await_end(names[i], deadline, &err);
        code = vt_vm_exit_code(&err);
    }
    if (code)
        vt_cli_error(self, &err);
    vt_names_free(names, count);
    return code;
}

const struct vt_command vt_cmd_vm_wait = {
    .name = "vm wait",
    .args = "NAME...",
    .summary = "waits till VMs have stopped",
    .details = "'student-{1..20}' stands for twenty VMs.",
    .example = "vmtest vm wait web --timeout 5m",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
