#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

enum {
    most_words = 16384,
    grant_at = 32 * 1024,    /* bytes of input that were written before the host is told */
    grace_ms = 1000,         /* between asking and killing */
    terminal_drain_ms = 200, /* for what a terminal still holds */
};

struct exec {
    struct channel base; /* first */
    struct exec *next;   /* of all */
    pid_t pid;
    bool reaped, dying; /* dying: its channel has ended */
    int status;         /* as waitpid() tells it */
    int64_t until;      /* dying: when it is killed; else when its terminal is given up; 0: not */
    bool terminal;
    int in, out[2]; /* -1: closed; of a terminal: out[0] is its master, in a copy */
    struct buf input;
    size_t input_head, grant;
    bool input_ended;
    size_t left[2]; /* once reaped: what was in the pipes by then */
};

static struct exec *processes;
static int null_fd = -1;

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct exec *of(struct channel *c)
{
    return (struct exec *)(void *)c;
}

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void shut_all(struct exec *x)
{
    shut(&x->in);
    shut(&x->out[0]);
    shut(&x->out[1]);
}

static void free_exec(struct exec *x)
{
    struct exec **at = &processes;
    while (*at && *at != x)
        at = &(*at)->next;
    if (*at)
        *at = x->next;
    shut_all(x);
    buf_free(&x->input);
    free(x);
}

/* ---- its end ---- */

static const char *signal_name(int sig, char *other, size_t size)
{
    static const struct {
        int sig;
        const char *name;
    } known[] = {{SIGABRT, "ABRT"}, {SIGALRM, "ALRM"}, {SIGFPE, "FPE"},      {SIGHUP, "HUP"},
                 {SIGILL, "ILL"},   {SIGINT, "INT"},   {SIGKILL, "KILL"},    {SIGPIPE, "PIPE"},
                 {SIGQUIT, "QUIT"}, {SIGSEGV, "SEGV"}, {SIGTERM, "TERM"},    {SIGUSR1, "USR1"},
                 {SIGUSR2, "USR2"}, {SIGBUS, "BUS"},   {SIGTRAP, "TRAP"},    {SIGXCPU, "XCPU"},
                 {SIGXFSZ, "XFSZ"}, {SIGSYS, "SYS"},   {SIGVTALRM, "VTALRM"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].sig == sig)
            return known[i].name;
    snprintf(other, size, "%d", sig);
    return other;
}

static void send_exit(uint32_t id, uint32_t status, const char *sig)
{
    size_t n = strlen(sig);
    unsigned char *payload = port_begin(4 + n);
    vt__store_u32(payload, status);
    copy_bytes(payload + 4, sig, n);
    port_end(VT__FRAME_EXIT, 0, id, 4 + n);
}

/* Tells the host once all that the command itself had written is on its way. */
static void finish_if_over(struct exec *x)
{
    if (!x->reaped || (x->out[0] >= 0 && (x->terminal || x->left[0])) ||
        (x->out[1] >= 0 && x->left[1]))
        return;
    char other[16];
    bool signaled = WIFSIGNALED(x->status);
    send_exit(x->base.id, signaled ? UINT32_MAX : (uint32_t)WEXITSTATUS(x->status),
              signaled ? signal_name(WTERMSIG(x->status), other, sizeof other) : "");
    channel_remove(&x->base);
    free_exec(x);
}

/* A child of the command may hold its output open for ever: what counts is what is there now. */
static void ended(struct exec *x, int status)
{
    x->reaped = true;
    x->status = status;
    for (int i = 0; i < 2; i++) {
        int n = 0;
        if (x->out[i] >= 0 && !x->terminal && !ioctl(x->out[i], FIONREAD, &n) && n > 0)
            x->left[i] = (size_t)n;
    }
    if (x->terminal)
        x->until = now_ms() + terminal_drain_ms;
    finish_if_over(x);
}

void exec_reap(void)
{
    struct exec *next = NULL;
    for (struct exec *x = processes; x; x = next) {
        int status = 0;
        next = x->next;
        /* one that is dying keeps its id, which is its group's, until that was killed */
        if (x->reaped || (x->dying && x->until) || waitpid(x->pid, &status, WNOHANG) != x->pid)
            continue;
        if (x->dying)
            free_exec(x);
        else
            ended(x, status);
    }
}

