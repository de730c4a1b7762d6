#include "driver/vz/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "core/fs.h"
#include "core/mem.h"
#include "loop/timer.h"

#define OP "vm.start"
#define DRAIN_S 2.0   /* for the last bytes of a process that has ended */
#define END_MS 5000   /* for a killed process to be gone */
#define LOOK_S 0.005  /* how often a socket that is to come, or a stranger's lock, is looked at */
#define LISTEN_S 30.0 /* for it to listen; the framework is loaded meanwhile */
#define LINGER_S 5.0  /* for one that has closed its connection to be gone by itself */
#define FIRST_FD 3    /* of those it is given beside the standard ones */

/* A handle that libuv keeps until it has closed it. */
struct child {
    uv_process_t handle;
    struct vt_vz_helper *owner; /* NULL: let go of */
};

struct conn {
    uv_pipe_t pipe;
    struct vt_loop *loop;
    struct vt_vz_helper *owner; /* NULL: let go of */
    char chunk[16384];
};

struct vt_vz_helper {
    struct vt_loop *loop;
    struct vt_vz_helper_handler handler;
    char *socket;
    struct child *child; /* NULL: a stranger, whose end is told by its connection and */
    char *lock;          /* its lock */
    struct conn *conn;   /* NULL: not yet, or not any more */
    int tie;             /* our end: closed, it ends; or -1 */
    long pid;
    struct vt_timer timer; /* the wait for its socket, its last bytes, or its end */
    double until;          /* when that wait is over */
    bool connected, exited, told;
    int status, signal;
};

static void tell_ended(struct vt_vz_helper *h)
{
    if (h->told)
        return;
    h->told = true;
    vt_timer_clear(&h->timer);
    h->handler.ended(h->status, h->signal, h->handler.user);
}

/* --- the connection --- */

static void on_conn_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    vt_loop_release(c->loop);
    vt_free(c);
}

static void close_conn(struct vt_vz_helper *h)
{
    if (!h->conn)
        return;
    h->conn->owner = NULL;
    uv_close((uv_handle_t *)&h->conn->pipe, on_conn_closed);
    h->conn = NULL;
}

static void on_linger(struct vt_timer *timer)
{
    struct vt_vz_helper *h = timer->user;
    bool late = vt_loop_now(h->loop) > h->until;
    if (!h->child && !vt_lock_held(h->lock, NULL)) {
        h->exited = true;
        tell_ended(h);
        return;
    }
    if (late)
        vt_vz_helper_kill(h);
    if (!h->child || !late)
        vt_timer_set(&h->timer, h->loop, LOOK_S, on_linger, h);
}

static void on_conn_end(struct vt_vz_helper *h)
{
    close_conn(h);
    if (h->exited) {
        tell_ended(h);
        return;
    }
    h->until = vt_loop_now(h->loop) + LINGER_S;
    vt_timer_set(&h->timer, h->loop, 0, on_linger, h);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->chunk, sizeof c->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;
    if (!c->owner)
        return;
    if (n > 0)
        c->owner->handler.data(buf->base, (size_t)n, c->owner->handler.user);
    else if (n < 0)
        on_conn_end(c->owner);
}

static void open_conn(struct vt_vz_helper *h, int fd)
{
    struct conn *c = vt_calloc(1, sizeof *c);
    c->loop = h->loop;
    c->owner = h;
    c->pipe.data = c;
    vt_loop_hold(h->loop);
    uv_pipe_init(vt_loop_uv(h->loop), &c->pipe, 0);
    uv_pipe_open(&c->pipe, fd);
    uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
    h->conn = c;
    h->connected = true;
}

int vt_vz_connect(const char *path, struct vt_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        vt_fail(err, VT_EINVAL, OP, "the path %s is too long for a socket", path);
        return -1;
    }
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) {
        vt_fail_sys(err, errno, OP, "cannot make a socket");
        return -1;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK); /* a full queue of waiting connections would block */
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    vt_fail_sys(err, errno, OP, "cannot connect to %s", path);
    close(fd);
    return -1;
}

/* It listens some time after its start; if it never does, it is stuck. */
static void on_look(struct vt_timer *timer)
{
    struct vt_vz_helper *h = timer->user;
    int fd = vt_vz_connect(h->socket, NULL);
    if (fd >= 0)
        open_conn(h, fd);
    else if (vt_loop_now(h->loop) > h->until)
        vt_vz_helper_kill(h);
    else
        vt_timer_set(&h->timer, h->loop, LOOK_S, on_look, h);
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

void vt_vz_helper_write(struct vt_vz_helper *h, const char *data, size_t n)
{
    if (!h->conn || !n)
        return;
    struct write *w = vt_malloc(sizeof *w + n);
    memcpy(w->data, data, n);
    w->request.data = w;
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)n);
    if (uv_write(&w->request, (uv_stream_t *)&h->conn->pipe, &buf, 1, on_written))
        vt_free(w);
}

/* --- the process --- */

static void on_child_closed(uv_handle_t *handle)
{
    vt_free(handle->data);
}

static void on_drained(struct vt_timer *timer)
{
    tell_ended(timer->user);
}

static void on_exit_of_child(uv_process_t *handle, int64_t status, int sig)
{
    const struct child *child = handle->data;
    struct vt_vz_helper *h = child->owner;
    if (!h)
        return;
    h->exited = true;
    h->status = (int)status;
    h->signal = sig;
    if (h->conn)
        vt_timer_set(&h->timer, h->loop, DRAIN_S, on_drained, h);
    else
        tell_ended(h);
}

