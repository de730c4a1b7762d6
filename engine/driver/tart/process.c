#include "driver/tart/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "loop/timer.h"

#define PATIENCE_S 5.0 /* after SIGINT */
#define GONE_MS 5000   /* after SIGKILL */
#define LOOK_S 0.05    /* how often a stranger's lock is looked at */
#define TAIL_MAX 4096
#define HELD_MAX 2

struct vt_tart_process {
    struct vt_loop *loop;
    vt_tart_ended_fn ended;
    void *user;
    struct child *child; /* NULL: a stranger, whose end its lock tells */
    char *lock;
    struct vt_timer look, patience;
    long pid;
    bool exited;
};

/* The handle of a child, which libuv keeps until it has closed it. */
struct child {
    uv_process_t handle;
    struct vt_tart_process *owner; /* NULL: let go of */
};

static void on_child_closed(uv_handle_t *handle)
{
    vt_free(handle->data);
}

static void tell_ended(struct vt_tart_process *p, int status, int sig)
{
    p->exited = true;
    vt_timer_clear(&p->look);
    vt_timer_clear(&p->patience);
    p->ended(status, sig, p->user);
}

static void on_exit_of_child(uv_process_t *handle, int64_t status, int sig)
{
    const struct child *child = handle->data;
    if (child->owner)
        tell_ended(child->owner, (int)status, sig);
}

static void on_look(struct vt_timer *timer)
{
    struct vt_tart_process *p = timer->user;
    if (vt_lock_held(p->lock, NULL))
        vt_timer_set(&p->look, p->loop, LOOK_S, on_look, p);
    else
        tell_ended(p, -1, 0);
}

static int spawn(struct vt_tart_process *p, const struct vt_tart_process_opts *opts, int log)
{
    uv_stdio_container_t io[3 + HELD_MAX] = {{.flags = UV_IGNORE},
                                             {.flags = UV_INHERIT_FD, .data.fd = log},
                                             {.flags = UV_INHERIT_FD, .data.fd = log}};
    int count = 3;
    for (int i = 0; i < HELD_MAX; i++)
        if (opts->held[i] >= 0)
            io[count++] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = opts->held[i]};
    uv_process_options_t o = {
        .exit_cb = on_exit_of_child,
        .file = opts->args->v[0],
        .args = opts->args->v,
        .flags = UV_PROCESS_DETACHED, /* a terminal's Ctrl-C is ours to handle */
        .stdio_count = count,
        .stdio = io,
    };
    p->child = vt_calloc(1, sizeof *p->child);
    p->child->owner = p;
    p->child->handle.data = p->child;
    return uv_spawn(vt_loop_uv(p->loop), &p->child->handle, &o);
}

static struct vt_tart_process *new_process(struct vt_loop *loop, vt_tart_ended_fn ended, void *user)
{
    struct vt_tart_process *p = vt_calloc(1, sizeof *p);
    p->loop = loop;
    p->ended = ended;
    p->user = user;
    return p;
}

struct vt_tart_process *vt_tart_process_start(struct vt_loop *loop,
                                              const struct vt_tart_process_opts *opts,
                                              vt_tart_ended_fn ended, void *user,
                                              struct vt_error *err)
{
    int log = open(opts->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) {
        vt_fail_sys(err, errno, "vm.start", "cannot write %s", opts->log);
        return NULL;
    }
    struct vt_tart_process *p = new_process(loop, ended, user);
    int rc = spawn(p, opts, log);
    close(log);
    if (rc) {
        vt_fail(err, VT_EIO, "vm.start", "cannot start %s: %s", opts->args->v[0], uv_strerror(rc));
        p->exited = true;
        vt_tart_process_free(p, false);
        return NULL;
    }
    p->pid = p->child->handle.pid;
    return p;
}

struct vt_tart_process *vt_tart_process_attach(struct vt_loop *loop, const char *lock,
                                               vt_tart_ended_fn ended, void *user,
                                               struct vt_error *err)
{
    long pid = 0;
    if (!vt_lock_held(lock, &pid) || pid < 2) {
        vt_fail(err, VT_ESTATE, "vm.attach", "no process holds %s", lock);
        return NULL;
    }
    struct vt_tart_process *p = new_process(loop, ended, user);
    p->pid = pid;
    p->lock = vt_strdup(lock);
    vt_timer_set(&p->look, loop, LOOK_S, on_look, p);
    return p;
}

long vt_tart_process_pid(const struct vt_tart_process *p)
{
    return p->pid;
}

void vt_tart_process_signal(const struct vt_tart_process *p, int sig)
{
    long holder = p->pid;
    /* the lock proves that a stranger's id still is that of this process */
    if (!p->exited && (p->child || (vt_lock_held(p->lock, &holder) && holder == p->pid)))
        kill(-(pid_t)p->pid, sig);
}

static void on_patience(struct vt_timer *timer)
{
    vt_tart_process_signal(timer->user, SIGKILL);
}

void vt_tart_process_end(struct vt_tart_process *p)
{
    vt_tart_process_signal(p, SIGINT);
    if (!vt_timer_is_set(&p->patience))
        vt_timer_set(&p->patience, p->loop, PATIENCE_S, on_patience, p);
}

static bool is_gone(const struct vt_tart_process *p)
{
    /* libuv no longer watches a child: whoever ends it reaps it */
    return p->child ? waitpid((pid_t)p->pid, NULL, WNOHANG) != 0 : !vt_lock_held(p->lock, NULL);
}

static bool wait_gone(const struct vt_tart_process *p, int ms)
{
    for (; ms > 0; ms--) {
        if (is_gone(p))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

void vt_tart_process_free(struct vt_tart_process *p, bool leave_running)
{
    if (!p)
        return;
    bool end = !p->exited && !leave_running;
    vt_timer_clear(&p->look);
    vt_timer_clear(&p->patience);
    if (end)
        vt_tart_process_signal(p, SIGINT);
    if (p->child) {
        p->child->owner = NULL;
        uv_close((uv_handle_t *)&p->child->handle, on_child_closed);
    }
    if (end && !wait_gone(p, (int)(PATIENCE_S * 1000))) {
        vt_tart_process_signal(p, SIGKILL);
        wait_gone(p, GONE_MS);
    }
    vt_free(p->lock);
    vt_free(p);
}

void vt_tart_log_tail(const char *log, struct vt_buf *out)
{
    char text[TAIL_MAX];
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    ssize_t n = 0;
    if (fd >= 0)
        n = pread(fd, text, sizeof text, size > TAIL_MAX ? size - TAIL_MAX : 0);
    if (fd >= 0)
        close(fd);
    if (n > 0)
        vt_utf8_append(out, text, (size_t)n);
}
