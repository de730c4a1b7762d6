/* Snapshots of real VMs: what a restored guest is, and what is left of the time in between. */
#include "guest.h"

#include <math.h>
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

static const char *wanted_name; /* of the next restore */
static char made[1300];         /* the folder of the last snapshot */

static void on_made(struct vt_op *op, void *user)
{
    bool *over = user;
    *over = true;
    const struct vt_error *why = vt_op_error(op);
    snprintf(made, sizeof made, "%s", why ? why->message : (const char *)vt_op_result(op));
}

static enum vt_code take_or_fail(struct guest *g, const char *name, const char *dir)
{
    const struct vt_snapshot_opts opts = {.name = name, .dir = dir, .timeout = 120};
    struct vt_error err = VT_ERROR_INIT;
    bool over = false;
    struct vt_op *op = vt_vm_snapshot(g->vm, &opts, on_made, &over, &err);
    if (!op)
        snprintf(made, sizeof made, "%s", err.message);
    while (op && !over)
        vt_loop_run_once(g->loop, true);
    return op && made[0] == '/' ? VT_OK : VT_EIO;
}

static void take(struct guest *g, const char *name, const char *dir)
{
    if (take_or_fail(g, name, dir))
        fail_msg("snapshot %s: %s", name, made);
}

static struct vt_op *restore_op(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_restore(vm, wanted_name, 120, done, user, err);
}

static enum vt_code restore(struct guest *g, const char *name, struct vt_error *err)
{
    wanted_name = name;
    return guest_call(g, restore_op, err);
}

static void go_back(struct guest *g, const char *name)
{
    struct vt_error err = VT_ERROR_INIT;
    if (restore(g, name, &err))
        fail_msg("restore %s: %s (%s)", name, err.message, err.hint);
}

static void boot(struct guest *g, const char *image)
{
    guest_init(g, image);
    guest_new(g);
    guest_start_ready(g);
}

static void expect(struct guest *g, const char *line, int status, const char *out)
{
    int got = guest_exec(g, line);
    if (got != status || (out && strcmp(g->out, out) != 0))
        fail_msg("%s: %d, \"%s\" (%s)", line, got, g->out, g->error.message);
}

static void expect_clock_right(struct guest *g)
{
    double before = vt_wall();
    assert_int_equal(guest_exec(g, "date -u +%s"), 0);
    double guest = atof(g->out), after = vt_wall();
    if (guest < before - 2.1 || guest > after + 1.1)
        fail_msg("the guest's clock says %.0f from %.1f to %.1f", guest, before, after);
}

static void test_every_write_is_gone(void **state)
{
    (void)state;
    struct guest g;
    boot(&g, "small");
    expect(&g, "mkdir /srv; echo one > /srv/f; (sleep 1000 & echo $! > /pid)", 0, "");
    take(&g, "clean", NULL);
    expect(&g, "cat /srv/f && kill -0 $(cat /pid)", 0, "one\n"); /* it goes on */
    long before = guest_pid(&g);
    for (int i = 0; i < 2; i++) {
        expect(&g,
               "echo two > /srv/f; touch /new /tmp/new /etc/new; kill $(cat /pid); "
               "ip link set dev lo down; hostname other; mkdir /a && mount -t tmpfs t /a",
               0, "");
        guest_run(&g, 2.5); /* time passes that the guest must not miss afterwards */
        go_back(&g, "clean");
        assert_int_equal(vt_vm_state(g.vm), VT_VM_RUNNING);
        expect_clock_right(&g);
        expect(&g, "cat /srv/f; hostname; ls /new /tmp/new /etc/new /a 2>/dev/null", 1,
               "one\nsmall\n");
        expect(&g, "kill -0 $(cat /pid); cat /sys/class/net/lo/flags", 0, "0x9\n");
    }
    assert_true(guest_pid(&g) != before);
    assert_true(kill((pid_t)before, 0) != 0);
    guest_free(&g);
}

