#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "guest/agent_internal.h"

enum { max_request = 32768 /* bytes: as long as what ssh takes */ };

struct exec_op {
    struct vt_op op;
    struct vt__agent_stream stream;
    struct vt_buf input;
    size_t written, window;
    bool input_open;
    bool started; /* asked for: what arrives by now is a partial result */
    size_t limit;
    vt_output_fn on_output;
    void *output_user;
    struct vt_buf text[2]; /* by enum vt_stream */
    bool truncated;
    char *signal;
    struct vt_exec_result result;
};

static struct exec_op *of(struct vt__agent_stream *s)
{
    return (struct exec_op *)(void *)((char *)s - offsetof(struct exec_op, stream));
}

static void fill_result(struct exec_op *x, int status)
{
    x->result = (struct vt_exec_result){
        .status = status,
        .signal = x->signal,
        .out = vt_buf_str(&x->text[VT_STDOUT]),
        .err = vt_buf_str(&x->text[VT_STDERR]),
        .out_size = x->text[VT_STDOUT].len,
        .err_size = x->text[VT_STDERR].len,
        .truncated = x->truncated,
        .duration = vt_loop_now(x->op.loop) - x->op.started,
    };
    x->op.result = &x->result;
}

/* The agent ends the command, its whole group, when the channel is closed. */
static void exec_abort(struct vt_op *op, struct vt_error *why)
{
    struct exec_op *x = (struct exec_op *)(void *)op;
    if (x->started)
        fill_result(x, -1);
    if (why->code == VT_ETIMEDOUT)
        vt_hint(why, "give it more time; it was ended in the guest");
    vt__agent_stream_remove(&x->stream, true);
}

static void exec_free(struct vt_op *op)
{
    struct exec_op *x = (struct exec_op *)(void *)op;
    vt_buf_free(&x->input);
    vt_buf_free(&x->text[VT_STDOUT]);
    vt_buf_free(&x->text[VT_STDERR]);
    vt_free(x->signal);
    vt_loop_release(op->loop);
}

static const struct vt_op_class exec_class = {
    .name = "exec", .abort = exec_abort, .free = exec_free};

/* ---- while it runs ---- */

static void send_input(struct vt__agent_stream *s)
{
    struct exec_op *x = of(s);
    x->started = true;
    while (x->written < x->input.len && x->window && !vt__agent_full(s->conn)) {
        size_t n = x->input.len - x->written;
        n = n < x->window ? n : x->window;
        n = n < VT__FRAME_DATA ? n : VT__FRAME_DATA;
        vt__agent_send(s, VT__FRAME_BYTES, x->input.data + x->written, n, NULL, 0);
        x->written += n;
        x->window -= n;
    }
    if (!x->input_open || x->written < x->input.len)
        return;
    x->input_open = false;
    vt__agent_send(s, VT__FRAME_END, NULL, 0, NULL, 0);
}

static void keep(struct exec_op *x, enum vt_stream which, const char *data, size_t n)
{
    struct vt_buf *text = &x->text[which];
    size_t room = x->limit - text->len, take = n < room ? n : room;
    vt_buf_add(text, data, take);
    x->truncated |= take < n;
    if (x->on_output)
        x->on_output(which, data, n, x->output_user);
}

static void on_exit_frame(struct exec_op *x, const struct vt__frame *frame)
{
    enum { longest_name = 32 };
    uint32_t status = vt__load_u32(frame->data);
    size_t n = frame->size - 4;
    vt__agent_stream_remove(&x->stream, false);
    if (n)
        x->signal = vt_strndup((const char *)frame->data + 4, n < longest_name ? n : longest_name);
    fill_result(x, x->signal ? -1 : (int)(status & 255));
    vt_op_succeed(&x->op, &x->result);
}

static void on_failed_frame(struct exec_op *x, const struct vt__frame *frame)
{
    struct vt_error why = VT_ERROR_INIT;
    vt__agent_failure(frame, "exec", "run the command", &why);
    vt__agent_stream_remove(&x->stream, false);
    vt_op_fail(&x->op, &why);
}

