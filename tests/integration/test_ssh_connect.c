/* Finding the guest, and losing it again. */
#include "ssh_link.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/sys.h"

/* ---- who listens ---- */

static void test_nothing_listens(void **state)
{
    (void)state;
    struct vt_ssh_config c = ssh_server_config(&server);
    c.port = free_port();
    struct outcome o = try_connect(&c, 1);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    assert_non_null(strstr(o.error.message, "refused"));
    assert_true(o.duration >= 0.9 && o.duration < 20);
}

static int listen_on(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 50), 0);
    return fd;
}

/* A process that accepts and says `text` (again and again where endless), then keeps quiet, or
 * closes; for *most connections at a time it counts in the file `count`. */
static pid_t impostor(int listener, const char *text, bool endless, bool closes)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            _exit(1);
        size_t n = strlen(text);
        while (n && send(fd, text, n, MSG_NOSIGNAL) > 0 && endless)
            continue;
        if (closes || endless)
            close(fd);
    }
}

static struct outcome try_impostor(const char *text, bool endless, bool closes, double timeout)
{
    struct vt_ssh_config c = ssh_server_config(&server);
    c.port = free_port();
    int fd = listen_on(c.port);
    pid_t pid = impostor(fd, text, endless, closes);
    struct outcome o = try_connect(&c, timeout);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fd);
    return o;
}

static void test_accepts_and_never_speaks(void **state)
{
    (void)state;
    struct outcome o = try_impostor("", false, false, 1.5);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    assert_non_null(strstr(o.error.message, "no ssh banner"));
}

static void test_closes_before_the_banner(void **state)
{
    (void)state;
    struct outcome o = try_impostor("", false, true, 1);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    assert_non_null(strstr(o.error.message, "closed before"));
}

static void test_garbage_banner(void **state)
{
    (void)state;
    struct outcome o = try_impostor("SSH-1.5-old\r\n", false, false, 1);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    assert_non_null(strstr(o.error.message, "no ssh 2 server"));
    assert_non_null(strstr(o.error.message, "SSH-1.5-old"));
}

static void test_endless_lines(void **state)
{
    (void)state;
    struct outcome o = try_impostor("HTTP/1.1 400 Bad Request\r\n", true, false, 1.5);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    assert_non_null(strstr(o.error.message, "no ssh 2 server"));
    o = try_impostor("no end of line ", true, false, 1.5);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    assert_non_null(strstr(o.error.message, "no ssh 2 server"));
}

static void test_banner_then_nothing(void **state)
{
    (void)state;
    struct outcome o = try_impostor("SSH-2.0-stuck\r\n", false, false, 1.5);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    o = try_impostor("SSH-2.0-gone\r\n", false, true, 1.5);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    o = try_impostor("SSH-2.0-x\r\ngarbage garbage garbage garbage garbage", false, false, 1.5);
    assert_true(o.code == VT_EGUEST || o.code == VT_EPROTO || o.code == VT_ETIMEDOUT);
}

