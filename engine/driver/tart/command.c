#include "driver/tart/command.h"

#include <string.h>

#include "core/mem.h"
#include "core/sys.h"
#include "driver/tart/output.h"

#define DELETE_S 20.0

char *vt_tart_program(const char *op, struct vt_error *err)
{
    char *program = vt_find_program("tart");
    if (program)
        return program;
    vt_fail(err, VT_ENOTFOUND, op, "there is no `tart` on this host, or not in PATH");
    vt_hint(err, "it runs on Macs with Apple silicon alone: brew install cirruslabs/cli/tart; on "
                 "other hosts use the qemu driver");
    return NULL;
}

struct vt_op *vt_tart_command(struct vt_loop *loop, const char *op, const struct vt_args *args,
                              double timeout, vt_op_fn done, void *user, struct vt_error *err)
{
    struct vt_args all = VT_ARGS_INIT;
    char *program = vt_tart_program(op, err);
    if (!program)
        return NULL;
    vt_args_add(&all, program);
    for (size_t i = 0; i < args->n; i++)
        vt_args_add(&all, args->v[i]);
    const struct vt_process_opts opts = {
        .argv = vt_args_argv(&all), .timeout = timeout, .output_limit = VT_TART_OUTPUT_MAX};
    struct vt_op *started = vt_process_run(loop, &opts, done, user, err);
    vt_args_free(&all);
    vt_free(program);
    return started;
}

/* Older versions print errors on standard output. */
enum vt_code vt_tart_outcome(struct vt_op *done, const char *op, const char *doing,
                             struct vt_error *err)
{
    const struct vt_process_result *r = vt_op_result(done);
    if (vt_op_error(done))
        return vt_fail(err, vt_op_error(done)->code, op, "%s: %s", doing,
                       vt_op_error(done)->message);
    if (r->signal)
        return vt_fail(err, VT_EHYPERVISOR, op, "%s: tart was killed by signal %d", doing,
                       r->signal);
    if (r->truncated)
        return vt_fail(err, VT_ELIMIT, op, "%s: tart printed more than %zu bytes", doing,
                       VT_TART_OUTPUT_MAX);
    return r->status ? vt_tart_explain(r->err_size ? r->err : r->out, op, doing, err) : VT_OK;
}

struct deletion {
    bool done;
    struct vt_error err;
};

static void on_deleted(struct vt_op *op, void *user)
{
    struct deletion *d = user;
    d->done = true;
    vt_tart_outcome(op, "tart.delete", "cannot delete a clone", &d->err);
}

enum vt_code vt_tart_delete_now(const char *name, struct vt_error *err)
{
    struct vt_args args = VT_ARGS_INIT;
    struct deletion d = {.err = VT_ERROR_INIT};
    struct vt_loop *loop = vt_loop_new(&d.err);
    vt_args_add(&args, "delete");
    vt_args_add(&args, name);
    if (loop && vt_tart_command(loop, "tart.delete", &args, DELETE_S, on_deleted, &d, &d.err))
        while (!d.done)
            vt_loop_run_once(loop, true);
    vt_loop_free(loop);
    vt_args_free(&args);
    if (d.done && d.err.code == VT_ENOTFOUND)
        return VT_OK;
    return vt_error_copy(err, &d.err);
}
