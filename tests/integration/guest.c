#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/args.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "driver/qemu/share.h"
#include "net/switch.h"
#include "vm/tie.h"

#define PATIENCE_S 120.0

void guest_skip(const char *why)
{
    fprintf(stderr, "skipped: %s\n", why);
    exit(GUEST_SKIP);
}

/* A failed assertion leaves by longjmp: the folders of a test go when its process ends. */
static struct vt_args to_remove;

static void remove_folders(void)
{
    for (size_t i = 0; i < to_remove.n; i++)
        vt_remove_tree(to_remove.v[i], NULL);
    vt_args_free(&to_remove);
}

void guest_remove_later(const char *path)
{
    vt_args_add(&to_remove, path);
}

static void make_folders(struct guest *g)
{
    char root[] = "/tmp/vt-test-XXXXXX";
    assert_non_null(mkdtemp(root));
    g->root = vt_strdup(root);
    guest_remove_later(root);
    g->state_dir = vt_path_join(root, "state");
    g->scratch_dir = vt_path_join(root, "scratch, with commas");
    g->console_log = vt_path_join(root, "console,log=on.txt");
    char *leases = vt_path_join(root, "leases");
    setenv("VMTEST_LEASE_DIR", leases, 1);
    vt_free(leases);
    assert_int_equal(vt_mkdirs(g->state_dir, NULL), VT_OK);
    assert_int_equal(vt_mkdirs(g->scratch_dir, NULL), VT_OK);
}

static void open_image(struct guest *g, const char *name)
{
    struct vt_error err = VT_ERROR_INIT;
    if (vt_image_open(name, &g->image, &err) == VT_OK)
        return;
    fprintf(stderr, "%s (%s)\n", err.message, err.hint);
    if (err.code == VT_ENOTFOUND)
        guest_skip("the image is not in the store");
    fail_msg("the image cannot be opened");
}

static void init(struct guest *g)
{
    *g = (struct guest){.loop = NULL};
    char *qemu = vt_find_program("qemu-system-x86_64");
    if (!qemu)
        guest_skip("there is no qemu-system-x86_64 in PATH");
    vt_free(qemu);
    vt_drivers_init();
    g->loop = vt_loop_new(NULL);
    make_folders(g);
}

static void fill_config(struct guest *g)
{
    g->config = (struct vt_vm_config){.name = "guest",
                                      .driver = "qemu",
                                      .image = g->image,
                                      .state_dir = g->state_dir,
                                      .scratch_dir = g->scratch_dir,
                                      .console_log = g->console_log};
}

void guest_init(struct guest *g, const char *image)
{
    init(g);
    open_image(g, image);
    fill_config(g);
}

static void save_image(struct guest *g, const char *dir, const char *script, size_t disk)
{
    struct vt_buf append = VT_BUF_INIT;
    vt_buf_printf(&append, "%s rdinit=/bin/sh -- -c \"%s\"", g->image->append, script);
    json_t *d = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:I}", "format", 1, "os", "linux", "arch",
                          g->image->arch, "kernel", g->image->kernel, "initrd", g->image->initrd,
                          "append", append.data, "memory", (json_int_t)g->image->memory);
    if (disk) {
        char *path = vt_path_join(dir, "disk.raw");
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, (off_t)disk), 0);
        close(fd);
        vt_free(path);
        json_object_set_new(d, "disk", json_string("disk.raw"));
        json_object_set_new(d, "disk_format", json_string("raw"));
    }
    char *path = vt_path_join(dir, "image.json");
    assert_int_equal(vt_json_save(path, d, 0600, NULL), VT_OK);
    vt_free(path);
    json_decref(d);
    vt_buf_free(&append);
}

void guest_init_script(struct guest *g, const char *script, size_t disk)
{
    guest_init(g, "small");
    char *dir = vt_path_join(g->root, "image");
    assert_int_equal(vt_mkdirs(dir, NULL), VT_OK);
    save_image(g, dir, script, disk);
    vt_image_free(g->image);
    open_image(g, dir);
    vt_free(dir);
    fill_config(g);
}

void guest_new(struct guest *g)
{
    struct vt_error err = VT_ERROR_INIT;
    if (vt_vm_new(g->loop, &g->config, &g->vm, &err))
        fail_msg("vt_vm_new: %s", err.message);
}

void guest_free(struct guest *g)
{
    char *lock = vt_path_join(g->state_dir, "lock");
    long pid = g->vm ? guest_pid(g) : 0;
    vt_vm_free(g->vm, false);
    assert_false(vt_lock_held(lock, NULL));
    if (pid)
        assert_true(kill((pid_t)pid, 0) != 0 && errno == ESRCH);
    vt_loop_free(g->loop);
    vt_image_free(g->image);
    vt_remove_tree(g->root, NULL);
    vt_free(lock);
    vt_free(g->root);
    vt_free(g->state_dir);
    vt_free(g->scratch_dir);
    vt_free(g->console_log);
}

