#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/time.h>
#include <unistd.h>

#include "errors.h"
#include "task.h"

#define TICK_US 100000

static struct vtl_host *volatile watched;
static volatile sig_atomic_t stop_asked;
static volatile double look_at;
static pthread_t lua_thread;
static int parent_fd = -1; /* what was standard input */

static void look(struct vtl_host *h)
{
    lua_State *running = h->running;
    if (stop_asked && !h->stopping)
        vt_loop_wake(h->loop);
    if (running && ((stop_asked && !h->stopping) || (look_at > 0 && vtl_now() >= look_at)))
        lua_sethook(running, vtl_watch_hook, LUA_MASKCOUNT, 1);
}

/* The parent writes no more than the job: what can be read is the end, or is dropped. */
static void check_parent(void)
{
    struct pollfd p = {.fd = parent_fd, .events = POLLIN};
    char byte;
    if (parent_fd < 0 || poll(&p, 1, 0) <= 0)
        return;
    ssize_t n = read(parent_fd, &byte, 1);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        stop_asked = 1;
}

static void on_signal(int signal)
{
    int saved = errno;
    if (!pthread_equal(pthread_self(), lua_thread)) {
        pthread_kill(lua_thread, signal);
    } else {
        if (signal == SIGTERM)
            stop_asked = 1;
        else
            check_parent();
        if (watched)
            look(watched);
    }
    errno = saved;
}

void vtl_watch_start(struct vtl_host *h)
{
    lua_thread = pthread_self();
    stop_asked = 0;
    look_at = 0;
    watched = h;
    parent_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO); /* io.read() in a suite sees the end */
        close(null);
    }
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&act.sa_mask);
    sigaddset(&act.sa_mask, SIGTERM);
    sigaddset(&act.sa_mask, SIGALRM);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGALRM, &act, NULL);
    struct itimerval every = {.it_interval.tv_usec = TICK_US, .it_value.tv_usec = TICK_US};
    setitimer(ITIMER_REAL, &every, NULL);
}

void vtl_watch_end(void)
{
    static const struct itimerval never;
    setitimer(ITIMER_REAL, &never, NULL);
    watched = NULL;
    struct sigaction act = {.sa_handler = SIG_IGN};
    sigaction(SIGALRM, &act, NULL);
    act.sa_handler = SIG_DFL;
    sigaction(SIGTERM, &act, NULL);
    if (parent_fd >= 0)
        close(parent_fd);
    parent_fd = -1;
}

bool vtl_watch_stop_asked(void)
{
    return stop_asked;
}

void vtl_watch_until(double when)
{
    look_at = when;
}

static void check_deadlines(struct vtl_task *t)
{
    double now = vtl_now();
    for (; t && !t->shielded; t = t->parent) {
        if (t->timeout > 0 && now >= t->wall_deadline && !t->interrupt.code) {
            struct vt_error why = VT_ERROR_INIT;
            vt_fail(&why, VT_ETIMEDOUT, "test", "timed out after %.3gs", t->timeout);
            vtl_interrupt_task(t, &why);
        }
    }
}

void vtl_watch_hook(lua_State *L, lua_Debug *ar)
{
    struct vtl_host *h = vtl_host(L);
    struct vtl_task *t = h->current;
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    if (!t)
        return;
    if (stop_asked && !h->stopping)
        vtl_stop(h);
    check_deadlines(t);
    struct vtl_task *guard = vtl_guard_of(t);
    const struct vt_error *why = vtl_interrupt(t);
    if (why && guard->leave_at > 0 && vtl_now() >= guard->leave_at)
        guard->leaving = true;
    if (guard->leaving) {
        if (lua_isyieldable(L))
            lua_yield(L, 0); /* a hook's yield returns */
        else
            vtl_leave(L);
        return;
    }
    if (why) {
        vtl_watch_until(vtl_now() + 0.2); /* once more, should it be caught */
        vtl_raise(L, why, NULL);
    }
}
