/* One channel of the session: opens it when the server has room, starts a program on it, hands it
 * to its user, and closes it afterwards, whether the user is still interested or not. A remote
 * whose user left finishes the call it is in (libssh2 must not be left in the middle of one), then
 * closes. */
#include <string.h>

#include "core/mem.h"
#include "guest/sftp.h"
#include "guest/ssh_internal.h"

enum {
    window = 4 * 1024 * 1024, /* bytes the server may send before it must wait */
    packet = 32768,
};

static bool step(struct vt__ssh_task *task);
static void lost(struct vt__ssh_task *task, const struct vt_error *why);

static struct vt__ssh_remote *new_remote(struct vt__ssh_conn *c)
{
    struct vt__ssh_remote *r = vt_calloc(1, sizeof *r);
    r->task.step = step;
    r->task.lost = lost;
    vt__ssh_task_add(c, &r->task);
    return r;
}

static void free_remote(struct vt__ssh_remote *r)
{
    struct vt__ssh_conn *c = r->task.conn;
    if (c->spare == r)
        c->spare = NULL;
    vt_buf_free(&r->line);
    vt_free(r);
}

/* The connection is gone: libssh2 frees the channel with its session. */
static void lost(struct vt__ssh_task *task, const struct vt_error *why)
{
    struct vt__ssh_remote *r = (struct vt__ssh_remote *)(void *)task;
    const struct vt__ssh_remote_class *cls = r->cls;
    void *user = r->user;
    free_remote(r);
    if (cls)
        cls->failed(user, why);
}

/* Tells the user that it did not work out; the channel, if any, closes. */
static bool fail(struct vt__ssh_remote *r, const struct vt_error *why)
{
    const struct vt__ssh_remote_class *cls = r->cls;
    r->cls = NULL;
    r->state = VT__REMOTE_CLOSE;
    if (cls)
        cls->failed(r->user, why);
    return true;
}

static bool wanted(const struct vt__ssh_remote *r)
{
    return r->cls || r->task.conn->spare == r;
}

static bool begin(struct vt__ssh_remote *r)
{
    r->since = vt_loop_now(r->task.conn->loop);
    r->state = !r->request ? VT__REMOTE_IDLE : r->pty ? VT__REMOTE_PTY : VT__REMOTE_START;
    return true;
}

/* Channels that nobody uses right now make room. True where one was found. */
static bool evict(struct vt__ssh_conn *c, const struct vt__ssh_remote *but)
{
    if (c->spare && c->spare != but) {
        vt__ssh_remote_leave(c->spare);
        return true;
    }
    if (c->sftp) {
        struct vt__sftp *idle = c->sftp;
        c->sftp = NULL;
        vt__sftp_free(idle);
        return true;
    }
    return false;
}

static void on_timer(struct vt_timer *timer)
{
    vt__ssh_conn_kick(timer->user);
}

/* With a fragile server a channel is opened while no command of another one is likely to end:
 * young ones and those that are being closed are waited for. */
static bool better_later(const struct vt__ssh_remote *r)
{
    static const double young = 1; /* seconds */
    struct vt__ssh_conn *c = r->task.conn;
    if (!c->fragile)
        return false;
    for (const struct vt__ssh_task *t = c->tasks; t; t = t->next) {
        const struct vt__ssh_remote *other = (const struct vt__ssh_remote *)(const void *)t;
        bool may_end = other->state == VT__REMOTE_CLOSE ||
                       (other->state > VT__REMOTE_IDLE && !strcmp(other->request, "exec"));
        double left = other->since + young - vt_loop_now(c->loop);
        if (other != r && may_end && left > 0) {
            vt_timer_set(&c->patience, c->loop, left, on_timer, c);
            return true;
        }
    }
    return false;
}

static bool step_wait(struct vt__ssh_remote *r)
{
    struct vt__ssh_conn *c = r->task.conn;
    if (!wanted(r)) {
        r->state = VT__REMOTE_CLOSE;
        return true;
    }
    if (c->channels >= c->channel_limit)
        return r->cls ? evict(c, r) : false;
    if (c->turn || vt_timer_is_set(&c->hold) || better_later(r))
        return false;
    c->turn = &r->task;
    c->channels++;
    r->state = VT__REMOTE_OPEN;
    return true;
}

