#include "vz_peer.h"

#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vz_backend.h"

int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    for (double end = vt_monotonic() + 20; vt_monotonic() < end; usleep(2000)) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
            return fd;
        close(fd);
    }
    fail_msg("nobody listens at %s", path);
    return -1;
}

json_t *next(struct peer *p)
{
    for (;;) {
        char *end = p->in.len ? memchr(p->in.data, '\n', p->in.len) : NULL;
        if (end) {
            json_t *message = json_loadb(p->in.data, (size_t)(end - p->in.data), 0, NULL);
            assert_non_null(message);
            vt_buf_consume(&p->in, (size_t)(end - p->in.data) + 1);
            return message;
        }
        struct pollfd ready = {.fd = p->fd, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, 20000), 1);
        vt_buf_reserve(&p->in, 65536);
        ssize_t n = read(p->fd, p->in.data + p->in.len, 65536);
        if (n <= 0)
            return NULL;
        p->in.len += (size_t)n;
    }
}

struct peer join(const struct helper *h)
{
    struct peer p = {.fd = dial(h->socket)};
    json_t *hello = next(&p);
    assert_string_equal(json_string_value(json_object_get(hello, "event")), "hello");
    assert_true(json_is_true(json_object_get(hello, "fake")));
    json_decref(hello);
    return p;
}

void leave(struct peer *p)
{
    close(p->fd);
    vt_buf_free(&p->in);
}

void say(struct peer *p, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(p->fd, text, n, MSG_NOSIGNAL), n);
}

json_t *reply(struct peer *p, json_int_t id)
{
    for (;;) {
        json_t *m = next(p);
        assert_non_null(m);
        json_t *got = json_object_get(m, "id");
        if (got) {
            assert_true(id < 0 ? json_is_null(got) : json_integer_value(got) == id);
            return m;
        }
        json_decref(m);
    }
}

void expect(struct peer *p, json_int_t id, const char *state, int code, const char *words)
{
    json_t *m = reply(p, id), *error = json_object_get(m, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    if (json_is_true(json_object_get(m, "ok")) != !code ||
        json_integer_value(json_object_get(error, "code")) != code ||
        (words && !strstr(message, words)))
        fail_msg("unexpected: %s", json_dumps(m, 0));
    if (state)
        assert_string_equal(json_string_value(json_object_get(m, "state")), state);
    json_decref(m);
}

void await_state(struct peer *p, const char *state)
{
    for (bool there = false; !there;) {
        json_t *m = next(p);
        assert_non_null(m);
        const char *told = json_string_value(json_object_get(m, "state"));
        there = json_object_get(m, "event") && told && !strcmp(told, state);
        json_decref(m);
    }
}

void crash_for_good(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGABRT};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], SIG_DFL);
}

int setup(void **state)
{
    struct helper *h = vt_calloc(1, sizeof *h);
    int tie[2];
    snprintf(h->dir, sizeof h->dir, "/tmp/vtz-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    snprintf(h->socket, sizeof h->socket, "%s/s", h->dir);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, tie), 0);
    h->pid = fork();
    if (h->pid == 0) {
        char words[4][96] = {"vmtest-vz", "--tie"};
        char *argv[] = {words[0], words[1], words[2], h->socket, NULL};
        crash_for_good();
        umask(0); /* modes are those that the helper asks for */
        close(tie[0]);
        snprintf(words[2], sizeof words[2], "%d", tie[1]);
        exit(vtz_main(4, argv, &vz_test_backend));
    }
    close(tie[1]);
    h->tie = tie[0];
    *state = h;
    return 0;
}

static int setup_with(unsigned delay, void **state)
{
    unsigned usual = vz_backend_delay;
    vz_backend_delay = delay;
    int code = setup(state);
    vz_backend_delay = usual;
    return code;
}

int setup_slow(void **state)
{
    return setup_with(300, state);
}

int setup_hung(void **state)
{
    return setup_with(100000, state);
}

int end_of(struct helper *h)
{
    int status = 0;
    for (double end = vt_monotonic() + 20; vt_monotonic() < end; usleep(2000)) {
        if (waitpid(h->pid, &status, WNOHANG) == h->pid) {
            h->pid = 0;
            assert_int_not_equal(access(h->socket, F_OK), 0);
            return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        }
    }
    return -1000;
}

int teardown(void **state)
{
    struct helper *h = *state;
    close(h->tie); /* which ends it */
    int code = h->pid ? end_of(h) : 0;
    vt_remove_tree(h->dir, NULL);
    vt_free(h);
    return code;
}
