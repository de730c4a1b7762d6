/* Snapshots of simulated VMs: the folders, the operations, and everything that is refused. */
#include "vm_sim.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"

struct home {
    char root[64];
    char *kept; /* a folder for snapshots that outlive their VM */
};

static void home_make(struct home *home)
{
    snprintf(home->root, sizeof home->root, "/tmp/vt-snap-XXXXXX");
    assert_non_null(mkdtemp(home->root));
    home->kept = vt_path_join(home->root, "kept");
    assert_int_equal(vt_mkdirs(home->kept, NULL), VT_OK);
}

static void home_end(struct home *home)
{
    assert_int_equal(vt_remove_tree(home->root, NULL), VT_OK);
    vt_free(home->kept);
}

/* A VM with folders of its own, made by its name. */
static enum vt_code vm_try(struct rig *rig, const struct home *home, const char *name,
                           const char *script, uint64_t memory)
{
    *rig = (struct rig){.loop = vt_loop_new(NULL)};
    json_t *sim = json_loads(script, 0, NULL);
    char *scratch = vt_path_join(home->root, name);
    assert_non_null(sim);
    assert_int_equal(vt_mkdirs(scratch, NULL), VT_OK);
    vt_drivers_init();
    const struct vt_vm_config config = {
        .name = name, .driver = "sim", .sim = sim, .scratch_dir = scratch, .memory = memory};
    enum vt_code code = vt_vm_new(rig->loop, &config, &rig->vm, &rig->err);
    json_decref(sim);
    vt_free(scratch);
    if (!code)
        vt_vm_on_state(rig->vm, rig_on_state, rig);
    return code;
}

static void vm_make(struct rig *rig, const struct home *home, const char *name)
{
    if (vm_try(rig, home, name, "{" FAST "}", 0))
        fail_msg("%s", rig->err.message);
}

static void on_snapshot(struct vt_op *op, void *user)
{
    struct seen *seen = user;
    on_op(op, user);
    if (vt_op_result(op))
        snprintf(seen->out, sizeof seen->out, "%s", (const char *)vt_op_result(op));
}

/* Its folder stays in seen->out. */
static enum vt_code snapshot(struct rig *rig, const char *name, const char *dir, struct seen *seen)
{
    const struct vt_snapshot_opts opts = {.name = name, .dir = dir};
    *seen = (struct seen){.rig = rig};
    if (!vt_vm_snapshot(rig->vm, &opts, on_snapshot, seen, &seen->why))
        return seen->why.code;
    await(rig, seen);
    return seen->why.code;
}

static void take(struct rig *rig, const char *name, const char *dir)
{
    struct seen seen;
    if (snapshot(rig, name, dir, &seen))
        fail_msg("snapshot %s: %s", name, seen.why.message);
}

static enum vt_code restore(struct rig *rig, const char *path, struct seen *seen)
{
    *seen = (struct seen){.rig = rig};
    if (!vt_vm_restore(rig->vm, path, 0, on_op, seen, &seen->why))
        return seen->why.code;
    await(rig, seen);
    return seen->why.code;
}

static void go_back(struct rig *rig, const char *path)
{
    struct seen seen;
    if (restore(rig, path, &seen))
        fail_msg("restore %s: %s", path, seen.why.message);
}

static void expect_line(struct rig *rig, const char *line, int status, const char *out)
{
    struct seen seen;
    run_line(rig, line, &seen);
    assert_string_equal(seen.why.message, "");
    if (seen.status != status || strcmp(seen.out, out) != 0)
        fail_msg("%s: status %d, \"%s\"", line, seen.status, seen.out);
}

static void expect_names(const struct rig *rig, const char *dir, const char *names)
{
    struct vt_snapshot *list;
    size_t n;
    char text[512] = "";
    assert_int_equal(vt_vm_snapshots(rig->vm, dir, &list, &n, NULL), VT_OK);
    for (size_t i = 0; i < n; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s<%s ", list[i].name,
                 list[i].parent ? list[i].parent : "");
        assert_string_equal(list[i].vm, vt_vm_name(rig->vm));
        assert_true(list[i].bytes > 0);
        assert_int_equal(strlen(list[i].created), 24);
        assert_string_equal(vt_json_str(list[i].facts, "name", ""), list[i].name);
    }
    vt_snapshots_free(list, n);
    assert_string_equal(text, names);
}