/* Servers bound the channels of a connection (OpenSSH's MaxSessions: 10) and tell only by
 * refusing. As many as there were already at a time are allowed for sure; one less is refused
 * only while the server has not yet cleared away a channel that was just closed. */
static bool refused(struct vt__ssh_remote *r)
{
    enum { max_refusals = 20 };
    struct vt__ssh_conn *c = r->task.conn;
    if (libssh2_session_last_errno(c->session) != LIBSSH2_ERROR_CHANNEL_FAILURE) {
        vt__ssh_conn_break(c, "opening a channel");
        return false;
    }
    c->channels--;
    c->refusals++;
    if (!c->channels && c->refusals > max_refusals) {
        /* commands that were given up may still run in the guest and hold its sessions: a new
         * connection starts with none */
        vt__ssh_conn_break(c, "opening a channel");
        vt_hint(&c->broken, "the guest's ssh server refuses further sessions (MaxSessions)");
        return false;
    }
    c->channel_limit = c->channel_peak ? c->channel_peak : 1;
    if (c->channels < c->channel_limit)
        vt_timer_set(&c->hold, c->loop, 0.01 * c->refusals, on_timer, c);
    r->state = VT__REMOTE_WAIT;
    return true;
}

static bool step_open(struct vt__ssh_remote *r)
{
    struct vt__ssh_conn *c = r->task.conn;
    r->ch = libssh2_channel_open_ex(c->session, "session", sizeof "session" - 1, window, packet,
                                    NULL, 0);
    if (!r->ch && libssh2_session_last_errno(c->session) == LIBSSH2_ERROR_EAGAIN)
        return false;
    c->turn = NULL;
    if (!r->ch)
        return refused(r);
    c->refusals = 0;
    if (c->channels > c->channel_peak)
        c->channel_peak = c->channels;
    if (!wanted(r)) {
        r->state = VT__REMOTE_CLOSE;
        return true;
    }
    return begin(r);
}

/* An unused channel keeps the connection attended: libssh2 takes in (and answers) what the server
 * sends only in some call. */
static bool step_idle(struct vt__ssh_remote *r)
{
    char byte;
    ssize_t n = libssh2_channel_read(r->ch, &byte, sizeof byte);
    if (n == LIBSSH2_ERROR_EAGAIN)
        return false;
    if (n < 0)
        vt__ssh_conn_break(r->task.conn, "waiting");
    else
        vt__ssh_remote_leave(r); /* closed by the server */
    return false;
}

/* A server may close a channel in the moment before its command comes (dropbear, see `fragile`);
 * it then leaves the request unanswered. Another channel serves as well. */
static bool closed_early(struct vt__ssh_remote *r)
{
    enum { most = 5 };
    if (libssh2_channel_eof(r->ch) != 1)
        return false;
    if (r->reopened++ < most)
        r->state = r->cls ? VT__REMOTE_REOPEN : VT__REMOTE_CLOSE;
    else
        vt__ssh_conn_break(r->task.conn, "starting a command on channels that are closed at once");
    return true;
}

static bool step_reopen(struct vt__ssh_remote *r)
{
    if (libssh2_channel_free(r->ch) == LIBSSH2_ERROR_EAGAIN)
        return false;
    r->task.conn->channels--;
    r->ch = NULL;
    r->state = VT__REMOTE_WAIT;
    return true;
}

enum answer { BROKEN, BLOCKED, STARTED, DENIED, CLOSED };

static enum answer judge(struct vt__ssh_remote *r, int rc, const char *doing)
{
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return closed_early(r) ? CLOSED : BLOCKED;
    if (!rc)
        return STARTED;
    if (rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED)
        return DENIED;
    vt__ssh_conn_break(r->task.conn, doing);
    return BROKEN;
}

static bool step_pty(struct vt__ssh_remote *r)
{
    enum answer answer = judge(
        r,
        libssh2_channel_request_pty_ex(r->ch, "xterm", sizeof "xterm" - 1, NULL, 0, 80, 24, 0, 0),
        "asking for a terminal");
    if (answer != STARTED && answer != DENIED)
        return answer == CLOSED;
    struct vt_error why = VT_ERROR_INIT;
    if (answer == DENIED) {
        vt_fail(&why, VT_EUNSUPPORTED, r->request, "the guest's ssh server gives no terminal");
        return fail(r, &why);
    }
    r->state = r->cls ? VT__REMOTE_START : VT__REMOTE_CLOSE;
    return true;
}

