#include "qemu_monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"

enum { line_max = 4 << 20 };

struct monitor {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    const struct monitor_opts *opts; /* while it is started */
    guest_ended *ended;
    void *user;
    int log; /* its standard error */
    int fd;  /* ours */
    pid_t pid;
    json_int_t next_id, replied; /* the id of the last reply */
    json_t *reply;
    bool started, ready, gone, stopping; /* started: forked, or not to be */
    bool powered_off, panicked;          /* what QEMU told before its end */
    char why[GUEST_WHY];                 /* of a start that failed */
};

static void say(char why[GUEST_WHY], const char *what, const char *more)
{
    snprintf(why, GUEST_WHY, "QEMU: %s%s%.160s", what, *more ? ": " : "", more);
}

/* --- the process --- */

static void become(const struct monitor_opts *o, int monitor, int log)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int from[] = {o->in >= 0 ? o->in : null, o->out >= 0 ? o->out : null, log, monitor,
                        o->agent >= 0 ? o->agent : null};
    int high[sizeof from / sizeof *from];
    const int count = sizeof from / sizeof *from;
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < count; i++) /* out of each other's way */
        high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 64);
    for (int i = 0; i < count; i++)
        if (dup2(high[i], i) < 0)
            _exit(126);
    sigprocmask(SIG_SETMASK, &none, NULL);
    close_range(QEMU_FD_AGENT + 1, ~0u, 0); /* locks that are the helper's to hold */
    execvp(o->args->v[0], o->args->v);
    _exit(127);
}

static void fork_it(struct monitor *m)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
        say(m->why, "no socket", strerror(errno));
        return;
    }
    pid_t parent = getpid();
    m->pid = fork();
    if (m->pid == 0) {
        if (getppid() != parent)
            _exit(125);
        become(m->opts, ends[1], m->log);
    }
    close(ends[1]);
    m->fd = ends[0];
    if (m->pid < 0)
        say(m->why, "cannot fork", strerror(errno));
}

/* The last line of its log. */
static void add_log(const struct monitor *m, char why[GUEST_WHY])
{
    char text[4096];
    off_t end = lseek(m->log, 0, SEEK_END);
    off_t at = end > (off_t)sizeof text - 1 ? end - (off_t)sizeof text + 1 : 0;
    ssize_t n = pread(m->log, text, sizeof text - 1, at);
    text[n > 0 ? n : 0] = '\0';
    while (n > 0 && strchr("\n ", text[n - 1]))
        text[--n] = '\0';
    const char *line = strrchr(text, '\n');
    say(why, "it ended", line ? line + 1 : text);
}

/* --- what it says --- */

static void take_event(struct monitor *m, const json_t *message)
{
    const char *name = json_string_value(json_object_get(message, "event"));
    const char *reason =
        json_string_value(json_object_get(json_object_get(message, "data"), "reason"));
    if (!strcmp(name, "GUEST_PANICKED"))
        m->panicked = true;
    if (!strcmp(name, "SHUTDOWN") && reason && !strcmp(reason, "guest-shutdown"))
        m->powered_off = true;
}

static void take_line(struct monitor *m, const char *line, size_t n)
{
    json_t *message = json_loadb(line, n, 0, NULL);
    const json_t *id = json_object_get(message, "id");
    pthread_mutex_lock(&m->lock);
    if (json_object_get(message, "QMP")) {
        m->ready = true;
    } else if (json_is_integer(id)) {
        json_decref(m->reply);
        m->reply = json_incref(message);
        m->replied = json_integer_value(id);
    } else if (json_is_string(json_object_get(message, "event"))) {
        take_event(m, message);
    }
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    json_decref(message);
}

static void listen_to(struct monitor *m)
{
    struct vt_buf in = VT_BUF_INIT;
    char chunk[16384];
    ssize_t n;
    while ((n = read(m->fd, chunk, sizeof chunk)) > 0 || (n < 0 && errno == EINTR)) {
        char *end;
        vt_buf_add(&in, chunk, n > 0 ? (size_t)n : 0);
        while (in.len && (end = memchr(in.data, '\n', in.len))) {
            take_line(m, in.data, (size_t)(end - in.data));
            vt_buf_consume(&in, (size_t)(end - in.data) + 1);
        }
        if (in.len > line_max)
            break;
    }
    vt_buf_free(&in);
}