static int count_entries(const char *dir)
{
    char line[256], out[32] = "";
    snprintf(line, sizeof line, "ls -A '%s' | wc -l", dir);
    FILE *f = popen(line, "r");
    assert_non_null(f);
    assert_non_null(fgets(out, sizeof out, f));
    pclose(f);
    return atoi(out);
}

static void test_every_write_is_gone(void **state)
{
    (void)state;
    struct home home;
    struct rig rig;
    home_make(&home);
    vm_make(&rig, &home, "web");
    start_vm(&rig);
    expect_line(&rig, "mkdir -p /srv/a/b; echo one > /srv/a/b/f; echo x > /etc/conf", 0, "");
    struct seen seen;
    assert_int_equal(snapshot(&rig, "clean", NULL, &seen), VT_OK);
    assert_true(vt_is_dir(seen.out));
    expect_line(&rig, "cat /srv/a/b/f", 0, "one\n"); /* it goes on */
    for (int i = 0; i < 3; i++) {
        expect_line(&rig, "rm -r /srv/a; echo dir > /srv/a; rm /etc/conf; mkdir /etc/conf", 0, "");
        expect_line(&rig, "echo y > /new; mkdir /home/u; echo z > /var/log/l", 0, "");
        rig.states[0] = '\0';
        go_back(&rig, "clean");
        assert_string_equal(rig.states, "starting running ");
        expect_line(&rig, "cat /srv/a/b/f /etc/conf", 0, "one\nx\n");
        expect_line(&rig, "test -e /new || test -e /home/u || test -e /var/log/l", 1, "");
    }
    expect_line(&rig, "echo x > /dev/null; cat /dev/null", 0, "");
    rig_end(&rig);
    home_end(&home);
}

static void test_tree(void **state)
{
    (void)state;
    struct home home;
    struct rig rig;
    home_make(&home);
    vm_make(&rig, &home, "web");
    start_vm(&rig);
    expect_names(&rig, NULL, "");
    take(&rig, "base", NULL);
    expect_line(&rig, "echo left > /side", 0, "");
    take(&rig, "left", NULL);
    go_back(&rig, "base");
    expect_line(&rig, "test -e /side", 1, "");
    expect_line(&rig, "echo right > /side", 0, "");
    take(&rig, "right", NULL);
    expect_names(&rig, NULL, "base< left<base right<base ");
    go_back(&rig, "left");
    expect_line(&rig, "cat /side", 0, "left\n");
    struct seen seen;
    assert_int_equal(snapshot(&rig, "left", NULL, &seen), VT_EBUSY);
    char *base = vt_path_join(home.root, "web/snapshots/base");
    assert_int_equal(vt_snapshot_remove(base, NULL), VT_OK);
    assert_int_equal(vt_snapshot_remove(base, NULL), VT_ENOTFOUND);
    vt_free(base);
    expect_names(&rig, NULL, "left<base right<base ");
    go_back(&rig, "right"); /* each is whole by itself */
    expect_line(&rig, "cat /side", 0, "right\n");
    assert_int_equal(restore(&rig, "base", &seen), VT_ENOTFOUND);
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_RUNNING);
    expect_line(&rig, "cat /side", 0, "right\n"); /* nothing was touched */
    rig_end(&rig);
    assert_int_equal(count_entries(home.root), 1); /* the VM's own went with it */
    home_end(&home);
}

