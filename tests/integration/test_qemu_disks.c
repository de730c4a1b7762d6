/* Disks beside the image's own, as a real guest sees them. */
#include "guest.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vmtest/log.h"

#define MIB ((uint64_t)1 << 20)

/* The block device with this serial number: sets $d in the guest. */
#define FIND(serial)                                                                               \
    "d=; for b in /sys/block/*; do "                                                               \
    "s=$(cat $b/serial $b/device/serial 2>/dev/null | head -n 1 | tr -d ' '); "                    \
    "[ \"$s\" = " serial " ] && d=/dev/${b##*/}; done; [ -n \"$d\" ] || exit 99; "

static char *file_of(struct guest *g, const char *name, uint64_t size, const char *head)
{
    char *path = vt_path_join(g->root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(pwrite(fd, head, strlen(head), 0), (ssize_t)strlen(head));
    close(fd);
    return path;
}

static void expect_head(const char *path, const char *head)
{
    char found[64] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, found, strlen(head), 0), (ssize_t)strlen(head));
    close(fd);
    assert_string_equal(found, head);
}

static uint64_t bytes_on_disk(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void expect(struct guest *g, const char *command, int status)
{
    int got = guest_exec(g, command);
    if (got != status)
        fail_msg("%s: status %d; %s%s", command, got, g->out, g->error.message);
}

static uint64_t new_size;
static const char *disk_name;

static struct vt_op *resize(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_resize_disk(vm, disk_name, new_size, done, user, err);
}

static void expect_resize(struct guest *g, const char *name, uint64_t size, enum vt_code code)
{
    struct vt_error err = VT_ERROR_INIT;
    disk_name = name;
    new_size = size;
    guest_call(g, resize, &err);
    if (err.code != code)
        fail_msg("resize %s: %s", name, err.code ? err.message : "succeeded");
}

static void test_disks_of_a_guest(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    char *raw = file_of(&g, "private, by path", 8 * MIB, "private");
    char *direct = file_of(&g, "direct", 8 * MIB, "direct");
    char *locked = file_of(&g, "locked", 8 * MIB, "locked");
    const struct vt_disk disks[] = {
        {.name = "empty", .size = 64 * MIB},
        {.name = "fast", .bus = VT_DISK_NVME, .size = 16 * MIB},
        {.name = "private", .path = raw},
        {.name = "direct", .path = direct, .direct = true},
        {.name = "locked", .path = locked, .read_only = true},
    };
    g.config.disks = disks;
    g.config.disk_count = sizeof disks / sizeof *disks;
    guest_new(&g);
    guest_start_ready(&g);
    expect(&g, FIND("private") "head -c 7 $d; echo changed | dd of=$d conv=fsync 2>/dev/null", 0);
    assert_string_equal(g.out, "private");
    expect(&g, FIND("private") "head -c 7 $d", 0);
    assert_string_equal(g.out, "changed");
    expect_head(raw, "private");
    expect(&g, FIND("direct") "echo changed | dd of=$d conv=fsync 2>/dev/null", 0);
    expect_head(direct, "changed");
    expect(&g, FIND("locked") "head -c 6 $d && ! echo x | dd of=$d conv=fsync 2>/dev/null", 0);
    assert_string_equal(g.out, "locked");
    expect_head(locked, "locked");
    expect(&g, FIND("fast") "echo $d; echo hello | dd of=$d conv=fsync 2>/dev/null; head -c 5 $d",
           0);
    assert_string_equal(g.out, "/dev/nvme0n1\nhello");
    /* sparse, and again after a discard */
    char *file = vt_path_join(g.scratch_dir, "d-empty-1.qcow2");
    assert_true(bytes_on_disk(file) < MIB);
    expect(&g, FIND("empty") "dd if=/dev/urandom of=$d bs=1M count=16 conv=fsync 2>/dev/null", 0);
    assert_true(bytes_on_disk(file) >= 16 * MIB);
    expect(&g, FIND("empty") "blkdiscard $d", 0);
    assert_true(bytes_on_disk(file) < MIB);
    expect(&g, FIND("empty") "dd if=/dev/zero of=$d bs=1M count=16 conv=fsync 2>/dev/null", 0);
    assert_true(bytes_on_disk(file) < MIB);
    /* larger while it runs */
    expect_resize(&g, "empty", 96 * MIB, VT_OK);
    expect(&g,
           FIND("empty") "for i in $(seq 50); do "
                         "[ $(blockdev --getsize64 $d) = 100663296 ] && exit; sleep 0.1; done; "
                         "exit 1",
           0);
    expect_resize(&g, "private", 16 * MIB, VT_OK);
    expect_resize(&g, "empty", 32 * MIB, VT_EINVAL);
    expect_resize(&g, "nothing", 32 * MIB, VT_ENOTFOUND);
    expect_resize(&g, "disk0", 32 * MIB, VT_ENOTFOUND); /* the image has no disk */
    expect_resize(&g, "locked", 32 * MIB, VT_EINVAL);
    expect_resize(&g, "fast", 32 * MIB, VT_EUNSUPPORTED);
    vt_vm_free(g.vm, false);
    g.vm = NULL;
    assert_false(vt_is_file(file));
    vt_free(file);
    vt_free(raw);
    vt_free(direct);
    vt_free(locked);
    guest_free(&g);
}

static void test_own_disk_grows(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small-disk");
    guest_new(&g);
    guest_start_ready(&g);
    expect_resize(&g, "disk0", 4096 * MIB, VT_OK);
    expect(&g,
           "for i in $(seq 50); do [ $(blockdev --getsize64 /dev/vda) = 4294967296 ] && exit; "
           "sleep 0.1; done; exit 1",
           0);
    guest_free(&g);
}

static void test_missing_file(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, "sleep 1000", 0);
    const struct vt_disk disk = {.name = "data", .path = "/nonexistent/disk.raw"};
    g.config.disks = &disk;
    g.config.disk_count = 1;
    guest_new(&g);
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(guest_start(&g, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.message, "\"data\""));
    assert_non_null(strstr(err.message, "/nonexistent/disk.raw"));
    guest_free(&g);
}

