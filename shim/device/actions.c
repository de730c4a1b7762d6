#include "device/actions.h"

#include <unistd.h>

#include "core/args.h"
#include "core/mem.h"
#include "device/run.h"

bool vtd_action(const struct vtd *d, const char *name, const char *argument, struct vt_buf *out,
                struct vtd_chain *chain)
{
    char *path = vtd_root_path(d, "usr/lib/vmtest-device/actions/%s", name);
    const char *const argv[] = {path, argument, NULL};
    struct vtd_run run = {.status = -1};
    struct vt_error err = VT_ERROR_INIT;
    struct vt_args env = VT_ARGS_INIT;
    bool good = true;
    vt_args_printf(&env, "VMTEST_ROOT=%s", d->root);
    if (access(path, X_OK))
        good = vtd_fault(chain, vtd_own_domain, 4, "This guest cannot do that: it has no %s", path);
    else if (vtd_run(argv, vt_args_argv(&env), "", 0, VTD_ACTION_SECONDS, &run, &err))
        good = vtd_fault(chain, vtd_own_domain, 4, "%s", err.message);
    else if (run.status)
        good = vtd_fault(chain, vtd_own_domain, 4, "%s: %s (status %d)", name, vt_buf_str(&run.err),
                         run.status);
    else if (out)
        vt_buf_add(out, run.out.data, run.out.len);
    vtd_run_free(&run);
    vt_args_free(&env);
    vt_free(path);
    return good;
}