static void test_new_vm_of_a_snapshot(void **state)
{
    (void)state;
    struct home home;
    struct rig rig, second;
    home_make(&home);
    assert_int_equal(vm_try(&rig, &home, "web", "{\"boot_seconds\": 50}", 64 << 20), VT_OK);
    start_vm(&rig);
    expect_line(&rig, "echo made > /by; hostname", 0, "web\n");
    struct seen seen;
    assert_int_equal(snapshot(&rig, "ready", home.kept, &seen), VT_OK);
    char *path = vt_strdup(seen.out);
    rig_end(&rig);

    struct vt_vm_config config;
    struct vt_error err = VT_ERROR_INIT;
    if (vt_snapshot_config(path, &config, &err))
        fail_msg("%s", err.message);
    assert_string_equal(config.name, "web");
    assert_string_equal(config.driver, "sim");
    assert_int_equal(config.memory, 64 << 20);
    second = (struct rig){.loop = vt_loop_new(NULL)};
    char name[] = "other", *scratch = vt_path_join(home.root, "other");
    struct vt_vm_config own = config;
    own.name = name;
    own.scratch_dir = scratch;
    assert_int_equal(vt_mkdirs(scratch, NULL), VT_OK);
    assert_int_equal(vt_vm_new(second.loop, &own, &second.vm, NULL), VT_OK);
    vt_vm_config_clear(&config);
    assert_int_equal(vt_vm_restore_check(second.vm, path, NULL), VT_OK);
    double start = vt_loop_now(second.loop);
    go_back(&second, path);
    assert_true(vt_loop_now(second.loop) - start < 5); /* it did not boot */
    expect_line(&second, "cat /by", 0, "made\n");
    rig_end(&second);
    assert_true(vt_is_dir(path));
    vt_free(path);
    vt_free(scratch);
    home_end(&home);
}

static void test_stopped_and_defined(void **state)
{
    (void)state;
    struct home home;
    struct rig rig;
    struct seen seen;
    home_make(&home);
    vm_make(&rig, &home, "web");
    take(&rig, "new", NULL);
    start_vm(&rig);
    expect_line(&rig, "echo kept > /f", 0, "");
    seen = (struct seen){.rig = &rig};
    op_stop(&rig, &seen, NULL);
    await(&rig, &seen);
    take(&rig, "off", NULL);
    struct vt_snapshot *list;
    size_t n;
    assert_int_equal(vt_vm_snapshots(rig.vm, NULL, &list, &n, NULL), VT_OK);
    assert_int_equal(n, 2);
    assert_false(list[0].memory || list[1].memory);
    vt_snapshots_free(list, n);
    start_vm(&rig);
    expect_line(&rig, "echo other > /f", 0, "");
    go_back(&rig, "off"); /* while it runs */
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_STOPPED);
    assert_non_null(strstr(vt_vm_reason(rig.vm), "off"));
    start_vm(&rig);
    expect_line(&rig, "cat /f", 0, "kept\n");
    go_back(&rig, "new");
    start_vm(&rig);
    expect_line(&rig, "test -e /f", 1, "");
    rig_end(&rig);
    home_end(&home);
}

static void test_paused(void **state)
{
    (void)state;
    struct home home;
    struct rig rig;
    struct seen seen;
    home_make(&home);
    vm_make(&rig, &home, "web");
    start_vm(&rig);
    seen = (struct seen){.rig = &rig};
    op_pause(&rig, &seen, NULL);
    await(&rig, &seen);
    take(&rig, "held", NULL);
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_PAUSED);
    go_back(&rig, "held");
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_PAUSED);
    seen = (struct seen){.rig = &rig};
    op_resume(&rig, &seen, NULL);
    await(&rig, &seen);
    assert_string_equal(seen.why.message, "");
    expect_line(&rig, "echo on", 0, "on\n");
    rig_end(&rig);
    home_end(&home);
}

static void expect_meanwhile(struct rig *rig, const struct seen *seen)
{
    await(rig, seen);
    assert_int_equal(seen->why.code, VT_EGUEST);
    if (!strstr(seen->why.message, "was restored meanwhile"))
        fail_msg("%s", seen->why.message);
}