static void exec_frame(struct vt__agent_stream *s, const struct vt__frame *frame)
{
    struct exec_op *x = of(s);
    bool has_number = frame->size >= 4;
    if (frame->type == VT__FRAME_BYTES && frame->stream != VT__FRAME_STDIN) {
        keep(x, frame->stream == VT__FRAME_STDOUT ? VT_STDOUT : VT_STDERR,
             (const char *)frame->data, frame->size);
    } else if (frame->type == VT__FRAME_WINDOW && has_number) {
        size_t more = vt__load_u32(frame->data);
        x->window = more < VT__EXEC_WINDOW - x->window ? x->window + more : VT__EXEC_WINDOW;
        send_input(s);
    } else if (frame->type == VT__FRAME_EXIT && has_number) {
        on_exit_frame(x, frame);
    } else if (frame->type == VT__FRAME_FAILED) {
        on_failed_frame(x, frame);
    } else {
        vt__agent_conn_break(s->conn, "an answer that does not fit");
    }
}

static void exec_lost(struct vt__agent_stream *s, const struct vt_error *why)
{
    struct exec_op *x = of(s);
    if (x->started)
        fill_result(x, -1);
    vt_op_fail(&x->op, why);
}

static const struct vt__agent_stream_class stream_class = {
    .frame = exec_frame, .room = send_input, .lost = exec_lost};

/* ---- its beginning ---- */

static void put_u32(struct vt_buf *b, size_t value)
{
    unsigned char p[4];
    vt__store_u32(p, (uint32_t)value);
    vt_buf_add(b, p, sizeof p);
}

static void put_words(struct vt_buf *b, const char *const *words)
{
    size_t n = 0;
    while (words && words[n])
        n++;
    put_u32(b, n);
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(words[i]);
        put_u32(b, length);
        vt_buf_add(b, words[i], length);
    }
}

/* Words go as they are; a line goes to the shell with env and cwd inside it, as over ssh. */
static enum vt_code make_request(const struct vt_exec_opts *opts, struct vt_buf *request,
                                 struct vt_error *err)
{
    struct vt_buf line = VT_BUF_INIT;
    unsigned flags = (opts->pty ? VT__EXEC_PTY : 0U) | (opts->input_size ? VT__EXEC_INPUT : 0U);
    enum vt_code code = vt_exec_command_line(opts, &line, err);
    if (!code && opts->command) {
        const char *const words[] = {vt_buf_str(&line), NULL};
        put_u32(request, flags | VT__EXEC_SHELL);
        put_words(request, words);
        put_words(request, NULL);
        put_words(request, NULL);
    } else if (!code) {
        const char *const cwd[] = {opts->cwd, NULL};
        put_u32(request, flags);
        put_words(request, opts->argv);
        put_words(request, opts->env);
        put_words(request, cwd);
    }
    vt_buf_free(&line);
    if (!code && request->len > max_request) {
        code =
            vt_fail(err, VT_ELIMIT, "exec", "the command has %zu bytes, more than the %d that fit",
                    request->len, max_request);
        vt_hint(err, "give long data as input, or put a script into the guest and run that");
    }
    return code;
}

struct vt_op *vt__agent_exec(struct vt_channel *ch, const struct vt_exec_opts *opts, vt_op_fn done,
                             void *user, struct vt_error *err)
{
    struct vt__agent_conn *c = vt__agent_conn_of(ch);
    struct vt_buf request = VT_BUF_INIT;
    struct exec_op *x = NULL;
    if (!(opts->timeout > 0) || isinf(opts->timeout))
        vt_fail(err, VT_EINVAL, "exec", "a command needs a time-out of more than 0 seconds");
    else if (!c)
        vt_fail(err, VT_ESTATE, "exec", "there is no connection to the guest");
    else if (!make_request(opts, &request, err)) {
        x = vt_op_new(sizeof *x, &exec_class, ch->loop, opts->timeout, done, user);
        vt_loop_hold(ch->loop);
        x->limit = opts->output_limit ? opts->output_limit : VT_OUTPUT_LIMIT_DEFAULT;
        x->on_output = opts->on_output;
        x->output_user = opts->output_user;
        x->window = VT__EXEC_WINDOW;
        x->input_open = opts->input && opts->input_size;
        if (x->input_open)
            vt_buf_add(&x->input, opts->input, opts->input_size);
        vt__agent_stream_add(c, &x->stream, &stream_class);
        vt__agent_send(&x->stream, VT__FRAME_EXEC, request.data, request.len, NULL, 0);
    }
    vt_buf_free(&request);
    return x ? &x->op : NULL;
}
