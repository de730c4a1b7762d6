#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "guest/qga_internal.h"

enum { max_line = 32000, max_input = 8 << 20 /* bytes: one message of the agent's protocol */ };

/* In a session of its own, so that its whole group can be ended. */
static const char session[] = "command -v setsid >/dev/null 2>&1 && exec setsid sh -c \"$1\"; "
                              "exec sh -c \"$1\"";

struct exec_op {
    struct vt_op op;
    struct vt__qga_run *run;
    size_t limit;
    vt_output_fn on_output;
    void *output_user;
    struct vt_buf text[2]; /* by enum vt_stream */
    struct vt_exec_result result;
};

static void exec_abort(struct vt_op *op, struct vt_error *why)
{
    struct exec_op *x = (struct exec_op *)(void *)op;
    struct vt__qga_run *run = x->run;
    x->run = NULL;
    if (why->code == VT_ETIMEDOUT)
        vt_hint(why, "give it more time; where the command itself has ended, a process that it "
                     "left behind keeps its output open: redirect that process's output");
    if (run)
        vt__qga_run_stop(run);
}

static void exec_free(struct vt_op *op)
{
    struct exec_op *x = (struct exec_op *)(void *)op;
    vt_buf_free(&x->text[VT_STDOUT]);
    vt_buf_free(&x->text[VT_STDERR]);
    vt_loop_release(op->loop);
}

static const struct vt_op_class exec_class = {
    .name = "exec", .abort = exec_abort, .free = exec_free};

/* False where on_output() ended the operation. */
static bool keep(struct exec_op *x, enum vt_stream which, const struct vt_buf *all)
{
    size_t take = all->len < x->limit ? all->len : x->limit;
    vt_buf_add(&x->text[which], all->data, take);
    x->result.truncated |= take < all->len;
    if (x->on_output && all->len)
        x->on_output(which, all->data, all->len, x->output_user);
    return !vt_op_ended(&x->op);
}

static void on_ended(void *user, const struct vt__qga_result *result, const struct vt_error *why)
{
    struct exec_op *x = user;
    struct vt_exec_result *r = &x->result;
    x->run = NULL;
    if (why) {
        vt_op_fail(&x->op, why);
        return;
    }
    r->truncated = result->truncated;
    r->status = result->status;
    r->signal = result->signal;
    r->duration = vt_loop_now(x->op.loop) - x->op.started;
    if (!keep(x, VT_STDOUT, &result->out) || !keep(x, VT_STDERR, &result->err))
        return;
    r->out = vt_buf_str(&x->text[VT_STDOUT]);
    r->err = vt_buf_str(&x->text[VT_STDERR]);
    r->out_size = x->text[VT_STDOUT].len;
    r->err_size = x->text[VT_STDERR].len;
    vt_op_succeed(&x->op, r);
}

static enum vt_code check(const struct vt_channel *ch, const struct vt_exec_opts *opts,
                          struct vt_buf *line, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    if (!(opts->timeout > 0) || isinf(opts->timeout))
        return vt_fail(err, VT_EINVAL, "exec", "a command needs a time-out of more than 0 seconds");
    if (!ch->cls->connected(ch))
        return vt_fail(err, VT_ESTATE, "exec", "there is no connection to the guest");
    if (opts->pty) {
        vt_fail(err, VT_EUNSUPPORTED, "exec", "the QEMU guest agent gives no terminal");
        vt_hint(err, "put vmtest's own agent or an ssh server into the guest, or do without pty");
        return VT_EUNSUPPORTED;
    }
    if (opts->input && opts->input_size > max_input)
        code = vt_fail(err, VT_ELIMIT, "exec",
                       "the QEMU guest agent takes %d bytes of input at most, not %zu", max_input,
                       opts->input_size);
    else
        code = vt_exec_command_line(opts, line, err);
    if (!code && line->len > max_line) {
        code = vt_fail(err, VT_ELIMIT, "exec",
                       "the command has %zu bytes, more than the %d that "
                       "fit",
                       line->len, max_line);
        vt_hint(err, "give long data as input, or put a script into the guest and run that");
    }
    /* its messages are JSON, which has no other bytes */
    if (!code && vt_utf8_prefix(line->data, line->len) != line->len) {
        code = vt_fail(err, VT_EUNSUPPORTED, "exec",
                       "the QEMU guest agent takes no words that are not UTF-8");
        vt_hint(err, "give such bytes as input");
    }
    return code;
}

struct vt_op *vt__qga_exec(struct vt_channel *ch, const struct vt_exec_opts *opts, vt_op_fn done,
                           void *user, struct vt_error *err)
{
    struct vt_buf line = VT_BUF_INIT;
    struct exec_op *x = NULL;
    if (!check(ch, opts, &line, err)) {
        const char *argv[] = {"/bin/sh", "-c", session, "sh", vt_buf_str(&line), NULL};
        x = vt_op_new(sizeof *x, &exec_class, ch->loop, opts->timeout, done, user);
        vt_loop_hold(ch->loop);
        x->limit = opts->output_limit ? opts->output_limit : VT_OUTPUT_LIMIT_DEFAULT;
        x->on_output = opts->on_output;
        x->output_user = opts->output_user;
        x->run = vt__qga_run(vt__qga_conn_of(ch), ch->loop, argv, opts->input,
                             opts->input ? opts->input_size : 0, on_ended, x);
    }
    vt_buf_free(&line);
    return x ? &x->op : NULL;
}
