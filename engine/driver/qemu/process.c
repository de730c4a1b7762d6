#include "driver/qemu/process.h"

#include <signal.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/socket.h"
#include "driver/qemu/argv.h"
#include "loop/conn.h"
#include "loop/timer.h"
#include "vm/hypervisor.h"

#define OP "vm.start"
#define DRAIN_S 2.0   /* for the last bytes of a process that has ended */
#define WAITING_MAX 4 /* connections to a socket */
#define LINGER_S 5.0  /* for a stranger that has closed its sockets to be gone by itself */

struct vt_qemu_process {
    struct vt_loop *loop;
    struct vt_qemu_process_handler handler;
    struct vt_hypervisor *hypervisor;
    struct vt_conn *qmp, *console; /* console: or NULL */
    struct vt_timer drain;         /* the wait for the last bytes */
    bool exited, told;
    int status, signal;
};

static void tell_ended(struct vt_qemu_process *p)
{
    if (p->told)
        return;
    p->told = true;
    vt_timer_clear(&p->drain);
    p->handler.ended(p->status, p->signal, p->handler.user);
}

static void on_drained(struct vt_timer *timer)
{
    tell_ended(timer->user);
}

static bool drained(const struct vt_qemu_process *p)
{
    return !vt_conn_is_open(p->qmp) && !vt_conn_is_open(p->console);
}

static void on_exit_of_qemu(int status, int sig, void *user)
{
    struct vt_qemu_process *p = user;
    p->exited = true;
    p->status = status;
    p->signal = sig;
    if (drained(p) || !vt_hypervisor_is_child(p->hypervisor))
        tell_ended(p);
    else
        vt_timer_set(&p->drain, p->loop, DRAIN_S, on_drained, p);
}

static void on_qmp(const char *data, size_t n, void *user)
{
    struct vt_qemu_process *p = user;
    p->handler.qmp(data, n, p->handler.user);
}

static void on_console(const char *data, size_t n, void *user)
{
    struct vt_qemu_process *p = user;
    p->handler.console(data, n, p->handler.user);
}

static void on_closed(void *user)
{
    struct vt_qemu_process *p = user;
    if (p->exited && drained(p))
        tell_ended(p);
}

static void on_qmp_closed(void *user)
{
    struct vt_qemu_process *p = user;
    if (vt_hypervisor_is_child(p->hypervisor))
        on_closed(p);
    else
        vt_hypervisor_expect_end(p->hypervisor, LINGER_S);
}

static struct vt_qemu_process *new_process(struct vt_loop *loop,
                                           const struct vt_qemu_process_handler *handler)
{
    struct vt_qemu_process *p = vt_calloc(1, sizeof *p);
    p->loop = loop;
    p->handler = *handler;
    return p;
}

/* Takes over both. console: -1 where there is none. */
static void connect_to(struct vt_qemu_process *p, int qmp, int console)
{
    const struct vt_conn_handler to_qmp = {.data = on_qmp, .closed = on_qmp_closed, .user = p};
    const struct vt_conn_handler to_console = {.data = on_console, .closed = on_closed, .user = p};
    p->qmp = vt_conn_new(p->loop, qmp, &to_qmp);
    if (console >= 0)
        p->console = vt_conn_new(p->loop, console, &to_console);
}

/* --- one that we start --- */

/* Both ends of a socket: QEMU's, which listens, and ours, connected. */
struct ends {
    int listener, ours;
};

struct fds {
    struct ends qmp, console;
};

static void close_fds(const struct fds *fds)
{
    const int all[] = {fds->qmp.listener, fds->qmp.ours, fds->console.listener, fds->console.ours};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] >= 0)
            close(all[i]);
}

/* Listens before QEMU exists and connects at once: neither side ever has to wait or retry. */
static enum vt_code open_ends(struct ends *ends, const char *path, struct vt_error *err)
{
    ends->listener = vt_socket_listen(path, WAITING_MAX, OP, err);
    if (ends->listener < 0)
        return err->code;
    ends->ours = vt_socket_connect(path, OP, err);
    return ends->ours < 0 ? err->code : VT_OK;
}

