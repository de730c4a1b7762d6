/* Commands in the simulated guest. */
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "driver/sim/instance.h"

struct exec_op {
    struct vt__sim_op base;
    struct vt__sim_proc *proc; /* NULL before it runs, and after */
    const struct vt__sim_scripted *scripted;
    vt_output_fn on_output;
    void *output_user;
    size_t limit;
    struct vt_buf kept[2];
    struct vt_exec_result result;
};

/* Makes what has arrived the operation's result. */
static void set_result(struct exec_op *self)
{
    vt_buf_add(&self->kept[0], "", 0);
    vt_buf_add(&self->kept[1], "", 0);
    self->result.out = vt_buf_str(&self->kept[0]);
    self->result.err = vt_buf_str(&self->kept[1]);
    self->result.out_size = self->kept[0].len;
    self->result.err_size = self->kept[1].len;
    self->result.duration = vt_loop_now(self->base.op.loop) - self->base.op.started;
    self->base.op.result = &self->result;
}

static void exec_let_go(struct vt__sim_op *base)
{
    struct exec_op *self = (struct exec_op *)(void *)base;
    if (self->proc)
        vt__sim_proc_kill(self->proc);
    self->proc = NULL;
    set_result(self);
}

static void exec_free(struct vt_op *op)
{
    struct exec_op *self = (struct exec_op *)(void *)op;
    vt_buf_free(&self->kept[0]);
    vt_buf_free(&self->kept[1]);
}

static const struct vt_op_class exec_class = {
    .name = "guest.exec", .abort = vt__sim_op_abort, .free = exec_free};

/* The listener may end this operation, or free the VM: only `self` is safe to touch after it. */
static void deliver(struct exec_op *self, enum vt_stream stream, const char *data, size_t n)
{
    if (vt_op_ended(&self->base.op) || !n)
        return;
    struct vt_buf *kept = &self->kept[stream];
    size_t fits = self->limit - kept->len < n ? self->limit - kept->len : n;
    vt_buf_add(kept, data, fits);
    self->result.truncated = self->result.truncated || fits < n;
    if (self->on_output)
        self->on_output(stream, data, n, self->output_user);
}

static void finish(struct exec_op *self, int status, const char *signal)
{
    if (vt_op_ended(&self->base.op))
        return;
    self->result.status = signal ? -1 : status;
    self->result.signal = signal;
    vt__sim_op_leave(&self->base);
    vt_op_succeed(&self->base.op, &self->result);
}

static void on_proc(struct vt__sim_proc *proc, void *user)
{
    struct exec_op *self = user;
    struct vt__sim_exit result;
    struct vt__sim_output output = vt__sim_proc_take(proc, &result);
    if (result.ended) {
        self->proc = NULL;
        vt__sim_proc_detach(proc);
    }
    const char *at = vt_buf_str(&output.bytes);
    for (size_t i = 0; i < output.count; i++) {
        deliver(self, output.chunks[i].stream, at, output.chunks[i].size);
        at += output.chunks[i].size;
    }
    if (result.ended)
        finish(self, result.status, result.signal);
    vt__sim_output_clear(&output);
}

static void on_scripted(struct vt__sim_timer *timer)
{
    struct exec_op *self = timer->user;
    const struct vt__sim_scripted *answer = self->scripted;
    int status = answer->status; /* the script may be gone once the listener was called */
    struct vt_buf out = VT_BUF_INIT, err = VT_BUF_INIT;
    vt_buf_add(&out, answer->out, answer->out_size);
    vt_buf_add(&err, answer->err, answer->err_size);
    deliver(self, VT_STDOUT, out.data, out.len);
    deliver(self, VT_STDERR, err.data, err.len);
    finish(self, status, NULL);
    vt_buf_free(&out);
    vt_buf_free(&err);
}

/* The command line as the suite wrote it: what scripts match. */
static char *written_line(const struct vt_exec_opts *opts)
{
    struct vt_buf line = VT_BUF_INIT;
    for (const char *const *word = opts->argv; word && *word; word++) {
        if (line.len)
            vt_buf_putc(&line, ' ');
        vt_shell_quote(&line, *word);
    }
    if (opts->command)
        vt_buf_puts(&line, opts->command);
    return vt_buf_steal(&line);
}

struct vt_op *vt__sim_exec(struct vt_channel *base, const struct vt_exec_opts *opts, vt_op_fn done,
                           void *user, struct vt_error *err)
{
    struct vt__sim_channel *ch = (struct vt__sim_channel *)(void *)base;
    struct vt_buf checked = VT_BUF_INIT;
    enum vt_code code = vt_exec_command_line(opts, &checked, err);
    vt_buf_free(&checked);
    if (!code && !(opts->timeout > 0))
        code = vt_fail(err, VT_EINVAL, "exec", "a command needs a time-out above 0");
    if (!code && !ch->connected)
        code = vt_fail(err, VT_ESTATE, "exec", "the guest is not connected");
    if (code)
        return NULL;
    struct exec_op *self =
        vt__sim_op_new(ch, sizeof *self, &exec_class, VT__SIM_AT_EXEC, opts->timeout, done, user);
    self->base.let_go = exec_let_go;
    self->on_output = opts->on_output;
    self->output_user = opts->output_user;
    self->limit = opts->output_limit ? opts->output_limit : VT_OUTPUT_LIMIT_DEFAULT;
    self->result.status = -1;
    char *line = written_line(opts);
    self->scripted = vt__sim_script_find(&ch->sim->script, line);
    vt_free(line);
    if (self->scripted) {
        vt__sim_op_run(&self->base, self->scripted->seconds, on_scripted);
        return &self->base.op;
    }
    double delay = vt__sim_op_delay(&self->base);
    self->proc = vt__sim_proc_start(&ch->sim->guest, opts, delay, on_proc, self);
    return &self->base.op;
}
