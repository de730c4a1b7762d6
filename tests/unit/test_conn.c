/* Unix sockets, and connections over them in the loop. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/socket.h"
#include "loop/conn.h"

struct seen {
    struct vt_loop *loop;
    struct vt_conn *conn;
    int peer; /* the other end, blocking; or -1 */
    struct vt_buf got;
    int closed;
    size_t got_at_end;
    bool free_at_data, free_at_end;
};

static void on_data(const char *data, size_t n, void *user)
{
    struct seen *s = user;
    vt_buf_add(&s->got, data, n);
    if (!s->free_at_data)
        return;
    vt_conn_free(s->conn);
    s->conn = NULL;
}

static void on_closed(void *user)
{
    struct seen *s = user;
    s->closed++;
    s->got_at_end = s->got.len;
    assert_false(vt_conn_is_open(s->conn));
    if (!s->free_at_end)
        return;
    vt_conn_free(s->conn);
    s->conn = NULL;
}

static void turn(struct seen *s, int times)
{
    while (times--)
        vt_loop_run_once(s->loop, false);
}

static int setup(void **state)
{
    const struct vt_conn_handler handler = {.data = on_data, .closed = on_closed};
    struct vt_conn_handler own = handler;
    struct seen *s = vt_calloc(1, sizeof *s);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    own.user = s;
    s->loop = vt_loop_new(NULL);
    s->peer = pair[1];
    s->conn = vt_conn_new(s->loop, pair[0], &own);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct seen *s = *state;
    vt_conn_free(s->conn);
    if (s->peer >= 0)
        close(s->peer);
    vt_loop_free(s->loop);
    vt_buf_free(&s->got);
    vt_free(s);
    return 0;
}

static void test_both_ways_to_the_end(void **state)
{
    struct seen *s = *state;
    char text[16] = "";
    assert_true(vt_conn_write(s->conn, "hello", 5));
    assert_int_equal(read(s->peer, text, sizeof text), 5);
    assert_string_equal(text, "hello");
    assert_int_equal(write(s->peer, "some", 4), 4);
    turn(s, 2);
    assert_int_equal(write(s->peer, "thing", 5), 5);
    close(s->peer); /* what it said is told before */
    s->peer = -1;
    for (int i = 0; i < 100 && !s->closed; i++)
        turn(s, 1);
    assert_string_equal(vt_buf_str(&s->got), "something");
    assert_int_equal(s->got_at_end, 9);
    turn(s, 3);
    assert_int_equal(s->closed, 1);
    assert_false(vt_conn_write(s->conn, "more", 4));
    assert_false(vt_conn_write_fd(s->conn, "more", 4, 0));
    assert_int_equal(vt_conn_unwritten(s->conn), 0);
}

static void test_freed_in_its_callbacks(void **state)
{
    struct seen *s = *state;
    s->free_at_data = true;
    assert_int_equal(write(s->peer, "x", 1), 1);
    close(s->peer);
    s->peer = -1;
    turn(s, 5);
    assert_null(s->conn);
    assert_int_equal(s->got.len, 1);
    assert_int_equal(s->closed, 0); /* not told any more */
}

static void test_freed_at_its_end(void **state)
{
    struct seen *s = *state;
    s->free_at_end = true;
    close(s->peer);
    s->peer = -1;
    turn(s, 5);
    assert_null(s->conn);
    assert_int_equal(s->closed, 1);
}

/* A reader that is slow holds nothing up, and loses nothing. */
static void test_more_than_is_taken(void **state)
{
    enum { size = 4 << 20 };
    struct seen *s = *state;
    char *much = vt_malloc(size), *back = vt_malloc(size);
    size_t have = 0;
    for (size_t i = 0; i < size; i++)
        much[i] = (char)(i * 7 + i / 251);
    assert_true(vt_conn_write(s->conn, much, size));
    assert_true(vt_conn_unwritten(s->conn) > 0);
    fcntl(s->peer, F_SETFL, O_NONBLOCK);
    for (ssize_t n = 1; n > 0; have += n > 0 ? (size_t)n : 0)
        n = read(s->peer, back + have, size - have);
    assert_false(vt_conn_write_fd(s->conn, "x", 1, 0)); /* there is room, but others were first */
    for (int i = 0; i < 100000 && have < size; i++) {
        ssize_t n = read(s->peer, back + have, size - have);
        have += n > 0 ? (size_t)n : 0;
        turn(s, 1);
    }
    assert_int_equal(have, size);
    assert_memory_equal(much, back, size);
    turn(s, 1);
    assert_int_equal(vt_conn_unwritten(s->conn), 0);
    vt_free(much);
    vt_free(back);
}

