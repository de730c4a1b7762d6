/* The QEMU driver on real VMs: how they run, and every way in which they end. */
#include "guest.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/mount.h>
#endif

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"

#define TICKING "while :; do echo tick; sleep 0.1; done"

static void start_or_fail(struct guest *g)
{
    struct vt_error err = VT_ERROR_INIT;
    guest_new(g);
    if (guest_start(g, &err))
        fail_msg("start: %s", err.message);
    assert_int_equal(vt_vm_state(g->vm), VT_VM_RUNNING);
}

static void test_boots_to_its_ready_line(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    start_or_fail(&g);
    guest_await_console(&g, g.image->ready, 1);
    struct vt_buf log = VT_BUF_INIT;
    assert_int_equal(vt_read_file(g.console_log, (size_t)1 << 20, &log, NULL), VT_OK);
    assert_non_null(strstr(log.data, g.image->ready));
    vt_buf_free(&log);

    json_t *facts = vt_vm_info(g.vm);
    assert_true(vt_json_int(json_object_get(facts, "ssh"), "port", 0) > 0);
    assert_non_null(strstr(vt_json_str(facts, "hypervisor", ""), "QEMU "));
    const char *accel = vt_json_str(facts, "accel", "");
    assert_true(!strcmp(accel, "tcg") || !strcmp(accel, "kvm") || !strcmp(accel, "hvf"));
    assert_true(vt_vm_time_scale(g.vm) == (strcmp(accel, "tcg") ? 1 : 10));
    assert_true(strlen(vt_json_str(facts, "accel_reason", "")) > 0);
    long pid = 0;
    char *lock = vt_path_join(g.state_dir, "lock");
    assert_true(vt_lock_held(lock, &pid));
    assert_int_equal(pid, guest_pid(&g));
    vt_free(lock);
    json_decref(facts);
    guest_free(&g);
}

static void test_boots_from_a_disk(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small-disk");
    struct stat before, after;
    assert_int_equal(stat(g.image->disk, &before), 0);
    start_or_fail(&g);
    guest_await_console(&g, g.image->ready, 1);
    assert_int_equal(stat(g.image->disk, &after), 0);
    assert_int_equal(before.st_mtime, after.st_mtime);
    assert_int_equal(before.st_size, after.st_size);
    guest_free(&g);
}

static void test_pause_stops_the_guest(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, TICKING, 0);
    start_or_fail(&g);
    guest_await_console(&g, "tick", 3);
    assert_int_equal(guest_call(&g, vt_vm_pause, NULL), VT_OK);
    assert_int_equal(vt_vm_state(g.vm), VT_VM_PAUSED);
    guest_run(&g, 0.2);
    int paused = guest_console_count(&g, "tick");
    guest_run(&g, 1.5);
    assert_int_equal(guest_console_count(&g, "tick"), paused);
    assert_int_equal(guest_call(&g, vt_vm_resume, NULL), VT_OK);
    guest_await_console(&g, "tick", paused + 3);
    assert_int_equal(vt_vm_state(g.vm), VT_VM_RUNNING);
    guest_free(&g);
}

static void test_acpi_button_powers_off(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    start_or_fail(&g);
    guest_await_console(&g, g.image->ready, 1);
    struct vt_error err = VT_ERROR_INIT;
    vt_free(g.image->shutdown);
    g.image->shutdown = NULL; /* the driver's own way, not the image's command */
    struct vt_op *op = vt_vm_stop(g.vm, 100, NULL, NULL, &err);
    assert_non_null(op);
    guest_await_state(&g, VT_VM_STOPPED);
    assert_string_equal(vt_vm_reason(g.vm), "guest powered off");
    assert_int_equal(guest_pid(&g), 0);
    guest_free(&g);
}

static void test_poweroff_by_the_guest_is_noticed(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, "echo bye; poweroff -f", 0);
    start_or_fail(&g);
    guest_await_state(&g, VT_VM_STOPPED);
    assert_string_equal(vt_vm_reason(g.vm), "guest powered off");
    assert_int_equal(guest_console_count(&g, "bye"), 1);
    /* and it can be started again */
    assert_int_equal(guest_start(&g, NULL), VT_OK);
    guest_await_state(&g, VT_VM_STOPPED);
    guest_free(&g);
}

static void test_kill_ends_it(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, TICKING, 0);
    start_or_fail(&g);
    long pid = guest_pid(&g);
    assert_int_equal(guest_call(&g, vt_vm_kill, NULL), VT_OK);
    assert_int_equal(vt_vm_state(g.vm), VT_VM_STOPPED);
    assert_true(kill((pid_t)pid, 0) != 0 && errno == ESRCH);
    guest_free(&g);
}

static void test_killed_qemu_is_a_crash(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, TICKING, 0);
    start_or_fail(&g);
    assert_int_equal(kill((pid_t)guest_pid(&g), SIGKILL), 0);
    guest_await_state(&g, VT_VM_CRASHED);
    assert_non_null(strstr(vt_vm_reason(g.vm), "QEMU was killed by signal 9"));
    guest_free(&g);
}

