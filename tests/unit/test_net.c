/* Isolated networks: who is on them, and the switch itself. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
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
#include "net/member.h"
#include "net/switch.h"

static char dir[] = "/tmp/vt-net-XXXXXX";

static void join(const char *network, const char *vm, int nic, const char *wanted)
{
    const struct vt_net_place place = {.run_dir = dir, .network = network, .vm = vm, .nic = nic};
    char address[16];
    struct vt_error err = VT_ERROR_INIT;
    if (vt_net_join(&place, address, &err))
        fail_msg("%s", err.message);
    assert_string_equal(address, wanted);
}

static void test_places(void **state)
{
    (void)state;
    join("lab", "web", 0, "10.77.0.1");
    join("lab", "db", 1, "10.77.0.2");
    join("other", "web", 1, "10.77.1.1");
    join("lab", "web", 0, "10.77.0.1"); /* the same again */
    join("lab", "web", 2, "10.77.0.3"); /* two interfaces on one network */
    struct vt_net_member *members;
    size_t n;
    assert_int_equal(vt_net_members(dir, "lab", &members, &n, NULL), VT_OK);
    assert_int_equal(n, 3);
    assert_string_equal(members[1].vm, "db");
    assert_int_equal(members[1].nic, 1);
    assert_string_equal(members[1].address, "10.77.0.2");
    vt_net_members_free(members, n);
    assert_int_equal(vt_net_members(dir, "nothing", &members, &n, NULL), VT_OK);
    assert_int_equal(n, 0);
    vt_net_members_free(members, n);
    for (int i = 4; i <= 253; i++) {
        char vm[32], wanted[32];
        snprintf(vm, sizeof vm, "vm%d", i);
        snprintf(wanted, sizeof wanted, "10.77.0.%d", i);
        join("lab", vm, 0, wanted);
    }
    char address[16];
    const struct vt_net_place late = {.run_dir = dir, .network = "lab", .vm = "late", .nic = 0};
    assert_int_equal(vt_net_join(&late, address, NULL), VT_ELIMIT);
}

/* A frame between stations named by one byte; 255: everybody. */
static void make(unsigned char frame[64], int to, int from)
{
    memset(frame, 0, 64);
    memset(frame, to == 255 ? 255 : 2, 6);
    memset(frame + 6, 2, 6);
    if (to != 255)
        frame[5] = (unsigned char)to;
    frame[11] = (unsigned char)from;
}

static void test_stations(void **state)
{
    (void)state;
    static struct vt_stations s;
    unsigned char f[64];
    make(f, 255, 1);
    assert_int_equal(vt_stations_route(&s, f, 10), -1);
    make(f, 1, 2);
    assert_int_equal(vt_stations_route(&s, f, 20), 10);
    make(f, 2, 1);
    assert_int_equal(vt_stations_route(&s, f, 11), 20); /* and 1 has moved */
    make(f, 1, 2);
    assert_int_equal(vt_stations_route(&s, f, 20), 11);
    make(f, 3, 2);
    assert_int_equal(vt_stations_route(&s, f, 20), -1); /* nobody knows 3 */
    vt_stations_drop(&s, 11);
    make(f, 1, 2);
    assert_int_equal(vt_stations_route(&s, f, 20), -1);
    for (int i = 0; i < 3 * VT_STATIONS_MAX; i++) { /* more than it remembers */
        make(f, 255, 0);
        f[9] = (unsigned char)(i >> 8);
        f[10] = (unsigned char)i;
        vt_stations_route(&s, f, 7);
    }
    assert_int_equal(s.count, VT_STATIONS_MAX);
}

struct waiting {
    bool done;
    int fd;
    struct vt_error error;
};

static void on_connected(struct vt_op *op, void *user)
{
    struct waiting *w = user;
    w->done = true;
    if (vt_op_error(op))
        w->error = *vt_op_error(op);
    else
        w->fd = *(int *)vt_op_result(op);
}

