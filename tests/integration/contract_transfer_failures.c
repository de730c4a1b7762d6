/* The contract of transfers that fail, are cancelled or meet others: what is left of them. */
#include "transfer_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"

static void test_what_cannot_be(void **state)
{
    struct rig *r = *state;
    struct outcome o;
    char local[300];
    snprintf(local, sizeof local, "%s/x", r->dir);
    o = transfer_now(
        r->loop, r->ch,
        &(struct vt_transfer_opts){
            .direction = VT_GET, .remote = "/no/such/file", .local = local, .timeout = 60});
    assert_int_equal(o.code, VT_ENOTFOUND);
    assert_non_null(strstr(o.error.message, "/no/such/file"));
    o = transfer_now(r->loop, r->ch,
                     &(struct vt_transfer_opts){.direction = VT_PUT,
                                                .remote = "/no/such/folder/file",
                                                .data = "x",
                                                .size = 1,
                                                .timeout = 60});
    assert_int_equal(o.code, VT_ENOTFOUND);
    assert_non_null(strstr(o.error.message, "/no/such/folder/file"));
    o = transfer_now(
        r->loop, r->ch,
        &(struct vt_transfer_opts){
            .direction = VT_PUT, .remote = "/tmp/x", .local = "/no/such/local", .timeout = 60});
    assert_int_equal(o.code, VT_ENOTFOUND);
    assert_non_null(strstr(o.error.message, "/no/such/local"));
    o = transfer_now(r->loop, r->ch,
                     &(struct vt_transfer_opts){.direction = VT_GET,
                                                .remote = "/etc/passwd",
                                                .local = "/no/such/folder/x",
                                                .timeout = 60});
    assert_int_equal(o.code, VT_ENOTFOUND);
    o = transfer_now(
        r->loop, r->ch,
        &(struct vt_transfer_opts){.direction = VT_GET, .remote = "/etc", .timeout = 60});
    assert_int_equal(o.code, VT_EINVAL);
    o = transfer_now(
        r->loop, r->ch,
        &(struct vt_transfer_opts){.direction = VT_GET, .remote = "/dev/null", .timeout = 60});
    assert_int_equal(o.code, VT_EINVAL);
    /* onto a folder */
    o = transfer_now(
        r->loop, r->ch,
        &(struct vt_transfer_opts){
            .direction = VT_PUT, .remote = r->dir, .data = "x", .size = 1, .timeout = 60});
    assert_int_equal(o.code, VT_EIO);
    /* arguments */
    o = transfer_now(r->loop, r->ch,
                     &(struct vt_transfer_opts){.direction = VT_GET, .timeout = 60});
    assert_int_equal(o.code, VT_EINVAL);
    o = transfer_now(r->loop, r->ch,
                     &(struct vt_transfer_opts){.direction = VT_GET, .remote = "/etc/passwd"});
    assert_int_equal(o.code, VT_EINVAL);
    assert_true(r->ch->cls->connected(r->ch));
    o = transfer_now(
        r->loop, r->ch,
        &(struct vt_transfer_opts){.direction = VT_GET, .remote = "/etc/passwd", .timeout = 60});
    assert_int_equal(o.code, VT_OK);
    outcome_free(&o);
}

static void test_permission_denied(void **state)
{
    struct rig *r = *state;
    /* refused even to root: an immutable kind of file */
    struct outcome o = transfer_now(
        r->loop, r->ch,
        &(struct vt_transfer_opts){
            .direction = VT_PUT, .remote = "/proc/version", .data = "x", .size = 1, .timeout = 60});
    assert_int_equal(o.code, VT_EIO);
    assert_non_null(strstr(o.error.message, "/proc/version"));
    if (!getuid())
        return;
    o = transfer_now(
        r->loop, r->ch,
        &(struct vt_transfer_opts){
            .direction = VT_PUT, .remote = "/etc/vmtest-x", .data = "x", .size = 1, .timeout = 60});
    assert_int_equal(o.code, VT_EIO);
    assert_non_null(strstr(o.error.message, "permission denied"));
}

/* Two changes to what the guest holds, found by verification alone. */
static void test_verify_finds_a_difference(void **state)
{
    struct rig *r = *state;
    struct stat null_before, null_after;
    assert_int_equal(stat("/dev/null", &null_before), 0);
    struct outcome o = transfer_now(r->loop, r->ch,
                                    &(struct vt_transfer_opts){.direction = VT_PUT,
                                                               .remote = "/dev/null",
                                                               .mode = 0600,
                                                               .data = "lost",
                                                               .size = 4,
                                                               .verify = true,
                                                               .timeout = 60});
    assert_int_equal(stat("/dev/null", &null_after), 0);
    if (null_after.st_mode != null_before.st_mode)
        chmod("/dev/null", null_before.st_mode & 07777); /* whatever this test finds */
    assert_int_equal(o.code, VT_EIO);
    assert_non_null(strstr(o.error.message, "/dev/null in the guest differs"));
    /* a device keeps its mode */
    assert_int_equal(null_after.st_mode, null_before.st_mode);
    char local[300];
    snprintf(local, sizeof local, "%s/changing", r->dir);
    int before = entries(r->dir);
    o = transfer_now(r->loop, r->ch, /* another content each time it is read */
                     &(struct vt_transfer_opts){.direction = VT_GET,
                                                .remote = "/proc/sys/kernel/random/uuid",
                                                .local = local,
                                                .verify = true,
                                                .timeout = 60});
    assert_int_equal(o.code, VT_EIO);
    assert_int_equal(access(local, F_OK), -1); /* never appears */
    assert_int_equal(entries(r->dir), before);
}