static struct vt_hypervisor *spawn(struct vt_qemu_process *p,
                                   const struct vt_qemu_process_opts *opts, const struct fds *fds,
                                   struct vt_error *err)
{
    size_t n = VT_QEMU_FD_FIRST - VT_HYPERVISOR_FD_FIRST;
    int *all = vt_calloc(n + opts->fd_count + 1, sizeof *all);
    all[VT_QEMU_FD_QMP - VT_HYPERVISOR_FD_FIRST] = fds->qmp.listener;
    all[VT_QEMU_FD_CONSOLE - VT_HYPERVISOR_FD_FIRST] = fds->console.listener;
    for (size_t i = 0; i < opts->fd_count; i++)
        all[n++] = opts->fds[i];
    if (opts->lease >= 0)
        all[n++] = opts->lease;
    const struct vt_hypervisor_opts o = {
        .args = opts->args, .log_path = opts->log_path, .fds = all, .fd_count = n};
    struct vt_hypervisor *h = vt_hypervisor_start(p->loop, &o, on_exit_of_qemu, p, err);
    vt_free(all);
    return h;
}

struct vt_qemu_process *vt_qemu_process_start(struct vt_loop *loop,
                                              const struct vt_qemu_process_opts *opts,
                                              const struct vt_qemu_process_handler *handler,
                                              struct vt_error *err)
{
    struct fds fds = {.qmp = {-1, -1}, .console = {-1, -1}};
    struct vt_error own = VT_ERROR_INIT;
    struct vt_qemu_process *p = new_process(loop, handler);
    if (!open_ends(&fds.qmp, opts->qmp_path, &own) &&
        !open_ends(&fds.console, opts->console_path, &own))
        p->hypervisor = spawn(p, opts, &fds, &own);
    if (!p->hypervisor) {
        vt_error_copy(err, &own);
        unlink(opts->qmp_path);
        unlink(opts->console_path);
        close_fds(&fds);
        vt_qemu_process_free(p, false);
        return NULL;
    }
    connect_to(p, fds.qmp.ours, fds.console.ours);
    fds.qmp.ours = fds.console.ours = -1;
    close_fds(&fds);
    return p;
}

/* --- one that runs already --- */

struct vt_qemu_process *vt_qemu_process_attach(struct vt_loop *loop,
                                               const struct vt_qemu_attach_opts *opts,
                                               const struct vt_qemu_process_handler *handler,
                                               struct vt_error *err)
{
    struct vt_qemu_process *p = new_process(loop, handler);
    p->hypervisor = vt_hypervisor_attach(loop, opts->lock_path, on_exit_of_qemu, p, err);
    int qmp = p->hypervisor ? vt_socket_connect(opts->qmp_path, "vm.attach", err) : -1;
    if (qmp < 0) {
        vt_qemu_process_free(p, true);
        return NULL;
    }
    connect_to(p, qmp, vt_socket_connect(opts->console_path, "vm.attach", NULL));
    return p;
}

/* --- both --- */

long vt_qemu_process_pid(const struct vt_qemu_process *p)
{
    return vt_hypervisor_pid(p->hypervisor);
}

void vt_qemu_process_write(struct vt_qemu_process *p, const char *data, size_t n)
{
    vt_conn_write(p->qmp, data, n);
}

bool vt_qemu_process_write_fd(struct vt_qemu_process *p, const char *data, size_t n, int fd)
{
    return vt_conn_write_fd(p->qmp, data, n, fd);
}

void vt_qemu_process_write_console(struct vt_qemu_process *p, const char *data, size_t n)
{
    vt_conn_write(p->console, data, n);
}

size_t vt_qemu_process_unread(const struct vt_qemu_process *p)
{
    return vt_conn_unwritten(p->console);
}

void vt_qemu_process_kill(struct vt_qemu_process *p)
{
    vt_hypervisor_signal(p->hypervisor, SIGKILL);
}

void vt_qemu_process_free(struct vt_qemu_process *p, bool leave_running)
{
    if (!p)
        return;
    vt_timer_clear(&p->drain);
    vt_hypervisor_free(p->hypervisor, leave_running ? 0 : SIGKILL);
    vt_conn_free(p->qmp);
    vt_conn_free(p->console);
    vt_free(p);
}
