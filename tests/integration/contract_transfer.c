/* The contract of transfers, for every channel: files and folders both ways. */
#include "transfer_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"

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

const struct CMUnitTest transfer_contract[] = {
    cmocka_unit_test(test_64_mib_both_ways), cmocka_unit_test(test_memory_both_ways),
    cmocka_unit_test(test_mode_asked_for),   cmocka_unit_test(test_folder_both_ways),
    cmocka_unit_test(test_empty_folder),
};
const size_t transfer_contract_count = sizeof transfer_contract / sizeof transfer_contract[0];
