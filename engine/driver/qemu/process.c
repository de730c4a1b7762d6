#include "driver/qemu/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "core/mem.h"
#include "driver/qemu/argv.h"

#define OP "vm.start"
#define DRAIN_S 2.0 /* for the last bytes of a process that has ended */
#define END_MS 5000 /* for a killed process to be gone */

struct stream {
    uv_pipe_t pipe;
    bool open;
    void (*data)(const char *data, size_t n, void *user);
};

/* Outlives its owner until libuv has closed every handle. */
struct vt_qemu_process {
    uv_process_t handle;
    struct vt_loop *loop;
    struct vt_qemu_process_handler handler;
    struct stream qmp, console;
    struct vt_timer drain;
    long pid;
    bool exited, released, told;
    int status, signal;
    unsigned handles; /* not yet closed */
    char chunk[16384];
};

struct fds {
    int listener, qmp, console, guest, log;
};

bool vt_qemu_socket_path_fits(const char *path)
{
    return strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path;
}

static int keep_private(int fd)
{
    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static void close_fds(struct fds *fds)
{
    int *all[] = {&fds->listener, &fds->qmp, &fds->console, &fds->guest, &fds->log};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (*all[i] >= 0)
            close(*all[i]);
        *all[i] = -1;
    }
}

/* Listens before QEMU exists and connects at once: neither side ever has to wait or retry. */
static enum vt_code open_fds(struct fds *fds, const struct vt_qemu_process_opts *opts,
                             struct vt_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, opts->socket_path, sizeof address.sun_path - 1);
    unlink(opts->socket_path);
    fds->listener = keep_private(socket(AF_UNIX, SOCK_STREAM, 0));
    fds->qmp = keep_private(socket(AF_UNIX, SOCK_STREAM, 0));
    if (fds->listener < 0 || fds->qmp < 0 ||
        bind(fds->listener, (struct sockaddr *)&address, sizeof address) ||
        listen(fds->listener, 4) || connect(fds->qmp, (struct sockaddr *)&address, sizeof address))
        return vt_fail_sys(err, errno, OP, "cannot make the socket %s", opts->socket_path);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return vt_fail_sys(err, errno, OP, "cannot make a socket for the console");
    fds->console = keep_private(pair[0]);
    fds->guest = keep_private(pair[1]);
    fds->log = open(opts->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fds->log < 0)
        return vt_fail_sys(err, errno, OP, "cannot write %s", opts->log_path);
    return VT_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct vt_qemu_process *p = handle->data;
    if (--p->handles)
        return;
    vt_loop_release(p->loop);
    vt_free(p);
}

static void close_stream(struct stream *s)
{
    if (s->open) {
        s->open = false;
        uv_close((uv_handle_t *)&s->pipe, on_closed);
    }
}

static void tell_ended(struct vt_qemu_process *p)
{
    if (p->told || p->released)
        return;
    p->told = true;
    vt_timer_clear(&p->drain);
    p->handler.ended(p->status, p->signal, p->handler.user);
}

static void on_drained(struct vt_timer *timer)
{
    tell_ended(timer->user);
}

static void end_if_drained(struct vt_qemu_process *p)
{
    if (p->exited && !p->qmp.open && !p->console.open)
        tell_ended(p);
}

static void on_process_exit(uv_process_t *handle, int64_t status, int sig)
{
    struct vt_qemu_process *p = handle->data;
    p->exited = true;
    p->status = (int)status;
    p->signal = sig;
    vt_timer_set(&p->drain, p->loop, DRAIN_S, on_drained, p);
    end_if_drained(p);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct vt_qemu_process *p = handle->data;
    (void)suggested;
    *buf = uv_buf_init(p->chunk, sizeof p->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct vt_qemu_process *p = stream->data;
    struct stream *s = (void *)stream == (void *)&p->qmp.pipe ? &p->qmp : &p->console;
    if (n > 0 && !p->released)
        s->data(buf->base, (size_t)n, p->handler.user);
    if (n >= 0)
        return;
    close_stream(s);
    end_if_drained(p);
}

static void open_stream(struct vt_qemu_process *p, struct stream *s, int *fd,
                        void (*data)(const char *, size_t, void *))
{
    uv_pipe_init(vt_loop_uv(p->loop), &s->pipe, 0);
    s->pipe.data = p;
    s->data = data;
    s->open = true;
    p->handles++;
    uv_pipe_open(&s->pipe, *fd);
    *fd = -1; /* the handle closes it */
    uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_read);
}