static void exec_close(struct channel *c)
{
    struct exec *x = of(c);
    if (x->reaped) {
        free_exec(x);
        return;
    }
    shut_all(x);
    kill(-x->pid, SIGTERM);
    kill(-x->pid, SIGCONT);
    x->dying = true;
    x->until = now_ms() + grace_ms;
}

int exec_wait(void)
{
    int64_t first = 0;
    for (const struct exec *x = processes; x; x = x->next)
        if (x->until && (!first || x->until < first))
            first = x->until;
    int64_t left = first ? first - now_ms() : -1;
    return !first ? -1 : left > 0 ? (int)left + 1 : 0;
}

void exec_tick(void)
{
    int64_t now = processes ? now_ms() : 0;
    bool killed = false;
    struct exec *next = NULL;
    for (struct exec *x = processes; x; x = next) {
        next = x->next;
        if (!x->until || x->until > now)
            continue;
        x->until = 0;
        if (x->dying) {
            kill(-x->pid, SIGKILL);
            killed = true;
        } else {
            shut(&x->out[0]);
            finish_if_over(x);
        }
    }
    if (killed)
        exec_reap();
}

/* ---- input ---- */

static void grant(struct exec *x, size_t n)
{
    unsigned char more[4];
    x->grant += n;
    if (x->grant < grant_at)
        return;
    vt__store_u32(more, (uint32_t)x->grant);
    port_send(VT__FRAME_WINDOW, 0, x->base.id, more, sizeof more);
    x->grant = 0;
}

/* The pending input, or what it is worth where nobody reads any more. */
static void write_input(struct exec *x)
{
    while (x->input_head < x->input.len) {
        size_t left = x->input.len - x->input_head;
        ssize_t n = x->in < 0 ? (ssize_t)left : write(x->in, x->input.data + x->input_head, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            shut(&x->in);
            continue;
        }
        x->input_head += (size_t)n;
        grant(x, (size_t)n);
    }
    x->input.len = x->input_head = 0;
    if (x->input_ended)
        shut(&x->in);
}

static void end_input(struct exec *x)
{
    static const unsigned char end_of_file[2] = {4, 4};
    if (x->input_ended)
        return;
    x->input_ended = true;
    if (x->terminal) /* the second where the first only ends a line */
        buf_add(&x->input, end_of_file, x->input.len ? 2 : 1);
    write_input(x);
}

static void exec_frame(struct channel *c, const struct vt__frame *frame)
{
    struct exec *x = of(c);
    if (frame->type == VT__FRAME_END)
        end_input(x);
    if (frame->type != VT__FRAME_BYTES || frame->stream != VT__FRAME_STDIN || x->input_ended)
        return;
    if (x->input.len - x->input_head + frame->size > VT__EXEC_WINDOW) {
        port_send_failed(c->id, EPROTO, "more standard input than was granted");
        channel_remove(c);
        exec_close(c);
        return;
    }
    buf_consume(&x->input, x->input_head);
    x->input_head = 0;
    buf_add(&x->input, frame->data, frame->size);
    write_input(x);
}

/* ---- output ---- */

static void read_output(struct exec *x, int i)
{
    size_t most = VT__FRAME_DATA;
    if (x->reaped && !x->terminal && x->left[i] < most)
        most = x->left[i];
    unsigned char *place = port_begin(most);
    ssize_t n = most ? read(x->out[i], place, most) : 0;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) { /* a terminal whose other end is closed says EIO */
        shut(&x->out[i]);
        return;
    }
    port_end(VT__FRAME_BYTES, i ? VT__FRAME_STDERR : VT__FRAME_STDOUT, x->base.id, (size_t)n);
    if (x->reaped && !x->terminal)
        x->left[i] -= (size_t)n;
}

static unsigned exec_poll(struct channel *c, struct pollfd *p)
{
    struct exec *x = of(c);
    bool room = port_has_room();
    for (int i = 0; i < 2; i++)
        p[i] = (struct pollfd){.fd = room ? x->out[i] : -1, .events = POLLIN};
    p[2] = (struct pollfd){.fd = x->input_head < x->input.len ? x->in : -1, .events = POLLOUT};
    return 3;
}

static void exec_handle(struct channel *c, const struct pollfd *p, unsigned n)
{
    struct exec *x = of(c);
    (void)n;
    if (p[2].fd >= 0 && p[2].revents)
        write_input(x);
    for (int i = 0; i < 2; i++)
        if (p[i].fd >= 0 && p[i].revents && x->out[i] >= 0 && port_has_room())
            read_output(x, i);
    finish_if_over(x);
}

