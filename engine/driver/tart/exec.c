/* By `tart exec`, which has the guest's own agent run a command.
 *
 * Its exit status is the command's, or tart's own where it failed: the two cannot be told apart. So
 * a shell in the guest runs the command and writes a line with a random word and the status after
 * the command's standard error. Without that line the command did not run to its end, and what tart
 * said is an error. The command itself is one argument for that shell. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/sys.h"
#include "driver/tart/command.h"
#include "driver/tart/instance.h"
#include "guest/connecting.h"

#define OP "tart.exec"
#define PROBE_S 10.0
#define LINE_MAX_ 100000 /* bytes of a command: what the kernel of a guest takes as one word */
#define TOKEN_DIGITS 32

/* The pause is for older agents, which end with the command and drop what they have not read. */
#define TELL "; s=$?; printf '\\n%s %d\\n' \"$2\" \"$s\" >&2; sleep 0.1 2>/dev/null"

static const char run_it[] = "sh -c \"$1\"" TELL;
static const char run_it_without_input[] = "sh -c \"$1\" </dev/null" TELL;

struct exec_op;

struct way {
    struct vt_channel base; /* first */
    struct vt_tart *t;
    struct vt__connecting connecting;
    struct vt_op *probe; /* or NULL */
    struct exec_op *ops; /* under way */
    bool connected;
};

struct exec_op {
    struct vt_op op; /* first */
    struct way *way; /* NULL once it has ended */
    struct exec_op *next;
    struct vt_op *inner;
    char token[TOKEN_DIGITS + 1];
    size_t limit;
    vt_output_fn on_output;
    void *output_user;
    struct vt_buf text[2]; /* by enum vt_stream */
    struct vt_exec_result result;
};

static struct way *way_of(struct vt_channel *ch)
{
    return (struct way *)(void *)ch;
}

/* --- commands --- */

static void leave(struct exec_op *x)
{
    if (!x->way)
        return;
    struct exec_op **at = &x->way->ops;
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    x->way = NULL;
}

static void exec_abort(struct vt_op *op, struct vt_error *why)
{
    struct exec_op *x = (struct exec_op *)(void *)op;
    (void)why;
    leave(x);
    if (x->inner)
        vt_op_forget(x->inner);
    x->inner = NULL;
}

static void exec_free(struct vt_op *op)
{
    struct exec_op *x = (struct exec_op *)(void *)op;
    leave(x);
    if (x->inner)
        vt_op_forget(x->inner);
    vt_buf_free(&x->text[VT_STDOUT]);
    vt_buf_free(&x->text[VT_STDERR]);
    vt_loop_release(op->loop);
}

static const struct vt_op_class exec_class = {
    .name = "exec", .abort = exec_abort, .free = exec_free};

/* False where on_output() ended the operation. */
static bool keep(struct exec_op *x, enum vt_stream which, const char *data, size_t n)
{
    size_t take = n < x->limit ? n : x->limit;
    vt_buf_add(&x->text[which], data, take);
    x->result.truncated |= take < n;
    if (x->on_output && n)
        x->on_output(which, data, n, x->output_user);
    return !vt_op_ended(&x->op);
}

/* A shell tells a signal as 128 and its number, as does whoever exits so by himself. */
static const char *signal_name(int status)
{
    static const char *const names[] = {
        [1] = "HUP",  [2] = "INT",   [3] = "QUIT",  [4] = "ILL",   [6] = "ABRT",
        [9] = "KILL", [11] = "SEGV", [13] = "PIPE", [14] = "ALRM", [15] = "TERM"};
    int n = status - 128;
    return n > 0 && n < (int)(sizeof names / sizeof *names) ? names[n] : NULL;
}

static void finish(struct exec_op *x, const struct vt_process_result *p, size_t err_size,
                   int status)
{
    struct vt_exec_result *r = &x->result;
    r->signal = signal_name(status);
    r->status = r->signal ? -1 : status;
    r->truncated = p->truncated;
    r->duration = vt_loop_now(x->op.loop) - x->op.started;
    if (!keep(x, VT_STDOUT, p->out, p->out_size) || !keep(x, VT_STDERR, p->err, err_size))
        return;
    r->out = vt_buf_str(&x->text[VT_STDOUT]);
    r->err = vt_buf_str(&x->text[VT_STDERR]);
    r->out_size = x->text[VT_STDOUT].len;
    r->err_size = x->text[VT_STDERR].len;
    vt_op_succeed(&x->op, r);
}

