#include "run/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "core/text.h"
#include "loop/timer.h"

#define MARGIN_S 20.0   /* beyond what a worker announced, before it counts as stuck */
#define SILENCE_S 900.0 /* between tests, where it announced nothing */
#define PAUSE_S 0.001   /* between reads: a worker that wakes the parent for each line is slow */
#define PIPE_BYTES (256 << 10) /* what a busy worker writes in many pauses */
#define LINGER_S 1.0 /* after its end, for a stray child of the suite to let go of its output */

struct vt_worker {
    uv_process_t process;
    uv_pipe_t in, out, err;
    uv_write_t write;
    char *line; /* the job, while it is written */
    int job;    /* its number */
    struct vt_loop *loop;
    struct vt_worker_handlers handlers;
    struct vt_event_reader *reader;
    struct vt_buf text; /* of its stderr: a UTF-8 sequence that is not complete yet */
    struct vt_timer watchdog, killer, pause;
    struct vt_worker_end end;
    double limit;
    bool has_process, exited, out_open, err_open, in_open;
    unsigned handles;
    char chunk[65536];
};

static void kill_group(struct vt_worker *w, int signal)
{
    if (w->process.pid > 0)
        kill(-w->process.pid, signal);
}

static void on_overdue(struct vt_timer *timer)
{
    struct vt_worker *w = timer->user;
    w->end.overdue = true;
    w->end.limit = w->limit;
    kill_group(w, SIGKILL);
}

static void watch(struct vt_worker *w, double seconds)
{
    w->limit = seconds;
    vt_timer_set(&w->watchdog, w->loop, seconds, on_overdue, w);
}

static void on_event(const struct vt_event *event, void *user)
{
    struct vt_worker *w = user;
    if (event->type == VT_EVENT_TEST_START)
        watch(w, vt_event_num(event, "timeout", SILENCE_S) + MARGIN_S);
    else if (event->type == VT_EVENT_DEADLINE)
        watch(w, vt_event_num(event, "seconds", SILENCE_S) + MARGIN_S);
    else if (event->type == VT_EVENT_TEST_END)
        watch(w, SILENCE_S);
    w->handlers.event(event, w->handlers.user);
}

/* An event that the worker did not write itself: of this type, with a name and a text. */
static void tell(struct vt_worker *w, const char *type, const char *key, const char *name,
                 const char *text, size_t n)
{
    json_t *object = vt_event_new(type);
    json_object_set_new(object, "job", json_integer(w->job));
    json_object_set_new(object, key, json_string(name));
    vt_json_set_text(object, "text", text, n);
    struct vt_event event = vt_event_of(object);
    w->handlers.event(&event, w->handlers.user);
    json_decref(object);
}

static void on_bad_line(const char *line, const char *why, void *user)
{
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "the worker wrote what is no event (%s): %s", why, line);
    tell(user, "log", "level", "error", text.data, text.len);
    vt_buf_free(&text);
}

static void output(struct vt_worker *w, size_t n)
{
    tell(w, "output", "stream", "stderr", vt_buf_str(&w->text), n);
    vt_buf_consume(&w->text, n);
}

/* Everything but an incomplete sequence at the end, which waits for its rest. */
static void on_stderr_bytes(struct vt_worker *w, const char *data, size_t n)
{
    vt_buf_add(&w->text, data, n);
    size_t whole = w->text.len, tail = whole > 3 ? whole - 3 : 0;
    for (size_t i = whole; i > tail; i--) {
        unsigned char c = (unsigned char)w->text.data[i - 1];
        if (c < 0x80)
            break;
        if (c >= 0xc0) { /* a lead byte: complete? */
            if (vt_utf8_prefix(w->text.data + i - 1, whole - (i - 1)) == 0)
                whole = i - 1;
            break;
        }
    }
    if (whole)
        output(w, whole);
}

static void on_closed(uv_handle_t *handle)
{
    struct vt_worker *w = handle->data;
    if (--w->handles)
        return;
    w->handlers.ended(&w->end, w->handlers.user);
    vt_event_reader_free(w->reader);
    vt_buf_free(&w->text);
    vt_free(w->line);
    vt_free(w);
}

static void close_pipe(uv_pipe_t *pipe, bool *open)
{
    if (*open) {
        *open = false;
        uv_close((uv_handle_t *)pipe, on_closed);
    }
}

static void finish_if_done(struct vt_worker *w)
{
    if (!w->exited || w->out_open || w->err_open)
        return;
    vt_timer_clear(&w->watchdog);
    vt_timer_clear(&w->killer);
    if (w->text.len)
        output(w, w->text.len);
    close_pipe(&w->in, &w->in_open);
    if (w->has_process)
        uv_close((uv_handle_t *)&w->process, on_closed);
}

/* A child in a session of its own is out of reach, but it does not hold up the run. */
static void on_linger_over(struct vt_timer *timer)
{
    struct vt_worker *w = timer->user;
    vt_timer_clear(&w->pause);
    close_pipe(&w->out, &w->out_open);
    close_pipe(&w->err, &w->err_open);
    finish_if_done(w);
}