static void *run(void *user)
{
    struct monitor *m = user;
    int status = 0;
    char why[GUEST_WHY] = "";
    pthread_mutex_lock(&m->lock);
    fork_it(m);
    m->started = true;
    m->gone = m->pid < 0;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    if (m->pid < 0)
        return NULL;
    listen_to(m);
    kill(m->pid, SIGKILL); /* it has closed its monitor */
    while (waitpid(m->pid, &status, 0) < 0 && errno == EINTR)
        ;
    add_log(m, why);
    pthread_mutex_lock(&m->lock);
    bool tell = m->ready && !m->stopping;
    m->gone = true;
    memcpy(m->why, why, sizeof m->why);
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    if (tell)
        m->ended(m->user, m->panicked      ? "the guest's kernel panicked"
                          : m->powered_off ? NULL
                                           : why);
    return NULL;
}

/* --- what it is told --- */

/* With a descriptor, which goes with the command's first byte. */
static bool send_text(struct monitor *m, const char *text, size_t n, int fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    char *copy = vt_strndup(text, n);
    struct iovec bytes = {.iov_base = copy, .iov_len = n};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    bool sent = sendmsg(m->fd, &message, MSG_NOSIGNAL) == (ssize_t)n;
    vt_free(copy);
    return sent;
}

static bool ask(struct monitor *m, const char *command, json_t *arguments, int fd, json_t **result,
                char why[GUEST_WHY])
{
    json_int_t id = ++m->next_id;
    json_t *line = json_pack("{s:s, s:I}", "execute", command, "id", id);
    if (arguments)
        json_object_set_new(line, "arguments", arguments);
    char *text = json_dumps(line, JSON_COMPACT);
    bool good = send_text(m, text, strlen(text), fd);
    free(text);
    json_decref(line);
    pthread_mutex_lock(&m->lock);
    while (good && m->replied != id && !m->gone)
        pthread_cond_wait(&m->changed, &m->lock);
    if (m->replied != id) {
        snprintf(why, GUEST_WHY, "%.200s", m->gone ? m->why : "QEMU takes no command");
        good = false;
    } else {
        const json_t *error = json_object_get(m->reply, "error");
        if (error)
            say(why, command, json_string_value(json_object_get(error, "desc")));
        good = !error;
        if (good && result)
            *result = json_incref(json_object_get(m->reply, "return"));
    }
    pthread_mutex_unlock(&m->lock);
    return good;
}

bool monitor_ask(struct monitor *m, const char *command, json_t *arguments, json_t **result,
                 char why[GUEST_WHY])
{
    return ask(m, command, arguments, -1, result, why);
}

bool monitor_give(struct monitor *m, const char *name, int fd, char why[GUEST_WHY])
{
    return ask(m, "getfd", json_pack("{s:s}", "fdname", name), fd, NULL, why);
}

/* --- its life --- */

struct monitor *monitor_start(const struct monitor_opts *opts, char why[GUEST_WHY])
{
    struct monitor *m = vt_calloc(1, sizeof *m);
    m->fd = -1;
    m->opts = opts;
    m->ended = opts->ended;
    m->user = opts->user;
    m->log = memfd_create("qemu.log", MFD_CLOEXEC);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->changed, NULL);
    if (pthread_create(&m->thread, NULL, run, m)) {
        say(why, "no thread", "");
        close(m->log);
        vt_free(m);
        return NULL;
    }
    pthread_mutex_lock(&m->lock);
    while (!m->started || (!m->ready && !m->gone))
        pthread_cond_wait(&m->changed, &m->lock);
    bool ready = m->ready && !m->gone;
    if (!ready)
        memcpy(why, m->why, GUEST_WHY);
    pthread_mutex_unlock(&m->lock);
    if (ready && monitor_ask(m, "qmp_capabilities", NULL, NULL, why))
        return m;
    monitor_end(m);
    return NULL;
}

void monitor_end(struct monitor *m)
{
    pthread_mutex_lock(&m->lock);
    m->stopping = true;
    if (!m->gone)
        kill(m->pid, SIGKILL); /* not reaped: its thread does that before it is gone */
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    if (m->fd >= 0)
        close(m->fd);
    json_decref(m->reply);
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->changed);
    close(m->log);
    vt_free(m);
}