static void on_ended(struct vt_op *inner, void *user)
{
    struct exec_op *x = user;
    const struct vt_process_result *r = vt_op_result(inner);
    struct vt_error why = VT_ERROR_INIT;
    size_t at = 0;
    int status = 0;
    x->inner = NULL;
    if (vt_op_error(inner))
        vt_fail(&why, vt_op_error(inner)->code, "exec", "%s", vt_op_error(inner)->message);
    else if (vt_tart_find_status(r->err, r->err_size, x->token, &at, &status))
        finish(x, r, at, status);
    else if (r->truncated)
        vt_fail(&why, VT_ELIMIT, "exec", "the command printed more than %zu bytes",
                VT_TART_OUTPUT_MAX);
    else
        vt_tart_exec_failed(r->err_size ? r->err : r->out, r->status, x->way->t->config->name,
                            &why);
    leave(x);
    if (why.code)
        vt_op_fail(&x->op, &why);
}

static enum vt_code check(const struct way *w, const struct vt_exec_opts *opts, struct vt_buf *line,
                          struct vt_error *err)
{
    if (!(opts->timeout > 0) || isinf(opts->timeout))
        return vt_fail(err, VT_EINVAL, "exec", "a command needs a time-out of more than 0 seconds");
    if (!w->connected)
        return vt_fail(err, VT_ESTATE, "exec", "there is no connection to the guest");
    if (opts->pty) {
        vt_fail(err, VT_EUNSUPPORTED, "exec", "by `tart exec` vmtest has no terminal");
        vt_hint(err, "reach the guest by ssh, or do without pty");
        return VT_EUNSUPPORTED;
    }
    enum vt_code code = vt_exec_command_line(opts, line, err);
    if (!code && line->len > LINE_MAX_) {
        code = vt_fail(err, VT_ELIMIT, "exec", "the command has %zu bytes, more than %d", line->len,
                       LINE_MAX_);
        vt_hint(err, "give long data as input");
    }
    return code;
}

static struct vt_op *spawn(struct way *w, const char *line, const char *token, const void *input,
                           size_t input_size, double timeout, vt_op_fn done, void *user,
                           struct vt_error *err)
{
    char *program = vt_tart_program("exec", err);
    if (!program)
        return NULL;
    const char *words[12] = {program, "exec"};
    size_t n = 2;
    if (input)
        words[n++] = "-i";
    words[n++] = w->t->name;
    words[n++] = "/bin/sh";
    words[n++] = "-c";
    words[n++] = input ? run_it : run_it_without_input;
    words[n++] = "sh";
    words[n++] = line;
    words[n++] = token;
    words[n] = NULL;
    const struct vt_process_opts opts = {.argv = words,
                                         .input = input,
                                         .input_size = input_size,
                                         .timeout = timeout,
                                         .output_limit = VT_TART_OUTPUT_MAX * 16};
    struct vt_op *op = vt_process_run(w->base.loop, &opts, done, user, err);
    vt_free(program);
    return op;
}

static struct vt_op *exec(struct vt_channel *ch, const struct vt_exec_opts *opts, vt_op_fn done,
                          void *user, struct vt_error *err)
{
    struct way *w = way_of(ch);
    struct vt_buf line = VT_BUF_INIT;
    struct exec_op *x = NULL;
    if (!check(w, opts, &line, err)) {
        struct vt_error why = VT_ERROR_INIT;
        x = vt_op_new(sizeof *x, &exec_class, ch->loop, opts->timeout, done, user);
        vt_loop_hold(ch->loop);
        x->way = w;
        x->next = w->ops;
        w->ops = x;
        x->limit = opts->output_limit ? opts->output_limit : VT_OUTPUT_LIMIT_DEFAULT;
        x->on_output = opts->on_output;
        x->output_user = opts->output_user;
        vt_random_hex(x->token, TOKEN_DIGITS);
        /* its own deadline is a little later, so that ours tells */
        x->inner = spawn(w, vt_buf_str(&line), x->token, opts->input,
                         opts->input ? opts->input_size : 0, opts->timeout + 1, on_ended, x, &why);
        if (!x->inner)
            vt_op_fail(&x->op, &why);
    }
    vt_buf_free(&line);
    return x ? &x->op : NULL;
}