static void test_panic_by_the_panic_device(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g,
                      "mount -t proc p /proc; cd /lib/modules; insmod pvpanic.ko; "
                      "insmod pvpanic-mmio.ko; sleep 1; echo c > /proc/sysrq-trigger",
                      0);
    start_or_fail(&g);
    guest_await_state(&g, VT_VM_CRASHED);
    assert_string_equal(vt_vm_reason(g.vm), "the guest's kernel panicked: sysrq triggered crash");
    guest_free(&g);
}

static void test_panic_without_the_panic_device(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, "exit 3", 0); /* pid 1 must not end */
    start_or_fail(&g);
    guest_await_state(&g, VT_VM_CRASHED);
    assert_non_null(strstr(vt_vm_reason(g.vm), "kernel panicked: Attempted to kill init"));
    guest_free(&g);
}

static void test_restart_by_the_guest_is_no_crash(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, "echo again; sleep 1; reboot -f", 0);
    start_or_fail(&g);
    guest_await_console(&g, "again", 2);
    assert_int_equal(vt_vm_state(g.vm), VT_VM_RUNNING);
    guest_free(&g);
}

static void test_hard_reset(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, "echo booted; while :; do sleep 1000; done", 0);
    start_or_fail(&g);
    guest_await_console(&g, "booted", 1);
    struct vt_error err = VT_ERROR_INIT;
    assert_non_null(vt_vm_reboot(g.vm, true, 100, NULL, NULL, &err));
    guest_await_console(&g, "booted", 2);
    assert_int_equal(vt_vm_state(g.vm), VT_VM_RUNNING);
    guest_free(&g);
}

static int take_port(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void test_taken_port(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, TICKING, 0);
    struct vt_forward forward = {.guest_port = 8080};
    int fd = take_port(&forward.host_port);
    g.config.forwards = &forward;
    g.config.forward_count = 1;
    guest_new(&g);
    struct vt_error err = VT_ERROR_INIT;
    char port[16];
    assert_int_equal(guest_start(&g, &err), VT_EBUSY);
    snprintf(port, sizeof port, "%d", forward.host_port);
    assert_non_null(strstr(err.message, port));
    assert_int_equal(guest_pid(&g), 0);
    close(fd);
    assert_int_equal(guest_start(&g, &err), VT_OK); /* now it is free */
    guest_free(&g);
}

static void test_kernel_that_is_none(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, TICKING, 0);
    char *path = vt_path_join(g.root, "not a kernel");
    unsigned char elf[4096] = "\177ELF\2\1\1";
    elf[18] = 62;
    assert_int_equal(vt_write_file(path, elf, sizeof elf, 0600, NULL), VT_OK);
    vt_free(g.image->kernel);
    g.image->kernel = path;
    guest_new(&g);
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(guest_start(&g, &err), VT_EHYPERVISOR);
    assert_non_null(strstr(err.message, "qemu-system-x86_64:")); /* QEMU's own words */
    guest_free(&g);
}

static void test_accel_that_is_not_there(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, TICKING, 0);
#ifdef __APPLE__
    g.config.accel = "kvm";
#else
    g.config.accel = "hvf";
#endif
    guest_new(&g);
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(guest_start(&g, &err), VT_EUNSUPPORTED);
    assert_non_null(strstr(err.message, g.config.accel));
    guest_free(&g);
}

static void test_start_can_be_cancelled(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, TICKING, 0);
    guest_new(&g);
    for (int rounds = 0; rounds < 8; rounds++) { /* each time somewhat further on its way */
        struct vt_op *op = vt_vm_start(g.vm, false, 100, NULL, NULL, NULL);
        assert_non_null(op);
        for (int i = 0; i < rounds && vt_vm_state(g.vm) == VT_VM_STARTING; i++)
            vt_loop_run_once(g.loop, true);
        if (vt_vm_state(g.vm) == VT_VM_STARTING)
            vt_op_cancel(op);
        else
            guest_call(&g, vt_vm_kill, NULL);
        guest_await_state(&g, VT_VM_STOPPED);
        assert_int_equal(guest_pid(&g), 0);
    }
    assert_int_equal(guest_start(&g, NULL), VT_OK);
    guest_free(&g);
}

static void test_one_process_for_one_lock(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, TICKING, 0);
    start_or_fail(&g);
    struct vt_vm *second;
    struct vt_error err = VT_ERROR_INIT;
    g.config.name = "second";
    assert_int_equal(vt_vm_new(g.loop, &g.config, &second, &err), VT_OK);
    struct guest other = g;
    other.vm = second;
    assert_int_equal(guest_start(&other, &err), VT_EBUSY);
    guest_await_console(&g, "tick", 3); /* the first is not harmed */
    assert_int_equal(vt_vm_state(g.vm), VT_VM_RUNNING);
    guest_call(&g, vt_vm_kill, NULL);
    vt_vm_free(second, false);
    guest_free(&g);
}

