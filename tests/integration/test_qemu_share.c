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

static void check_shares(struct guest *g, const char *image, const char *kind, bool as_root)
{
    guest_init(g, image);
    char *rw = vt_path_join(g->root, "shared"), *ro = vt_path_join(g->root, "kept");
    assert_int_equal(vt_mkdirs(rw, NULL), VT_OK);
    assert_int_equal(vt_mkdirs(ro, NULL), VT_OK);
    put(rw, "from-host", "hello");
    put(ro, "kept", "as it was");
    put(g->root, "secret", "not shared");
    char *link = vt_path_join(rw, "out"), *absolute = vt_path_join(rw, "out-absolute"),
         *secret = vt_path_join(g->root, "secret");
    assert_int_equal(symlink("../secret", link), 0);
    assert_int_equal(symlink(secret, absolute), 0);
    const struct vt_share shares[] = {{.name = "rw", .path = rw},
                                      {.name = "ro", .path = ro, .read_only = true}};
    g->config.shares = shares;
    g->config.share_count = 2;
    assert_int_equal(chmod(g->root, 0711), 0);
    uid_t own = geteuid();
    assert_int_equal(as_root ? 0 : seteuid(65534), 0); /* virtiofsd needs root */
    guest_new(g);
    assert_int_equal(seteuid(own), 0);
    guest_start_ready(g);
    mount_share(g, 0, kind, "/mnt/rw");
    mount_share(g, 1, kind, "/mnt/ro");
    expect(g,
           "cat /mnt/rw/from-host && echo -n answer > /mnt/rw/from-guest && "
           "mkdir /mnt/rw/dir && mv /mnt/rw/from-guest /mnt/rw/dir/moved",
           0);
    assert_string_equal(g->out, "hello");
    struct vt_buf text = VT_BUF_INIT;
    char *moved = vt_path_join(rw, "dir/moved");
    assert_int_equal(vt_read_file(moved, 100, &text, NULL), VT_OK);
    assert_string_equal(text.data, "answer");
    /* read-only, whatever root in the guest does */
    expect(g,
           "cat /mnt/ro/kept; ! echo x 2>/dev/null > /mnt/ro/kept; ! rm /mnt/ro/kept; "
           "! mkdir /mnt/ro/new; mount -o remount,rw /mnt/ro; ! touch /mnt/ro/new",
           0);
    assert_string_equal(g->out, "as it was");
    vt_buf_clear(&text);
    char *kept = vt_path_join(ro, "kept");
    assert_int_equal(vt_read_file(kept, 100, &text, NULL), VT_OK);
    assert_string_equal(text.data, "as it was");
    /* and no way out of it */
    expect(g,
           "! cat /mnt/rw/out && ! cat /mnt/rw/out-absolute && ! cat /mnt/rw/../secret && "
           "ln -s ../secret /mnt/rw/mine && ! cat /mnt/rw/mine && "
           "ln -s /etc/os-release /mnt/rw/etc && grep -q vmtest-small /mnt/rw/etc",
           0);
    vt_buf_free(&text);
    char *const all[] = {rw, ro, link, absolute, secret, moved, kept};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        vt_free(all[i]);
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
    assert_false(vt_vm_supports(g.vm, VT_CAP_HOT_SHARE, &err));
    guest_free(&g);
}

int main(int argc, char **argv)
{
    static const struct guest_test tests[] = {
#define TEST(name) {#name, name}
        TEST(test_virtiofs),
        TEST(test_9p),
        TEST(test_missing_folder),
    };
    return guest_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
