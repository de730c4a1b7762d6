/* The contract of transfers, for every channel: files and folders both ways. */
#include "channel_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"

static void write_local(const char *path, const char *data, size_t n, unsigned mode)
{
    assert_int_equal(vt_write_file(path, data, n, mode, NULL), VT_OK);
}

static void assert_file(const char *path, const char *data, size_t n, unsigned mode)
{
    struct stat st;
    struct vt_buf text = VT_BUF_INIT;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_mode & 07777, mode);
    assert_int_equal(vt_read_file(path, n + 1, &text, NULL), VT_OK);
    assert_int_equal(text.len, n);
    assert_memory_equal(vt_buf_str(&text), data, n);
    vt_buf_free(&text);
}

/* Entries of a folder, besides . and .. */
static int entries(const char *path)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    int n = -2;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static struct outcome transfer_ok(struct rig *r, const struct vt_transfer_opts *opts)
{
    struct outcome o = transfer_now(r->loop, r->ch, opts);
    if (o.code)
        print_error("%s\n", o.error.message);
    assert_int_equal(o.code, VT_OK);
    return o;
}

struct progress {
    uint64_t last, total;
    int calls;
};

static void on_progress(uint64_t done, uint64_t total, const char *file, void *user)
{
    struct progress *p = user;
    assert_true(done > p->last);
    assert_non_null(file);
    p->last = done;
    p->total = total;
    p->calls++;
}

static void test_64_mib_both_ways(void **state)
{
    struct rig *r = *state;
    enum { size = 64 << 20 };
    char *data = pattern(size), remote[300], local[300], back[300];
    snprintf(remote, sizeof remote, "%s/big remote", r->dir);
    snprintf(local, sizeof local, "%s/big", r->dir);
    snprintf(back, sizeof back, "%s/back", r->dir);
    write_local(local, data, size, 0640);
    struct progress seen = {0, 0, 0};
    struct vt_transfer_opts opts = {.direction = VT_PUT,
                                    .remote = remote,
                                    .local = local,
                                    .verify = true,
                                    .timeout = 300,
                                    .on_progress = on_progress,
                                    .progress_user = &seen};
    struct outcome o = transfer_ok(r, &opts);
    assert_int_equal(o.transfer.bytes, size);
    assert_int_equal(o.transfer.files, 1);
    assert_int_equal(seen.last, size);
    assert_int_equal(seen.total, size);
    assert_true(seen.calls > 10);
    assert_file(remote, data, size, 0640);
    char sum[65];
    memcpy(sum, o.transfer.sha256, sizeof sum);
    char command[800];
    snprintf(command, sizeof command, "sha256sum < '%s'", remote);
    struct outcome check = sh(r->loop, r->ch, command);
    assert_memory_equal(check.out, sum, 64);
    outcome_free(&check);
    assert_int_equal(chmod(remote, 0751), 0);
    seen = (struct progress){0, 0, 0};
    opts.direction = VT_GET;
    opts.local = back;
    o = transfer_ok(r, &opts);
    assert_int_equal(o.transfer.bytes, size);
    assert_string_equal(o.transfer.sha256, sum);
    assert_int_equal(seen.last, size);
    assert_file(back, data, size, 0751);
    unlink(remote);
    unlink(local);
    unlink(back);
    vt_free(data);
}