/* --- NBD --- */

static void await_file(const char *path)
{
    struct stat st;
    for (double end = vt_monotonic() + 60; stat(path, &st);) {
        if (vt_monotonic() > end)
            fail_msg("there is no %s", path);
        usleep(10000);
    }
}

static pid_t serve(const char *const *argv, const char *socket)
{
    union {
        const char *const *from;
        char **to;
    } u = {.from = argv};
    char *program = vt_find_program(argv[0]);
    if (!program)
        guest_skip(argv[0]);
    vt_free(program);
    pid_t pid = fork();
    if (pid == 0) {
        execvp(u.to[0], u.to);
        _exit(127);
    }
    await_file(socket);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static unsigned warnings;
static char warning[512];

static void on_log(enum vt_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == VT_LOG_WARNING) {
        warnings++;
        snprintf(warning, sizeof warning, "%s", text);
    }
}

static void test_nbd(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    char *file = file_of(&g, "served", 8 * MIB, "served");
    char *a = vt_path_join(g.root, "a.sock"), *b = vt_path_join(g.root, "b.sock");
    char urls[2][300];
    snprintf(urls[0], sizeof urls[0], "nbd+unix:///export?socket=%s", a);
    snprintf(urls[1], sizeof urls[1], "nbd+unix:///?socket=%s", b);
    const struct vt_disk disks[] = {
        {.name = "qemu", .url = urls[0]},
        {.name = "nbdkit", .url = urls[1], .direct = true},
    };
    g.config.disks = disks;
    g.config.disk_count = 2;
    guest_new(&g);
    /* nobody there: said before anything starts */
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(guest_start(&g, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.message, "\"qemu\""));
    assert_non_null(strstr(err.message, urls[0]));
    const char *const first[] = {"qemu-nbd", "-f", "raw", "-t", "-r", "-x",
                                 "export",   "-k", a,     file, NULL};
    const char *const second[] = {"nbdkit", "-f", "-U", b, "memory", "8M", NULL};
    pid_t servers[] = {serve(first, a), serve(second, b)};
    guest_start_ready(&g);
    expect(&g,
           FIND("qemu") "head -c 6 $d; echo changed | dd of=$d conv=fsync 2>/dev/null; "
                        "head -c 7 $d",
           0);
    assert_string_equal(g.out, "servedchanged");
    expect_head(file, "served"); /* the VM writes into its overlay */
    expect(&g, FIND("nbdkit") "echo stored | dd of=$d conv=fsync 2>/dev/null && head -c 6 $d", 0);
    assert_string_equal(g.out, "stored");
    /* one goes away: the guest gets errors, the VM goes on, a line tells */
    vt_log_set_sink(on_log, NULL);
    warnings = 0;
    end(servers[1]);
    expect(&g, FIND("nbdkit") "! dd if=$d of=/dev/null bs=4k count=1 skip=100 2>/dev/null", 0);
    expect(&g, FIND("nbdkit") "! echo x | dd of=$d conv=fsync 2>/dev/null", 0);
    assert_int_equal(vt_vm_state(g.vm), VT_VM_RUNNING);
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(warning, urls[1]));
    vt_log_set_sink(NULL, NULL);
    expect(&g, FIND("qemu") "head -c 7 $d", 0);
    end(servers[0]);
    vt_free(file);
    vt_free(a);
    vt_free(b);
    guest_free(&g);
}

int main(int argc, char **argv)
{
    static const struct guest_test tests[] = {
#define TEST(name) {#name, name}
        TEST(test_disks_of_a_guest),
        TEST(test_own_disk_grows),
        TEST(test_missing_file),
        TEST(test_nbd),
    };
    return guest_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
