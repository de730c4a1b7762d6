/* The vz helper's core, served by a process of its own over a backend in C: clients, order, bounds,
 * the relay, the console, and how it ends. */
#include "unit.h"

#include <errno.h>
#include <jansson.h>
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

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vz/client.h"
#include "vz_backend.h"

struct helper {
    pid_t pid;
    char dir[64], socket[96];
    int tie; /* our end */
};

struct peer {
    int fd;
    struct vt_buf in;
};

static int dial(const char *path)
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

/* The next message; NULL at the end of the connection. */
static json_t *next(struct peer *p)
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

static struct peer join(const struct helper *h)
{
    struct peer p = {.fd = dial(h->socket)};
    json_t *hello = next(&p);
    assert_string_equal(json_string_value(json_object_get(hello, "event")), "hello");
    assert_true(json_is_true(json_object_get(hello, "fake")));
    json_decref(hello);
    return p;
}

static void leave(struct peer *p)
{
    close(p->fd);
    vt_buf_free(&p->in);
}

static void say(struct peer *p, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(p->fd, text, n, MSG_NOSIGNAL), n);
}

/* The reply to `id` (-1: null), past events. */
static json_t *reply(struct peer *p, json_int_t id)
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

static void expect(struct peer *p, json_int_t id, const char *state, int code, const char *words)
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

static void await_state(struct peer *p, const char *state)
{
    for (bool there = false; !there;) {
        json_t *m = next(p);
        assert_non_null(m);
        const char *told = json_string_value(json_object_get(m, "state"));
        there = json_object_get(m, "event") && told && !strcmp(told, state);
        json_decref(m);
    }
}

/* In the helper's process: what crashes it ends it. cmocka's handlers would go on there with the
 * tests, each of which makes a process. */
static void crash_for_good(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGABRT};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], SIG_DFL);
}

#define CREATE(more)                                                                               \
    "{\"id\": 1, \"op\": \"create\", \"config\": {\"cpus\": 2, \"memory\": 1048576, \"boot\": "    \
    "{\"kind\": \"efi\", \"variables\": \"/v\"}" more "}}\n"

static int setup(void **state)
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
        close(tie[0]);
        snprintf(words[2], sizeof words[2], "%d", tie[1]);
        exit(vtz_main(4, argv, &vz_test_backend));
    }
    close(tie[1]);
    h->tie = tie[0];
    *state = h;
    return 0;
}

/* Whose operations take long enough for what a test does meanwhile. */
static int setup_slow(void **state)
{
    unsigned usual = vz_backend_delay;
    vz_backend_delay = 300;
    int code = setup(state);
    vz_backend_delay = usual;
    return code;
}

static int end_of(struct helper *h)
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

static int teardown(void **state)
{
    struct helper *h = *state;
    close(h->tie); /* which ends it */
    int code = h->pid ? end_of(h) : 0;
    vt_remove_tree(h->dir, NULL);
    vt_free(h);
    return code;
}

static void test_life(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h), other = join(h);
    struct stat st;
    assert_int_equal(stat(h->socket, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    say(&p, CREATE(""));
    expect(&p, 1, "stopped", 0, NULL);
    say(&p, "{\"id\": 2, \"op\": \"start\"}\n{\"id\": 3, \"op\": \"start\"}\n"
            "{\"id\": 4, \"op\": \"pause\"}\n{\"id\": 5, \"op\": \"pause\"}\n");
    expect(&p, 3, NULL, VTZ_BUSY, "\"start\" is under way");
    expect(&p, 5, NULL, VTZ_BUSY, "\"pause\" is under way");
    expect(&p, 2, "running", 0, NULL);
    expect(&p, 4, "paused", 0, NULL);
    static const char *const states[] = {"stopped", "starting", "running", "pausing", "paused"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) { /* events go to all */
        json_t *m = next(&other);
        assert_string_equal(json_string_value(json_object_get(m, "state")), states[i]);
        json_decref(m);
    }
    say(&p, CREATE(""));
    expect(&p, 1, "paused", VTZ_WRONG_STATE, "a VM already");
    say(&other, "{\"id\": 9, \"op\": \"quit\"}\n");
    expect(&other, 9, NULL, 0, NULL);
    assert_null(next(&other));
    assert_int_equal(end_of(h), 0);
    leave(&p);
    leave(&other);
}

static void test_errors_of_the_framework(void **state)
{
    struct peer p = join(*state);
    say(&p, "{\"id\": 0, \"op\": \"validate_save\"}\n");
    json_t *m = reply(&p, 0), *error = json_object_get(m, "error");
    assert_string_equal(json_string_value(json_object_get(error, "domain")), "VZErrorDomain");
    assert_int_equal(json_integer_value(json_object_get(error, "code")), 12);
    assert_string_equal(json_string_value(json_object_get(error, "message")), "It \uFFFDcannot.");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(error, "underlying"), "message")),
        "below");
    json_decref(m);
    leave(&p);
}