static bool small_disk(const char *path)
{
    if (getuid() || mkdir(path, 0755))
        return false;
    return mount("none", path, "tmpfs", 0, "size=1m") == 0;
}

static void test_full_disks(void **state)
{
    struct rig *r = *state;
    enum { size = 4 << 20 };
    char disk[300], file[320], source[300];
    snprintf(disk, sizeof disk, "%s/disk", r->dir);
    snprintf(file, sizeof file, "%s/file", disk);
    snprintf(source, sizeof source, "%s/source", r->dir);
    if (!small_disk(disk)) {
        rmdir(disk);
        print_message("no small file system can be mounted\n");
        skip();
    }
    char *data = pattern(size);
    write_local(source, data, size, 0644);
    struct outcome put = {.calls = 0};
    if (!r->own_mounts) {
        put = transfer_now(
            r->loop, r->ch,
            &(struct vt_transfer_opts){
                .direction = VT_PUT, .remote = file, .data = data, .size = size, .timeout = 60});
        unlink(file);
    }
    struct outcome get =
        transfer_now(r->loop, r->ch,
                     &(struct vt_transfer_opts){
                         .direction = VT_GET, .remote = source, .local = file, .timeout = 60});
    int left = entries(disk);
    umount(disk);
    rmdir(disk);
    vt_free(data);
    if (!r->own_mounts) {
        assert_int_equal(put.code, VT_ENOSPC);
        assert_non_null(strstr(put.error.message, file));
        assert_non_null(strstr(put.error.message, "full"));
    }
    assert_int_equal(get.code, VT_ENOSPC);
    assert_non_null(strstr(get.error.message, disk));
    assert_int_equal(left, 0);
    unlink(source);
}

static void test_cancel_in_the_middle(void **state)
{
    struct rig *r = *state;
    enum { size = 32 << 20 };
    char *data = pattern(size), remote[300], local[300];
    snprintf(remote, sizeof remote, "%s/c", r->dir);
    snprintf(local, sizeof local, "%s/c-local", r->dir);
    write_local(remote, data, size, 0644);
    for (int round = 0; round < 2; round++) {
        struct progress seen = {0, 0, 0};
        struct outcome o = {.calls = 0}, other = {.calls = 0};
        int before = entries(r->dir);
        struct vt_transfer_opts opts = {.direction = VT_GET,
                                        .remote = remote,
                                        .local = local,
                                        .timeout = 60,
                                        .on_progress = on_progress,
                                        .progress_user = &seen};
        if (round) {
            opts.direction = VT_PUT;
            opts.remote = "/dev/null";
            opts.local = remote;
        }
        struct vt_op *op = r->ch->cls->transfer(r->ch, &opts, on_transfer, &o, NULL);
        assert_non_null(op);
        assert_non_null(r->ch->cls->exec(
            r->ch,
            &(struct vt_exec_opts){
                .command = "head -c 9000000 /dev/zero", .timeout = 60, .output_limit = 9000000},
            on_exec, &other, NULL));
        while (seen.last < size / 10)
            vt_loop_run_once(r->loop, true);
        vt_op_cancel(op);
        run_until(r->loop, &o.calls, 1);
        assert_int_equal(o.code, VT_ECANCELED);
        run_until(r->loop, &other.calls, 1);
        assert_int_equal(other.code, VT_OK);
        assert_int_equal(other.out_size, 9000000);
        outcome_free(&other);
        assert_int_equal(entries(r->dir), before);
        assert_int_equal(access(local, F_OK), -1);
    }
    struct outcome o =
        transfer_ok(r, &(struct vt_transfer_opts){
                           .direction = VT_GET, .remote = remote, .local = local, .timeout = 60});
    assert_int_equal(o.transfer.bytes, size);
    assert_file(local, data, size, 0644);
    unlink(local);
    unlink(remote);
    vt_free(data);
}

struct watched {
    const char *local;
    off_t size; /* of what stands there before; -1: nothing */
    int calls, wrong;
};

static void on_watched(uint64_t done, uint64_t total, const char *file, void *user)
{
    struct watched *w = user;
    struct stat st;
    (void)done;
    (void)total;
    (void)file;
    w->wrong += (stat(w->local, &st) ? -1 : st.st_size) != w->size;
    w->calls++;
}

