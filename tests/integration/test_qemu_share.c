/* Folders of the host in a real guest. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"

static void expect(struct guest *g, const char *command, int status)
{
    int got = guest_exec(g, command);
    if (got != status)
        fail_msg("%s: status %d; %s%s", command, got, g->out, g->error.message);
}

static void put(const char *dir, const char *name, const char *text)
{
    char *path = vt_path_join(dir, name);
    assert_int_equal(vt_write_file(path, text, strlen(text), 0644, NULL), VT_OK);
    vt_free(path);
}

/* By the words that the facts name. */
static void mount_share(struct guest *g, size_t i, const char *kind, const char *at)
{
    json_t *facts = vt_vm_info(g->vm);
    const json_t *share = json_array_get(json_object_get(facts, "shares"), i);
    const json_t *words = json_object_get(share, "mount");
    assert_string_equal(vt_json_str(share, "kind", ""), kind);
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "mkdir -p %s && modprobe %s 2>/dev/null; ", at,
                  strcmp(kind, "9p") ? kind : "-a 9p 9pnet_virtio");
    for (size_t k = 0; k < json_array_size(words); k++)
        vt_buf_printf(&line, "%s ", json_string_value(json_array_get(words, k)));
    vt_buf_puts(&line, at);
    expect(g, line.data, 0);
    vt_buf_free(&line);
    json_decref(facts);
}

/* Folders to share, with what a guest may want to reach from there. */
struct folders {
    char *rw, *ro, *secret;
};

static struct folders make_folders(struct guest *g)
{
    const struct folders f = {vt_path_join(g->root, "shared"), vt_path_join(g->root, "kept"),
                              vt_path_join(g->root, "secret")};
    assert_int_equal(vt_mkdirs(f.rw, NULL), VT_OK);
    assert_int_equal(vt_mkdirs(f.ro, NULL), VT_OK);
    put(f.rw, "from-host", "hello");
    put(f.ro, "kept", "as it was");
    put(g->root, "secret", "not shared");
    char *link = vt_path_join(f.rw, "out"), *absolute = vt_path_join(f.rw, "out-absolute");
    assert_int_equal(symlink("../secret", link), 0);
    assert_int_equal(symlink(f.secret, absolute), 0);
    assert_int_equal(chmod(g->root, 0711), 0);
    vt_free(link);
    vt_free(absolute);
    return f;
}

static void free_folders(struct folders *f)
{
    vt_free(f->rw);
    vt_free(f->ro);
    vt_free(f->secret);
}

static void expect_file(const char *dir, const char *name, const char *text)
{
    struct vt_buf found = VT_BUF_INIT;
    char *path = vt_path_join(dir, name);
    assert_int_equal(vt_read_file(path, 100, &found, NULL), VT_OK);
    assert_string_equal(found.data, text);
    vt_free(path);
    vt_buf_free(&found);
}

/* Mounts the two and holds them to what shares promise. */
static void check_mounted(struct guest *g, const struct folders *f, const char *kind)
{
    mount_share(g, 0, kind, "/mnt/rw");
    mount_share(g, 1, kind, "/mnt/ro");
    expect(g,
           "cat /mnt/rw/from-host && echo -n answer > /mnt/rw/from-guest && "
           "mkdir /mnt/rw/dir && mv /mnt/rw/from-guest /mnt/rw/dir/moved",
           0);
    assert_string_equal(g->out, "hello");
    expect_file(f->rw, "dir/moved", "answer");
    /* read-only, whatever root in the guest does */
    expect(g,
           "cat /mnt/ro/kept; ! echo x 2>/dev/null > /mnt/ro/kept; ! rm /mnt/ro/kept; "
           "! mkdir /mnt/ro/new; mount -o remount,rw /mnt/ro; ! touch /mnt/ro/new",
           0);
    assert_string_equal(g->out, "as it was");
    expect_file(f->ro, "kept", "as it was");
    /* and no way out of it */
    expect(g,
           "! cat /mnt/rw/out && ! cat /mnt/rw/out-absolute && ! cat /mnt/rw/../secret && "
           "ln -s ../secret /mnt/rw/mine && ! cat /mnt/rw/mine && "
           "ln -s /etc/os-release /mnt/rw/etc && grep -q vmtest-small /mnt/rw/etc",
           0);
}