static void test_mistakes_leave_the_client(void **state)
{
    struct peer p = join(*state);
    say(&p, "\nrubbish\n{\"id\": 1, \"op\": \"fly\"}\n{\"id\": 2, \"op\": \"state\"}\r\n");
    expect(&p, -1, "none", VTZ_BAD_REQUEST, "no JSON");
    expect(&p, -1, "none", VTZ_BAD_REQUEST, "no JSON");
    expect(&p, 1, "none", VTZ_BAD_REQUEST, "\"fly\"");
    expect(&p, 2, "none", 0, NULL);
    leave(&p);
}

static void test_broken_clients_are_closed(void **state)
{
    struct peer p = join(*state), q = join(*state);
    say(&p, "{\"id\": 1, \"op\": \"\xc3\x28\"}\n{\"id\": 2, \"op\": \"state\"}\n");
    expect(&p, -1, NULL, VTZ_BAD_REQUEST, "no UTF-8");
    assert_null(next(&p)); /* and the second was not carried out */
    char *piece = vt_malloc(65537);
    memset(piece, ' ', 65536);
    piece[65536] = '\0';
    for (int i = 0; i < 17; i++)
        say(&q, piece);
    expect(&q, -1, NULL, VTZ_BAD_REQUEST, "longer than 1 MiB");
    assert_null(next(&q));
    vt_free(piece);
    leave(&p);
    leave(&q);
    p = join(*state); /* the helper lives on */
    leave(&p);
}

static void test_longest_line(void **state)
{
    struct peer p = join(*state);
    char *line = vt_malloc(VTZ_LINE_MAX + 2);
    memset(line, ' ', VTZ_LINE_MAX);
    memcpy(line, "{\"id\": 7, \"op\": \"state\"}", 24);
    strcpy(line + VTZ_LINE_MAX, "\n");
    say(&p, line);
    expect(&p, 7, "none", 0, NULL);
    vt_free(line);
    leave(&p);
}

static void test_one_client_too_many(void **state)
{
    struct peer p[VTZ_CLIENTS_MAX], extra = {.fd = -1};
    for (int i = 0; i < VTZ_CLIENTS_MAX; i++)
        p[i] = join(*state);
    extra.fd = dial(((struct helper *)*state)->socket);
    expect(&extra, -1, "none", VTZ_BUSY, "8 clients");
    assert_null(next(&extra));
    leave(&extra);
    leave(&p[3]);
    p[3] = join(*state);
    for (int i = 0; i < VTZ_CLIENTS_MAX; i++)
        leave(&p[i]);
}

/* Thousands of requests at once are all answered, in order, while few are under way. */
static void test_many_requests(void **state)
{
    struct peer p = join(*state);
    struct vt_buf text = VT_BUF_INIT;
    for (int i = 0; i < 5000; i++)
        vt_buf_printf(&text, "{\"id\": %d, \"op\": \"state\"}\n", i);
    say(&p, text.data);
    shutdown(p.fd, SHUT_WR); /* that is no reason not to answer */
    for (int i = 0; i < 5000; i++)
        expect(&p, i, "none", 0, NULL);
    assert_null(next(&p));
    vt_buf_free(&text);
    leave(&p);
}

/* One who reads nothing is closed; the others and the VM are not. */
static void test_client_that_does_not_read(void **state)
{
    struct peer p = join(*state), q = join(*state);
    struct vt_buf text = VT_BUF_INIT;
    for (int i = 0; i < 60000; i++)
        vt_buf_printf(&text, "{\"id\": %d, \"op\": \"nothing of the kind, and long at that\"}\n",
                      i);
    size_t sent = 0;
    while (sent < text.len) {
        ssize_t n = send(p.fd, text.data + sent, text.len - sent, MSG_NOSIGNAL);
        if (n < 0)
            break; /* closed */
        sent += (size_t)n;
    }
    assert_true(sent < text.len);
    say(&q, "{\"id\": 1, \"op\": \"state\"}\n");
    expect(&q, 1, "none", 0, NULL);
    vt_buf_free(&text);
    leave(&p);
    leave(&q);
}

