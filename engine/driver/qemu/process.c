#include "driver/qemu/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "core/fs.h"
#include "core/mem.h"
#include "driver/qemu/argv.h"

#define OP "vm.start"
#define DRAIN_S 2.0  /* for the last bytes of a process that has ended */
#define END_MS 5000  /* for a killed process to be gone */
#define LOOK_S 0.005 /* how often a stranger's lock is looked at once its sockets are closed */
#define LINGER_S 5.0 /* for a stranger that has closed its sockets to be gone by itself */

struct vt_qemu_process {
    struct vt_loop *loop;
    struct vt_qemu_process_handler handler;
    struct vt_qemu_link *link;
    struct child *child;   /* NULL: a stranger, whose end is told by its sockets and */
    char *lock;            /* its lock */
    struct vt_timer timer; /* the wait for the last bytes, or for the lock to be free */
    double lingers_till;   /* of a stranger */
    long pid;
    bool exited, told;
    int status, signal;
};

/* The handle of a child, which libuv keeps until it has closed it. */
struct child {
    uv_process_t handle;
    struct vt_qemu_process *owner; /* NULL: let go of */
};

static void on_child_closed(uv_handle_t *handle)
{
    vt_free(handle->data);
}

static void tell_ended(struct vt_qemu_process *p)
{
    if (p->told)
        return;
    p->told = true;
    vt_timer_clear(&p->timer);
    p->handler.ended(p->status, p->signal, p->handler.user);
}

static void on_timer(struct vt_timer *timer)
{
    struct vt_qemu_process *p = timer->user;
    if (p->child || !vt_lock_held(p->lock, NULL)) {
        p->exited = true;
        tell_ended(p);
        return;
    }
    if (vt_loop_now(p->loop) > p->lingers_till)
        vt_qemu_process_kill(p);
    vt_timer_set(&p->timer, p->loop, LOOK_S, on_timer, p);
}

static bool drained(const struct vt_qemu_process *p)
{
    return !vt_qemu_link_is_open(p->link, VT_QEMU_QMP) &&
           !vt_qemu_link_is_open(p->link, VT_QEMU_CONSOLE);
}

static void on_process_exit(uv_process_t *handle, int64_t status, int sig)
{
    const struct child *child = handle->data;
    struct vt_qemu_process *p = child->owner;
    if (!p)
        return;
    p->exited = true;
    p->status = (int)status;
    p->signal = sig;
    vt_timer_set(&p->timer, p->loop, DRAIN_S, on_timer, p);
    if (drained(p))
        tell_ended(p);
}

static void on_data(enum vt_qemu_socket which, const char *data, size_t n, void *user)
{
    struct vt_qemu_process *p = user;
    if (which == VT_QEMU_QMP)
        p->handler.qmp(data, n, p->handler.user);
    else
        p->handler.console(data, n, p->handler.user);
}

static void on_closed(enum vt_qemu_socket which, void *user)
{
    struct vt_qemu_process *p = user;
    if (p->child) {
        if (p->exited && drained(p))
            tell_ended(p);
    } else if (which == VT_QEMU_QMP) {
        p->lingers_till = vt_loop_now(p->loop) + LINGER_S;
        vt_timer_set(&p->timer, p->loop, 0, on_timer, p);
    }
}

static struct vt_qemu_process *new_process(struct vt_loop *loop,
                                           const struct vt_qemu_process_handler *handler)
{
    struct vt_qemu_process *p = vt_calloc(1, sizeof *p);
    const struct vt_qemu_link_handler link = {.data = on_data, .closed = on_closed, .user = p};
    p->loop = loop;
    p->handler = *handler;
    p->status = VT_QEMU_STATUS_UNKNOWN;
    p->link = vt_qemu_link_new(loop, &link);
    return p;
}

/* --- one that we start --- */

/* Both ends of a socket: QEMU's, which listens, and ours, connected. */
struct ends {
    int listener, ours;
};

struct fds {
    struct ends qmp, console;
    int log;
};

static void close_fds(const struct fds *fds)
{
    const int all[] = {fds->qmp.listener, fds->qmp.ours, fds->console.listener, fds->console.ours,
                       fds->log};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] >= 0)
            close(all[i]);
}

/* Listens before QEMU exists and connects at once: neither side ever has to wait or retry. */
static enum vt_code open_ends(struct ends *ends, const char *path, struct vt_error *err)
{
    ends->listener = vt_qemu_socket_listen(path, err);
    if (ends->listener < 0)
        return err->code;
    ends->ours = vt_qemu_socket_connect(path, err);
    return ends->ours < 0 ? err->code : VT_OK;
}

static enum vt_code open_fds(struct fds *fds, const struct vt_qemu_process_opts *opts,
                             struct vt_error *err)
{
    if (open_ends(&fds->qmp, opts->qmp_path, err) ||
        open_ends(&fds->console, opts->console_path, err))
        return err->code;
    fds->log = open(opts->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fds->log < 0)
        return vt_fail_sys(err, errno, OP, "cannot write %s", opts->log_path);
    return VT_OK;
}

