#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "guest/ssh_internal.h"

enum {
    chunk = 65536,
    max_reads = 16,   /* of a step, so that others have their turn */
    max_line = 32000, /* a command must fit into one packet of ssh */
};

struct stream {
    struct vt_buf text;
    int id; /* libssh2's stream id */
};

struct exec_op {
    struct vt_op op;
    struct vt__ssh_remote *remote; /* NULL once it was left or lost */
    struct vt_buf input;
    size_t written;
    bool eof_sent;
    bool started; /* the command runs: what arrives by now is a partial result */
    size_t limit;
    vt_output_fn on_output;
    void *output_user;
    struct stream streams[2]; /* by enum vt_stream */
    bool truncated;
    char *signal;
    struct vt_exec_result result;
};

static void fill_result(struct exec_op *x, int status)
{
    x->result = (struct vt_exec_result){
        .status = status,
        .signal = x->signal,
        .out = vt_buf_str(&x->streams[VT_STDOUT].text),
        .err = vt_buf_str(&x->streams[VT_STDERR].text),
        .out_size = x->streams[VT_STDOUT].text.len,
        .err_size = x->streams[VT_STDERR].text.len,
        .truncated = x->truncated,
        .duration = vt_loop_now(x->op.loop) - x->op.started,
    };
    x->op.result = &x->result;
}

static void let_go(struct exec_op *x)
{
    struct vt__ssh_remote *remote = x->remote;
    x->remote = NULL;
    if (remote)
        vt__ssh_remote_leave(remote);
}

static void exec_abort(struct vt_op *op, struct vt_error *why)
{
    struct exec_op *x = (struct exec_op *)(void *)op;
    bool started = x->started;
    if (started)
        fill_result(x, -1);
    if (why->code == VT_ETIMEDOUT)
        vt_hint(why, started ? "give it more time; where the command itself has ended, a process "
                               "that it left behind keeps its output open: redirect that "
                               "process's output"
                             : "the guest did not start the command");
    let_go(x);
}

static void exec_free(struct vt_op *op)
{
    struct exec_op *x = (struct exec_op *)(void *)op;
    vt_buf_free(&x->input);
    vt_buf_free(&x->streams[VT_STDOUT].text);
    vt_buf_free(&x->streams[VT_STDERR].text);
    vt_free(x->signal);
    vt_loop_release(op->loop);
}

static const struct vt_op_class exec_class = {
    .name = "exec", .abort = exec_abort, .free = exec_free};

/* ---- while it runs ---- */

static bool write_input(struct exec_op *x)
{
    struct vt__ssh_conn *c = x->remote->task.conn;
    LIBSSH2_CHANNEL *ch = x->remote->ch;
    bool moved = false;
    while (x->written < x->input.len && !vt__ssh_conn_full(c)) {
        ssize_t n =
            libssh2_channel_write(ch, x->input.data + x->written, x->input.len - x->written);
        if (n == LIBSSH2_ERROR_EAGAIN || n == 0)
            return moved;
        if (n < 0) {
            /* a command may close its input early, which is its own affair */
            x->written = x->input.len;
            break;
        }
        x->written += (size_t)n;
        moved = true;
    }
    if (x->written == x->input.len && !x->eof_sent) {
        int rc = libssh2_channel_send_eof(ch);
        if (rc == LIBSSH2_ERROR_EAGAIN)
            return moved;
        x->eof_sent = true;
        moved = true;
    }
    return moved;
}

static void keep(struct exec_op *x, enum vt_stream which, const char *data, size_t n)
{
    struct vt_buf *text = &x->streams[which].text;
    size_t room = x->limit - text->len, take = n < room ? n : room;
    vt_buf_add(text, data, take);
    x->truncated |= take < n;
    if (x->on_output)
        x->on_output(which, data, n, x->output_user);
}