static const struct channel_class exec_class = {
    .frame = exec_frame, .close = exec_close, .poll = exec_poll, .handle = exec_handle};

/* ---- its beginning ---- */

/* NULL-terminated words of a count and so many strings; NULL where malformed. */
static char **take_words(struct vt__fields *f)
{
    uint32_t count = vt__take_u32(f);
    if (f->bad || count > most_words) {
        f->bad = true;
        return NULL;
    }
    char **words = need(calloc((size_t)count + 1, sizeof *words));
    for (uint32_t i = 0; i < count; i++) {
        size_t n = 0;
        const unsigned char *p = vt__take_bytes(f, &n);
        words[i] = need(calloc(1, n + 1));
        if (n)
            memcpy(words[i], p, n);
    }
    return words;
}

static void free_words(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

/* The command's own ends of new pipes in s->fds, ours in x. 0 or an errno. */
static int make_pipes(struct exec *x, struct spawn *s, bool input)
{
    int pair[2];
    if (null_fd < 0)
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    s->fds[0] = null_fd;
    if (input) {
        if (fd_pipe(pair))
            return errno;
        s->fds[0] = pair[0];
        x->in = pair[1];
        fcntl(x->in, F_SETFL, O_NONBLOCK);
    }
    for (int i = 0; i < 2; i++) {
        if (fd_pipe(pair))
            return errno;
        x->out[i] = pair[0];
        s->fds[i + 1] = pair[1];
        fcntl(x->out[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

/* Its own end in *holder, so that nothing hangs up before the command has opened it; some systems
 * set neither flags nor a size before that is open. 0 or an errno. */
static int make_terminal(struct exec *x, struct spawn *s, int *holder)
{
    const struct winsize w = {.ws_row = 24, .ws_col = 80};
    x->out[0] = posix_openpt(O_RDWR | O_NOCTTY);
    if (x->out[0] < 0 || grantpt(x->out[0]) || unlockpt(x->out[0]) ||
        !(s->terminal = ptsname(x->out[0])) ||
        (*holder = open(s->terminal, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0 ||
        ioctl(*holder, TIOCSWINSZ, &w))
        return errno;
    fd_ready(x->out[0], false);
    x->in = fcntl(x->out[0], F_DUPFD_CLOEXEC, 3);
    return x->in < 0 ? errno : 0;
}

static void begin(struct exec *x, struct spawn *s, unsigned flags)
{
    char text[4400] = "";
    int holder = -1;
    s->fds[0] = s->fds[1] = s->fds[2] = -1;
    x->terminal = flags & VT__EXEC_PTY;
    int rc = x->terminal ? make_terminal(x, s, &holder) : make_pipes(x, s, flags & VT__EXEC_INPUT);
    int status = rc ? -rc : spawn(s, &x->pid, text, sizeof text);
    s->terminal = NULL;
    shut(&holder);
    for (int i = 0; i < 3; i++)
        if (s->fds[i] != null_fd)
            shut(&s->fds[i]);
    if (status < 0) {
        port_send_failed(x->base.id, -status, strerror(-status));
    } else if (status > 0) {
        port_send(VT__FRAME_BYTES, x->terminal ? VT__FRAME_STDOUT : VT__FRAME_STDERR, x->base.id,
                  text, strlen(text));
        send_exit(x->base.id, (uint32_t)status, "");
    }
    if (status) {
        free_exec(x);
        return;
    }
    x->next = processes;
    processes = x;
    channel_add(&x->base, &exec_class, x->base.id);
    if (!(flags & VT__EXEC_INPUT) && x->terminal)
        end_input(x);
}

void exec_start(const struct vt__frame *frame)
{
    struct vt__fields f = {.p = frame->data, .n = frame->size};
    unsigned flags = vt__take_u32(&f);
    char **argv = take_words(&f), **env = take_words(&f), **cwd = take_words(&f);
    struct spawn s = {.argv = argv, .env = env, .cwd = cwd ? cwd[0] : NULL};
    if (f.bad || !argv[0]) {
        port_send_failed(frame->channel, EPROTO, "a malformed command");
    } else {
        struct exec *x = need(calloc(1, sizeof *x));
        x->in = x->out[0] = x->out[1] = -1;
        x->base.id = frame->channel;
        s.shell = flags & VT__EXEC_SHELL ? argv[0] : NULL;
        begin(x, &s, flags);
    }
    free_words(argv);
    free_words(env);
    free_words(cwd);
}
