#include "vm/hypervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "core/fs.h"
#include "core/mem.h"
#include "loop/timer.h"

#define OP "vm.start"
#define GONE_MS 5000      /* for one that was told to end to be gone */
#define LOOK_S 0.05       /* how often a stranger's lock is looked at; */
#define LOOK_S_NEAR 0.005 /* and when its end is near */

/* The handle of a child, which libuv keeps until it has closed it. */
struct child {
    uv_process_t handle;
    struct vt_hypervisor *owner; /* NULL: let go of */
};

struct vt_hypervisor {
    struct vt_loop *loop;
    vt_hypervisor_ended_fn ended;
    void *user;
    struct child *child; /* NULL: a stranger, whose end is told by */
    char *lock;          /* its lock */
    long pid;
    bool exited;
    struct vt_timer look;
    double until; /* loop time when it is killed */
};

static void on_child_closed(uv_handle_t *handle)
{
    vt_free(handle->data);
}

static void tell_ended(struct vt_hypervisor *h, int status, int sig)
{
    h->exited = true;
    vt_timer_clear(&h->look);
    h->ended(status, sig, h->user);
}

static void on_exit_of_child(uv_process_t *handle, int64_t status, int sig)
{
    const struct child *child = handle->data;
    if (child->owner)
        tell_ended(child->owner, (int)status, sig);
}

static struct vt_hypervisor *new_hypervisor(struct vt_loop *loop, vt_hypervisor_ended_fn ended,
                                            void *user)
{
    struct vt_hypervisor *h = vt_calloc(1, sizeof *h);
    h->loop = loop;
    h->ended = ended;
    h->user = user;
    h->until = INFINITY;
    return h;
}

static int spawn(struct vt_hypervisor *h, const struct vt_hypervisor_opts *opts, int log)
{
    size_t count = VT_HYPERVISOR_FD_FIRST + opts->fd_count;
    uv_stdio_container_t *io = vt_calloc(count, sizeof *io);
    io[0].flags = UV_IGNORE;
    for (size_t i = 1; i < count; i++) {
        io[i].flags = UV_INHERIT_FD;
        io[i].data.fd = i < VT_HYPERVISOR_FD_FIRST ? log : opts->fds[i - VT_HYPERVISOR_FD_FIRST];
    }
    uv_process_options_t o = {
        .exit_cb = on_exit_of_child,
        .file = opts->args->v[0],
        .args = opts->args->v,
        .flags = UV_PROCESS_DETACHED, /* a terminal's Ctrl-C is ours to handle */
        .stdio_count = (int)count,
        .stdio = io,
    };
    h->child = vt_calloc(1, sizeof *h->child);
    h->child->owner = h;
    h->child->handle.data = h->child;
    int rc = uv_spawn(vt_loop_uv(h->loop), &h->child->handle, &o);
    vt_free(io);
    return rc;
}

struct vt_hypervisor *vt_hypervisor_start(struct vt_loop *loop,
                                          const struct vt_hypervisor_opts *opts,
                                          vt_hypervisor_ended_fn ended, void *user,
                                          struct vt_error *err)
{
    int log = open(opts->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                   0600);
    if (log < 0) {
        vt_fail_sys(err, errno, OP, "cannot write %s", opts->log_path);
        return NULL;
    }
    struct vt_hypervisor *h = new_hypervisor(loop, ended, user);
    int rc = spawn(h, opts, log);
    close(log);
    if (rc) {
        vt_fail(err, rc == UV_ENOENT ? VT_ENOTFOUND : VT_EIO, OP, "cannot start %s: %s",
                opts->args->v[0], uv_strerror(rc));
        vt_hypervisor_free(h, 0);
        return NULL;
    }
    h->pid = h->child->handle.pid;
    return h;
}

struct vt_hypervisor *vt_hypervisor_attach(struct vt_loop *loop, const char *lock_path,
                                           vt_hypervisor_ended_fn ended, void *user,
                                           struct vt_error *err)
{
    long pid = 0;
    if (!vt_lock_held(lock_path, &pid) || pid < 2) {
        vt_fail(err, VT_ESTATE, "vm.attach", "no process holds %s", lock_path);
        return NULL;
    }
    struct vt_hypervisor *h = new_hypervisor(loop, ended, user);
    h->pid = pid;
    h->lock = vt_strdup(lock_path);
    return h;
}

long vt_hypervisor_pid(const struct vt_hypervisor *h)
{
    return h->pid;
}

bool vt_hypervisor_is_child(const struct vt_hypervisor *h)
{
    return h->child;
}

void vt_hypervisor_signal(const struct vt_hypervisor *h, int sig)
{
    long holder = h->pid;
    /* the lock proves that a stranger's id still is that of this process */
    if (!h->exited && (h->child || (vt_lock_held(h->lock, &holder) && holder == h->pid)))
        kill(-(pid_t)h->pid, sig);
}

static void on_look(struct vt_timer *timer)
{
    struct vt_hypervisor *h = timer->user;
    if (h->child) { /* its end is told by libuv; its time is over */
        vt_hypervisor_signal(h, SIGKILL);
        return;
    }
    if (!vt_lock_held(h->lock, NULL)) {
        tell_ended(h, VT_STATUS_UNKNOWN, 0);
        return;
    }
    if (vt_loop_now(h->loop) > h->until)
        vt_hypervisor_signal(h, SIGKILL);
    vt_timer_set(&h->look, h->loop, h->until < INFINITY ? LOOK_S_NEAR : LOOK_S, on_look, h);
}

void vt_hypervisor_expect_end(struct vt_hypervisor *h, double seconds)
{
    double until = vt_loop_now(h->loop) + seconds;
    if (h->exited || (h->child && until >= h->until))
        return;
    h->until = until < h->until ? until : h->until;
    vt_timer_set(&h->look, h->loop, h->child ? seconds : 0, on_look, h);
}

static bool wait_gone(const struct vt_hypervisor *h)
{
    /* libuv no longer watches a child: whoever ends it reaps it */
    for (int i = 0; i < GONE_MS; i++) {
        if (h->child ? waitpid((pid_t)h->pid, NULL, WNOHANG) != 0 : !vt_lock_held(h->lock, NULL))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

void vt_hypervisor_free(struct vt_hypervisor *h, int sig)
{
    if (!h)
        return;
    vt_timer_clear(&h->look);
    if (h->child) {
        h->child->owner = NULL;
        uv_close((uv_handle_t *)&h->child->handle, on_child_closed);
    }
    if (sig && !h->exited) {
        vt_hypervisor_signal(h, sig);
        if (!wait_gone(h) && sig != SIGKILL) {
            vt_hypervisor_signal(h, SIGKILL);
            wait_gone(h);
        }
    }
    vt_free(h->lock);
    vt_free(h);
}