static void test_memory_both_ways(void **state)
{
    struct rig *r = *state;
    static const size_t sizes[] = {0, 1, 32255, 32256, 32257, 64512, 1000000};
    char remote[300];
    snprintf(remote, sizeof remote, "%s/m", r->dir);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *data = pattern(sizes[i]);
        struct vt_transfer_opts put = {.direction = VT_PUT,
                                       .remote = remote,
                                       .data = data,
                                       .size = sizes[i],
                                       .verify = true,
                                       .mode = 0604,
                                       .timeout = 60};
        struct outcome o = transfer_ok(r, &put);
        assert_int_equal(o.transfer.bytes, sizes[i]);
        assert_file(remote, data, sizes[i], 0604);
        struct vt_transfer_opts get = {
            .direction = VT_GET, .remote = remote, .verify = true, .timeout = 60};
        struct outcome got = transfer_ok(r, &get);
        assert_int_equal(got.transfer.size, sizes[i]);
        assert_memory_equal(got.data, data, sizes[i]);
        assert_string_equal(got.transfer.sha256, o.transfer.sha256);
        outcome_free(&got);
        vt_free(data);
    }
    /* the limit */
    struct vt_transfer_opts get = {
        .direction = VT_GET, .remote = remote, .limit = 1000000, .timeout = 60};
    struct outcome o = transfer_ok(r, &get);
    outcome_free(&o);
    get.limit = 999999;
    o = transfer_now(r->loop, r->ch, &get);
    assert_int_equal(o.code, VT_ELIMIT);
    /* a file that tells no size */
    get = (struct vt_transfer_opts){
        .direction = VT_GET, .remote = "/proc/self/mountinfo", .timeout = 60};
    o = transfer_ok(r, &get);
    assert_true(o.transfer.size > 50);
    outcome_free(&o);
    unlink(remote);
}

static void test_mode_asked_for(void **state)
{
    struct rig *r = *state;
    char remote[300], local[300];
    snprintf(remote, sizeof remote, "%s/mode", r->dir);
    snprintf(local, sizeof local, "%s/mode-local", r->dir);
    write_local(local, "x", 1, 0600);
    struct vt_transfer_opts put = {
        .direction = VT_PUT, .remote = remote, .local = local, .timeout = 60};
    static const unsigned modes[] = {0, 0777, 0400}; /* beyond any umask; of a file that is there */
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        put.mode = modes[i];
        transfer_ok(r, &put);
        assert_file(remote, "x", 1, modes[i] ? modes[i] : 0600);
    }
    assert_int_equal(unlink(local) | unlink(remote), 0);
}

static void make_tree(const char *top, bool only_utf8)
{
    char path[400];
    assert_int_equal(mkdir(top, 0755), 0);
    static const char *const folders[] = {"empty", "a b", "a b/deep'er", "a b/deep'er/x", "closed"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", top, folders[i]);
        assert_int_equal(mkdir(path, 0750), 0);
    }
    const char *const files[] = {"plain",        "a b/with space",
                                 "a b/qu\"ote'", "new\nline",
                                 "-rf",          "back\\slash",
                                 "$(id)",        "a b/deep'er/x/last",
                                 "closed/in",    only_utf8 ? "\xc3\xa9.bin" : "\xff\xfe.bin"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", top, files[i]);
        write_local(path, files[i], strlen(files[i]), i % 2 ? 0755 : 0600);
    }
    snprintf(path, sizeof path, "%s/nothing", top);
    write_local(path, "", 0, 0444);
    for (int i = 0; i < 150; i++) {
        snprintf(path, sizeof path, "%s/a b/many%d", top, i);
        write_local(path, path, (size_t)i * 700 % sizeof path, 0644);
    }
    snprintf(path, sizeof path, "%s/link", top);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof path, "%s/a b/linked folder", top);
    assert_int_equal(symlink("/etc", path), 0);
    snprintf(path, sizeof path, "%s/fifo", top);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/closed", top);
    assert_int_equal(chmod(path, 0555), 0);
}

static void assert_same_tree(const char *a, const char *b)
{
    char command[900];
    snprintf(command, sizeof command,
             "cd '%s' && find . ! -type l ! -type p -printf '%%p %%y %%m\\n' | LC_ALL=C sort > "
             "'%s.list' && "
             "cd '%s' && find . -printf '%%p %%y %%m\\n' | LC_ALL=C sort | cmp - '%s.list' && "
             "find . -type f -exec sh -c 'for f do cmp \"$f\" \"%s/$f\" || exit 1; done' x {} +",
             a, a, b, a, a);
    assert_int_equal(system(command), 0);
}

