/* Files to and from a simulated guest. */
#include "vm_sim.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"

static struct rig rig;
static char folder[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/vmtest-sim-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    rig_make(&rig, "{\"boot_seconds\": 1, \"latency\": 0}");
    start_vm(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_end(&rig);
    return (int)vt_remove_tree(folder, NULL);
}

struct moved {
    struct seen seen;
    struct vt_transfer_result result;
    char data[64];
    uint64_t told; /* by on_progress */
};

static void on_moved(struct vt_op *op, void *user)
{
    struct moved *m = user;
    on_op(op, &m->seen);
    const struct vt_transfer_result *r = vt_op_result(op);
    if (!r || vt_op_error(op))
        return;
    m->result = *r;
    snprintf(m->data, sizeof m->data, "%s", r->data ? r->data : "");
}

static void on_progress(uint64_t done, uint64_t total, const char *file, void *user)
{
    struct moved *m = user;
    assert_true(done <= total && file);
    m->told = done;
}

static struct moved move(struct vt_transfer_opts opts)
{
    struct moved m = {.seen.rig = &rig};
    opts.timeout = 100;
    opts.on_progress = on_progress;
    opts.progress_user = &m;
    if (!vt_vm_transfer(rig.vm, &opts, on_moved, &m, &rig.err))
        fail_msg("%s", rig.err.message);
    await(&rig, &m.seen);
    return m;
}

static const char *at(const char *name)
{
    static char paths[8][128];
    static unsigned n;
    char *path = paths[n++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_local(const char *name, const char *text, unsigned mode)
{
    assert_int_equal(vt_write_file(at(name), text, strlen(text), mode, NULL), VT_OK);
}

static void expect_local(const char *name, const char *text)
{
    struct vt_buf got = VT_BUF_INIT;
    assert_int_equal(vt_read_file(at(name), 1000, &got, NULL), VT_OK);
    assert_string_equal(vt_buf_str(&got), text);
    vt_buf_free(&got);
}

static void test_memory(void **state)
{
    (void)state;
    struct moved m = move((struct vt_transfer_opts){
        .direction = VT_PUT, .remote = "/tmp/x", .data = "abc", .size = 3, .mode = 0755});
    assert_int_equal(m.seen.why.code, VT_OK);
    assert_int_equal(m.result.bytes, 3);
    assert_int_equal(m.told, 3);
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_string_equal(m.result.sha256, abc); /* FIPS 180-2, appendix B.1 */
    m = move((struct vt_transfer_opts){.direction = VT_GET, .remote = "/tmp/x"});
    assert_string_equal(m.data, "abc");
    assert_string_equal(m.result.sha256, abc);
    struct seen seen;
    run_line(&rig, "cat /tmp/x; /tmp/x", &seen);
    assert_string_equal(seen.out, "abc");
    assert_non_null(strstr(seen.errors, "no programs of its own")); /* its mode lets it run */
}

static void test_single_files(void **state)
{
    (void)state;
    write_local("a", "text", 0640);
    struct moved m =
        move((struct vt_transfer_opts){.direction = VT_PUT, .remote = "a", .local = at("a")});
    assert_int_equal(m.result.files, 1);
    struct seen seen;
    run_line(&rig, "cat /root/a", &seen);
    assert_string_equal(seen.out, "text");
    m = move((struct vt_transfer_opts){.direction = VT_GET, .remote = "a", .local = at("b")});
    assert_int_equal(m.seen.why.code, VT_OK);
    expect_local("b", "text");
    struct stat st;
    assert_int_equal(stat(at("b"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void test_folders(void **state)
{
    (void)state;
    assert_int_equal(vt_mkdirs(at("d/sub/empty"), NULL), VT_OK);
    write_local("d/one", "1", 0644);
    write_local("d/sub/two", "22", 0644);
    assert_int_equal(symlink("/etc/passwd", at("d/link")), 0);
    struct moved m =
        move((struct vt_transfer_opts){.direction = VT_PUT, .remote = "/srv/d", .local = at("d")});
    assert_int_equal(m.seen.why.code, VT_OK);
    assert_int_equal(m.result.files, 2);
    assert_int_equal(m.result.bytes, 3);
    assert_int_equal(m.result.skipped, 1);
    struct seen seen;
    run_line(&rig, "ls /srv/d /srv/d/sub; cat /srv/d/sub/two", &seen);
    assert_string_equal(seen.out, "/srv/d:\none\nsub\n/srv/d/sub:\nempty\ntwo\n22");
    m = move((struct vt_transfer_opts){.direction = VT_GET, .remote = "/srv/d", .local = at("e")});
    assert_int_equal(m.seen.why.code, VT_OK);
    expect_local("e/one", "1");
    expect_local("e/sub/two", "22");
    assert_true(vt_is_dir(at("e/sub/empty")));
    assert_false(vt_is_file(at("e/link")));
}

static void expect_failure(struct vt_transfer_opts opts, enum vt_code code, const char *text)
{
    struct moved m = move(opts);
    if (m.seen.why.code != code || !strstr(m.seen.why.message, text))
        fail_msg("%s: %s", vt_code_name(m.seen.why.code), m.seen.why.message);
}

static void test_failures(void **state)
{
    (void)state;
    expect_failure((struct vt_transfer_opts){.direction = VT_GET, .remote = "/none"}, VT_ENOTFOUND,
                   "/none");
    expect_failure((struct vt_transfer_opts){.direction = VT_GET, .remote = "/etc"}, VT_EIO,
                   "directory");
    expect_failure((struct vt_transfer_opts){.direction = VT_PUT, .remote = "/no/x", .data = "", 0},
                   VT_ENOTFOUND, "/no/x");
    expect_failure(
        (struct vt_transfer_opts){.direction = VT_PUT, .remote = "/x", .local = at("no")},
        VT_ENOTFOUND, "no");
    expect_failure(
        (struct vt_transfer_opts){.direction = VT_GET, .remote = "/etc/os-release", .limit = 5},
        VT_ELIMIT, "5 bytes");
    expect_failure((struct vt_transfer_opts){.direction = VT_GET,
                                             .remote = "/etc/hostname",
                                             .local = at("no/dir")},
                   VT_ENOTFOUND, "no/dir");
    struct vt_error err = VT_ERROR_INIT;
    const struct vt_transfer_opts no_time = {.direction = VT_GET, .remote = "/x"};
    assert_null(vt_vm_transfer(rig.vm, &no_time, on_moved, NULL, &err));
    assert_int_equal(err.code, VT_EINVAL);
}

static void test_dry_run_has_every_file(void **state)
{
    (void)state;
    struct rig real = rig;
    rig_make(&rig, "{\"dry_run\": true}");
    start_vm(&rig);
    struct moved m = move((struct vt_transfer_opts){.direction = VT_GET, .remote = "/none"});
    assert_int_equal(m.seen.why.code, VT_OK);
    assert_int_equal(m.result.size, 0);
    rig_end(&rig);
    rig = real;
}

int main(void)
{
#define IN_GUEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_GUEST(test_memory),   IN_GUEST(test_single_files),           IN_GUEST(test_folders),
        IN_GUEST(test_failures), IN_GUEST(test_dry_run_has_every_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