static void check_shares(struct guest *g, const char *image, const char *kind, bool as_root)
{
    guest_init(g, image);
    struct folders f = make_folders(g);
    const struct vt_share shares[] = {{.name = "rw", .path = f.rw},
                                      {.name = "ro", .path = f.ro, .read_only = true}};
    g->config.shares = shares;
    g->config.share_count = 2;
    uid_t own = geteuid();
    assert_int_equal(as_root ? 0 : seteuid(65534), 0); /* virtiofsd needs root */
    guest_new(g);
    assert_int_equal(seteuid(own), 0);
    guest_start_ready(g);
    check_mounted(g, &f, kind);
    free_folders(&f);
}

/* Whether some process has this text in its command line. */
static bool somebody_has(const char *text)
{
    FILE *list = popen("ls -d /proc/[0-9]*", "r");
    char path[64];
    bool found = false;
    while (fgets(path, sizeof path, list)) {
        struct vt_buf words = VT_BUF_INIT;
        path[strcspn(path, "\n")] = '\0';
        strncat(path, "/cmdline", sizeof path - strlen(path) - 1);
        if (vt_read_file(path, 65536, &words, NULL) == VT_OK && words.len &&
            memmem(words.data, words.len, text, strlen(text)))
            found = true;
        vt_buf_free(&words);
    }
    pclose(list);
    return found;
}

static void test_virtiofs(void **state)
{
    (void)state;
    struct guest g;
    if (geteuid())
        guest_skip("virtiofsd needs root");
    check_shares(&g, "small", "virtiofs", true);
    char *source = vt_path_join(g.root, "shared");
    assert_true(somebody_has(source));
    kill((pid_t)guest_pid(&g), SIGKILL);
    guest_await_state(&g, VT_VM_CRASHED);
    for (double end = vt_monotonic() + 30; somebody_has(source); usleep(50000))
        if (vt_monotonic() > end)
            fail_msg("virtiofsd stays");
    vt_free(source);
    guest_free(&g);
}

static void test_9p(void **state)
{
    (void)state;
    struct guest g;
    if (geteuid())
        guest_skip("which share is taken depends on root");
    check_shares(&g, "small-generic", "9p", false);
    guest_free(&g);
}

/* --- given while it runs --- */

static const struct vt_share *asked; /* by give() and take_away() */

static struct vt_op *give(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_share(vm, asked, done, user, err);
}

static struct vt_op *take_away(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_unshare(vm, asked->name, done, user, err);
}

static void expect_call(struct guest *g, guest_call_fn *call, const struct vt_share *share,
                        enum vt_code code)
{
    struct vt_error err = VT_ERROR_INIT;
    asked = share;
    guest_call(g, call, &err);
    if (err.code != code)
        fail_msg("share \"%s\": %s", share->name, err.code ? err.message : "it succeeded");
}

static size_t count_shares(struct guest *g)
{
    json_t *facts = vt_vm_info(g->vm);
    size_t n = json_array_size(json_object_get(facts, "shares"));
    json_decref(facts);
    return n;
}

static struct vt_op *snapshot(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    const struct vt_snapshot_opts opts = {.name = "one"};
    return vt_vm_snapshot(vm, &opts, done, user, err);
}

static struct vt_op *restore(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_restore(vm, "one", 0, done, user, err);
}

static void give_both(struct guest *g, const struct vt_share shares[2], bool as_root)
{
    uid_t own = geteuid();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(as_root ? 0 : seteuid(65534), 0);
        struct vt_error err = VT_ERROR_INIT;
        asked = &shares[i];
        guest_call(g, give, &err);
        assert_int_equal(seteuid(own), 0);
        assert_string_equal(err.message, "");
    }
    expect(g,
           "for i in 1 2 3 4 5 6 7 8 9; do ls /sys/bus/pci/devices | grep -q 0000:02: && break;"
           " sleep 1; done",
           0);
}