static void test_tree_over_disks(void **state)
{
    (void)state;
    struct guest g;
    boot(&g, "small-disk");
    const char *read = "dd if=/dev/vda bs=1 skip=32768 count=4 2>/dev/null";
    expect(&g, "printf base | dd bs=512 seek=64 of=/dev/vda conv=notrunc,fsync 2>/dev/null; sync",
           0, "");
    take(&g, "base", NULL);
    expect(&g, "printf left | dd bs=512 seek=64 of=/dev/vda conv=notrunc,fsync 2>/dev/null; sync",
           0, "");
    take(&g, "left", NULL);
    go_back(&g, "base");
    expect(&g, read, 0, "base");
    expect(&g, "printf righ | dd bs=512 seek=64 of=/dev/vda conv=notrunc,fsync 2>/dev/null; sync",
           0, "");
    take(&g, "right", NULL); /* of a VM that runs on a snapshot's memory */
    expect(&g, read, 0, "righ");
    go_back(&g, "left");
    expect(&g, "echo 3 > /proc/sys/vm/drop_caches", 0, NULL); /* from the disk, not from memory */
    expect(&g, read, 0, "left");
    assert_int_equal(vt_snapshot_remove(made, NULL), VT_OK); /* right */
    go_back(&g, "base");
    expect(&g, "echo 3 > /proc/sys/vm/drop_caches", 0, NULL);
    expect(&g, read, 0, "base");
    guest_free(&g);
}

static void test_snapshot_of_a_restored_vm(void **state)
{
    (void)state;
    struct guest g;
    boot(&g, "small");
    take(&g, "first", NULL);
    go_back(&g, "first");
    expect(&g, "echo second > /f", 0, "");
    take(&g, "second", NULL);
    expect(&g, "echo after >> /f; cat /f", 0, "second\nafter\n"); /* it goes on */
    go_back(&g, "second");
    expect(&g, "cat /f", 0, "second\n");
    expect(&g, "echo third > /f", 0, "");
    take(&g, "third", NULL);
    go_back(&g, "first");
    expect(&g, "test -e /f", 1, "");
    go_back(&g, "third");
    expect(&g, "cat /f", 0, "third\n");
    guest_free(&g);
}

static struct vt_op *pause_vm(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_pause(vm, done, user, err);
}

static struct vt_op *resume_vm(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_resume(vm, done, user, err);
}

static struct vt_op *kill_vm(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_kill(vm, done, user, err);
}

static void test_paused(void **state)
{
    (void)state;
    struct guest g;
    struct vt_error err = VT_ERROR_INIT;
    boot(&g, "small");
    expect(&g, "echo held > /f", 0, "");
    assert_int_equal(guest_call(&g, pause_vm, &err), VT_OK);
    take(&g, "one", NULL);
    take(&g, "two", NULL); /* QEMU saves no second time by itself before the guest ran */
    assert_int_equal(vt_vm_state(g.vm), VT_VM_PAUSED);
    go_back(&g, "two");
    assert_int_equal(vt_vm_state(g.vm), VT_VM_PAUSED);
    guest_run(&g, 2.5);
    if (guest_call(&g, resume_vm, &err))
        fail_msg("resume: %s", err.message);
    expect_clock_right(&g);
    expect(&g, "cat /f", 0, "held\n");
    guest_free(&g);
}

static void test_stopped(void **state)
{
    (void)state;
    struct guest g;
    struct vt_error err = VT_ERROR_INIT;
    const char *read = "dd if=/dev/vda bs=1 skip=32768 count=4 2>/dev/null";
    boot(&g, "small-disk");
    expect(&g, "printf kept | dd bs=512 seek=64 of=/dev/vda conv=notrunc,fsync 2>/dev/null; sync",
           0, "");
    assert_int_equal(guest_call(&g, kill_vm, &err), VT_OK);
    take(&g, "off", NULL);
    struct vt_snapshot *list;
    size_t n;
    assert_int_equal(vt_vm_snapshots(g.vm, NULL, &list, &n, NULL), VT_OK);
    assert_int_equal(n, 1);
    assert_false(list[0].memory);
    vt_snapshots_free(list, n);
    guest_start_ready(&g);
    expect(&g, "printf lost | dd bs=512 seek=64 of=/dev/vda conv=notrunc,fsync 2>/dev/null; sync",
           0, "");
    go_back(&g, "off"); /* ends what runs */
    assert_int_equal(vt_vm_state(g.vm), VT_VM_STOPPED);
    guest_start_ready(&g);
    expect(&g, read, 0, "kept");
    guest_free(&g);
}

