/* What the guest agent has for macOS alone (shim/agent/system_darwin.c), compiled for this host,
 * with stand-ins for the calls that only macOS carries out. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sys/vsock.h>

static struct sockaddr_vm bound, caller;
static int fail_bind, made, seeded;

static int fake_socket(int domain, int type, int protocol)
{
    assert_int_equal(domain, AF_VSOCK);
    assert_int_equal(type, SOCK_STREAM); /* macOS has no flags in it */
    assert_int_equal(protocol, 0);
    made = open("/dev/null", O_RDWR);
    return made;
}

static int fake_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    assert_int_equal(fd, made);
    assert_int_equal(size, sizeof bound);
    memcpy(&bound, address, sizeof bound);
    errno = fail_bind;
    return fail_bind ? -1 : 0;
}

static int fake_listen(int fd, int backlog)
{
    assert_int_equal(fd, made);
    assert_true(backlog > 0);
    return 0;
}

static int fake_getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    errno = ENOTCONN;
    if (fd < 0)
        return -1;
    memcpy(address, &caller, sizeof caller);
    *size = sizeof caller;
    return 0;
}

static int fake_open(const char *path, int flags, ...)
{
    char pool[64];
    if (strcmp(path, "/dev/random") != 0)
        return open(path, flags); /* NOLINT: nothing here is created */
    snprintf(pool, sizeof pool, "/dev/fd/%d", seeded);
    return seeded < 0 ? (errno = EACCES, -1) : open(pool, flags); /* NOLINT: likewise */
}

#define socket fake_socket
#define bind fake_bind
#define listen fake_listen
#define getpeername fake_getpeername
#define open fake_open
#include "agent/system_darwin.c" /* NOLINT: what is tested */
#undef open

static void test_listening(void **state)
{
    (void)state;
    int fd = system_vsock_listen(30285);
    assert_int_equal(fd, made);
    assert_int_equal(bound.svm_len, sizeof bound);
    assert_int_equal(bound.svm_family, AF_VSOCK);
    assert_int_equal(bound.svm_port, 30285);
    assert_int_equal(bound.svm_cid, VMADDR_CID_ANY);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    close(fd);
}

static void test_a_port_that_is_taken(void **state)
{
    (void)state;
    fail_bind = EADDRINUSE;
    assert_int_equal(system_vsock_listen(1), -1);
    assert_int_equal(errno, EADDRINUSE);
    assert_int_equal(fcntl(made, F_GETFD), -1); /* it was closed */
    fail_bind = 0;
}

static void test_the_host_alone_is_served(void **state)
{
    static const struct {
        sa_family_t family;
        uint32_t cid;
        bool served;
    } cases[] = {{AF_VSOCK, 2, true},
                 {AF_VSOCK, 3, false},
                 {AF_VSOCK, 1, false},
                 {AF_VSOCK, 0, false},
                 {AF_VSOCK, VMADDR_CID_ANY, false},
                 {AF_UNIX, 3, true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        caller = (struct sockaddr_vm){
            .svm_len = sizeof caller, .svm_family = cases[i].family, .svm_cid = cases[i].cid};
        assert_int_equal(system_vsock_from_host(0), cases[i].served);
    }
    assert_false(system_vsock_from_host(-1));
}

static void test_no_port_by_name(void **state)
{
    (void)state;
    assert_int_equal(system_port_open("org.vmtest.agent.0"), -1);
    assert_int_equal(errno, ENOENT);
    int fd = system_port_open("/dev/null");
    assert_true(fd >= 0);
    close(fd);
}

static void test_the_seed_is_written_whole(void **state)
{
    char path[] = "/tmp/vt-seed-XXXXXX", got[16] = "";
    (void)state;
    seeded = mkstemp(path);
    assert_true(seeded >= 0);
    assert_int_equal(system_seed((const unsigned char *)"0123456789", 10), 0);
    assert_int_equal(pread(seeded, got, sizeof got, 0), 10);
    assert_memory_equal(got, "0123456789", 10);
    close(seeded);
    unlink(path);
    seeded = -1;
    assert_int_equal(system_seed((const unsigned char *)"0", 1), EACCES);
}

static void test_the_user(void **state)
{
    const struct passwd *p = system_user();
    (void)state;
    assert_non_null(p);
    assert_int_equal(p->pw_uid, getuid());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listening),
        cmocka_unit_test(test_a_port_that_is_taken),
        cmocka_unit_test(test_the_host_alone_is_served),
        cmocka_unit_test(test_no_port_by_name),
        cmocka_unit_test(test_the_seed_is_written_whole),
        cmocka_unit_test(test_the_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