static void on_process_exit(uv_process_t *process, int64_t status, int signal)
{
    struct vt_worker *w = process->data;
    w->exited = true;
    w->end.signal = signal;
    w->end.status = signal ? -1 : (int)status;
    kill_group(w, SIGKILL); /* what the suite left in the background would hold the pipes */
    vt_timer_set(&w->killer, w->loop, LINGER_S, on_linger_over, w);
    finish_if_done(w);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct vt_worker *w = handle->data;
    *buf = uv_buf_init(w->chunk, sizeof w->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void on_pause_over(struct vt_timer *timer)
{
    struct vt_worker *w = timer->user;
    uv_read_start((uv_stream_t *)&w->out, on_alloc, on_read);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct vt_worker *w = stream->data;
    bool is_out = (void *)stream == (void *)&w->out;
    if (n < 0) {
        close_pipe(is_out ? &w->out : &w->err, is_out ? &w->out_open : &w->err_open);
        finish_if_done(w);
    } else if (is_out) {
        vt_event_reader_feed(w->reader, buf->base, (size_t)n);
        if ((size_t)n == sizeof w->chunk)
            return;
        uv_read_stop(stream);
        vt_timer_set(&w->pause, w->loop, PAUSE_S, on_pause_over, w);
    } else {
        on_stderr_bytes(w, buf->base, (size_t)n);
    }
}

static void on_job_written(uv_write_t *write, int status)
{
    (void)status; /* a worker that is gone already is told by its exit */
    (void)write;
}

static void pipe_init(struct vt_worker *w, uv_pipe_t *pipe, bool *open, int flags,
                      uv_stdio_container_t *io)
{
    uv_pipe_init(vt_loop_uv(w->loop), pipe, 0);
    pipe->data = w;
    *open = true;
    w->handles++;
    io->flags = (uv_stdio_flags)(UV_CREATE_PIPE | flags);
    io->data.stream = (uv_stream_t *)pipe;
}

#if defined(F_SETPIPE_SZ)
/* Where it may not be so large it stays as it is, and the worker waits for the parent sometimes. */
static void enlarge(int pipe)
{
    fcntl(pipe, F_SETPIPE_SZ, PIPE_BYTES);
}
#else
static void enlarge(int pipe)
{
    (void)pipe;
}
#endif

/* A pipe for the events, where libuv would make a pair of sockets: each line costs less, and more
 * of them fit in. *end gets the worker's end, or -1. */
static int events_init(struct vt_worker *w, uv_stdio_container_t *io, int *end)
{
    int ends[2] = {-1, -1};
    int rc = pipe(ends) ? uv_translate_sys_error(errno) : 0;
    *end = ends[1];
    uv_pipe_init(vt_loop_uv(w->loop), &w->out, 0);
    w->out.data = w;
    w->out_open = true;
    w->handles++;
    if (rc)
        return rc;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    enlarge(ends[1]);
    io->flags = UV_INHERIT_FD;
    io->data.fd = ends[1];
    rc = uv_pipe_open(&w->out, ends[0]);
    if (rc)
        close(ends[0]);
    return rc;
}

static int spawn(struct vt_worker *w)
{
    uv_stdio_container_t io[3];
    int events;
    pipe_init(w, &w->in, &w->in_open, UV_READABLE_PIPE, &io[0]);
    pipe_init(w, &w->err, &w->err_open, UV_WRITABLE_PIPE, &io[2]);
    int rc = events_init(w, &io[1], &events);
    char *self = vt_own_program(), name[] = "vmtest", command[] = "__worker";
    char *argv[] = {name, command, NULL};
    uv_process_options_t o = {
        .exit_cb = on_process_exit,
        .file = self ? self : name,
        .args = argv,
        .flags = UV_PROCESS_DETACHED, /* a process group of its own: Ctrl-C is the parent's */
        .stdio_count = 3,
        .stdio = io,
    };
    if (!rc) {
        w->process.data = w;
        w->has_process = true;
        w->handles++;
        rc = uv_spawn(vt_loop_uv(w->loop), &w->process, &o);
    }
    if (events >= 0)
        close(events);
    vt_free(self);
    return rc;
}

static void ignore_event(const struct vt_event *event, void *user)
{
    (void)event;
    (void)user;
}

static void ignore_end(const struct vt_worker_end *end, void *user)
{
    (void)end;
    (void)user;
}

struct vt_worker *vt__worker_start(struct vt_loop *loop, const struct vt_job *job,
                                   const struct vt_worker_handlers *handlers, struct vt_error *err)
{
    struct vt_worker *w = vt_calloc(1, sizeof *w);
    w->loop = loop;
    w->handlers = *handlers;
    w->job = job->number;
    w->reader = vt_event_reader_new(w->job, on_event, on_bad_line, w);
    int rc = spawn(w);
    if (rc) {
        vt_fail(err, VT_EIO, "worker", "cannot start a worker process: %s", uv_strerror(rc));
        w->handlers = (struct vt_worker_handlers){.event = ignore_event, .ended = ignore_end};
        w->exited = true;
        close_pipe(&w->out, &w->out_open);
        close_pipe(&w->err, &w->err_open);
        finish_if_done(w);
        return NULL;
    }
    json_t *object = vt_job_to_json(job);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "%s\n", text ? text : "");
    free(text);
    uv_buf_t buf = uv_buf_init(line.data, (unsigned)line.len);
    w->line = vt_buf_steal(&line);
    uv_write(&w->write, (uv_stream_t *)&w->in, &buf, 1, on_job_written);
    uv_read_start((uv_stream_t *)&w->out, on_alloc, on_read);
    uv_read_start((uv_stream_t *)&w->err, on_alloc, on_read);
    watch(w, job->test_timeout > SILENCE_S ? job->test_timeout + MARGIN_S : SILENCE_S);
    return w;
}

long vt__worker_pid(const struct vt_worker *w)
{
    return (long)w->process.pid;
}

static void on_grace_over(struct vt_timer *timer)
{
    kill_group(timer->user, SIGKILL);
}

void vt__worker_stop(struct vt_worker *w, double grace)
{
    if (w->exited)
        return;
    if (grace <= 0) {
        kill_group(w, SIGKILL);
        return;
    }
    kill(w->process.pid, SIGTERM);
    vt_timer_set(&w->killer, w->loop, grace, on_grace_over, w);
}
