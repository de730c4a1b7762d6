#include "vz_backend.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "vz/client.h"

unsigned vz_backend_delay = 30;

struct job {
    const struct vtz_call *call;
    struct job *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct job *first, **end = &first;
static unsigned queued;
static enum vtz_state state;
static int console_in = -1, console_out = -1; /* the guest's ends */

static void become(enum vtz_state next)
{
    struct vtz_event event = {.kind = VTZ_EVENT_STATE, .state = next};
    state = next;
    vtz_tell(&event);
}

static void move(enum vtz_state from, enum vtz_state by, enum vtz_state to, struct vtz_outcome *out)
{
    if (state != from) {
        vtz_fail(&out->failure, VTZ_WRONG_STATE, "the VM is %s", vtz_state_name(state));
        return;
    }
    become(by);
    usleep(vz_backend_delay * 1000);
    become(to);
}

static void *echo(void *user)
{
    int fd = (int)(intptr_t)user;
    char piece[4096];
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) > 0;)
        if (send(fd, piece, (size_t)n, MSG_NOSIGNAL) != n)
            break;
    close(fd);
    return NULL;
}

/* One who talks till nobody listens, and listens to nobody. */
static void *talk(void *user)
{
    int fd = (int)(intptr_t)user;
    static const char words[4096];
    while (send(fd, words, sizeof words, MSG_NOSIGNAL) > 0)
        ;
    close(fd);
    return NULL;
}

static void answer_connect(const struct vtz_call *call, struct vtz_outcome *out)
{
    int pair[2];
    pthread_t thread;
    bool known = call->port == 7 || call->port == 8;
    if (!known || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
        vtz_fail(&out->failure, VTZ_INTERNAL, "refused");
        return;
    }
    out->fd = pair[0];
    pthread_create(&thread, NULL, call->port == 7 ? echo : talk, (void *)(intptr_t)pair[1]);
    pthread_detach(thread);
}

/* What is typed comes back; false at its end. */
static bool echo_typed(void)
{
    char typed[64];
    ssize_t n = read(console_in, typed, sizeof typed);
    if (n > 0 && write(console_out, typed, (size_t)n) != n)
        abort();
    return n > 0;
}

static void *echo_console(void *user)
{
    while (echo_typed())
        ;
    return user;
}

static void answer_start(struct vtz_outcome *out)
{
    pthread_t thread;
    move(VTZ_STOPPED, VTZ_STARTING, VTZ_RUNNING, out);
    if (!out->failure.message && console_in >= 0) {
        pthread_create(&thread, NULL, echo_console, NULL);
        pthread_detach(thread);
    }
}

static void answer_create(const struct vtz_call *call, struct vtz_outcome *out)
{
    static const char hello[] = "up\n";
    if (call->config->cpus > 8) {
        vtz_fail(&out->failure, VTZ_UNSUPPORTED, "too many processors");
        return;
    }
    out->made.machine_identifier = vt_strdup("aWQ=");
    if (call->config->console_out >= 0 && write(call->config->console_out, hello, 3) != 3)
        abort();
    console_in = call->config->console_in;
    console_out = call->config->console_out;
    become(VTZ_STOPPED);
    if (console_in >= 0) /* once; it reads on when it has started */
        echo_typed();
}

static void answer(const struct vtz_call *call)
{
    struct vtz_outcome out = VTZ_OUTCOME_INIT;
    switch (call->op) {
    case VTZ_OP_HOST:
        out.host = (struct vtz_host){.arch = "arm64", .rosetta = "installed", .max_cpus = 8};
        out.host.os_version = vt_strdup("99.1");
        break;
    case VTZ_OP_CREATE:
        answer_create(call, &out);
        break;
    case VTZ_OP_START:
        answer_start(&out);
        break;
    case VTZ_OP_STOP:
        move(VTZ_RUNNING, VTZ_STOPPING, VTZ_STOPPED, &out);
        break;
    case VTZ_OP_SAVE:
        move(VTZ_PAUSED, VTZ_SAVING, VTZ_PAUSED, &out);
        break;
    case VTZ_OP_PAUSE:
        move(VTZ_RUNNING, VTZ_PAUSING, VTZ_PAUSED, &out);
        break;
    case VTZ_OP_VALIDATE_SAVE: /* fails as a framework does */
        out.failure.domain = vt_strdup("VZErrorDomain");
        out.failure.code = 12;
        out.failure.message = vt_strdup("It \xff"
                                        "cannot.");
        out.failure.underlying = vt_calloc(1, sizeof *out.failure.underlying);
        vtz_fail(out.failure.underlying, VTZ_INTERNAL, "below");
        break;
    case VTZ_OP_CONNECT:
        answer_connect(call, &out);
        break;
    default:
        break;
    }
    vtz_done(call->token, &out);
}

static void *work(void *user)
{
    (void)user;
    for (;;) {
        pthread_mutex_lock(&lock);
        while (!first)
            pthread_cond_wait(&more, &lock);
        struct job *job = first;
        first = job->next;
        if (!first)
            end = &first;
        pthread_mutex_unlock(&lock);
        pthread_mutex_lock(&lock);
        queued--;
        pthread_mutex_unlock(&lock);
        answer(job->call);
        vt_free(job);
    }
    return NULL;
}

static void call(const struct vtz_call *c)
{
    static pthread_t thread;
    struct job *job = vt_calloc(1, sizeof *job);
    job->call = c;
    pthread_mutex_lock(&lock);
    if (++queued > VTZ_UNDER_WAY_MAX + 1) /* the tests that ask for much have one client */
        abort();
    *end = job;
    end = &job->next;
    if (!thread)
        pthread_create(&thread, NULL, work, NULL);
    pthread_cond_signal(&more);
    pthread_mutex_unlock(&lock);
}

const struct vtz_backend vz_test_backend = {.fake = true, .call = call};