static struct vt_op *transfer(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                              vt_op_fn done, void *user, struct vt_error *err)
{
    (void)ch;
    (void)opts;
    (void)done;
    (void)user;
    vt_fail(err, VT_EUNSUPPORTED, "transfer", "`tart exec` runs commands and moves no files");
    vt_hint(err, "say how to log in by ssh: tart = {user = \"admin\", key = \"…\", …}");
    return NULL;
}

/* --- connecting: till a command runs --- */

static void stop(struct vt_channel *ch)
{
    struct way *w = way_of(ch);
    vt_timer_clear(&w->connecting.retry);
    if (w->probe)
        vt_op_forget(w->probe);
    w->probe = NULL;
}

static void on_probe(struct vt_op *inner, void *user)
{
    struct way *w = user;
    struct vt_error why = VT_ERROR_INIT;
    const struct vt_process_result *r = vt_op_result(inner);
    size_t at;
    int status;
    w->probe = NULL;
    if (vt_op_error(inner))
        why = *vt_op_error(inner);
    else if (!vt_tart_find_status(r->err, r->err_size, "probe", &at, &status))
        vt_tart_exec_failed(r->err_size ? r->err : r->out, r->status, w->t->config->name, &why);
    w->connected = !why.code;
    if (w->connected || why.code == VT_EUNSUPPORTED)
        vt__connecting_end(&w->connecting, w->connected ? NULL : &why);
    else
        vt__connecting_again(&w->connecting, &why);
}

static void attempt(struct vt_channel *ch)
{
    struct way *w = way_of(ch);
    struct vt_error why = VT_ERROR_INIT;
    w->probe = spawn(w, "true", "probe", NULL, 0, PROBE_S, on_probe, w, &why);
    if (!w->probe)
        vt__connecting_end(&w->connecting, &why);
}

static void timed_out(const struct vt_channel *ch, struct vt_error *why)
{
    const struct way *w = (const struct way *)(const void *)ch;
    vt_error_append(why, ": %s",
                    w->connecting.reason[0] ? w->connecting.reason : "the guest did not answer");
    vt_hint(why, "`tart exec` needs macOS 14 on this host and the Tart guest agent in the guest; a "
                 "guest without it is reached by ssh: tart = {user = …, key = …}");
}

static const struct vt__connecting_class connecting_class = {
    .op = {.name = OP, .abort = vt__connecting_abort, .free = vt__connecting_free},
    .retry_first = 0.3,
    .attempt = attempt,
    .stop = stop,
    .timed_out = timed_out,
};

/* --- the channel --- */

static bool connected(const struct vt_channel *ch)
{
    return ((const struct way *)(const void *)ch)->connected;
}

static struct vt_op *connect_way(struct vt_channel *ch, double timeout, vt_op_fn done, void *user,
                                 struct vt_error *err)
{
    return vt__connecting_add(&way_of(ch)->connecting, connected(ch), timeout, done, user, err);
}

static void drop(struct vt_channel *ch, const struct vt_error *why)
{
    struct way *w = way_of(ch);
    stop(ch);
    w->connected = false;
    vt__connecting_end(&w->connecting, why);
    while (w->ops) {
        struct exec_op *x = w->ops;
        leave(x);
        if (x->inner)
            vt_op_forget(x->inner);
        x->inner = NULL;
        vt_op_fail(&x->op, why);
    }
}

static void free_way(struct vt_channel *ch)
{
    struct vt_error gone = VT_ERROR_INIT;
    vt_fail(&gone, VT_ECANCELED, OP, "the connection was closed");
    drop(ch, &gone);
    vt_free(ch);
}

static const struct vt_channel_class way_class = {
    .name = "agent",
    .connect = connect_way,
    .exec = exec,
    .transfer = transfer,
    .connected = connected,
    .explain = timed_out,
    .drop = drop,
    .free = free_way,
};

struct vt_channel *vt_tart_exec_channel(struct vt_tart *t, struct vt_error *err)
{
    if (!t->process) {
        vt_fail(err, VT_ESTATE, OP, "VM %s does not run", t->config->name);
        return NULL;
    }
    struct way *w = vt_calloc(1, sizeof *w);
    w->base = (struct vt_channel){.cls = &way_class, .loop = t->loop};
    w->t = t;
    w->connecting.cls = &connecting_class;
    w->connecting.ch = &w->base;
    return &w->base;
}