static void test_what_was_under_way_is_over(void **state)
{
    (void)state;
    struct home home;
    struct rig rig;
    struct seen exec, put = {.rig = &rig}, stopped = {.rig = &rig}, pause = {.rig = &rig},
                      back = {.rig = &rig}, snap = {.rig = &rig}, start = {.rig = &rig},
                      stop = {.rig = &rig}, kill = {.rig = &rig};
    home_make(&home);
    vm_make(&rig, &home, "web");
    start_vm(&rig);
    take(&rig, "clean", NULL);
    const struct vt_snapshot_opts opts = {.name = "other"};
    begin_line(&rig, "echo part; sleep 1000", 5000, &exec);
    pass_time(&rig, 1);
    op_put(&rig, &put, NULL);
    op_wait(&rig, &stopped, NULL);
    op_pause(&rig, &pause, NULL);
    assert_non_null(vt_vm_snapshot(rig.vm, &opts, on_snapshot, &snap, NULL));
    assert_non_null(vt_vm_restore(rig.vm, "clean", 0, on_op, &back, NULL));
    struct vt_error err = VT_ERROR_INIT;
    assert_null(vt_vm_restore(rig.vm, "clean", 0, on_op, NULL, &err));
    assert_int_equal(err.code, VT_EBUSY);
    expect_meanwhile(&rig, &exec);
    assert_string_equal(exec.out, "part\n"); /* what had arrived */
    expect_meanwhile(&rig, &put);
    expect_meanwhile(&rig, &stopped);
    expect_meanwhile(&rig, &pause);
    expect_meanwhile(&rig, &snap);
    await(&rig, &back);
    assert_string_equal(back.why.message, "");
    expect_line(&rig, "echo on", 0, "on\n");
    expect_names(&rig, NULL, "clean< "); /* no half snapshot */
    op_kill(&rig, &kill, NULL);
    go_back(&rig, "clean");
    expect_meanwhile(&rig, &kill);
    op_stop(&rig, &stop, NULL);
    go_back(&rig, "clean");
    expect_meanwhile(&rig, &stop);
    kill = (struct seen){.rig = &rig};
    op_kill(&rig, &kill, NULL);
    await(&rig, &kill);
    op_start(&rig, &start, NULL);
    go_back(&rig, "clean");
    expect_meanwhile(&rig, &start);
    pass_time(&rig, 100);
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_RUNNING);
    expect_line(&rig, "echo on", 0, "on\n");
    rig_end(&rig);
    home_end(&home);
}

static void test_busy_while_it_is_taken(void **state)
{
    (void)state;
    struct home home;
    struct rig rig;
    struct seen seen = {.rig = &rig}, other = {.rig = &rig};
    struct vt_error err = VT_ERROR_INIT;
    home_make(&home);
    vm_make(&rig, &home, "web");
    start_vm(&rig);
    const struct vt_snapshot_opts opts = {.name = "a"};
    assert_non_null(vt_vm_snapshot(rig.vm, &opts, on_snapshot, &seen, NULL));
    assert_null(op_pause(&rig, &other, &err));
    assert_int_equal(err.code, VT_EBUSY);
    assert_null(op_reset(&rig, &other, NULL));
    assert_null(vt_vm_snapshot(rig.vm, &opts, on_snapshot, &other, NULL));
    expect_line(&rig, "echo on", 0, "on\n");
    await(&rig, &seen);
    take(&rig, "b", NULL);
    rig_end(&rig);
    home_end(&home);
}

static void expect_refused(struct rig *rig, const char *path, enum vt_code code, const char *text)
{
    struct seen seen;
    struct vt_error err = VT_ERROR_INIT;
    char states[sizeof rig->states];
    memcpy(states, rig->states, sizeof states);
    assert_int_equal(vt_vm_restore_check(rig->vm, path, &err), code);
    if (!strstr(err.message, text))
        fail_msg("\"%s\" is not in: %s", text, err.message);
    assert_int_equal(restore(rig, path, &seen), code);
    assert_string_equal(rig->states, states); /* nothing was touched */
}

/* Changes one member (of an object in it) of snapshot.json. */
static void edit(const char *path, const char *object, const char *key, json_t *value)
{
    char *file = vt_path_join(path, "snapshot.json");
    json_t *facts = NULL;
    assert_int_equal(vt_json_load(file, &facts, NULL), VT_OK);
    json_object_set_new(object ? json_object_get(facts, object) : facts, key, value);
    assert_int_equal(vt_json_save(file, facts, 0600, NULL), VT_OK);
    json_decref(facts);
    vt_free(file);
}

