/* What the vz helper passes on, over a backend in C: bytes between those who connect and the
 * guest's ports, and keys to its console. */
#include "unit.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vz/relay.h"
#include "vz_backend.h"
#include "vz_peer.h"

/* A VM whose ports 7 (an echo) and `other` are the two sockets. */
static struct peer with_ports(const struct helper *h, int other, char ports[2][96])
{
    struct peer p = join(h);
    char text[500];
    snprintf(ports[0], 96, "%s/7", h->dir);
    snprintf(ports[1], 96, "%s/%d", h->dir, other);
    snprintf(text, sizeof text,
             CREATE(", \"vsock\": [{\"port\": 7, \"socket\": \"%s\"}, {\"port\": %d, "
                    "\"socket\": \"%s\"}]"),
             ports[0], other, ports[1]);
    say(&p, text);
    expect(&p, 1, "stopped", 0, NULL);
    return p;
}

static void test_relay(void **state)
{
    char ports[2][96], *sent = vt_malloc(300000), *got = vt_malloc(300000);
    struct peer p = with_ports(*state, 9, ports);
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

/* Whoever has gone while the guest talks on is given up: its place is free again. */
static void test_relay_of_one_who_has_gone(void **state)
{
    char ports[2][96], got[4] = "";
    struct peer p = with_ports(*state, 8, ports);
    for (int i = 0; i < VTZ_RELAYS_MAX; i++) {
        int fd = dial(ports[1]);
        assert_true(read(fd, got, sizeof got) > 0);
        close(fd);
    }
    bool served = false;
    for (double end = vt_monotonic() + 20; !served && vt_monotonic() < end; usleep(5000)) {
        int fd = dial(ports[0]);
        served = send(fd, "here", 4, MSG_NOSIGNAL) == 4 && read(fd, got, 4) == 4;
        close(fd);
    }
    assert_true(served);
    leave(&p);
}

/* Types `key` till nobody takes any more, and leaves. */
static size_t type_much(const char *path, char key)
{
    char keys[4096];
    size_t typed = 0;
    int fd = dial(path);
    memset(keys, key, sizeof keys);
    for (ssize_t n; (n = send(fd, keys, sizeof keys, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0;)
        typed += (size_t)n;
    close(fd);
    return typed;
}

static size_t count_of(const struct vt_buf *text, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++)
        n += text->data[i] == c;
    return n;
}

/* Not a key is lost while the guest does not read, of several who have left by then. */
static void test_keys_wait_for_the_guest(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    struct vt_buf said = VT_BUF_INIT;
    char text[300], console[80], input[96];
    size_t typed[3], all = strlen("up\n");
    snprintf(console, sizeof console, "%s/c", h->dir);
    snprintf(input, sizeof input, "%s.in", console);
    snprintf(text, sizeof text, CREATE(", \"console\": {\"path\": \"%s\", \"input\": true}"),
             console);
    say(&p, text);
    await_state(&p, "stopped");
    for (int i = 0; i < 3; i++)
        all += typed[i] = type_much(input, (char)('A' + i));
    say(&p, "{\"id\": 2, \"op\": \"start\"}\n");
    await_state(&p, "running");
    for (double end = vt_monotonic() + 20; said.len < all && vt_monotonic() < end; usleep(5000)) {
        vt_buf_clear(&said);
        assert_int_equal(vt_read_file(console, all + 1, &said, NULL), VT_OK);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(typed[i] > 0);
        assert_int_equal(count_of(&said, (char)('A' + i)), typed[i]);
    }
    vt_buf_free(&said);
    leave(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_relay),
        TEST(test_relay_of_one_who_has_gone),
        TEST(test_keys_wait_for_the_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
