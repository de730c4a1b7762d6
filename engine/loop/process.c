/* Host processes as operations. */
#include "vmtest/loop.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <uv.h>

#include "core/buf.h"
#include "core/mem.h"
#include "loop/op.h"

struct process;

struct stream {
    uv_pipe_t pipe;
    struct process *process;
    struct vt_buf text;
    bool open;
};

/* Outlives the operation until libuv has closed every handle. */
struct process {
    uv_process_t handle;
    struct run_op *op; /* NULL once the operation has ended */
    struct vt_loop *loop;
    struct stream in, out, err;
    uv_write_t write;
    char *input;
    size_t limit;
    bool truncated, exited, same_group;
    int status, signal;
    unsigned handles; /* not yet closed */
    char chunk[65536];
};

struct run_op {
    struct vt_op op;
    struct process *process;
    struct vt_process_result result;
};

static void on_closed(uv_handle_t *handle)
{
    struct process *p = handle->data;
    if (--p->handles)
        return;
    vt_loop_release(p->loop);
    vt_buf_free(&p->out.text);
    vt_buf_free(&p->err.text);
    vt_free(p->input);
    vt_free(p);
}

static void close_stream(struct stream *s)
{
    if (s->open) {
        s->open = false;
        uv_close((uv_handle_t *)&s->pipe, on_closed);
    }
}

static void finish_if_done(struct process *p)
{
    struct run_op *op = p->op;
    if (!op || !p->exited || p->out.open || p->err.open)
        return;
    op->result = (struct vt_process_result){
        .status = p->signal ? -1 : p->status,
        .signal = p->signal,
        .out = vt_buf_str(&p->out.text),
        .err = vt_buf_str(&p->err.text),
        .out_size = p->out.text.len,
        .err_size = p->err.text.len,
        .truncated = p->truncated,
    };
    vt_op_succeed(&op->op, &op->result);
}

static void on_process_exit(uv_process_t *handle, int64_t status, int signal)
{
    struct process *p = handle->data;
    p->exited = true;
    p->status = (int)status;
    p->signal = signal;
    close_stream(&p->in);
    finish_if_done(p);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct process *p = handle->data;
    *buf = uv_buf_init(p->chunk, sizeof p->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct process *p = stream->data;
    struct stream *s = (void *)stream == (void *)&p->out.pipe ? &p->out : &p->err;
    if (n < 0) {
        close_stream(s);
        finish_if_done(p);
        return;
    }
    size_t room = p->limit - s->text.len, take = (size_t)n < room ? (size_t)n : room;
    vt_buf_add(&s->text, buf->base, take);
    p->truncated |= take < (size_t)n;
}

static void on_written(uv_write_t *write, int status)
{
    (void)status; /* a process may close its input early: that is its own affair */
    struct process *p = write->data;
    close_stream(&p->in);
}

static void let_go(struct process *p)
{
    p->op = NULL;
    close_stream(&p->in);
    close_stream(&p->out);
    close_stream(&p->err);
    if (!uv_is_closing((uv_handle_t *)&p->handle))
        uv_close((uv_handle_t *)&p->handle, on_closed);
}

static void run_abort(struct vt_op *op, struct vt_error *why)
{
    struct process *p = ((struct run_op *)(void *)op)->process;
    (void)why;
    if (!p->exited)
        kill(p->same_group ? p->handle.pid : -p->handle.pid, SIGKILL);
}

static void run_free(struct vt_op *op)
{
    struct process *p = ((struct run_op *)(void *)op)->process;
    if (p)
        let_go(p);
}

static const struct vt_op_class run_class = {
    .name = "process", .abort = run_abort, .free = run_free};

static void open_stream(struct process *p, struct stream *s, uv_stdio_container_t *io, int flags)
{
    uv_pipe_init(vt_loop_uv(p->loop), &s->pipe, 0);
    s->pipe.data = p;
    s->open = true;
    p->handles++;
    io->flags = (uv_stdio_flags)(UV_CREATE_PIPE | flags);
    io->data.stream = (uv_stream_t *)&s->pipe;
}

static int spawn(struct process *p, const struct vt_process_opts *opts)
{
    uv_stdio_container_t io[3] = {{.flags = UV_IGNORE},
                                  {.flags = UV_INHERIT_FD, .data.fd = 1},
                                  {.flags = UV_INHERIT_FD, .data.fd = 2}};
    if (opts->input)
        open_stream(p, &p->in, &io[0], UV_READABLE_PIPE);
    if (!opts->inherit_output) {
        open_stream(p, &p->out, &io[1], UV_WRITABLE_PIPE);
        open_stream(p, &p->err, &io[2], UV_WRITABLE_PIPE);
    }
    /* libuv takes char ** and does not write to it */
    union {
        const char *const *from;
        char **to;
    } args = {.from = opts->argv}, env = {.from = opts->env};
    uv_process_options_t o = {
        .exit_cb = on_process_exit,
        .file = opts->file ? opts->file : opts->argv[0],
        .args = args.to,
        .env = env.to,
        .cwd = opts->cwd,
        .flags = opts->same_group ? 0 : UV_PROCESS_DETACHED, /* a session and a group of its own */
        .stdio_count = 3,
        .stdio = io,
    };
    p->handle.data = p;
    p->handles++;
    return uv_spawn(vt_loop_uv(p->loop), &p->handle, &o);
}

struct vt_op *vt_process_run(struct vt_loop *loop, const struct vt_process_opts *opts,
                             vt_op_fn done, void *user, struct vt_error *err)
{
    if (!opts->argv || !opts->argv[0] || !(opts->timeout > 0)) {
        vt_fail(err, VT_EINVAL, "process", "a process needs a program and a time-out");
        return NULL;
    }
    struct process *p = vt_calloc(1, sizeof *p);
    p->loop = loop;
    p->limit = opts->output_limit;
    p->same_group = opts->same_group;
    vt_loop_hold(loop);
    int rc = spawn(p, opts);
    if (rc) {
        vt_fail(err, rc == UV_ENOENT ? VT_ENOTFOUND : VT_EIO, "process", "cannot start %s: %s",
                opts->argv[0], uv_strerror(rc));
        p->exited = true;
        let_go(p);
        return NULL;
    }
    struct run_op *op = vt_op_new(sizeof *op, &run_class, loop, opts->timeout, done, user);
    op->process = p;
    p->op = op;
    if (!opts->inherit_output) {
        uv_read_start((uv_stream_t *)&p->out.pipe, on_alloc, on_read);
        uv_read_start((uv_stream_t *)&p->err.pipe, on_alloc, on_read);
    }
    if (opts->input) {
        p->input = vt_malloc(opts->input_size + 1);
        memcpy(p->input, opts->input, opts->input_size);
        uv_buf_t buf = uv_buf_init(p->input, (unsigned)opts->input_size);
        p->write.data = p;
        uv_write(&p->write, (uv_stream_t *)&p->in.pipe, &buf, 1, on_written);
    }
    return &op->op;
}