static void random_bytes(struct guest *g, char out[40])
{
    assert_int_equal(guest_exec(g, "head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n'"), 0);
    assert_int_equal(strlen(g->out), 32);
    snprintf(out, 40, "%.32s", g->out);
}

static void test_clones_have_their_own_random_pool(void **state)
{
    (void)state;
    struct guest g, clone;
    char seen[4][40];
    boot(&g, "small");
    take(&g, "clean", NULL);
    char *path = vt_strdup(made);
    go_back(&g, "clean");
    random_bytes(&g, seen[0]);
    go_back(&g, "clean");
    random_bytes(&g, seen[1]);
    guest_init(&clone, "small");
    clone.config.name = "clone";
    guest_new(&clone);
    go_back(&clone, path);
    random_bytes(&clone, seen[2]);
    expect(&clone, "echo mine > /who", 0, "");
    go_back(&g, "clean");
    random_bytes(&g, seen[3]);
    expect(&g, "test -e /who", 1, "");
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(seen[i], seen[k]);
    vt_free(path);
    guest_free(&clone);
    guest_free(&g);
}

static void test_extra_disks(void **state)
{
    (void)state;
    struct guest g;
    const struct vt_disk disk = {.name = "data", .size = (uint64_t)16 << 20};
    const char *read = "echo 3 > /proc/sys/vm/drop_caches; head -c 4 /dev/vda";
    guest_init(&g, "small");
    g.config.disks = &disk;
    g.config.disk_count = 1;
    guest_new(&g);
    guest_start_ready(&g);
    expect(&g, "printf one- | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null", 0, "");
    take(&g, "one", NULL);
    expect(&g, "printf two- | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null", 0, "");
    go_back(&g, "one");
    expect(&g, read, 0, "one-");
    expect(&g, "printf 3333 | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null", 0, "");
    take(&g, "three", NULL); /* through the converter */
    go_back(&g, "one");
    expect(&g, read, 0, "one-");
    go_back(&g, "three");
    expect(&g, read, 0, "3333");
    guest_free(&g);
}

static void test_disk_written_in_place(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    char *path = vt_path_join(g.root, "own.raw");
    assert_int_equal(vt_write_file(path, "x", 1, 0600, NULL), VT_OK);
    assert_int_equal(truncate(path, 1 << 20), 0);
    const struct vt_disk disk = {.name = "own", .path = path, .direct = true};
    g.config.disks = &disk;
    g.config.disk_count = 1;
    guest_new(&g);
    guest_start_ready(&g);
    assert_int_not_equal(take_or_fail(&g, "s", NULL), VT_OK);
    assert_non_null(strstr(made, "own"));
    expect(&g, "echo on", 0, "on\n");
    vt_free(path);
    guest_free(&g);
}

/* In a process of its own, which is killed; its snapshot outlives it. */
static void make_and_die(const char *kept)
{
    struct guest g;
    boot(&g, "small-disk");
    guest_exec(&g, "echo other > /who; printf disk | dd bs=512 seek=64 of=/dev/vda 2>/dev/null");
    guest_exec(&g, "sync");
    if (take_or_fail(&g, "kept", kept))
        _exit(1);
    const struct vt_snapshot_opts opts = {.name = "half", .dir = kept};
    bool over = false;
    vt_vm_snapshot(g.vm, &opts, on_made, &over, NULL);
    vt_loop_run_once(g.loop, false);
    kill(getpid(), SIGKILL);
}

