#include "vz/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/sys.h"
#include "vz/calls.h"
#include "vz/client.h"
#include "vz/console.h"
#include "vz/files.h"
#include "vz/loop.h"
#include "vz/relay.h"
#include "vz/reply.h"
#include "vz/sink.h"
#include "vz/sockets.h"

#define QUIT_SECONDS 10.0 /* for the VM to stop */
#define FLUSH_SECONDS 1.0 /* for the clients to read what is left */
#define BUSY_SECONDS 1.0  /* for a client too many to read that it is */

static struct {
    const struct vtz_backend *backend;
    enum vtz_state state;
    struct vtz_config *config; /* of the VM, or of a `create` under way */
    bool created;
    bool quitting, quit;
    double quit_by;
} core;

static int signal_pipe[2] = {-1, -1};

/* ---- calls ---- */

static void reply(struct vtz_pending *p, struct vtz_outcome *outcome)
{
    struct vtz_client *client = p->client;
    if (!client)
        return;
    vtz_client_send(client, vtz_reply(&p->request.id, p->request.call.op, outcome, core.state,
                                      core.backend->fake));
    vtz_client_done(client);
}

static void close_devices(void)
{
    vtz_relay_close();
    vtz_console_close();
}

static void created(struct vtz_pending *p, struct vtz_outcome *outcome)
{
    core.created = !outcome->failure.message;
    if (!core.created) {
        close_devices();
        vtz_config_free(core.config);
        core.config = NULL;
    }
    reply(p, outcome);
}

static void stopped_for_good(struct vtz_pending *p, struct vtz_outcome *outcome)
{
    vtz_failure_clear(&outcome->failure); /* the process ends whatever it was */
    core.quit = true;
    reply(p, outcome);
}

static void begin_quit(struct vtz_pending *p)
{
    core.quitting = true;
    core.quit_by = vt_monotonic() + QUIT_SECONDS;
    p->request.call.op = VTZ_OP_QUIT;
    p->done = stopped_for_good;
    vtz_call_begin(p, core.backend);
}

/* The devices whose other end is ours are there before the VM is. */
static void prepare_create(struct vtz_pending *p, struct vtz_failure *failure)
{
    struct vtz_config *config = p->request.config;
    if (core.created) {
        vtz_fail(failure, VTZ_WRONG_STATE, "there is a VM already: one helper has one");
        return;
    }
    vtz_check_config_files(config, failure);
    if (failure->message || !vtz_console_open(config, failure))
        return;
    if (!vtz_relay_open(config, core.backend, failure)) {
        vtz_console_close();
        return;
    }
    p->done = created;
    core.config = config;
    p->request.config = NULL;
}

/* One of a kind at a time, where it takes time and changes the VM. */
static bool is_exclusive(enum vtz_op op)
{
    switch (op) {
    case VTZ_OP_CREATE:
    case VTZ_OP_START:
    case VTZ_OP_STOP:
    case VTZ_OP_PAUSE:
    case VTZ_OP_RESUME:
    case VTZ_OP_SAVE:
    case VTZ_OP_RESTORE:
    case VTZ_OP_INSTALL:
    case VTZ_OP_RESTORE_IMAGE:
        return true;
    default:
        return false;
    }
}

static void prepare(struct vtz_pending *p, struct vtz_failure *failure)
{
    const struct vtz_call *call = &p->request.call;
    if (core.quitting)
        vtz_fail(failure, VTZ_WRONG_STATE, "this helper is about to end");
    else if (is_exclusive(call->op) && vtz_call_under_way(call->op))
        vtz_fail(failure, VTZ_BUSY, "\"%s\" is under way already", vtz_op_name(call->op));
    else if (call->op == VTZ_OP_CREATE)
        prepare_create(p, failure);
    else
        vtz_check_call_files(call, failure);
}

/* ---- clients ---- */

static void on_line(struct vtz_client *client, const char *line, size_t n)
{
    struct vtz_failure failure = VTZ_FAILURE_INIT;
    struct vtz_pending *p = vtz_pending_new();
    p->client = client;
    p->done = reply;
    if (vtz_request_read(&p->request, line, n, &failure) == 0)
        prepare(p, &failure);
    if (failure.message) {
        vtz_client_send(client, vtz_reply_failed(p->request.has_id ? &p->request.id : NULL,
                                                 &failure, core.state));
        vtz_failure_clear(&failure);
        vtz_pending_free(p);
        return;
    }
    vtz_client_begun(client);
    if (p->request.call.op == VTZ_OP_QUIT)
        begin_quit(p);
    else
        vtz_call_begin(p, core.backend);
}

static void on_broken(struct vtz_client *client, const char *why)
{
    struct vtz_failure failure = VTZ_FAILURE_INIT;
    vtz_fail(&failure, VTZ_BAD_REQUEST, "%s", why);
    vtz_client_send(client, vtz_reply_failed(NULL, &failure, core.state));
    vtz_failure_clear(&failure);
}

static void on_gone(struct vtz_client *client)
{
    vtz_calls_forget_client(client);
}

static const struct vtz_client_handler handler = {
    .line = on_line, .broken = on_broken, .gone = on_gone};

/* A client too many: it is told, and closed when it has had a moment to read that. */
static void refuse(int fd)
{
    struct vtz_failure failure = VTZ_FAILURE_INIT;
    vtz_fail(&failure, VTZ_BUSY, "there are %d clients already", VTZ_CLIENTS_MAX);
    json_t *message = vtz_reply_failed(NULL, &failure, core.state);
    char *text = json_dumps(message, JSON_COMPACT);
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "%s\n", text);
    ssize_t n = write(fd, line.data, line.len); /* an empty socket's buffer has room for it */
    (void)n;
    vt_buf_free(&line);
    free(text);
    json_decref(message);
    vtz_failure_clear(&failure);
    close(fd);
}

