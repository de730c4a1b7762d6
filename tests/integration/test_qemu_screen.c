/* What a person in front of a VM has: its screen, its keyboard, its serial console. */
#include "guest.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"

static char shot_path[256];
static const char *const *chords;
static const char *text;
static uint64_t seen;

static struct vt_op *shoot(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_screenshot(vm, shot_path, done, user, err);
}

static struct vt_op *press(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_send_keys(vm, chords, done, user, err);
}

static struct vt_op *type(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_type_text(vm, text, done, user, err);
}

static struct vt_op *await_more(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_console_wait(vm, seen, 0.5, done, user, err);
}

static struct vt_buf shot(struct guest *g)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf png = VT_BUF_INIT;
    if (guest_call(g, shoot, &err))
        fail_msg("screenshot: %s", err.message);
    assert_int_equal(vt_read_file(shot_path, (size_t)8 << 20, &png, NULL), VT_OK);
    assert_true(png.len > 100);
    assert_memory_equal(png.data, "\x89PNG\r\n\x1a\n", 8);
    assert_memory_equal(png.data + png.len - 8, "IEND", 4);
    return png;
}

/* The cursor may blink: tries until the screen looks as it did, or as it did not. */
static void await_shot(struct guest *g, const struct vt_buf *before, bool same)
{
    double end = vt_monotonic() + 60;
    for (bool is = !same; is != same;) {
        if (vt_monotonic() > end)
            fail_msg("the screen %s", same ? "stays another" : "stays the same");
        struct vt_buf now = shot(g);
        is = now.len == before->len && !memcmp(now.data, before->data, now.len);
        vt_buf_free(&now);
    }
}

static size_t files_in(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_screen_shows_what_the_guest_draws(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    char *dir = vt_path_join(g.root, "shots, and more");
    assert_int_equal(vt_mkdirs(dir, NULL), VT_OK);
    snprintf(shot_path, sizeof shot_path, "%s/one.png", dir);
    guest_new(&g);
    guest_start_ready(&g);
    /* the cursor off; then 2000 characters of text memory, of which the first changes */
    assert_int_equal(guest_exec(&g, "devmem 0xb8000 16 0x0720"), 0);
    struct vt_buf before = shot(&g);
    assert_int_equal(guest_exec(&g, "devmem 0xb8000 16 0x4f41"), 0);
    struct vt_buf during = shot(&g);
    await_shot(&g, &before, false);
    assert_int_equal(guest_exec(&g, "devmem 0xb8000 16 0x0720"), 0);
    await_shot(&g, &before, true);
    vt_buf_free(&before);
    vt_buf_free(&during);
    assert_int_equal(files_in(dir), 1);
    snprintf(shot_path, sizeof shot_path, "%s/missing/one.png", dir);
    assert_int_equal(guest_call(&g, shoot, NULL), VT_ENOTFOUND);
    vt_free(dir);
    guest_free(&g);
}

static const char all[] = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
                          "abcdefghijklmnopqrstuvwxyz{|}~ The quick brown fox jumps over it.\n";

static void test_typed_text_arrives_in_order(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    guest_new(&g);
    guest_start_ready(&g);
    assert_int_equal(guest_exec(&g, "(head -n 2 /dev/tty1 >/tmp/typed 2>&1; mv /tmp/typed "
                                    "/tmp/done) >/dev/null 2>&1 </dev/null & sleep 1"),
                     0);
    struct vt_error err = VT_ERROR_INIT;
    text = all;
    if (guest_call(&g, type, &err))
        fail_msg("type: %s", err.message);
    static const char *const keys[] = {"x", "shift-y", "kp_enter", NULL};
    chords = keys;
    if (guest_call(&g, press, &err))
        fail_msg("keys: %s", err.message);
    assert_int_equal(guest_exec(&g, "for i in $(seq 100); do [ -e /tmp/done ] && break; sleep 0.2; "
                                    "done; cat /tmp/done"),
                     0);
    char wanted[sizeof all + 8];
    snprintf(wanted, sizeof wanted, "%sxY\n", all);
    assert_string_equal(g.out, wanted);
    static const char *const wrong[] = {"a", "ctrl-alt-dleete", NULL};
    chords = wrong;
    assert_int_equal(guest_call(&g, press, &err), VT_EINVAL);
    assert_non_null(strstr(err.message, "dleete"));
    assert_non_null(strstr(err.hint, "delete"));
    guest_free(&g);
}

static void test_every_key_name_is_qemus(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, "sleep 1000", 0);
    guest_new(&g);
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(guest_start(&g, &err), VT_OK);
    FILE *out = popen("qemu-system-x86_64 -machine none -display none -nodefaults -qmp stdio "
                      "<<'END'\n{\"execute\":\"qmp_capabilities\"}\n"
                      "{\"execute\":\"query-qmp-schema\"}\n{\"execute\":\"quit\"}\nEND",
                      "r");
    struct vt_buf schema = VT_BUF_INIT;
    char piece[65536];
    for (size_t n; (n = fread(piece, 1, sizeof piece, out)) > 0;)
        vt_buf_add(&schema, piece, n);
    pclose(out);
    const char *begin = strstr(vt_buf_str(&schema), "\"unmapped\", \"");
    assert_non_null(begin);
    size_t names = 0;
    static const char *one[2];
    chords = one;
    for (const char *at = begin; *at == '"'; at += *at == ',' ? 2 : 0, names++) {
        size_t n = strcspn(at + 1, "\"");
        char *name = vt_strndup(at + 1, n);
        one[0] = name;
        bool known = guest_call(&g, press, &err) != VT_EINVAL;
        if (!known)
            fail_msg("QEMU's key %s is not known here", name);
        vt_free(name);
        at += n + 2;
    }
    assert_true(names > 100);
    vt_buf_free(&schema);
    guest_free(&g);
}