static void test_folder_both_ways(void **state)
{
    struct rig *r = *state;
    char top[300], remote[300], back[300];
    snprintf(top, sizeof top, "%s/tree", r->dir);
    snprintf(remote, sizeof remote, "%s/tree-remote", r->dir);
    snprintf(back, sizeof back, "%s/tree-back/", r->dir);
    make_tree(top, r->only_utf8);
    struct vt_transfer_opts opts = {
        .direction = VT_PUT, .remote = remote, .local = top, .verify = true, .timeout = 120};
    struct outcome o = transfer_ok(r, &opts);
    assert_int_equal(o.transfer.files, 161);
    assert_int_equal(o.transfer.skipped, 3);
    assert_string_equal(o.transfer.sha256, "");
    back[strlen(back) - 1] = '\0';
    assert_same_tree(top, remote);
    /* into a folder that is there: merged */
    o = transfer_ok(r, &opts);
    assert_int_equal(o.transfer.files, 161);
    /* and back; links and a fifo on that side too */
    char path[400];
    snprintf(path, sizeof path, "%s/link", remote);
    assert_int_equal(symlink("/etc", path), 0);
    snprintf(path, sizeof path, "%s/fifo", remote);
    assert_int_equal(mkfifo(path, 0600), 0);
    opts.direction = VT_GET;
    opts.local = back;
    o = transfer_ok(r, &opts);
    assert_int_equal(o.transfer.files, 161);
    assert_int_equal(o.transfer.skipped, 2);
    assert_same_tree(top, back);
    /* an existing folder that holds something is not replaced, and nothing is left behind */
    int before = entries(r->dir);
    o = transfer_now(r->loop, r->ch, &opts);
    assert_true(o.code != VT_OK);
    assert_int_equal(entries(r->dir), before);
    assert_same_tree(top, back);
    assert_int_equal(vt_remove_tree(top, NULL), VT_OK);
    assert_int_equal(vt_remove_tree(remote, NULL), VT_OK);
    assert_int_equal(vt_remove_tree(back, NULL), VT_OK);
}

static void test_empty_folder(void **state)
{
    struct rig *r = *state;
    char top[300], remote[300], back[300];
    snprintf(top, sizeof top, "%s/e", r->dir);
    snprintf(remote, sizeof remote, "%s/e-remote", r->dir);
    snprintf(back, sizeof back, "%s/e-back", r->dir);
    assert_int_equal(mkdir(top, 0711), 0);
    struct vt_transfer_opts opts = {
        .direction = VT_PUT, .remote = remote, .local = top, .verify = true, .timeout = 60};
    struct outcome o = transfer_ok(r, &opts);
    assert_int_equal(o.transfer.files, 0);
    opts.direction = VT_GET;
    opts.local = back;
    transfer_ok(r, &opts);
    struct stat st;
    assert_int_equal(stat(back, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0711);
    assert_int_equal(rmdir(top) | rmdir(remote) | rmdir(back), 0);
}

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

const struct CMUnitTest transfer_contract[] = {
    cmocka_unit_test(test_64_mib_both_ways),
    cmocka_unit_test(test_memory_both_ways),
    cmocka_unit_test(test_mode_asked_for),
    cmocka_unit_test(test_folder_both_ways),
    cmocka_unit_test(test_empty_folder),
    cmocka_unit_test(test_what_cannot_be),
    cmocka_unit_test(test_permission_denied),
    cmocka_unit_test(test_verify_finds_a_difference),
    cmocka_unit_test(test_full_disks),
    cmocka_unit_test(test_cancel_in_the_middle),
    cmocka_unit_test(test_get_appears_whole),
    cmocka_unit_test(test_timeout),
    cmocka_unit_test(test_transfers_and_commands_at_once),
};
const size_t transfer_contract_count = sizeof transfer_contract / sizeof transfer_contract[0];