static void on_connection(struct vtz_watch *watch, short revents)
{
    int fd = vtz_accept(watch->fd);
    (void)revents;
    if (fd < 0)
        return;
    vtz_clients_reap();
    struct vtz_client *client = vtz_client_new(fd);
    if (client)
        vtz_client_send(client, vtz_hello(core.state, core.backend->fake));
    else
        refuse(fd);
}

/* ---- what else wakes the loop ---- */

static void on_report(struct vtz_watch *watch, short revents)
{
    struct vtz_report report;
    (void)watch;
    (void)revents;
    while (vtz_sink_take(&report)) {
        if (!report.is_event) {
            vtz_call_done(&report);
            continue;
        }
        if (report.event.kind != VTZ_EVENT_STATE || report.event.state != core.state) {
            if (report.event.kind == VTZ_EVENT_STATE)
                core.state = report.event.state;
            vtz_clients_send_all(vtz_event_message(&report.event));
        }
        vtz_failure_clear(&report.event.failure);
    }
}

static void quit_unasked(void)
{
    if (!core.quitting)
        begin_quit(vtz_pending_new());
}

static void on_tie(struct vtz_watch *watch, short revents)
{
    char drain[256];
    ssize_t n = read(watch->fd, drain, sizeof drain);
    (void)revents;
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    watch->fd = -1;
    quit_unasked();
}

static void on_signal(struct vtz_watch *watch, short revents)
{
    char drain[16];
    (void)revents;
    while (read(watch->fd, drain, sizeof drain) > 0)
        ;
    quit_unasked();
}

static void note_signal(int number)
{
    int saved = errno;
    ssize_t n = write(signal_pipe[1], "", 1);
    (void)n;
    (void)number;
    errno = saved;
}

static bool take_signals(void)
{
    struct sigaction note = {.sa_handler = note_signal}, ignore = {.sa_handler = SIG_IGN};
    if (!vtz_pipe(signal_pipe))
        return false;
    vtz_nonblocking(signal_pipe[0]);
    vtz_nonblocking(signal_pipe[1]);
    sigaction(SIGTERM, &note, NULL);
    sigaction(SIGINT, &note, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    return true;
}

static void run(void)
{
    while (!core.quit && !(core.quitting && vt_monotonic() > core.quit_by)) {
        vtz_loop_once(core.quitting ? core.quit_by : 0);
        vtz_clients_reap();
    }
    double end = vt_monotonic() + FLUSH_SECONDS;
    while (!vtz_clients_flushed() && vt_monotonic() < end) {
        vtz_loop_once(end);
        vtz_clients_reap();
    }
}

int vtz_serve(const struct vtz_serve *options, struct vtz_failure *failure)
{
    struct vtz_watch listener = {.events = POLLIN, .ready = on_connection};
    struct vtz_watch sink = {.events = POLLIN, .ready = on_report};
    struct vtz_watch signals = {.events = POLLIN, .ready = on_signal};
    struct vtz_watch tie = {.events = POLLIN, .ready = on_tie};
    listener.fd = vtz_listen(options->socket, failure);
    if (listener.fd < 0)
        return 1;
    sink.fd = vtz_sink_open();
    if (sink.fd < 0 || !take_signals()) {
        vtz_fail(failure, VTZ_INTERNAL, "no descriptors: %s", strerror(errno));
        unlink(options->socket);
        return 1;
    }
    core.backend = options->backend;
    core.state = VTZ_NONE;
    core.created = core.quitting = core.quit = false;
    signals.fd = signal_pipe[0];
    tie.fd = options->tie;
    if (tie.fd >= 0)
        vtz_nonblocking(tie.fd);
    vtz_clients_begin(&handler);
    struct vtz_watch *const watches[] = {&listener, &sink, &signals, &tie};
    for (size_t i = 0; i < sizeof watches / sizeof *watches; i++)
        vtz_watch_add(watches[i]);
    run();
    for (size_t i = 0; i < sizeof watches / sizeof *watches; i++)
        vtz_watch_remove(watches[i]);
    unlink(options->socket);
    close(listener.fd);
    vtz_clients_end();
    close_devices();
    vtz_sink_close();
    vtz_calls_drop();
    vtz_config_free(core.config);
    core.config = NULL;
    return 0;
}

static void print_host(struct vtz_pending *p, struct vtz_outcome *outcome)
{
    struct vtz_failure *failure = p->user;
    core.quit = true;
    if (outcome->failure.message) {
        *failure = outcome->failure;
        outcome->failure = (struct vtz_failure)VTZ_FAILURE_INIT;
        return;
    }
    json_t *host = vtz_host_message(&outcome->host, core.backend->fake);
    json_dumpf(host, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(host);
}

int vtz_check(const struct vtz_backend *backend, struct vtz_failure *failure)
{
    struct vtz_watch sink = {.fd = vtz_sink_open(), .events = POLLIN, .ready = on_report};
    struct vtz_pending *p = vtz_pending_new();
    core.backend = backend;
    core.quit = false;
    p->request.call.op = VTZ_OP_HOST;
    p->done = print_host;
    p->user = failure;
    vtz_watch_add(&sink);
    vtz_call_begin(p, backend);
    while (!core.quit)
        vtz_loop_once(0);
    vtz_watch_remove(&sink);
    vtz_sink_close();
    return failure->message ? 1 : 0;
}