static void test_console_is_written_and_read(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, "echo up; while read -r x; do echo =$x=; done", 0);
    guest_new(&g);
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_vm_console_write(g.vm, "x", 1, &err), VT_ESTATE);
    assert_int_equal(guest_start(&g, NULL), VT_OK);
    guest_await_console(&g, "up", 1);
    assert_int_equal(vt_vm_console_write(g.vm, "ping\n", 5, NULL), VT_OK);
    guest_await_console(&g, "=ping=", 1);
    /* by offsets */
    seen = vt_vm_console_size(g.vm);
    guest_run(&g, 0.5);
    seen = vt_vm_console_size(g.vm);
    assert_int_equal(guest_call(&g, await_more, NULL), VT_ETIMEDOUT);
    assert_int_equal(vt_vm_console_write(g.vm, "pong\n", 5, NULL), VT_OK);
    struct vt_buf heard = VT_BUF_INIT;
    for (double end = vt_monotonic() + 60; !strstr(vt_buf_str(&heard), "=pong=");) {
        if (vt_monotonic() > end)
            fail_msg("heard: %s", vt_buf_str(&heard));
        guest_call(&g, await_more, NULL);
        char *more;
        size_t n;
        vt_vm_console_read(g.vm, &seen, &more, &n);
        vt_buf_add(&heard, more, n);
        vt_free(more);
        assert_int_equal(seen, vt_vm_console_size(g.vm));
    }
    assert_null(strstr(heard.data, "ping")); /* from the offset on */
    vt_buf_free(&heard);
    /* what the guest does not read is not kept without end */
    assert_int_equal(guest_call(&g, vt_vm_pause, NULL), VT_OK);
    assert_int_equal(vt_vm_console_write(g.vm, "x", 1, NULL), VT_ESTATE);
    assert_int_equal(guest_call(&g, vt_vm_resume, NULL), VT_OK);
    char *much = vt_calloc(1, (size_t)300 << 10);
    assert_int_equal(vt_vm_console_write(g.vm, much, (size_t)300 << 10, NULL), VT_EBUSY);
    vt_free(much);
    assert_int_equal(guest_call(&g, vt_vm_kill, NULL), VT_OK);
    seen = vt_vm_console_size(g.vm); /* the end of the line may have come after "=pong=" */
    assert_int_equal(guest_call(&g, await_more, NULL), VT_ESTATE);
    guest_free(&g);
}

static int connect_to(const char *dir, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", dir, name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    const struct timeval patience = {.tv_sec = 60};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static void test_console_and_vnc_of_a_kept_vm(void **state)
{
    (void)state;
    struct guest g;
    guest_init_script(&g, "echo up; while read -r x; do echo =$x=; done", 0);
    g.config.keep = true;
    g.config.vnc = true;
    guest_new(&g);
    assert_int_equal(guest_start(&g, NULL), VT_OK);
    guest_await_console(&g, "up", 1);
    json_t *facts = vt_vm_info(g.vm);
    assert_string_equal(vt_path_base(vt_json_str(facts, "vnc", "")), "vnc");
    json_decref(facts);
    int fd = connect_to(g.state_dir, "vnc");
    char hello[13] = "";
    assert_int_equal(recv(fd, hello, 12, MSG_WAITALL), 12);
    assert_memory_equal(hello, "RFB 003.", 8);
    close(fd);
    long pid = guest_pid(&g);
    vt_vm_free(g.vm, true);
    g.vm = NULL;
    guest_run(&g, 0.1);
    fd = connect_to(g.state_dir, "console");
    assert_int_equal(write(fd, "later\n", 6), 6);
    struct vt_buf heard = VT_BUF_INIT;
    char piece[256];
    while (!strstr(vt_buf_str(&heard), "=later=")) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n <= 0)
            fail_msg("the console says no more than: %s", vt_buf_str(&heard));
        vt_buf_add(&heard, piece, (size_t)n);
    }
    vt_buf_free(&heard);
    close(fd);
    kill((pid_t)pid, SIGKILL);
    waitpid((pid_t)pid, NULL, 0);
    guest_free(&g);
}

int main(int argc, char **argv)
{
    static const struct guest_test tests[] = {
#define TEST(name) {#name, name}
        TEST(test_screen_shows_what_the_guest_draws), TEST(test_typed_text_arrives_in_order),
        TEST(test_every_key_name_is_qemus),           TEST(test_console_is_written_and_read),
        TEST(test_console_and_vnc_of_a_kept_vm),
    };
    return guest_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