static bool step_start(struct vt__ssh_remote *r)
{
    enum answer answer =
        judge(r,
              libssh2_channel_process_startup(r->ch, r->request, (unsigned)strlen(r->request),
                                              vt_buf_str(&r->line), (unsigned)r->line.len),
              "starting a command");
    if (answer != STARTED && answer != DENIED)
        return answer == CLOSED;
    struct vt_error why = VT_ERROR_INIT;
    if (answer == DENIED) {
        if (strcmp(r->request, "subsystem") != 0)
            vt_fail(&why, VT_EGUEST, r->request,
                    "the guest's ssh server refused to run the command (%zu bytes)", r->line.len);
        else
            vt_fail(&why, VT_EUNSUPPORTED, "transfer", "the guest's ssh server has no %s subsystem",
                    vt_buf_str(&r->line));
        return fail(r, &why);
    }
    r->state = r->cls ? VT__REMOTE_RUN : VT__REMOTE_CLOSE;
    return true;
}

static bool step_run(struct vt__ssh_remote *r)
{
    return r->cls->run(r, r->user);
}

static bool step_close(struct vt__ssh_remote *r)
{
    struct vt__ssh_conn *c = r->task.conn;
    if (r->ch) {
        /* sends "close" and waits for the server's; errors free the channel all the same */
        if (libssh2_channel_free(r->ch) == LIBSSH2_ERROR_EAGAIN)
            return false;
        c->channels--;
    }
    vt__ssh_task_remove(&r->task);
    free_remote(r);
    return true;
}

static bool (*const steps[])(struct vt__ssh_remote *) = {
    [VT__REMOTE_WAIT] = step_wait,     [VT__REMOTE_OPEN] = step_open,
    [VT__REMOTE_IDLE] = step_idle,     [VT__REMOTE_PTY] = step_pty,
    [VT__REMOTE_START] = step_start,   [VT__REMOTE_RUN] = step_run,
    [VT__REMOTE_REOPEN] = step_reopen, [VT__REMOTE_CLOSE] = step_close,
};

static bool step(struct vt__ssh_task *task)
{
    struct vt__ssh_remote *r = (struct vt__ssh_remote *)(void *)task;
    const struct vt__ssh_conn *c = task->conn;
    bool moved = false;
    for (;;) {
        enum vt__ssh_remote_state before = r->state;
        bool last = before == VT__REMOTE_CLOSE; /* may free r */
        if (!steps[before](r))
            return moved;
        moved = true;
        if (last || c->dead || r->state == before) /* a dead connection has freed r */
            return true;
    }
}

struct vt__ssh_remote *vt__ssh_remote_start(struct vt__ssh_conn *c, const char *request,
                                            const char *line, size_t n, bool pty,
                                            const struct vt__ssh_remote_class *cls, void *user)
{
    struct vt__ssh_remote *r = c->spare;
    c->spare = NULL;
    if (!r)
        r = new_remote(c);
    r->request = request;
    vt_buf_add(&r->line, line, n);
    r->pty = pty;
    r->cls = cls;
    r->user = user;
    if (r->state == VT__REMOTE_IDLE)
        begin(r);
    return r;
}

void vt__ssh_remote_leave(struct vt__ssh_remote *r)
{
    struct vt__ssh_conn *c = r->task.conn;
    r->cls = NULL;
    r->since = vt_loop_now(c->loop);
    if (c->spare == r)
        c->spare = NULL;
    if (r->state == VT__REMOTE_RUN || r->state == VT__REMOTE_IDLE)
        r->state = VT__REMOTE_CLOSE;
    vt__ssh_conn_kick(c);
}

void vt__ssh_remote_spare(struct vt__ssh_conn *c)
{
    if (!c->spares || c->spare || c->dead || c->broken.code || c->channels >= c->channel_limit)
        return;
    c->spare = new_remote(c);
}