struct waiting {
    bool done;
    struct vt_error error;
};

static void on_done(struct vt_op *op, void *user)
{
    struct waiting *w = user;
    w->done = true;
    if (vt_op_error(op))
        w->error = *vt_op_error(op);
}

static enum vt_code run_until_done(struct guest *g, struct waiting *w, struct vt_error *err)
{
    while (!w->done)
        vt_loop_run_once(g->loop, true);
    if (err)
        *err = w->error;
    return w->error.code;
}

enum vt_code guest_call(struct guest *g, guest_call_fn *fn, struct vt_error *err)
{
    struct waiting w = {.done = false};
    struct vt_error own = VT_ERROR_INIT;
    if (!fn(g->vm, on_done, &w, &own))
        return err ? (*err = own, own.code) : own.code;
    return run_until_done(g, &w, err);
}

static struct vt_op *start(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_start(vm, false, PATIENCE_S, done, user, err);
}

enum vt_code guest_start(struct guest *g, struct vt_error *err)
{
    return guest_call(g, start, err);
}

static struct vt_op *start_ready(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err)
{
    return vt_vm_start(vm, true, PATIENCE_S, done, user, err);
}

void guest_start_ready(struct guest *g)
{
    struct vt_error err = VT_ERROR_INIT;
    if (guest_call(g, start_ready, &err))
        fail_msg("start: %s", err.message);
}

struct executing {
    struct waiting waiting;
    struct guest *g;
    int status;
};

static void on_exec(struct vt_op *op, void *user)
{
    struct executing *e = user;
    const struct vt_exec_result *r = vt_op_result(op);
    if (r) {
        e->status = r->status;
        snprintf(e->g->out, sizeof e->g->out, "%s", r->out);
    }
    on_done(op, &e->waiting);
}

int guest_exec(struct guest *g, const char *command)
{
    struct executing e = {.g = g};
    const struct vt_exec_opts opts = {.command = command, .timeout = PATIENCE_S};
    g->error = (struct vt_error)VT_ERROR_INIT;
    g->out[0] = '\0';
    if (!vt_vm_exec(g->vm, &opts, on_exec, &e, &g->error))
        return -(int)g->error.code;
    return run_until_done(g, &e.waiting, &g->error) ? -(int)g->error.code : e.status;
}

static void on_tick(struct vt_op *op, void *user)
{
    (void)op;
    *(bool *)user = true;
}

void guest_run(struct guest *g, double seconds)
{
    bool over = false;
    vt_sleep(g->loop, seconds, on_tick, &over, NULL);
    while (!over)
        vt_loop_run_once(g->loop, true);
}

int guest_console_count(struct guest *g, const char *text)
{
    char *console;
    int count = 0;
    vt_vm_console_tail(g->vm, (size_t)64 << 10, &console);
    for (const char *at = console; (at = strstr(at, text)); at++)
        count++;
    vt_free(console);
    return count;
}

static void give_up(struct guest *g, const char *what)
{
    char *console;
    vt_vm_console_tail(g->vm, 4000, &console);
    fail_msg("waited in vain for %s; VM is %s (%s); console:\n%s", what,
             vt_vm_state_name(vt_vm_state(g->vm)), vt_vm_reason(g->vm) ? vt_vm_reason(g->vm) : "",
             console);
}

void guest_await_console(struct guest *g, const char *text, int times)
{
    double end = vt_monotonic() + PATIENCE_S;
    while (guest_console_count(g, text) < times) {
        if (vt_monotonic() > end)
            give_up(g, text);
        guest_run(g, 0.02);
    }
}

void guest_await_state(struct guest *g, enum vt_vm_state state)
{
    double end = vt_monotonic() + PATIENCE_S;
    while (vt_vm_state(g->vm) != state) {
        if (vt_monotonic() > end)
            give_up(g, vt_vm_state_name(state));
        guest_run(g, 0.02);
    }
}

long guest_pid(struct guest *g)
{
    json_t *facts = vt_vm_info(g->vm);
    long pid = (long)vt_json_int(facts, "pid", 0);
    json_decref(facts);
    return pid;
}

int guest_main(int argc, char **argv, const struct guest_test *tests, size_t count)
{
    if (argc > 1 && !strcmp(argv[1], "__tie"))
        return vt_tie_main(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "__readonly"))
        return vt_readonly_main(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "__switch"))
        return vt_switch_main(argc, argv);
    int failed = 0;
    bool found = false;
    atexit(remove_folders);
    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && strcmp(argv[1], tests[i].name) != 0)
            continue;
        found = true;
        const struct CMUnitTest one[] = {{.name = tests[i].name, .test_func = tests[i].fn}};
        failed += cmocka_run_group_tests(one, NULL, NULL);
    }
    if (!found)
        fprintf(stderr, "there is no test %s\n", argv[1]);
    return failed || !found;
}