/* The child starts a VM and is killed: its QEMU must go with it. */
static void test_killed_parent_takes_its_vm_along(void **state)
{
    (void)state;
    int to_parent[2];
    assert_int_equal(pipe(to_parent), 0);
    pid_t child = fork();
    if (child == 0) {
        struct guest g;
        guest_init_script(&g, TICKING, 0);
        guest_new(&g);
        char line[256] = "";
        if (guest_start(&g, NULL))
            exit(1);
        snprintf(line, sizeof line, "%ld %s", guest_pid(&g), g.root);
        if (write(to_parent[1], line, sizeof line) != sizeof line)
            _exit(1);
        for (;;)
            guest_run(&g, 1);
    }
    char line[256];
    close(to_parent[1]);
    ssize_t got = read(to_parent[0], line, sizeof line);
    if (got == 0) { /* skipped or failed there: say it here */
        int status = 0;
        waitpid(child, &status, 0);
        exit(WEXITSTATUS(status));
    }
    long pid = 0;
    char root[200] = "";
    assert_int_equal(sscanf(line, "%ld %199s", &pid, root), 2);
    assert_int_equal(kill((pid_t)pid, 0), 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    char *lock = vt_path_join(root, "state/lock");
    double end = vt_monotonic() + 60;
    while (vt_lock_held(lock, NULL) && vt_monotonic() < end)
        usleep(10000);
    assert_false(vt_lock_held(lock, NULL));
    vt_free(lock);
    vt_remove_tree(root, NULL);
    close(to_parent[0]);
}

static void test_leave_running(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, TICKING, 0);
    g.config.keep = true;
    start_or_fail(&g);
    long pid = guest_pid(&g);
    vt_vm_free(g.vm, true);
    g.vm = NULL;
    for (int i = 0; i < 20; i++)
        vt_loop_run_once(g.loop, false);
    char *lock = vt_path_join(g.state_dir, "lock");
    long holder = 0;
    assert_true(vt_lock_held(lock, &holder));
    assert_int_equal(holder, pid);
    /* QMP can be spoken by others now */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/qmp", g.state_dir);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char greeting[4096];
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    ssize_t n = read(fd, greeting, sizeof greeting - 1);
    assert_true(n > 0);
    greeting[n] = '\0';
    assert_non_null(strstr(greeting, "\"QMP\""));
    close(fd);
    kill((pid_t)pid, SIGKILL);
    waitpid((pid_t)pid, NULL, 0);
    vt_free(lock);
    guest_free(&g);
}

#ifdef __linux__
/* A file system that only this process and its children see, with room enough when the VM is
 * admitted … */
static bool own_scratch(struct guest *g)
{
    int flags = CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0);
    return unshare(flags) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("scratch", g->scratch_dir, "tmpfs", 0, "size=4g") == 0;
}

/* … and none soon after. */
static void fill_scratch(struct guest *g)
{
    assert_int_equal(mount("scratch", g->scratch_dir, "tmpfs", MS_REMOUNT, "size=2m"), 0);
}

static void test_full_disk_of_the_host(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g,
                      "mount -t devtmpfs d /dev; mount -t proc p /proc; cd /lib/modules; "
                      "while read -r m; do insmod $m; done < order; "
                      "dd if=/dev/urandom of=/dev/vda bs=64k count=400; echo written; sleep 1000",
                      (size_t)64 << 20);
    if (!own_scratch(&g)) {
        guest_skip("this user cannot have a file system of its own");
    }
    start_or_fail(&g);
    fill_scratch(&g);
    guest_await_state(&g, VT_VM_CRASHED);
    assert_non_null(strstr(vt_vm_reason(g.vm), "disk is full"));
    assert_non_null(strstr(vt_vm_reason(g.vm), g.scratch_dir));
    umount2(g.scratch_dir, MNT_DETACH);
    guest_free(&g);
}
#endif

int main(int argc, char **argv)
{
    static const struct guest_test tests[] = {
#define TEST(name) {#name, name}
        TEST(test_boots_to_its_ready_line),
        TEST(test_boots_from_a_disk),
        TEST(test_pause_stops_the_guest),
        TEST(test_acpi_button_powers_off),
        TEST(test_poweroff_by_the_guest_is_noticed),
        TEST(test_kill_ends_it),
        TEST(test_killed_qemu_is_a_crash),
        TEST(test_panic_by_the_panic_device),
        TEST(test_panic_without_the_panic_device),
        TEST(test_restart_by_the_guest_is_no_crash),
        TEST(test_hard_reset),
        TEST(test_taken_port),
        TEST(test_kernel_that_is_none),
        TEST(test_accel_that_is_not_there),
        TEST(test_start_can_be_cancelled),
        TEST(test_one_process_for_one_lock),
        TEST(test_killed_parent_takes_its_vm_along),
        TEST(test_leave_running),
#ifdef __linux__
        TEST(test_full_disk_of_the_host),
#endif
    };
    return guest_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