static struct vt_vz_helper *new_helper(struct vt_loop *loop, const char *socket_path,
                                       const struct vt_vz_helper_handler *handler)
{
    struct vt_vz_helper *h = vt_calloc(1, sizeof *h);
    h->loop = loop;
    h->handler = *handler;
    h->socket = vt_strdup(socket_path);
    h->status = VT_VZ_STATUS_UNKNOWN;
    h->tie = -1;
    return h;
}

static void add_fd(struct vt_args *args, uv_stdio_container_t *io, int *count, const char *option,
                   int fd)
{
    if (fd < 0)
        return;
    vt_args_add(args, option);
    vt_args_printf(args, "%d", *count);
    io[*count].flags = UV_INHERIT_FD;
    io[(*count)++].data.fd = fd;
}

static int spawn(struct vt_vz_helper *h, const struct vt_vz_helper_opts *opts, int log, int tie)
{
    uv_stdio_container_t io[FIRST_FD + 2] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = log},
        {.flags = UV_INHERIT_FD, .data.fd = log},
    };
    struct vt_args args = VT_ARGS_INIT;
    int count = FIRST_FD;
    for (size_t i = 0; i < opts->args->n; i++)
        vt_args_add(&args, opts->args->v[i]);
    add_fd(&args, io, &count, "--tie", tie);
    add_fd(&args, io, &count, "--lease", opts->lease);
    vt_args_add(&args, opts->socket_path);
    uv_process_options_t o = {
        .exit_cb = on_exit_of_child,
        .file = args.v[0],
        .args = args.v,
        .flags = UV_PROCESS_DETACHED, /* a terminal's Ctrl-C is ours to handle */
        .stdio_count = count,
        .stdio = io,
    };
    h->child = vt_calloc(1, sizeof *h->child);
    h->child->owner = h;
    h->child->handle.data = h->child;
    int rc = uv_spawn(vt_loop_uv(h->loop), &h->child->handle, &o);
    vt_args_free(&args);
    return rc;
}

struct vt_vz_helper *vt_vz_helper_start(struct vt_loop *loop, const struct vt_vz_helper_opts *opts,
                                        const struct vt_vz_helper_handler *handler,
                                        struct vt_error *err)
{
    int ends[2] = {-1, -1};
    int log = open(opts->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                   0600);
    if (log < 0) {
        vt_fail_sys(err, errno, OP, "cannot write %s", opts->log_path);
        return NULL;
    }
    int rc = opts->tied ? uv_pipe(ends, 0, 0) : 0;
    if (rc) {
        vt_fail_sys(err, -rc, OP, "cannot make a pipe");
        close(log);
        return NULL;
    }
    unlink(opts->socket_path); /* of one that was killed */
    struct vt_vz_helper *h = new_helper(loop, opts->socket_path, handler);
    h->tie = ends[1];
    rc = spawn(h, opts, log, ends[0]);
    close(log);
    if (ends[0] >= 0)
        close(ends[0]);
    if (rc) {
        vt_fail(err, rc == UV_ENOENT ? VT_ENOTFOUND : VT_EIO, OP, "cannot start %s: %s",
                opts->args->v[0], uv_strerror(rc));
        h->exited = true;
        vt_vz_helper_free(h, false);
        return NULL;
    }
    h->pid = h->child->handle.pid;
    h->until = vt_loop_now(loop) + LISTEN_S;
    vt_timer_set(&h->timer, loop, LOOK_S, on_look, h);
    return h;
}

struct vt_vz_helper *vt_vz_helper_attach(struct vt_loop *loop, const char *socket_path,
                                         const char *lock_path,
                                         const struct vt_vz_helper_handler *handler,
                                         struct vt_error *err)
{
    long pid = 0;
    if (!vt_lock_held(lock_path, &pid) || pid < 2) {
        vt_fail(err, VT_ESTATE, "vm.attach", "no process holds %s", lock_path);
        return NULL;
    }
    int fd = vt_vz_connect(socket_path, err);
    if (fd < 0)
        return NULL;
    struct vt_vz_helper *h = new_helper(loop, socket_path, handler);
    h->pid = pid;
    h->lock = vt_strdup(lock_path);
    open_conn(h, fd);
    return h;
}

long vt_vz_helper_pid(const struct vt_vz_helper *h)
{
    return h->pid;
}

void vt_vz_helper_kill(struct vt_vz_helper *h)
{
    long holder = h->pid;
    if (h->exited)
        return;
    /* the lock proves that a stranger's id still is that of this process */
    if (!h->child && (!vt_lock_held(h->lock, &holder) || holder != h->pid))
        return;
    kill(-(pid_t)h->pid, SIGKILL);
}

static bool is_gone(const struct vt_vz_helper *h)
{
    /* libuv no longer watches a child: whoever kills it reaps it */
    return h->child ? waitpid((pid_t)h->pid, NULL, WNOHANG) != 0 : !vt_lock_held(h->lock, NULL);
}

void vt_vz_helper_free(struct vt_vz_helper *h, bool leave_running)
{
    if (!h)
        return;
    bool end = !h->exited && !leave_running;
    vt_timer_clear(&h->timer);
    if (end)
        vt_vz_helper_kill(h);
    close_conn(h);
    if (h->child) {
        h->child->owner = NULL;
        uv_close((uv_handle_t *)&h->child->handle, on_child_closed);
    }
    for (int i = 0; end && i < END_MS && !is_gone(h); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (h->tie >= 0)
        close(h->tie);
    vt_free(h->lock);
    vt_free(h->socket);
    vt_free(h);
}