/* What is got appears at its place whole, or not at all. */
static void test_get_appears_whole(void **state)
{
    struct rig *r = *state;
    enum { size = 4 << 20 };
    char *data = pattern(size), remote[300], local[300];
    snprintf(remote, sizeof remote, "%s/whole", r->dir);
    snprintf(local, sizeof local, "%s/whole-local", r->dir);
    write_local(remote, data, size, 0644);
    write_local(local, "old", 3, 0600);
    struct watched seen = {.local = local, .size = 3};
    struct vt_transfer_opts opts = {.direction = VT_GET,
                                    .remote = remote,
                                    .local = local,
                                    .timeout = 60,
                                    .on_progress = on_watched,
                                    .progress_user = &seen};
    struct outcome o = {.calls = 0};
    struct vt_op *op = r->ch->cls->transfer(r->ch, &opts, on_transfer, &o, NULL);
    assert_non_null(op);
    while (!seen.calls)
        vt_loop_run_once(r->loop, true);
    vt_op_cancel(op);
    run_until(r->loop, &o.calls, 1);
    assert_int_equal(o.code, VT_ECANCELED);
    assert_file(local, "old", 3, 0600);
    transfer_ok(r, &opts);
    assert_int_equal(seen.wrong, 0);
    assert_file(local, data, size, 0644);
    assert_int_equal(unlink(local) | unlink(remote), 0);
    /* a folder */
    char file[320];
    snprintf(file, sizeof file, "%s/file", remote);
    assert_int_equal(mkdir(remote, 0755), 0);
    write_local(file, data, size, 0644);
    seen = (struct watched){.local = local, .size = -1};
    transfer_ok(r, &opts);
    assert_true(seen.calls > 0);
    assert_int_equal(seen.wrong, 0);
    snprintf(file, sizeof file, "%s/file", local);
    assert_file(file, data, size, 0644);
    assert_int_equal(vt_remove_tree(remote, NULL), VT_OK);
    assert_int_equal(vt_remove_tree(local, NULL), VT_OK);
    vt_free(data);
}

/* A server that hangs in one session, where it does (it opens a fifo that nobody reads). */
static void test_timeout(void **state)
{
    struct rig *r = *state;
    char fifo[300];
    snprintf(fifo, sizeof fifo, "%s/hangs", r->dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    struct outcome o = transfer_now(
        r->loop, r->ch,
        &(struct vt_transfer_opts){
            .direction = VT_PUT, .remote = fifo, .data = "x", .size = 1, .timeout = 0.7});
    assert_int_equal(o.code, r->fifo_fails ? VT_EIO : VT_ETIMEDOUT);
    assert_non_null(strstr(o.error.message, fifo));
    o = transfer_ok(
        r, &(struct vt_transfer_opts){.direction = VT_GET, .remote = "/etc/passwd", .timeout = 60});
    outcome_free(&o);
    int reader = open(fifo, O_RDONLY | O_NONBLOCK); /* let it go on and end */
    o = sh(r->loop, r->ch, "echo goes on");
    outcome_free(&o);
    close(reader);
    unlink(fifo);
}

static void test_transfers_and_commands_at_once(void **state)
{
    struct rig *r = *state;
    enum { transfers = 4, commands = 20, size = 8 << 20, text = 300000 };
    struct outcome t[transfers], c[commands];
    char *data = pattern(size), remote[transfers][300];
    memset(t, 0, sizeof t);
    memset(c, 0, sizeof c);
    for (int i = 0; i < commands; i++)
        assert_non_null(r->ch->cls->exec(
            r->ch,
            &(struct vt_exec_opts){
                .command = "cat", .input = data, .input_size = text, .timeout = 300},
            on_exec, &c[i], NULL));
    for (int i = 0; i < transfers; i++) {
        snprintf(remote[i], sizeof remote[i], "%s/at-once-%d", r->dir, i);
        assert_non_null(r->ch->cls->transfer(r->ch,
                                             &(struct vt_transfer_opts){.direction = VT_PUT,
                                                                        .remote = remote[i],
                                                                        .data = data,
                                                                        .size = size - (size_t)i,
                                                                        .verify = true,
                                                                        .timeout = 300},
                                             on_transfer, &t[i], NULL));
    }
    for (int i = 0; i < commands; i++) {
        run_until(r->loop, &c[i].calls, 1);
        if (c[i].code)
            print_error("%s\n", c[i].error.message);
        assert_int_equal(c[i].code, VT_OK);
        assert_int_equal(c[i].out_size, text);
        assert_memory_equal(c[i].out, data, text);
        outcome_free(&c[i]);
    }
    for (int i = 0; i < transfers; i++) {
        run_until(r->loop, &t[i].calls, 1);
        assert_int_equal(t[i].code, VT_OK);
        assert_file(remote[i], data, (size_t)(size - i), 0644);
        unlink(remote[i]);
    }
    vt_free(data);
}

const struct CMUnitTest transfer_failure_contract[] = {
    cmocka_unit_test(test_what_cannot_be),
    cmocka_unit_test(test_permission_denied),
    cmocka_unit_test(test_verify_finds_a_difference),
    cmocka_unit_test(test_full_disks),
    cmocka_unit_test(test_cancel_in_the_middle),
    cmocka_unit_test(test_get_appears_whole),
    cmocka_unit_test(test_timeout),
    cmocka_unit_test(test_transfers_and_commands_at_once),
};
const size_t transfer_failure_contract_count =
    sizeof transfer_failure_contract / sizeof transfer_failure_contract[0];