static void test_client_that_leaves_does_not_end_its_requests(void **state)
{
    struct peer p = join(*state), q;
    say(&p, CREATE(""));
    say(&p, "{\"id\": 2, \"op\": \"start\"}\n");
    leave(&p);
    q = join(*state);
    for (double end = vt_monotonic() + 20;; usleep(2000)) {
        say(&q, "{\"id\": 1, \"op\": \"state\"}\n");
        json_t *m = reply(&q, 1);
        bool running = !strcmp(json_string_value(json_object_get(m, "state")), "running");
        json_decref(m);
        if (running)
            break;
        assert_true(vt_monotonic() < end);
    }
    leave(&q);
}

/* What comes of its requests is told to nobody, whoever has its place by then. */
static void test_client_that_left_is_forgotten(void **state)
{
    struct peer first = join(*state), p = join(*state), after[VTZ_CLIENTS_MAX - 1];
    say(&first, CREATE(""));
    expect(&first, 1, "stopped", 0, NULL);
    say(&p, "{\"id\": 77, \"op\": \"start\"}\n");
    await_state(&first, "starting");
    leave(&p);
    for (size_t i = 0; i < VTZ_CLIENTS_MAX - 1; i++)
        after[i] = join(*state);
    await_state(&first, "running");
    say(&first, "{\"id\": 2, \"op\": \"state\"}\n");
    expect(&first, 2, "running", 0, NULL);
    for (size_t i = 0; i < VTZ_CLIENTS_MAX - 1; i++) {
        say(&after[i], "{\"id\": 3, \"op\": \"state\"}\n");
        expect(&after[i], 3, "running", 0, NULL);
        leave(&after[i]);
    }
    leave(&first);
}

static void test_failed_create_leaves_nothing(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    char text[700], port[96], console[96];
    snprintf(port, sizeof port, "%s/p", h->dir);
    snprintf(console, sizeof console, "%s/c.in", h->dir);
    for (int cpus = 9; cpus >= 2; cpus -= 7) {
        snprintf(text, sizeof text,
                 "{\"id\": 1, \"op\": \"create\", \"config\": {\"cpus\": %d, \"memory\": 1048576, "
                 "\"boot\": {\"kind\": \"efi\", \"variables\": \"/v\"}, \"vsock\": [{\"port\": 7, "
                 "\"socket\": \"%s\"}], \"console\": {\"path\": \"%s/c\", \"input\": true}}}\n",
                 cpus, port, h->dir);
        say(&p, text);
        if (cpus == 9) {
            expect(&p, 1, "none", VTZ_UNSUPPORTED, "too many processors");
            assert_int_not_equal(access(port, F_OK), 0);
            assert_int_not_equal(access(console, F_OK), 0);
            continue;
        }
        int typist = dial(console);
        assert_int_equal(send(typist, "typed", 5, 0), 5);
        expect(&p, 1, "stopped", 0, NULL);
        close(typist);
    }
    struct vt_buf said = VT_BUF_INIT;
    snprintf(console, sizeof console, "%s/c", h->dir);
    assert_int_equal(vt_read_file(console, 100, &said, NULL), VT_OK);
    assert_string_equal(vt_buf_str(&said), "up\ntyped");
    vt_buf_free(&said);
    leave(&p);
}

static void test_relay(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    char text[500], ports[2][96], *sent = vt_malloc(300000), *got = vt_malloc(300000);
    snprintf(ports[0], sizeof ports[0], "%s/7", h->dir);
    snprintf(ports[1], sizeof ports[1], "%s/9", h->dir);
    snprintf(text, sizeof text,
             CREATE(", \"vsock\": [{\"port\": 7, \"socket\": \"%s\"}, {\"port\": 9, \"socket\": "
                    "\"%s\"}]"),
             ports[0], ports[1]);
    say(&p, text);
    expect(&p, 1, "stopped", 0, NULL);
    for (int i = 0; i < 300000; i++)
        sent[i] = (char)(i * 7 + i / 251);
    int fd = dial(ports[0]), refused = dial(ports[1]);
    size_t out = 0, in = 0;
    while (in < 300000) {
        struct pollfd ready = {.fd = fd, .events = (short)(POLLIN | (out < 300000 ? POLLOUT : 0))};
        assert_int_equal(poll(&ready, 1, 20000), 1);
        if (ready.revents & POLLOUT) {
            ssize_t n =
                send(fd, sent + out, 300000 - out > 9000 ? 9000 : 300000 - out, MSG_DONTWAIT);
            out += n > 0 ? (size_t)n : 0;
            if (out == 300000)
                shutdown(fd, SHUT_WR);
        }
        if (ready.revents & POLLIN) {
            ssize_t n = read(fd, got + in, 300000 - in);
            assert_true(n > 0);
            in += (size_t)n;
        }
    }
    assert_memory_equal(sent, got, 300000);
    assert_int_equal(read(fd, got, 1), 0);      /* the end came through, both ways */
    assert_int_equal(read(refused, got, 1), 0); /* the guest refused it */
    close(fd);
    close(refused);
    vt_free(sent);
    vt_free(got);
    leave(&p);
}