static void test_later_process_after_a_crash(void **state)
{
    (void)state;
    struct guest g;
    int status = 0;
    guest_init(&g, "small-disk");
    char *kept = vt_path_join(g.root, "kept");
    assert_int_equal(vt_mkdirs(kept, NULL), VT_OK);
    pid_t child = fork();
    if (child == 0) {
        make_and_die(kept);
        _exit(2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    struct vt_snapshot *list;
    size_t n;
    assert_int_equal(vt_vm_snapshots(NULL, kept, &list, &n, NULL), VT_OK);
    assert_int_equal(n, 1); /* no half one */
    assert_string_equal(list[0].name, "kept");
    assert_true(list[0].memory);
    guest_new(&g);
    go_back(&g, list[0].dir);
    expect_clock_right(&g);
    expect(&g, "cat /who; dd if=/dev/vda bs=1 skip=32768 count=4 2>/dev/null", 0, "other\ndisk");
    take(&g, "next", kept); /* sweeps what the dead one left */
    char *command = NULL;
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "test \"$(ls -A '%s' | tr '\\n' ' ')\" = 'kept next '", kept);
    command = vt_buf_steal(&line);
    assert_int_equal(system(command), 0);
    vt_free(command);
    vt_snapshots_free(list, n);
    vt_free(kept);
    guest_free(&g);
}

static void edit(const char *path, const char *key, json_t *value)
{
    char *file = vt_path_join(path, "snapshot.json");
    json_t *facts = NULL;
    assert_int_equal(vt_json_load(file, &facts, NULL), VT_OK);
    json_object_set_new(json_object_get(facts, "qemu"), key, value);
    assert_int_equal(vt_json_save(file, facts, 0600, NULL), VT_OK);
    json_decref(facts);
    vt_free(file);
}

static void expect_refused(struct guest *g, const char *name, enum vt_code code, const char *text)
{
    struct vt_error err = VT_ERROR_INIT;
    long pid = guest_pid(g);
    assert_int_equal(restore(g, name, &err), code);
    if (!strstr(err.message, text))
        fail_msg("\"%s\" is not in: %s", text, err.message);
    assert_int_equal(guest_pid(g), pid); /* nothing was touched */
    assert_int_equal(vt_vm_state(g->vm), VT_VM_RUNNING);
}

static void test_refusals(void **state)
{
    (void)state;
    struct guest g, other;
    struct stat st;
    boot(&g, "small");
    take(&g, "s", NULL);
    char *path = vt_strdup(made), *memory = vt_path_join(path, "memory");
    assert_int_not_equal(take_or_fail(&g, "s", NULL), VT_OK);
    assert_non_null(strstr(made, "already"));
    guest_init(&other, "small");
    other.config.memory = (uint64_t)512 << 20;
    guest_new(&other);
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_vm_restore_check(other.vm, path, &err), VT_ESTATE);
    assert_non_null(strstr(err.message, "\"memory\""));
    guest_free(&other);
    edit(path, "accel", json_string("kvm"));
    expect_refused(&g, "s", VT_ESTATE, "kvm");
    edit(path, "accel", json_string("tcg"));
    edit(path, "program", json_null());
    expect_refused(&g, "s", VT_ESTATE, "QEMU is another");
    assert_int_equal(stat(memory, &st), 0);
    assert_int_equal(truncate(memory, st.st_size - 4096), 0);
    expect_refused(&g, "s", VT_ENOTFOUND, "not whole");
    assert_int_equal(unlink(memory), 0);
    expect_refused(&g, "s", VT_ENOTFOUND, "missing");
    expect(&g, "echo on", 0, "on\n");
    vt_free(memory);
    vt_free(path);
    guest_free(&g);
}

int main(int argc, char **argv)
{
    static const struct guest_test tests[] = {
#define TEST(name) {#name, name}
        TEST(test_every_write_is_gone),
        TEST(test_tree_over_disks),
        TEST(test_snapshot_of_a_restored_vm),
        TEST(test_paused),
        TEST(test_stopped),
        TEST(test_clones_have_their_own_random_pool),
        TEST(test_later_process_after_a_crash),
        TEST(test_refusals),
        TEST(test_extra_disks),
        TEST(test_disk_written_in_place),
    };
    return guest_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
