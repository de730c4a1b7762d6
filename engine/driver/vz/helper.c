#include "driver/vz/helper.h"

#include <signal.h>
#include <unistd.h>
#include <uv.h>

#include "core/mem.h"
#include "core/socket.h"
#include "loop/conn.h"
#include "loop/timer.h"
#include "vm/hypervisor.h"

#define OP "vm.start"
#define DRAIN_S 2.0   /* for the last bytes of a process that has ended */
#define LOOK_S 0.005  /* how often a socket that is to come is looked at */
#define LISTEN_S 30.0 /* for it to listen; the framework is loaded meanwhile */
#define LINGER_S 5.0  /* for one that has closed its connection to be gone by itself */

struct vt_vz_helper {
    struct vt_loop *loop;
    struct vt_vz_helper_handler handler;
    struct vt_hypervisor *process;
    char *socket;
    struct vt_conn *conn;  /* NULL: not yet */
    int tie;               /* our end: closed, it ends; or -1 */
    struct vt_timer timer; /* the wait for its socket, or for its last bytes */
    double until;          /* when that wait for its socket is over */
    bool exited, told;
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

static void on_data(const char *data, size_t n, void *user)
{
    struct vt_vz_helper *h = user;
    h->handler.data(data, n, h->handler.user);
}

static void on_conn_end(void *user)
{
    struct vt_vz_helper *h = user;
    if (h->exited)
        tell_ended(h);
    else
        vt_hypervisor_expect_end(h->process, LINGER_S);
}

static void open_conn(struct vt_vz_helper *h, int fd)
{
    const struct vt_conn_handler handler = {.data = on_data, .closed = on_conn_end, .user = h};
    h->conn = vt_conn_new(h->loop, fd, &handler);
}

/* It listens some time after its start; if it never does, it is stuck. */
static void on_look(struct vt_timer *timer)
{
    struct vt_vz_helper *h = timer->user;
    int fd = vt_socket_connect(h->socket, OP, NULL);
    if (fd >= 0)
        open_conn(h, fd);
    else if (vt_loop_now(h->loop) > h->until)
        vt_vz_helper_kill(h);
    else
        vt_timer_set(&h->timer, h->loop, LOOK_S, on_look, h);
}

void vt_vz_helper_write(struct vt_vz_helper *h, const char *data, size_t n)
{
    vt_conn_write(h->conn, data, n);
}

/* --- the process --- */

static void on_drained(struct vt_timer *timer)
{
    tell_ended(timer->user);
}

static void on_exit_of_helper(int status, int sig, void *user)
{
    struct vt_vz_helper *h = user;
    h->exited = true;
    h->status = status;
    h->signal = sig;
    if (vt_conn_is_open(h->conn))
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
    h->tie = -1;
    return h;
}

static void add_fd(struct vt_args *args, int *fds, size_t *count, const char *option, int fd)
{
    if (fd < 0)
        return;
    vt_args_add(args, option);
    vt_args_printf(args, "%zu", VT_HYPERVISOR_FD_FIRST + *count);
    fds[(*count)++] = fd;
}

static struct vt_hypervisor *spawn(struct vt_vz_helper *h, const struct vt_vz_helper_opts *opts,
                                   int tie, struct vt_error *err)
{
    struct vt_args args = VT_ARGS_INIT;
    int fds[2];
    size_t count = 0;
    for (size_t i = 0; i < opts->args->n; i++)
        vt_args_add(&args, opts->args->v[i]);
    add_fd(&args, fds, &count, "--tie", tie);
    add_fd(&args, fds, &count, "--lease", opts->lease);
    vt_args_add(&args, opts->socket_path);
    const struct vt_hypervisor_opts o = {
        .args = &args, .log_path = opts->log_path, .fds = fds, .fd_count = count};
    struct vt_hypervisor *process = vt_hypervisor_start(h->loop, &o, on_exit_of_helper, h, err);
    vt_args_free(&args);
    return process;
}

struct vt_vz_helper *vt_vz_helper_start(struct vt_loop *loop, const struct vt_vz_helper_opts *opts,
                                        const struct vt_vz_helper_handler *handler,
                                        struct vt_error *err)
{
    int ends[2] = {-1, -1};
    int rc = opts->tied ? uv_pipe(ends, 0, 0) : 0;
    if (rc) {
        vt_fail_sys(err, -rc, OP, "cannot make a pipe");
        return NULL;
    }
    unlink(opts->socket_path); /* of one that was killed */
    struct vt_vz_helper *h = new_helper(loop, opts->socket_path, handler);
    h->tie = ends[1];
    h->process = spawn(h, opts, ends[0], err);
    if (ends[0] >= 0)
        close(ends[0]);
    if (!h->process) {
        vt_vz_helper_free(h, false);
        return NULL;
    }
    h->until = vt_loop_now(loop) + LISTEN_S;
    vt_timer_set(&h->timer, loop, LOOK_S, on_look, h);
    return h;
}

struct vt_vz_helper *vt_vz_helper_attach(struct vt_loop *loop, const char *socket_path,
                                         const char *lock_path,
                                         const struct vt_vz_helper_handler *handler,
                                         struct vt_error *err)
{
    struct vt_vz_helper *h = new_helper(loop, socket_path, handler);
    h->process = vt_hypervisor_attach(loop, lock_path, on_exit_of_helper, h, err);
    int fd = h->process ? vt_socket_connect(socket_path, "vm.attach", err) : -1;
    if (fd < 0) {
        vt_vz_helper_free(h, true);
        return NULL;
    }
    open_conn(h, fd);
    return h;
}

long vt_vz_helper_pid(const struct vt_vz_helper *h)
{
    return vt_hypervisor_pid(h->process);
}

void vt_vz_helper_kill(struct vt_vz_helper *h)
{
    vt_hypervisor_signal(h->process, SIGKILL);
}

void vt_vz_helper_free(struct vt_vz_helper *h, bool leave_running)
{
    if (!h)
        return;
    vt_timer_clear(&h->timer);
    vt_hypervisor_free(h->process, leave_running ? 0 : SIGKILL);
    vt_conn_free(h->conn);
    if (h->tie >= 0)
        close(h->tie);
    vt_free(h->socket);
    vt_free(h);
}