static void test_files_are_looked_at(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    char text[500];
    say(&p, CREATE(", \"disks\": [{\"path\": \"/none/such\", \"bus\": \"usb\"}]"));
    expect(&p, 1, "none", VTZ_FILE, "config.disks[0].path: /none/such: No such file");
    say(&p, CREATE(", \"shares\": [{\"tag\": \"t\", \"path\": \"/etc/passwd\"}]"));
    expect(&p, 1, "none", VTZ_FILE, "is not a folder");
    snprintf(text, sizeof text, CREATE(", \"vsock\": [{\"port\": 7, \"socket\": \"%s\"}]"),
             h->socket);
    say(&p, text);
    expect(&p, 1, "none", VTZ_FILE, "exists already");
    snprintf(text, sizeof text, "{\"id\": 2, \"op\": \"save\", \"path\": \"%s\"}\n", h->socket);
    say(&p, text);
    expect(&p, 2, "none", VTZ_FILE, "exists already");
    say(&p, "{\"id\": 3, \"op\": \"restore\", \"path\": \"/none/such\"}\n");
    expect(&p, 3, "none", VTZ_FILE, "/none/such");
    char link[96];
    snprintf(link, sizeof link, "%s/link", h->dir);
    assert_int_equal(symlink("/tmp", link), 0);
    snprintf(text, sizeof text,
             "{\"id\": 4, \"op\": \"create\", \"config\": {\"cpus\": 1, \"memory\": 1048576, "
             "\"boot\": {\"kind\": \"macos\", \"auxiliary\": \"%s/aux\", \"hardware_model\": "
             "\"TWFj\"}}}\n",
             link);
    say(&p, text);
    expect(&p, 4, "none", VTZ_FILE, "without symbolic links");
    leave(&p);
}

static void test_ends_by_signal(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    kill(h->pid, SIGTERM);
    assert_null(next(&p));
    assert_int_equal(end_of(h), 0);
    leave(&p);
}

static void test_ends_with_its_tie(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    assert_int_equal(send(h->tie, "ignored", 7, 0), 7);
    say(&p, "{\"id\": 1, \"op\": \"state\"}\n");
    expect(&p, 1, "none", 0, NULL);
    shutdown(h->tie, SHUT_WR);
    assert_null(next(&p));
    assert_int_equal(end_of(h), 0);
    leave(&p);
}

/* The exit code of the helper with these arguments, a space between them. */
static int run_main(const char *arguments)
{
    char *words = vt_strdup(arguments), *argv[8] = {words}, *rest = words;
    int argc = 0, status;
    while (argc < 7 && (argv[argc] = strsep(&rest, " ")))
        argc++;
    pid_t pid = fork();
    if (pid == 0) {
        crash_for_good();
        if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout))
            _exit(99);
        int code = vtz_main(argc, argv, &vz_test_backend);
        vt_free(words);
        exit(code);
    }
    vt_free(words);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_command_line(void **state)
{
    (void)state;
    char lengthy[200] = "vz /tmp/";
    memset(lengthy + 8, 'x', 150);
    assert_int_equal(run_main("vz"), 2);
    assert_int_equal(run_main("vz /a /b"), 2);
    assert_int_equal(run_main("vz --tie one /a"), 2);
    assert_int_equal(run_main("vz --lease 77 /a"), 2);
    assert_int_equal(run_main("vz --loose 1 /a"), 2);
    assert_int_equal(run_main("vz /tmp"), 1);
    assert_int_equal(run_main(lengthy), 1);
    assert_int_equal(run_main("vz --check"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_errors_of_the_framework),
        TEST(test_mistakes_leave_the_client),
        TEST(test_broken_clients_are_closed),
        TEST(test_longest_line),
        TEST(test_one_client_too_many),
        TEST(test_many_requests),
        TEST(test_client_that_does_not_read),
        TEST(test_client_that_leaves_does_not_end_its_requests),
        cmocka_unit_test_setup_teardown(test_client_that_left_is_forgotten, setup_slow, teardown),
        TEST(test_failed_create_leaves_nothing),
        TEST(test_relay),
        TEST(test_files_are_looked_at),
        TEST(test_ends_by_signal),
        TEST(test_ends_with_its_tie),
        cmocka_unit_test(test_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