static void test_restores_that_cannot_work(void **state)
{
    (void)state;
    struct home home;
    struct rig rig, other;
    struct seen seen;
    home_make(&home);
    vm_make(&rig, &home, "web");
    start_vm(&rig);
    assert_int_equal(snapshot(&rig, "s", home.kept, &seen), VT_OK);
    char *path = vt_strdup(seen.out);
    assert_int_equal(
        vm_try(&other, &home, "big", "{\"boot_seconds\": 3, \"latency\": 0.01}", (uint64_t)1 << 30),
        VT_OK);
    expect_refused(&other, path, VT_ESTATE, "\"memory\", \"sim\"");
    rig_end(&other);
    expect_refused(&rig, "nowhere", VT_ENOTFOUND, "nowhere");
    expect_refused(&rig, home.kept, VT_ENOTFOUND, "kept");
    edit(path, "host", "arch", json_string("vax"));
    expect_refused(&rig, path, VT_ESTATE, "Linux vax");
    edit(path, NULL, "memory", json_false()); /* disks alone can move */
    assert_int_equal(vt_vm_restore_check(rig.vm, path, NULL), VT_OK);
    edit(path, NULL, "driver", json_string("vz"));
    expect_refused(&rig, path, VT_ESTATE, "\"vz\"");
    edit(path, NULL, "driver", json_string("sim"));
    edit(path, NULL, "format", json_integer(7));
    expect_refused(&rig, path, VT_ESTATE, "format 7");
    edit(path, NULL, "format", json_integer(1));
    char *file = vt_path_join(path, "files");
    assert_int_equal(vt_remove_tree(file, NULL), VT_OK);
    expect_refused(&rig, path, VT_ENOTFOUND, "files");
    vt_free(file);
    file = vt_path_join(path, "snapshot.json");
    assert_int_equal(vt_write_file(file, "{", 1, 0600, NULL), VT_OK);
    expect_refused(&rig, path, VT_EPROTO, "snapshot.json");
    expect_names(&rig, home.kept, ""); /* no snapshot any more */
    vt_free(file);
    vt_free(path);
    rig_end(&rig);
    home_end(&home);
}

static void test_snapshots_that_cannot_be_taken(void **state)
{
    (void)state;
    struct home home;
    struct rig rig;
    struct seen seen;
    home_make(&home);
    assert_int_equal(vm_try(&rig, &home, "no", "{\"without\": [\"snapshot\"]}", 0), VT_OK);
    assert_int_equal(snapshot(&rig, "a", NULL, &seen), VT_EUNSUPPORTED);
    assert_int_equal(restore(&rig, "a", &seen), VT_EUNSUPPORTED);
    rig_end(&rig);
    vm_make(&rig, &home, "web");
    assert_int_equal(snapshot(&rig, "../a", NULL, &seen), VT_EINVAL);
    assert_int_equal(snapshot(&rig, ".a", NULL, &seen), VT_EINVAL);
    assert_int_equal(snapshot(&rig, NULL, NULL, &seen), VT_EINVAL);
    assert_int_equal(snapshot(&rig, "a", "kept", &seen), VT_EINVAL);
    assert_int_equal(snapshot(&rig, "a", "/nowhere/at/all", &seen), VT_EINVAL);
    struct seen start = {.rig = &rig};
    op_start(&rig, &start, NULL);
    assert_int_equal(snapshot(&rig, "a", NULL, &seen), VT_ESTATE);
    await(&rig, &start);
    rig_end(&rig);
    rig_make(&rig, "{" FAST "}"); /* without a folder of its own */
    assert_int_equal(snapshot(&rig, "a", NULL, &seen), VT_EINVAL);
    assert_int_equal(snapshot(&rig, "a", home.kept, &seen), VT_OK);
    rig_end(&rig);
    home_end(&home);
}

static void test_faults(void **state)
{
    (void)state;
    static const char script[] =
        "{" FAST ",\"faults\":["
        "{\"at\":\"snapshot\",\"nth\":1,\"kind\":\"fail\",\"message\":\"disk full\"},"
        "{\"at\":\"snapshot\",\"nth\":2,\"kind\":\"hang\"},"
        "{\"at\":\"restore\",\"nth\":1,\"kind\":\"fail\",\"message\":\"no memory\"},"
        "{\"at\":\"restore\",\"nth\":2,\"kind\":\"hang\"},"
        "{\"at\":\"restore\",\"nth\":3,\"kind\":\"crash\",\"message\":\"died\"}]}";
    struct home home;
    struct rig rig;
    struct seen seen;
    home_make(&home);
    assert_int_equal(vm_try(&rig, &home, "web", script, 0), VT_OK);
    start_vm(&rig);
    assert_int_equal(snapshot(&rig, "a", home.kept, &seen), VT_EHYPERVISOR);
    assert_non_null(strstr(seen.why.message, "disk full"));
    assert_int_equal(snapshot(&rig, "a", home.kept, &seen), VT_ETIMEDOUT);
    assert_int_equal(count_entries(home.kept), 0);
    expect_line(&rig, "echo on", 0, "on\n");
    take(&rig, "a", NULL);
    assert_int_equal(restore(&rig, "a", &seen), VT_EHYPERVISOR);
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_CRASHED);
    assert_non_null(strstr(vt_vm_reason(rig.vm), "no memory"));
    assert_int_equal(restore(&rig, "a", &seen), VT_ETIMEDOUT);
    pass_time(&rig, 1);
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_STOPPED);
    assert_int_equal(restore(&rig, "a", &seen), VT_EGUEST);
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_CRASHED);
    go_back(&rig, "a");
    expect_line(&rig, "echo on", 0, "on\n");
    rig_end(&rig);
    home_end(&home);
}