static void test_attempts_are_bounded(void **state)
{
    (void)state;
    struct vt_ssh_config c = ssh_server_config(&server);
    c.port = free_port();
    int fd = listen_on(c.port);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    struct link l = open_link(&c);
    struct outcome o = {.calls = 0};
    assert_non_null(l.ch->cls->connect(l.ch, 4, on_connect, &o, NULL));
    int accepted = 0, open_now = 0, most = 0, fds[200];
    while (!o.calls) {
        vt_loop_run_once(l.loop, true);
        int one = accept(fd, NULL, NULL);
        if (one >= 0 && accepted < 200) {
            fcntl(one, F_SETFL, O_NONBLOCK);
            fds[accepted++] = one;
        }
        open_now = 0;
        for (int i = 0; i < accepted; i++) {
            char byte;
            if (fds[i] >= 0 && recv(fds[i], &byte, 1, 0) == 0) {
                close(fds[i]);
                fds[i] = -1;
            }
            open_now += fds[i] >= 0;
        }
        most = open_now > most ? open_now : most;
    }
    for (int i = 0; i < accepted; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    close(fd);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    assert_true(accepted >= 3 && accepted <= 30);
    assert_true(most >= 2 && most <= 6); /* five, and one whose end is still on its way */
    close_link(&l);
}

static void test_server_starts_late(void **state)
{
    (void)state;
    struct ssh_server late;
    ssh_server_prepare(&late);
    struct vt_ssh_config c = ssh_server_config(&late);
    struct link l = open_link(&c);
    struct outcome o = {.calls = 0}, second = {.calls = 0};
    assert_non_null(l.ch->cls->connect(l.ch, 60, on_connect, &o, NULL));
    assert_non_null(l.ch->cls->connect(l.ch, 0.2, on_connect, &second, NULL));
    run_until(l.loop, &second.calls, 1); /* its own deadline */
    assert_int_equal(second.code, VT_ETIMEDOUT);
    struct vt_op *pause = vt_sleep(l.loop, 0.5, on_connect, &second, NULL);
    assert_non_null(pause);
    run_until(l.loop, &second.calls, 2);
    assert_int_equal(o.calls, 0);
    ssh_server_listen(&late, NULL);
    run_until(l.loop, &o.calls, 1);
    assert_int_equal(o.code, VT_OK);
    /* connected already: completes at once */
    struct outcome again = connect_now(l.loop, l.ch, 1);
    assert_int_equal(again.code, VT_OK);
    close_link(&l);
    ssh_server_free(&late);
}

static void test_names_are_resolved(void **state)
{
    (void)state;
    struct vt_ssh_config c = ssh_server_config(&server);
    c.host = "localhost";
    struct outcome o = try_connect(&c, 60);
    assert_int_equal(o.code, VT_OK);
    c.host = "no-such-host.invalid";
    o = try_connect(&c, 2);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    assert_non_null(strstr(o.error.message, "no-such-host.invalid"));
}

static void test_cancel_while_connecting(void **state)
{
    (void)state;
    struct vt_ssh_config c = ssh_server_config(&server);
    for (int rounds = 0; rounds < 12; rounds++) {
        struct link l = open_link(&c);
        struct outcome o = {.calls = 0};
        struct vt_op *op = l.ch->cls->connect(l.ch, 60, on_connect, &o, NULL);
        assert_non_null(op);
        for (int i = 0; i < rounds && !o.calls; i++)
            vt_loop_run_once(l.loop, true);
        if (!o.calls) {
            vt_op_cancel(op);
            run_until(l.loop, &o.calls, 1);
            assert_int_equal(o.code, l.ch->cls->connected(l.ch) ? VT_OK : VT_ECANCELED);
        }
        o = connect_now(l.loop, l.ch, 60);
        assert_int_equal(o.code, VT_OK);
        close_link(&l);
    }
}

static void test_free_while_connecting(void **state)
{
    (void)state;
    struct vt_ssh_config c = ssh_server_config(&server);
    c.host = "localhost";
    for (int rounds = 0; rounds < 10; rounds++) {
        struct link l = open_link(&c);
        struct outcome o = {.calls = 0};
        assert_non_null(l.ch->cls->connect(l.ch, 60, on_connect, &o, NULL));
        for (int i = 0; i < rounds && !o.calls; i++)
            vt_loop_run_once(l.loop, true);
        bool before = l.ch->cls->connected(l.ch);
        l.ch->cls->free(l.ch);
        run_until(l.loop, &o.calls, 1);
        assert_int_equal(o.calls, 1);
        assert_int_equal(o.code, before ? VT_OK : VT_ECANCELED);
        vt_loop_free(l.loop);
    }
}

/* ---- losing it ---- */

static void count_bytes(enum vt_stream stream, const char *data, size_t n, void *user)
{
    (void)stream;
    (void)data;
    *(size_t *)user += n;
}

static void test_server_killed_in_the_middle(void **state)
{
    (void)state;
    struct ssh_rig r;
    rig_start(&r, NULL);
    enum { n = 5 };
    size_t begun = 0;
    struct outcome o[n], put = {.calls = 0};
    memset(o, 0, sizeof o);
    for (int i = 0; i < n; i++)
        assert_non_null(
            r.base.ch->cls->exec(r.base.ch,
                                 &(struct vt_exec_opts){.command = "echo begun; cat; sleep 60",
                                                        .pty = true,
                                                        .timeout = 300,
                                                        .on_output = count_bytes,
                                                        .output_user = &begun},
                                 on_exec, &o[i], NULL));
    enum { size = 32 << 20 };
    char *data = vt_calloc(1, size);
    assert_non_null(r.base.ch->cls->transfer(
        r.base.ch,
        &(struct vt_transfer_opts){
            .direction = VT_PUT, .remote = "/dev/null", .data = data, .size = size, .timeout = 300},
        on_transfer, &put, NULL));
    while (begun < n * strlen("begun\r\n"))
        vt_loop_run_once(r.base.loop, true);
    ssh_server_kill(&r.server);
    double before = vt_monotonic();
    for (int i = 0; i < n; i++)
        run_until(r.base.loop, &o[i].calls, 1);
    run_until(r.base.loop, &put.calls, 1);
    assert_true(vt_monotonic() - before < 20);
    for (int i = 0; i < n; i++) {
        assert_int_equal(o[i].code, VT_EGUEST);
        assert_true(o[i].has_result);
        assert_int_equal(o[i].status, -1);
        assert_string_equal(o[i].out, "begun\r\n");
        outcome_free(&o[i]);
    }
    assert_true(put.code == VT_EGUEST || put.code == VT_OK);
    assert_false(r.base.ch->cls->connected(r.base.ch));
    struct outcome refused =
        exec_now(r.base.loop, r.base.ch, &(struct vt_exec_opts){.command = "true", .timeout = 1});
    assert_int_equal(refused.code, VT_ESTATE);
    ssh_server_listen(&r.server, NULL);
    assert_int_equal(connect_now(r.base.loop, r.base.ch, 60).code, VT_OK);
    struct outcome again = sh(r.base.loop, r.base.ch, "echo back");
    assert_string_equal(again.out, "back\n");
    outcome_free(&again);
    vt_free(data);
    rig_free(&r);
}

static struct vt_channel *dropped;

static void drop_from_inside(enum vt_stream stream, const char *data, size_t n, void *user)
{
    (void)stream;
    (void)data;
    (void)n;
    (void)user;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EGUEST, "vm", "the guest was restored");
    dropped->cls->drop(dropped, &why);
}

