/* A real guest over ssh: what a suite does with it, and what it does to a suite. */
#include "guest.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"

static void boot(struct guest *g)
{
    guest_new(g);
    guest_start_ready(g);
}

static void test_commands(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    boot(&g);
    assert_int_equal(guest_exec(&g, "uname -s; id -u; hostname; exit 7"), 7);
    assert_string_equal(g.out, "Linux\n0\nsmall\n");
    assert_int_equal(guest_exec(&g, "echo x > /tmp/f && sha256sum /tmp/f && mkfifo /tmp/p"), 0);
    /* orphans are reaped by pid 1 */
    assert_int_equal(guest_exec(&g, "(sleep 0.1 &) ; sleep 1; ps | grep -c '[Z]ombie'"), 1);
    guest_free(&g);
}

static struct vt_op *stop(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_stop(vm, 100, done, user, err);
}

static void test_stop_by_the_images_command(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    boot(&g);
    assert_int_equal(guest_call(&g, stop, NULL), VT_OK);
    assert_int_equal(vt_vm_state(g.vm), VT_VM_STOPPED);
    assert_string_equal(vt_vm_reason(g.vm), "guest powered off");
    assert_int_equal(guest_exec(&g, "true"), -VT_ESTATE);
    guest_free(&g);
}

static struct vt_op *reboot_soft(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_reboot(vm, false, 100, done, user, err);
}

static struct vt_op *reboot_hard(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_reboot(vm, true, 100, done, user, err);
}

static void test_reboots(void **state)
{
    (void)state;
    guest_call_fn *const ways[] = {reboot_soft, reboot_hard};
    struct guest g;
    guest_init(&g, "small");
    boot(&g);
    for (size_t i = 0; i < 2; i++) {
        struct vt_error err = VT_ERROR_INIT;
        assert_int_equal(guest_exec(&g, "touch /tmp/before"), 0);
        if (guest_call(&g, ways[i], &err))
            fail_msg("reboot: %s", err.message);
        assert_int_equal(guest_exec(&g, "test -e /tmp/before"), 1); /* its RAM is new */
    }
    guest_free(&g);
}

static void test_panic_ends_a_command_at_once(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    boot(&g);
    double start = vt_monotonic();
    assert_int_equal(guest_exec(&g, "(sleep 1; echo c > /proc/sysrq-trigger) & sleep 1000"),
                     -VT_EGUEST);
    assert_true(vt_monotonic() - start < 100); /* not its time-out of 120 s */
    if (!strstr(g.error.message, "panicked: sysrq triggered crash"))
        fail_msg("%s", g.error.message);
    assert_non_null(strstr(g.error.message, "</TASK>")); /* the console's last lines */
    assert_int_equal(vt_vm_state(g.vm), VT_VM_CRASHED);
    guest_free(&g);
}

static void test_killed_qemu_ends_a_command_at_once(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    boot(&g);
    char line[64];
    snprintf(line, sizeof line, "sleep 1; kill -9 %ld", guest_pid(&g));
    pid_t helper = fork();
    if (helper == 0)
        execl("/bin/sh", "sh", "-c", line, NULL);
    double start = vt_monotonic();
    assert_int_equal(guest_exec(&g, "sleep 1000"), -VT_EGUEST);
    assert_true(vt_monotonic() - start < 100);
    assert_non_null(strstr(g.error.message, "signal 9"));
    guest_free(&g);
}

static int forwarded_port(struct guest *g, int guest_port)
{
    json_t *facts = vt_vm_info(g->vm);
    const json_t *forwards = json_object_get(facts, "forwards");
    int port = 0;
    for (size_t i = 0; i < json_array_size(forwards); i++)
        if (vt_json_int(json_array_get(forwards, i), "guest", 0) == guest_port)
            port = (int)vt_json_int(json_array_get(forwards, i), "host", 0);
    json_decref(facts);
    return port;
}

static void test_forwarded_port(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    const struct vt_forward forward = {.guest_port = 8080};
    g.config.forwards = &forward;
    g.config.forward_count = 1;
    boot(&g);
    assert_int_equal(guest_exec(&g, "mkdir /tmp/www && echo hello > /tmp/www/f && "
                                    "httpd -p 8080 -h /tmp/www"),
                     0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)forwarded_port(&g, 8080))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    static const char request[] = "GET /f HTTP/1.0\r\n\r\n";
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    char reply[2048] = "";
    size_t n = 0;
    for (ssize_t got;
         n < sizeof reply - 1 && (got = read(fd, reply + n, sizeof reply - 1 - n)) > 0;)
        n += (size_t)got;
    close(fd);
    assert_non_null(strstr(reply, "hello\n"));
    guest_free(&g);
}

static void test_from_a_disk(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small-disk");
    boot(&g);
    assert_int_equal(guest_exec(&g, "dd if=/dev/urandom of=/dev/vda bs=512 count=8 seek=8 && sync"),
                     0); /* lands in the overlay */
    assert_int_equal(guest_exec(&g, "hostname"), 0);
    assert_string_equal(g.out, "small-disk\n");
    guest_free(&g);
}

static void test_two_at_once(void **state)
{
    (void)state;
    struct guest a, b;
    guest_init(&a, "small");
    guest_init(&b, "small");
    b.config.name = "second";
    guest_new(&a);
    guest_new(&b);
    assert_int_equal(guest_start(&a, NULL), VT_OK);
    guest_start_ready(&b);
    assert_int_equal(guest_exec(&a, "echo a > /tmp/who; cat /tmp/who"), 0);
    assert_string_equal(a.out, "a\n");
    assert_int_equal(guest_exec(&b, "cat /tmp/who"), 1);
    guest_free(&b);
    assert_int_equal(guest_exec(&a, "cat /tmp/who"), 0);
    guest_free(&a);
}

int main(int argc, char **argv)
{
    static const struct guest_test tests[] = {
#define TEST(name) {#name, name}
        TEST(test_commands),
        TEST(test_stop_by_the_images_command),
        TEST(test_reboots),
        TEST(test_panic_ends_a_command_at_once),
        TEST(test_killed_qemu_ends_a_command_at_once),
        TEST(test_forwarded_port),
        TEST(test_from_a_disk),
        TEST(test_two_at_once),
    };
    return guest_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