static void test_a_descriptor(void **state)
{
    struct seen *s = *state;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char text[8] = "";
    int pipe_ends[2], fd = -1;
    struct iovec bytes = {.iov_base = text, .iov_len = sizeof text};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    assert_int_equal(pipe(pipe_ends), 0);
    assert_true(vt_conn_write_fd(s->conn, "here", 4, pipe_ends[1]));
    close(pipe_ends[1]);
    assert_int_equal(recvmsg(s->peer, &message, 0), 4);
    assert_string_equal(text, "here");
    const struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    assert_non_null(rights);
    if (rights)
        memcpy(&fd, CMSG_DATA(rights), sizeof fd);
    assert_int_equal(write(fd, "y", 1), 1);
    assert_int_equal(read(pipe_ends[0], text, 1), 1);
    assert_int_equal(text[0], 'y');
    close(fd);
    close(pipe_ends[0]);
}

static void test_none(void **state)
{
    (void)state;
    assert_false(vt_conn_is_open(NULL));
    assert_false(vt_conn_write(NULL, "x", 1));
    assert_int_equal(vt_conn_unwritten(NULL), 0);
    vt_conn_free(NULL);
}

static bool is_private(int fd)
{
    return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static void test_sockets(void **state)
{
    char dir[] = "/tmp/vmtest-socket-XXXXXX", long_path[200];
    struct vt_error err = VT_ERROR_INIT;
    (void)state;
    assert_non_null(mkdtemp(dir));
    char *path = vt_path_join(dir, "s");
    assert_int_equal(vt_socket_connect(path, "op", &err), -1);
    assert_int_equal(err.code, VT_ENOTFOUND);
    err = (struct vt_error)VT_ERROR_INIT;
    assert_int_equal(vt_write_file(path, "x", 1, 0600, &err), VT_OK); /* is replaced */
    int listener = vt_socket_listen(path, 1, "op", &err);
    assert_true(listener >= 0 && is_private(listener));
    int waiting[8], n = 0; /* the queue is full at some time, which is said, not waited for */
    while (n < 8 && (waiting[n] = vt_socket_connect(path, "op", &err)) >= 0)
        assert_true(is_private(waiting[n]) && fcntl(waiting[n++], F_GETFL) & O_NONBLOCK);
    assert_in_range(n, 1, 7);
    assert_int_equal(err.code, VT_EBUSY);
    while (n)
        close(waiting[--n]);
    close(listener);
    err = (struct vt_error)VT_ERROR_INIT;
    assert_int_equal(vt_socket_connect(path, "op", &err), -1); /* nobody is left */
    assert_int_equal(err.code, VT_EIO);
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_true(vt_socket_path_fits(path));
    assert_false(vt_socket_path_fits(long_path));
    err = (struct vt_error)VT_ERROR_INIT;
    assert_int_equal(vt_socket_listen(long_path, 1, "op", &err), -1);
    assert_int_equal(err.code, VT_EINVAL);
    err = (struct vt_error)VT_ERROR_INIT;
    assert_int_equal(vt_socket_connect(long_path, "op", &err), -1);
    assert_int_equal(err.code, VT_EINVAL);
    vt_remove_tree(dir, NULL);
    vt_free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_both_ways_to_the_end), TEST(test_freed_in_its_callbacks),
        TEST(test_freed_at_its_end),     TEST(test_more_than_is_taken),
        TEST(test_a_descriptor),         cmocka_unit_test(test_none),
        cmocka_unit_test(test_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