static void test_drop(void **state)
{
    (void)state;
    struct vt_ssh_config c = ssh_server_config(&server);
    struct link l = open_link(&c);
    assert_int_equal(connect_now(l.loop, l.ch, 60).code, VT_OK);
    struct outcome o[3];
    memset(o, 0, sizeof o);
    dropped = l.ch;
    for (int i = 0; i < 3; i++) {
        struct vt_exec_opts opts = {.command = "while :; do echo spam; done", .timeout = 60};
        if (i == 2)
            opts.on_output = drop_from_inside;
        assert_non_null(l.ch->cls->exec(l.ch, &opts, on_exec, &o[i], NULL));
    }
    for (int i = 0; i < 3; i++) {
        run_until(l.loop, &o[i].calls, 1);
        assert_int_equal(o[i].code, VT_EGUEST);
        assert_string_equal(o[i].error.message, "the guest was restored");
        outcome_free(&o[i]);
    }
    assert_false(l.ch->cls->connected(l.ch));
    assert_int_equal(connect_now(l.loop, l.ch, 60).code, VT_OK);
    struct outcome last = sh(l.loop, l.ch, "echo back");
    outcome_free(&last);
    close_link(&l);
}

static void test_free_with_operations_under_way(void **state)
{
    (void)state;
    struct vt_ssh_config c = ssh_server_config(&server);
    struct link l = open_link(&c);
    assert_int_equal(connect_now(l.loop, l.ch, 60).code, VT_OK);
    struct outcome o = {.calls = 0}, get = {.calls = 0};
    assert_non_null(l.ch->cls->exec(
        l.ch, &(struct vt_exec_opts){.command = "while :; do echo spam; done", .timeout = 60},
        on_exec, &o, NULL));
    assert_non_null(l.ch->cls->transfer(
        l.ch,
        &(struct vt_transfer_opts){
            .direction = VT_GET, .remote = "/dev/zero", .local = "/dev/null/x", .timeout = 60},
        on_transfer, &get, NULL));
    for (int i = 0; i < 30; i++)
        vt_loop_run_once(l.loop, true);
    l.ch->cls->free(l.ch);
    run_until(l.loop, &o.calls, 1);
    run_until(l.loop, &get.calls, 1);
    assert_int_equal(o.code, VT_ECANCELED);
    outcome_free(&o);
    vt_loop_free(l.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_listens),
        cmocka_unit_test(test_accepts_and_never_speaks),
        cmocka_unit_test(test_closes_before_the_banner),
        cmocka_unit_test(test_garbage_banner),
        cmocka_unit_test(test_endless_lines),
        cmocka_unit_test(test_banner_then_nothing),
        cmocka_unit_test(test_attempts_are_bounded),
        cmocka_unit_test(test_server_starts_late),
        cmocka_unit_test(test_names_are_resolved),
        cmocka_unit_test(test_cancel_while_connecting),
        cmocka_unit_test(test_free_while_connecting),
        cmocka_unit_test(test_server_killed_in_the_middle),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_free_with_operations_under_way),
    };
    return SSH_TEST_RUN(tests, server_setup, server_teardown);
}