/* False where on_output() ended the operation, or the connection broke. */
static bool read_stream(struct exec_op *x, enum vt_stream which, bool *moved)
{
    char data[chunk];
    for (int i = 0; i < max_reads; i++) {
        ssize_t n = libssh2_channel_read_ex(x->remote->ch, x->streams[which].id, data, sizeof data);
        if (n == LIBSSH2_ERROR_EAGAIN || n == 0)
            return true;
        if (n < 0) {
            vt__ssh_conn_break(x->remote->task.conn, "reading a command's output");
            return false;
        }
        *moved = true;
        keep(x, which, data, (size_t)n);
        if (!x->remote || vt_op_ended(&x->op))
            return false;
    }
    return true;
}

/* True when the server has closed the channel and all output was read. */
static bool finished(struct exec_op *x)
{
    LIBSSH2_CHANNEL *ch = x->remote->ch;
    return libssh2_channel_eof(ch) == 1 && libssh2_channel_wait_closed(ch) == 0;
}

static void finish(struct exec_op *x)
{
    LIBSSH2_CHANNEL *ch = x->remote->ch;
    struct vt__ssh_conn *c = x->remote->task.conn;
    char *signal = NULL;
    size_t n = 0;
    libssh2_channel_get_exit_signal(ch, &signal, &n, NULL, NULL, NULL, NULL);
    if (signal) {
        x->signal = vt_strndup(signal, n);
        libssh2_free(c->session, signal);
    }
    fill_result(x, x->signal ? -1 : libssh2_channel_get_exit_status(ch));
    vt_op_succeed(&x->op, &x->result);
    let_go(x);
}

static bool run(struct vt__ssh_remote *remote, void *user)
{
    struct exec_op *x = user;
    x->started = true;
    vt__ssh_remote_spare(remote->task.conn);
    bool moved = write_input(x);
    if (!read_stream(x, VT_STDOUT, &moved) || !read_stream(x, VT_STDERR, &moved))
        return moved;
    if (finished(x)) {
        finish(x);
        return true;
    }
    return moved;
}

static void failed(void *user, const struct vt_error *why)
{
    struct exec_op *x = user;
    x->remote = NULL;
    if (x->started)
        fill_result(x, -1);
    struct vt_error e = *why;
    vt_op_fail(&x->op, &e);
}

static const struct vt__ssh_remote_class remote_class = {.run = run, .failed = failed};

static void too_long(size_t n, struct vt_error *err)
{
    vt_fail(err, VT_ELIMIT, "exec", "the command has %zu bytes, more than the %d that fit", n,
            max_line);
    vt_hint(err, "give long data as input, or put a script into the guest and run that");
}

struct vt_op *vt__ssh_exec(struct vt_channel *ch, const struct vt_exec_opts *opts, vt_op_fn done,
                           void *user, struct vt_error *err)
{
    struct vt__ssh_conn *c = vt__ssh_conn_of(ch);
    struct vt_buf line = VT_BUF_INIT;
    if (!(opts->timeout > 0) || isinf(opts->timeout))
        vt_fail(err, VT_EINVAL, "exec", "a command needs a time-out of more than 0 seconds");
    else if (!c)
        vt_fail(err, VT_ESTATE, "exec", "there is no connection to the guest");
    else if (vt_exec_command_line(opts, &line, err))
        ; /* *err is set */
    else if (line.len > max_line)
        too_long(line.len, err);
    else {
        struct exec_op *x = vt_op_new(sizeof *x, &exec_class, ch->loop, opts->timeout, done, user);
        vt_loop_hold(ch->loop);
        x->streams[VT_STDERR].id = SSH_EXTENDED_DATA_STDERR;
        x->limit = opts->output_limit ? opts->output_limit : VT_OUTPUT_LIMIT_DEFAULT;
        x->on_output = opts->on_output;
        x->output_user = opts->output_user;
        if (opts->input)
            vt_buf_add(&x->input, opts->input, opts->input_size);
        x->remote =
            vt__ssh_remote_start(c, "exec", line.data, line.len, opts->pty, &remote_class, x);
        vt_buf_free(&line);
        vt__ssh_conn_kick(c);
        return &x->op;
    }
    vt_buf_free(&line);
    return NULL;
}
