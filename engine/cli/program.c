#include "cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "vmtest/units.h"

#define GRACE_MS 10000 /* from SIGTERM to SIGKILL */
#define LOG_SHOWN 4000 /* bytes of its log that are shown when it fails */

static const int watched[] = {SIGINT, SIGTERM, SIGHUP};
enum { WATCHED = sizeof watched / sizeof *watched };

struct running {
    uv_loop_t loop;
    uv_process_t process;
    uv_signal_t signals[WATCHED];
    uv_timer_t deadline, killer;
    int64_t status;
    int ended_by, signal; /* of the program; of this process */
    bool exited, overdue;
};

static void fill(sigset_t *set)
{
    sigemptyset(set);
    for (int i = 0; i < WATCHED; i++)
        sigaddset(set, watched[i]);
}

void vt_signals_hold(void)
{
    sigset_t set;
    fill(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

void vt_signals_release(void)
{
    sigset_t set;
    fill(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int vt_signals_pending(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigpending(&set);
    for (int i = 0; i < WATCHED; i++)
        if (sigismember(&set, watched[i]) == 1)
            return watched[i];
    return 0;
}

static void on_kill(uv_timer_t *timer)
{
    struct running *r = timer->data;
    kill(-r->process.pid, SIGKILL);
}

static void end_program(struct running *r)
{
    if (r->exited)
        return;
    kill(-r->process.pid, SIGTERM);
    uv_timer_start(&r->killer, on_kill, GRACE_MS, 0);
}

static void on_deadline(uv_timer_t *timer)
{
    struct running *r = timer->data;
    r->overdue = true;
    end_program(r);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct running *r = handle->data;
    if (r->signal) {
        kill(-r->process.pid, SIGKILL);
        return;
    }
    r->signal = number;
    end_program(r);
}

static void on_program_exit(uv_process_t *process, int64_t status, int ended_by)
{
    struct running *r = process->data;
    r->exited = true;
    r->status = status;
    r->ended_by = ended_by;
    kill(-process->pid, SIGKILL); /* what it left behind in its session */
    uv_stop(&r->loop);
}

/* libuv takes char ** and does not write to it. */
static char **words(const char *const *list)
{
    union {
        const char *const *from;
        char **to;
    } cast = {.from = list};
    return cast.to;
}

static int spawn(struct running *r, const struct vt_program *p, int out, int log)
{
    uv_stdio_container_t io[VT_PROGRAM_LEASE_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = out},
        {.flags = UV_INHERIT_FD, .data.fd = log},
        {.flags = UV_INHERIT_FD, .data.fd = vt_lease_fd(p->lease)},
    };
    const uv_process_options_t o = {
        .exit_cb = on_program_exit,
        .file = p->argv[0],
        .args = words(p->argv),
        .env = words(p->env),
        .cwd = p->cwd,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = VT_PROGRAM_LEASE_FD + (p->lease != NULL),
        .stdio = io,
    };
    return uv_spawn(&r->loop, &r->process, &o);
}

static void on_each_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int run_program(struct running *r, const struct vt_program *p, int out, int log)
{
    r->process.data = r->deadline.data = r->killer.data = r;
    uv_loop_init(&r->loop);
    uv_timer_init(&r->loop, &r->deadline);
    uv_timer_init(&r->loop, &r->killer);
    for (int i = 0; i < WATCHED; i++) {
        uv_signal_init(&r->loop, &r->signals[i]);
        r->signals[i].data = r;
        uv_signal_start(&r->signals[i], on_signal, watched[i]);
    }
    int rc = spawn(r, p, out, log);
    vt_signals_release();
    if (!rc) {
        uv_timer_start(&r->deadline, on_deadline, (uint64_t)(p->timeout * 1000), 0);
        while (!r->exited)
            uv_run(&r->loop, UV_RUN_DEFAULT);
    }
    vt_signals_hold();
    uv_walk(&r->loop, on_each_handle, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    uv_loop_close(&r->loop);
    return rc;
}

/* The end of what it wrote, from a line's beginning on. */
static void show_log(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    char text[LOG_SHOWN + 1];
    ssize_t n = fd < 0 ? 0 : pread(fd, text, LOG_SHOWN, size > LOG_SHOWN ? size - LOG_SHOWN : 0);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return;
    text[n] = '\0';
    const char *from = size > LOG_SHOWN ? strchr(text, '\n') : NULL;
    char *shown = vt_strdup(from ? from + 1 : text);
    vt_text_printable(shown);
    fprintf(stderr, "--- the end of its output\n%s---\n", shown);
    vt_free(shown);
}

static enum vt_code judge(const struct running *r, const struct vt_program *p, struct vt_error *err)
{
    char time[32];
    if (r->signal)
        return vt_fail(err, VT_ECANCELED, p->op, "interrupted while %s ran", p->what);
    if (r->overdue) {
        vt_fail(err, VT_ETIMEDOUT, p->op, "%s did not end within %s", p->what,
                vt_format_duration(time, sizeof time, p->timeout));
        vt_hint(err, "--timeout gives it more time");
        return VT_ETIMEDOUT;
    }
    if (r->ended_by)
        return vt_fail(err, VT_EIO, p->op, "%s was ended by signal %d", p->what, r->ended_by);
    return r->status
               ? vt_fail(err, VT_EIO, p->op, "%s failed with status %d", p->what, (int)r->status)
               : VT_OK;
}

static enum vt_code open_file(const char *path, const char *op, int *fd, struct vt_error *err)
{
    *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return *fd < 0 ? vt_fail_sys(err, errno, op, "cannot write %s", path) : VT_OK;
}

enum vt_code vt_program_run(const struct vt_program *p, int *signal_seen, struct vt_error *err)
{
    struct running r = {.status = -1};
    int log = -1, out = -1;
    *signal_seen = 0;
    enum vt_code code = p->log ? open_file(p->log, p->op, &log, err) : VT_OK;
    if (!code && p->out)
        code = open_file(p->out, p->op, &out, err);
    if (!code) {
        int to = log < 0 ? STDERR_FILENO : log;
        int rc = run_program(&r, p, out < 0 ? to : out, to);
        if (rc)
            code = vt_fail(err, rc == UV_ENOENT ? VT_ENOTFOUND : VT_EIO, p->op,
                           "cannot run %s (%s): %s", p->what, p->argv[0], uv_strerror(rc));
        else
            code = judge(&r, p, err);
        *signal_seen = r.signal;
    }
    if (log >= 0)
        close(log);
    if (out >= 0)
        close(out);
    if (code && p->log && !r.signal)
        show_log(p->log);
    return code;
}
