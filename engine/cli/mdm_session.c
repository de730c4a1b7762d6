#include "cli/mdm_session.h"

#include "cli/vm_task.h"
#include "core/fs.h"
#include "core/mem.h"
#include "loop/op.h"
#include "mdm/control.h"

void vt_mdm_session_done(struct vt_op *op, void *user)
{
    struct vt_mdm_session *s = user;
    vt_op_keep(op);
    s->kept = op;
    s->done = true;
}

enum vt_code vt_mdm_session_wait(struct vt_mdm_session *s, struct vt_op *op, void **result,
                                 struct vt_error *err)
{
    *result = NULL;
    if (!op)
        return err->code;
    if (s->kept)
        vt_op_drop(s->kept);
    s->kept = NULL;
    for (s->done = false; !s->done;)
        vt_loop_run_once(s->loop, true);
    *result = vt_op_result(s->kept);
    return vt_op_error(s->kept) ? vt_error_copy(err, vt_op_error(s->kept)) : VT_OK;
}

enum vt_code vt_mdm_session_open(struct vt_mdm_session *s, const char *state, struct vt_error *err)
{
    void *mdm = NULL;
    *s = (struct vt_mdm_session){.loop = vt_loop_new(err)};
    if (!s->loop)
        return err->code;
    char *file = state ? vt_path_join(state, VT_CONTROL_FILE) : NULL;
    const struct vt_mdm_opts opts = {.kind = "lab", .url = "running", .credentials = file};
    enum vt_code code =
        vt_mdm_session_wait(s, vt_mdm_open(s->loop, &opts, vt_mdm_session_done, s, err), &mdm, err);
    s->mdm = mdm;
    vt_free(file);
    return code;
}

void vt_mdm_session_close(struct vt_mdm_session *s)
{
    if (s->kept)
        vt_op_drop(s->kept);
    vt_mdm_close(s->mdm);
    if (s->loop)
        vt_loop_free(s->loop);
    *s = (struct vt_mdm_session){.loop = NULL};
}

int vt_mdm_session_exit(const struct vt_command *self, const struct vt_error *err)
{
    if (err->code)
        vt_cli_error(self, err);
    return vt_vm_exit_code(err);
}