static void test_given_up(void **state)
{
    (void)state;
    struct home home;
    struct rig rig;
    struct seen seen = {.rig = &rig};
    home_make(&home);
    vm_make(&rig, &home, "web");
    start_vm(&rig);
    take(&rig, "a", NULL);
    const struct vt_snapshot_opts kept = {.name = "b", .dir = home.kept};
    vt_op_cancel(vt_vm_snapshot(rig.vm, &kept, on_snapshot, &seen, NULL));
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_ECANCELED);
    assert_int_equal(count_entries(home.kept), 0);
    seen = (struct seen){.rig = &rig};
    vt_op_cancel(vt_vm_restore(rig.vm, "a", 0, on_op, &seen, NULL));
    await(&rig, &seen);
    pass_time(&rig, 1);
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_STOPPED);
    go_back(&rig, "a");
    seen = (struct seen){.rig = &rig};
    assert_non_null(vt_vm_snapshot(rig.vm, &kept, on_snapshot, &seen, NULL));
    rig_end(&rig); /* freed while it is taken */
    assert_int_equal(seen.calls, 1);
    assert_int_equal(count_entries(home.kept), 0);
    vm_make(&rig, &home, "web");
    take(&rig, "a", NULL);
    seen = (struct seen){.rig = &rig};
    assert_non_null(vt_vm_restore(rig.vm, "a", 0, on_op, &seen, NULL));
    rig_end(&rig);
    assert_int_equal(seen.why.code, VT_ECANCELED);
    home_end(&home);
}

static void test_leftovers_are_swept(void **state)
{
    (void)state;
    struct home home;
    struct rig rig;
    int held;
    home_make(&home);
    char *dead = vt_path_join(home.kept, ".making-dead"),
         *dead_lock = vt_path_join(home.kept, ".making-dead.lock"),
         *live = vt_path_join(home.kept, ".making-live"),
         *live_lock = vt_path_join(home.kept, ".making-live.lock"),
         *gone = vt_path_join(home.kept, ".removing-1");
    assert_int_equal(vt_mkdirs(dead, NULL) + vt_mkdirs(live, NULL) + vt_mkdirs(gone, NULL), VT_OK);
    assert_int_equal(vt_write_file(dead_lock, "1\n", 2, 0600, NULL), VT_OK);
    assert_int_equal(vt_lock_file(live_lock, &held, NULL), VT_OK);
    vm_make(&rig, &home, "web");
    take(&rig, "a", home.kept);
    assert_false(vt_is_dir(dead) || vt_is_file(dead_lock) || vt_is_dir(gone));
    assert_true(vt_is_dir(live) && vt_is_file(live_lock));
    expect_names(&rig, home.kept, "a< ");
    close(held);
    rig_end(&rig);
    char *const paths[] = {dead, dead_lock, live, live_lock, gone};
    for (size_t i = 0; i < 5; i++)
        vt_free(paths[i]);
    home_end(&home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_write_is_gone),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_new_vm_of_a_snapshot),
        cmocka_unit_test(test_stopped_and_defined),
        cmocka_unit_test(test_paused),
        cmocka_unit_test(test_what_was_under_way_is_over),
        cmocka_unit_test(test_busy_while_it_is_taken),
        cmocka_unit_test(test_restores_that_cannot_work),
        cmocka_unit_test(test_snapshots_that_cannot_be_taken),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_leftovers_are_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