static void test_given_9p(void **state)
{
    (void)state;
    struct guest g;
    struct vt_error err = VT_ERROR_INIT;
    if (geteuid())
        guest_skip("which share is taken depends on root");
    guest_init(&g, "small-generic");
    struct folders f = make_folders(&g);
    const struct vt_share shares[] = {{.name = "rw", .path = f.rw},
                                      {.name = "ro", .path = f.ro, .read_only = true}},
                          other = {.name = "other", .path = f.rw},
                          missing = {.name = "missing", .path = "/nonexistent/folder"};
    assert_int_equal(chown(g.state_dir, 65534, (gid_t)-1), 0); /* its links */
    guest_new(&g);
    guest_start_ready(&g);
    give_both(&g, shares, false);
    check_mounted(&g, &f, "9p");
    expect_call(&g, give, &shares[0], VT_EBUSY);
    expect_call(&g, give, &missing, VT_ENOTFOUND);
    expect_call(&g, take_away, &other, VT_ENOTFOUND);
    /* it stands against a snapshot, and is not taken from beneath the guest */
    assert_int_equal(guest_call(&g, snapshot, &err), VT_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "\"rw\""));
    expect_call(&g, take_away, &shares[0], VT_EBUSY);
    expect(&g, "cat /mnt/rw/from-host", 0);
    expect(&g, "umount /mnt/rw && umount /mnt/ro", 0);
    for (int i = 0; i < 100 && count_shares(&g) > 1; i++) /* it goes as soon as it is free */
        guest_run(&g, 0.1);
    assert_int_equal(count_shares(&g), 1);
    expect_call(&g, take_away, &shares[1], VT_OK);
    struct vt_error none = VT_ERROR_INIT;
    assert_int_equal(guest_call(&g, snapshot, &none), VT_OK);
    guest_free(&g);
    free_folders(&f);
}

static void test_given_virtiofs(void **state)
{
    (void)state;
    struct guest g;
    struct vt_error none = VT_ERROR_INIT;
    if (geteuid())
        guest_skip("virtiofsd needs root");
    guest_init(&g, "small");
    struct folders f = make_folders(&g);
    const struct vt_share shares[] = {{.name = "rw", .path = f.rw},
                                      {.name = "ro", .path = f.ro, .read_only = true},
                                      {.name = "c", .path = f.rw},
                                      {.name = "d", .path = f.rw},
                                      {.name = "e", .path = f.rw}};
    guest_new(&g);
    guest_start_ready(&g);
    assert_int_equal(guest_call(&g, snapshot, &none), VT_OK);
    give_both(&g, shares, true);
    check_mounted(&g, &f, "virtiofs");
    expect_call(&g, give, &shares[2], VT_OK);
    expect_call(&g, give, &shares[3], VT_OK);
    expect_call(&g, give, &shares[4], VT_ELIMIT);
    assert_true(somebody_has(f.ro));
    expect(&g, "umount /mnt/ro", 0);
    expect_call(&g, take_away, &shares[1], VT_OK);
    assert_false(somebody_has(f.ro));
    expect_call(&g, give, &shares[4], VT_OK);
    /* a restore drops them, and QEMU's private memory rules virtiofs out */
    assert_int_equal(guest_call(&g, restore, &none), VT_OK);
    assert_int_equal(count_shares(&g), 0);
    assert_false(somebody_has(f.rw));
    expect_call(&g, give, &shares[0], VT_OK);
    assert_false(somebody_has(f.rw));
    expect_call(&g, take_away, &shares[0], VT_OK);
    guest_free(&g);
    free_folders(&f);
}

static void test_missing_folder(void **state)
{
    (void)state;
    struct guest g;
    const struct vt_share share = {.name = "data", .path = "/nonexistent/folder"};
    guest_init_script(&g, "sleep 1000", 0);
    g.config.shares = &share;
    g.config.share_count = 1;
    guest_new(&g);
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(guest_start(&g, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.message, "/nonexistent/folder"));
    guest_free(&g);
}

int main(int argc, char **argv)
{
    static const struct guest_test tests[] = {
#define TEST(name) {#name, name}
        TEST(test_virtiofs),       TEST(test_9p), TEST(test_given_9p), TEST(test_given_virtiofs),
        TEST(test_missing_folder),
    };
    return guest_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
