/* The socket beneath a channel: what waits is sent in order, what comes is told, or waits. */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "guest/wire.h"

struct end {
    struct vt_loop *loop;
    struct vt__wire wire;
    int peer; /* non-blocking; -1: closed */
    int calls, reads;
    bool open, closes; /* closes: in its callback */
};

static void on_event(void *user, const char *broken, bool readable)
{
    struct end *e = user;
    assert_null(broken);
    e->calls++;
    e->reads += readable;
    if (!e->closes)
        return;
    vt__wire_close(&e->wire);
    e->open = false;
}

static int setup(void **state)
{
    struct end *e = vt_calloc(1, sizeof *e);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    e->loop = vt_loop_new(NULL);
    e->peer = pair[1];
    e->open = vt__wire_open(&e->wire, e->loop, pair[0], "op", on_event, e, NULL) == VT_OK;
    assert_true(e->open);
    *state = e;
    return 0;
}

static int teardown(void **state)
{
    struct end *e = *state;
    if (e->open)
        vt__wire_close(&e->wire);
    if (e->peer >= 0)
        close(e->peer);
    vt_loop_free(e->loop);
    vt_free(e);
    return 0;
}

static void turn(struct end *e)
{
    for (int i = 0; i < 3; i++)
        vt_loop_run_once(e->loop, false);
}

static void test_receives_when_asked(void **state)
{
    struct end *e = *state;
    const char *broken = NULL;
    char text[16] = "";
    assert_int_equal(vt__wire_receive(&e->wire, text, sizeof text, &broken), 0);
    assert_int_equal(write(e->peer, "hello", 5), 5);
    turn(e);
    assert_int_equal(e->calls, 0); /* nobody watches yet */
    vt__wire_watch(&e->wire, true);
    turn(e);
    assert_true(e->reads > 0);
    assert_int_equal(vt__wire_receive(&e->wire, text, 2, &broken), 2);
    vt__wire_watch(&e->wire, false);
    e->calls = 0;
    turn(e);
    assert_int_equal(e->calls, 0); /* the rest waits */
    assert_int_equal(vt__wire_receive(&e->wire, text + 2, sizeof text - 2, &broken), 3);
    assert_string_equal(text, "hello");
    close(e->peer);
    e->peer = -1;
    vt__wire_watch(&e->wire, true);
    turn(e);
    assert_true(e->reads > 0);
    assert_int_equal(vt__wire_receive(&e->wire, text, sizeof text, &broken), -1);
    assert_null(broken); /* closed, and no fault */
}

static void test_sends_all_in_order(void **state)
{
    enum { size = 3 << 20 };
    struct end *e = *state;
    char *much = vt_malloc(size), *back = vt_malloc(size + 3);
    size_t have = 0;
    for (size_t i = 0; i < size; i++)
        much[i] = (char)(i * 11 + i / 509);
    vt_buf_add(&e->wire.out, much, size);
    assert_null(vt__wire_flush(&e->wire));
    size_t waits = vt__wire_unsent(&e->wire);
    assert_in_range(waits, 1, size - 1);
    vt__wire_watch(&e->wire, false);
    turn(e);
    assert_int_equal(e->calls, 0); /* there is no room */
    vt_buf_add(&e->wire.out, "end", 3);
    assert_int_equal(vt__wire_unsent(&e->wire), waits + 3);
    for (int i = 0; i < 100000 && have < size + 3; i++) {
        ssize_t n = read(e->peer, back + have, size + 3 - have);
        have += n > 0 ? (size_t)n : 0;
        turn(e);
        assert_null(vt__wire_flush(&e->wire));
        vt__wire_watch(&e->wire, false);
    }
    assert_true(e->calls > 0);
    assert_int_equal(e->reads, 0);
    assert_int_equal(have, size + 3);
    assert_memory_equal(back, much, size);
    assert_memory_equal(back + size, "end", 3);
    assert_int_equal(vt__wire_unsent(&e->wire), 0);
    e->calls = 0;
    turn(e);
    assert_int_equal(e->calls, 0); /* nothing waits: nothing is told */
    vt_free(much);
    vt_free(back);
}

static void test_sends_to_nobody(void **state)
{
    struct end *e = *state;
    const char *why = NULL;
    close(e->peer);
    e->peer = -1;
    vt_buf_add(&e->wire.out, "x", 1);
    why = vt__wire_flush(&e->wire); /* no signal ends this process */
    assert_non_null(why);
}

static void test_closed_in_its_callback(void **state)
{
    struct end *e = *state;
    e->closes = true;
    assert_int_equal(write(e->peer, "x", 1), 1);
    vt__wire_watch(&e->wire, true);
    turn(e);
    assert_int_equal(e->calls, 1);
    char byte;
    errno = 0;
    assert_true(read(e->peer, &byte, 1) <= 0 && errno != EAGAIN); /* it is closed */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_receives_when_asked),
        TEST(test_sends_all_in_order),
        TEST(test_sends_to_nobody),
        TEST(test_closed_in_its_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