static int port(struct vt_loop *loop)
{
    struct waiting w = {.fd = -1};
    struct vt_op *op = vt_net_connect(loop, dir, "wire", 60, on_connected, &w, &w.error);
    while (op && !w.done)
        vt_loop_run_once(loop, true);
    if (w.error.code)
        fail_msg("%s", w.error.message);
    const struct timeval patience = {.tv_sec = 20};
    setsockopt(w.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return w.fd;
}

static void put(int fd, int to, int from)
{
    unsigned char framed[68] = {0, 0, 0, 64};
    make(framed + 4, to, from);
    for (size_t i = 0; i < sizeof framed; i += 17) /* in pieces */
        assert_int_equal(write(fd, framed + i, 17), 17);
}

static void get(int fd, int to, int from)
{
    unsigned char framed[68], wanted[68] = {0, 0, 0, 64};
    make(wanted + 4, to, from);
    assert_int_equal(recv(fd, framed, sizeof framed, MSG_WAITALL), (ssize_t)sizeof framed);
    assert_memory_equal(framed, wanted, sizeof framed);
}

static void expect_nothing(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static void test_switch(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    int a = port(loop), b = port(loop), c = port(loop);
    put(a, 255, 1);
    get(b, 255, 1);
    get(c, 255, 1);
    put(b, 1, 2); /* to a alone */
    get(a, 1, 2);
    put(a, 2, 1);
    get(b, 2, 1);
    expect_nothing(c);
    expect_nothing(a);
    /* what is no frame of QEMU's costs that port alone */
    assert_int_equal(write(c, "\xff\xff\xff\xff", 4), 4);
    char byte;
    assert_int_equal(recv(c, &byte, 1, 0), 0);
    put(a, 255, 1);
    get(b, 255, 1);
    /* it ends with its last port, and another one can begin */
    close(a);
    close(b);
    close(c);
    char *path = vt_path_join(dir, "net-wire.sock");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    for (double end = vt_monotonic() + 50; stat(path, &st) == 0;) {
        if (vt_monotonic() > end)
            fail_msg("the switch stays");
        usleep(20000);
    }
    a = port(loop);
    b = port(loop);
    put(a, 255, 1);
    get(b, 255, 1);
    close(a);
    close(b);
    while (stat(path, &st) == 0)
        usleep(20000);
    vt_free(path);
    vt_loop_free(loop);
}

/* The process whose command line names our folder; -1 where there is none. */
static pid_t switch_pid(void)
{
    DIR *d = opendir("/proc");
    pid_t found = -1;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300];
        struct vt_buf line = VT_BUF_INIT;
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        if (strtol(e->d_name, NULL, 10) > 0 && !vt_read_file(path, 65536, &line, NULL) &&
            line.len && memmem(line.data, line.len, dir, strlen(dir)))
            found = (pid_t)strtol(e->d_name, NULL, 10);
        vt_buf_free(&line);
    }
    if (d)
        closedir(d);
    return found;
}

/* It holds nothing of whoever started it, and goes when its run's folder went before it. */
static void test_switch_of_a_lost_run(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    int held[2];
    assert_int_equal(pipe(held), 0);
    int a = port(loop);
    close(held[1]);
    char byte;
    assert_int_equal(read(held[0], &byte, 1), 0); /* the other end is nobody's now */
    close(held[0]);
    vt_remove_tree(dir, NULL);
    close(a);
    vt_loop_free(loop);
    for (double end = vt_monotonic() + 50; switch_pid() > 0;) {
        if (vt_monotonic() > end)
            fail_msg("the switch stays");
        usleep(20000);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "__switch"))
        return vt_switch_main(argc, argv);
    if (!mkdtemp(dir))
        return 1;
    unsetenv("VMTEST_PROGRAM");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places), cmocka_unit_test(test_stations),
        cmocka_unit_test(test_switch), cmocka_unit_test(test_switch_of_a_lost_run)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    vt_remove_tree(dir, NULL);
    return failed;
}