static int spawn(struct vt_qemu_process *p, const struct vt_qemu_process_opts *opts,
                 const struct fds *fds)
{
    size_t shown = VT_QEMU_FD_FIRST + opts->fd_count, count = shown + (opts->lease >= 0);
    uv_stdio_container_t *io = vt_calloc(count, sizeof *io);
    const int own[] = {-1, fds->log, fds->log, fds->qmp.listener, fds->console.listener};
    io[0].flags = UV_IGNORE;
    for (size_t i = 1; i < count; i++) {
        io[i].flags = UV_INHERIT_FD;
        io[i].data.fd = i < VT_QEMU_FD_FIRST ? own[i]
                        : i < shown          ? opts->fds[i - VT_QEMU_FD_FIRST]
                                             : opts->lease;
    }
    uv_process_options_t o = {
        .exit_cb = on_process_exit,
        .file = opts->args->v[0],
        .args = opts->args->v,
        .flags = UV_PROCESS_DETACHED, /* a terminal's Ctrl-C is ours to handle */
        .stdio_count = (int)count,
        .stdio = io,
    };
    p->child = vt_calloc(1, sizeof *p->child);
    p->child->owner = p;
    p->child->handle.data = p->child;
    int rc = uv_spawn(vt_loop_uv(p->loop), &p->child->handle, &o);
    vt_free(io);
    return rc;
}

struct vt_qemu_process *vt_qemu_process_start(struct vt_loop *loop,
                                              const struct vt_qemu_process_opts *opts,
                                              const struct vt_qemu_process_handler *handler,
                                              struct vt_error *err)
{
    struct fds fds = {.qmp = {-1, -1}, .console = {-1, -1}, .log = -1};
    struct vt_error own = VT_ERROR_INIT;
    if (open_fds(&fds, opts, &own)) {
        vt_error_copy(err, &own);
        close_fds(&fds);
        return NULL;
    }
    struct vt_qemu_process *p = new_process(loop, handler);
    int rc = spawn(p, opts, &fds);
    if (rc) {
        vt_fail(err, rc == UV_ENOENT ? VT_ENOTFOUND : VT_EIO, OP, "cannot start %s: %s",
                opts->args->v[0], uv_strerror(rc));
        p->exited = true;
        unlink(opts->qmp_path);
        unlink(opts->console_path);
        close_fds(&fds);
        vt_qemu_process_free(p, false);
        return NULL;
    }
    p->pid = p->child->handle.pid;
    vt_qemu_link_open(p->link, VT_QEMU_QMP, fds.qmp.ours);
    vt_qemu_link_open(p->link, VT_QEMU_CONSOLE, fds.console.ours);
    fds.qmp.ours = fds.console.ours = -1; /* the link closes them */
    close_fds(&fds);
    return p;
}

/* --- one that runs already --- */

struct vt_qemu_process *vt_qemu_process_attach(struct vt_loop *loop,
                                               const struct vt_qemu_attach_opts *opts,
                                               const struct vt_qemu_process_handler *handler,
                                               struct vt_error *err)
{
    long pid = 0;
    if (!vt_lock_held(opts->lock_path, &pid) || pid < 2) {
        vt_fail(err, VT_ESTATE, "vm.attach", "no process holds %s", opts->lock_path);
        return NULL;
    }
    int qmp = vt_qemu_socket_connect(opts->qmp_path, err);
    if (qmp < 0)
        return NULL;
    int console = vt_qemu_socket_connect(opts->console_path, NULL);
    struct vt_qemu_process *p = new_process(loop, handler);
    p->pid = pid;
    p->lock = vt_strdup(opts->lock_path);
    vt_qemu_link_open(p->link, VT_QEMU_QMP, qmp);
    if (console >= 0)
        vt_qemu_link_open(p->link, VT_QEMU_CONSOLE, console);
    return p;
}

/* --- both --- */

long vt_qemu_process_pid(const struct vt_qemu_process *p)
{
    return p->pid;
}

void vt_qemu_process_write(struct vt_qemu_process *p, const char *data, size_t n)
{
    vt_qemu_link_write(p->link, VT_QEMU_QMP, data, n);
}

bool vt_qemu_process_write_fd(struct vt_qemu_process *p, const char *data, size_t n, int fd)
{
    return vt_qemu_link_write_fd(p->link, VT_QEMU_QMP, data, n, fd);
}

void vt_qemu_process_write_console(struct vt_qemu_process *p, const char *data, size_t n)
{
    vt_qemu_link_write(p->link, VT_QEMU_CONSOLE, data, n);
}

size_t vt_qemu_process_unread(const struct vt_qemu_process *p)
{
    return vt_qemu_link_unwritten(p->link, VT_QEMU_CONSOLE);
}

void vt_qemu_process_kill(struct vt_qemu_process *p)
{
    long holder = p->pid;
    if (p->exited)
        return;
    /* the lock proves that a stranger's id still is that of this process */
    if (!p->child && (!vt_lock_held(p->lock, &holder) || holder != p->pid))
        return;
    kill(-(pid_t)p->pid, SIGKILL);
}

static bool is_gone(const struct vt_qemu_process *p)
{
    /* libuv no longer watches a child: whoever kills it reaps it */
    return p->child ? waitpid((pid_t)p->pid, NULL, WNOHANG) != 0 : !vt_lock_held(p->lock, NULL);
}

void vt_qemu_process_free(struct vt_qemu_process *p, bool leave_running)
{
    if (!p)
        return;
    bool end = !p->exited && !leave_running;
    vt_timer_clear(&p->timer);
    if (end)
        vt_qemu_process_kill(p);
    vt_qemu_link_free(p->link);
    if (p->child) {
        p->child->owner = NULL;
        uv_close((uv_handle_t *)&p->child->handle, on_child_closed);
    }
    for (int i = 0; end && i < END_MS && !is_gone(p); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    vt_free(p->lock);
    vt_free(p);
}
