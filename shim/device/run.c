#include "device/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/sys.h"

struct pipes {
    int in[2], out[2], err[2];
};

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void shut_all(struct pipes *p)
{
    int *const all[] = {&p->in[0], &p->in[1], &p->out[0], &p->out[1], &p->err[0], &p->err[1]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        shut(all[i]);
}

static _Noreturn void child(const struct pipes *p, const char *const *argv, const char *const *env)
{
    char *const *words;
    setpgid(0, 0);
    dup2(p->in[0], 0);
    dup2(p->out[1], 1);
    dup2(p->err[1], 2);
    for (; env && *env; env++) {
        union {
            const char *from;
            char *to;
        } word = {.from = *env};
        putenv(word.to);
    }
    union {
        const char *const *from;
        char *const *to;
    } list = {.from = argv};
    words = list.to;
    signal(SIGPIPE, SIG_DFL);
    execv(argv[0], words);
    _exit(errno == ENOENT ? 127 : 126);
}

/* Takes what there is; false at the end. */
static bool take(int fd, struct vt_buf *to)
{
    char chunk[8192];
    ssize_t got = read(fd, chunk, sizeof chunk);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    size_t room = to->len < VTD_RUN_MAX ? VTD_RUN_MAX - to->len : 0;
    vt_buf_add(to, chunk, (size_t)got < room ? (size_t)got : room);
    return got > 0;
}

/* True where all outputs ended in time. */
static bool exchange(struct pipes *p, const char *in, size_t n, double until, struct vtd_run *run)
{
    while (p->out[0] >= 0 || p->err[0] >= 0) {
        struct pollfd fds[3] = {{.fd = p->in[1], .events = POLLOUT},
                                {.fd = p->out[0], .events = POLLIN},
                                {.fd = p->err[0], .events = POLLIN}};
        double left = until - vt_monotonic();
        if (left <= 0)
            return false;
        if (poll(fds, 3, (int)(left * 1000) + 1) < 0 && errno != EINTR)
            return false;
        if (fds[0].revents) {
            ssize_t wrote = n ? write(p->in[1], in, n) : 0;
            if (wrote > 0) {
                in += wrote;
                n -= (size_t)wrote;
            }
            if (!n || (wrote < 0 && errno != EAGAIN && errno != EINTR))
                shut(&p->in[1]); /* also where it does not want to read it */
        }
        if (fds[1].revents && !take(p->out[0], &run->out))
            shut(&p->out[0]);
        if (fds[2].revents && !take(p->err[0], &run->err))
            shut(&p->err[0]);
    }
    return true;
}

/* Its status, or false where it does not end in time. */
static bool wait_for(pid_t pid, double until, int *status)
{
    for (;;) {
        pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return got == pid;
        if (vt_monotonic() >= until)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

enum vt_code vtd_run(const char *const *argv, const char *const *env, const void *in, size_t n,
                     double seconds, struct vtd_run *run, struct vt_error *error)
{
    struct pipes p = {{-1, -1}, {-1, -1}, {-1, -1}};
    double until = vt_monotonic() + seconds;
    int status = 0;
    *run = (struct vtd_run){.status = -1};
    if (pipe2(p.in, O_CLOEXEC) || pipe2(p.out, O_CLOEXEC) || pipe2(p.err, O_CLOEXEC)) {
        shut_all(&p);
        return vt_fail_sys(error, errno, "run", "cannot make a pipe");
    }
    pid_t pid = fork();
    if (pid == 0)
        child(&p, argv, env);
    if (pid < 0) {
        shut_all(&p);
        return vt_fail_sys(error, errno, "run", "cannot start %s", argv[0]);
    }
    setpgid(pid, pid);
    shut(&p.in[0]);
    shut(&p.out[1]);
    shut(&p.err[1]);
    fcntl(p.in[1], F_SETFL, O_NONBLOCK);
    signal(SIGPIPE, SIG_IGN);
    bool ended = exchange(&p, in, n, until, run) && wait_for(pid, until, &status);
    if (!ended) {
        kill(-pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    shut_all(&p);
    if (!ended)
        return vt_fail(error, VT_ETIMEDOUT, "run", "%s did not end within %.0f s", argv[0],
                       seconds);
    run->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return VT_OK;
}

void vtd_run_free(struct vtd_run *run)
{
    vt_buf_free(&run->out);
    vt_buf_free(&run->err);
}