static int spawn(struct vt_qemu_process *p, const struct vt_args *args, const struct fds *fds)
{
    uv_stdio_container_t io[] = {
        [0] = {.flags = UV_IGNORE},
        [1] = {.flags = UV_INHERIT_FD, .data.fd = fds->log},
        [2] = {.flags = UV_INHERIT_FD, .data.fd = fds->log},
        [VT_QEMU_FD_QMP] = {.flags = UV_INHERIT_FD, .data.fd = fds->listener},
        [VT_QEMU_FD_CONSOLE] = {.flags = UV_INHERIT_FD, .data.fd = fds->guest},
    };
    uv_process_options_t o = {
        .exit_cb = on_process_exit,
        .file = args->v[0],
        .args = args->v,
        .flags = UV_PROCESS_DETACHED, /* a terminal's Ctrl-C is ours to handle */
        .stdio_count = sizeof io / sizeof *io,
        .stdio = io,
    };
    p->handle.data = p;
    p->handles++;
    return uv_spawn(vt_loop_uv(p->loop), &p->handle, &o);
}

struct vt_qemu_process *vt_qemu_process_start(struct vt_loop *loop,
                                              const struct vt_qemu_process_opts *opts,
                                              const struct vt_qemu_process_handler *handler,
                                              struct vt_error *err)
{
    struct fds fds = {.listener = -1, .qmp = -1, .console = -1, .guest = -1, .log = -1};
    if (open_fds(&fds, opts, err)) {
        close_fds(&fds);
        return NULL;
    }
    struct vt_qemu_process *p = vt_calloc(1, sizeof *p);
    p->loop = loop;
    p->handler = *handler;
    p->drain.user = p;
    vt_loop_hold(loop);
    int rc = spawn(p, opts->args, &fds);
    if (rc) {
        vt_fail(err, rc == UV_ENOENT ? VT_ENOTFOUND : VT_EIO, OP, "cannot start %s: %s",
                opts->args->v[0], uv_strerror(rc));
        p->exited = p->released = true;
        uv_close((uv_handle_t *)&p->handle, on_closed);
        unlink(opts->socket_path);
        close_fds(&fds);
        return NULL;
    }
    p->pid = p->handle.pid;
    open_stream(p, &p->qmp, &fds.qmp, handler->qmp);
    open_stream(p, &p->console, &fds.console, handler->console);
    close_fds(&fds);
    return p;
}

long vt_qemu_process_pid(const struct vt_qemu_process *p)
{
    return p->pid;
}

struct write {
    uv_write_t request;
    char data[];
};

static void on_written(uv_write_t *request, int status)
{
    (void)status; /* a connection that is gone is noticed by reading */
    vt_free(request->data);
}

void vt_qemu_process_write(struct vt_qemu_process *p, const char *data, size_t n)
{
    if (!p->qmp.open)
        return;
    struct write *w = vt_malloc(sizeof *w + n);
    memcpy(w->data, data, n);
    w->request.data = w;
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)n);
    if (uv_write(&w->request, (uv_stream_t *)&p->qmp.pipe, &buf, 1, on_written))
        vt_free(w);
}

void vt_qemu_process_kill(struct vt_qemu_process *p)
{
    if (!p->exited)
        kill(-(pid_t)p->pid, SIGKILL);
}

/* libuv no longer watches it: whoever kills it reaps it. */
static void await_end(pid_t pid)
{
    for (int i = 0; i < END_MS && waitpid(pid, NULL, WNOHANG) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void vt_qemu_process_free(struct vt_qemu_process *p, bool leave_running)
{
    if (!p)
        return;
    p->released = true;
    vt_timer_clear(&p->drain);
    bool end = !p->exited && !leave_running;
    if (end)
        vt_qemu_process_kill(p);
    close_stream(&p->qmp);
    close_stream(&p->console);
    uv_close((uv_handle_t *)&p->handle, on_closed);
    if (end)
        await_end((pid_t)p->pid);
}
