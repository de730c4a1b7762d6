/* Leases of the host's room: who gets it, who waits, and what a killed process leaves. */
#include "lease_host.h"

static pid_t holder(const char *run, uint64_t mib)
{
    const struct vt_lease_request r = request(run, mib, 0);
    return holder_of(&r, 0);
}

static void test_take_and_release(void **state)
{
    (void)state;
    const struct vt_lease_request most = request("r1", 60, 0), more = request("r2", 41, 0),
                                  rest = request("r3", 40, 0);
    struct result a, b, c;
    assert_int_equal(take(&most, &a), VT_OK);
    assert_int_equal(take(&more, &b), VT_EBUSY);
    assert_non_null(strstr(b.error.message, "41 MiB"));
    assert_non_null(strstr(b.error.message, "run r1"));
    assert_non_null(strstr(b.error.message, "40 MiB of 100 MiB are free"));
    assert_non_null(strstr(b.error.hint, "--wait"));
    assert_int_equal(b.told, 0);
    assert_int_equal(take(&rest, &c), VT_OK);
    assert_int_equal(count(false), 2);
    vt_lease_release(a.lease);
    assert_int_equal(count(false), 1);
    assert_int_equal(take(&more, &b), VT_OK);
    vt_lease_release(b.lease);
    vt_lease_release(c.lease);
    assert_int_equal(count(false), 0);
    assert_int_equal(rmdir(dir), 0); /* no file is left */
}

static void test_more_than_the_host_has(void **state)
{
    (void)state;
    struct result r;
    struct vt_lease_request big = request("r", 101, 100);
    assert_int_equal(take(&big, &r), VT_ELIMIT); /* at once: waiting would not help */
    assert_non_null(strstr(r.error.hint, "VMTEST_MEMORY_LIMIT"));
    big = request("r", 1, 100);
    big.needs.cpus = 9;
    assert_int_equal(take(&big, &r), VT_ELIMIT);
    assert_non_null(strstr(r.error.hint, "VMTEST_CPU_LIMIT"));
    setenv("VMTEST_CPU_LIMIT", "many", 1);
    assert_int_equal(take(&big, &r), VT_EINVAL);
    setenv("VMTEST_MEMORY_LIMIT", "lots", 1);
    assert_int_equal(take(&big, &r), VT_EINVAL);
    assert_non_null(strstr(r.error.message, "VMTEST_MEMORY_LIMIT"));
}

static void test_processors(void **state)
{
    (void)state;
    struct vt_lease_request six = request("r6", 1, 0), three = request("r3", 1, 0);
    struct result a, b;
    six.needs.cpus = 6;
    three.needs.cpus = 3;
    assert_int_equal(take(&six, &a), VT_OK);
    assert_int_equal(take(&three, &b), VT_EBUSY);
    assert_non_null(strstr(b.error.message, "needs 3 processors, and 2 processors of 8"));
    three.needs.cpus = 2;
    assert_int_equal(take(&three, &b), VT_OK);
    vt_lease_release(a.lease);
    vt_lease_release(b.lease);
}

static void test_disk(void **state)
{
    (void)state;
    struct vt_lease_request r = request("r", 1, 0);
    struct result got;
    r.needs.disk_dir = root;
    setenv("VMTEST_DISK_RESERVE", "0", 1);
    assert_int_equal(take(&r, &got), VT_OK);
    vt_lease_release(got.lease);
    r.needs.disk = (uint64_t)1 << 60;
    assert_int_equal(take(&r, &got), VT_ENOSPC);
    assert_non_null(strstr(got.error.message, root));
    r.needs.disk = 0;
    setenv("VMTEST_DISK_RESERVE", "1000000T", 1);
    assert_int_equal(take(&r, &got), VT_ENOSPC);
}

static void test_slots(void **state)
{
    (void)state;
    struct vt_lease_request one = request("r1", 0, 0), other = request("r2", 0, 0);
    struct result a, b, c;
    one.needs = (struct vt_needs){.slot = "machine x", .slot_count = 2};
    other.needs = (struct vt_needs){.slot = "machine y", .slot_count = 1};
    assert_int_equal(take(&one, &a), VT_OK);
    assert_int_equal(take(&one, &b), VT_OK);
    assert_int_equal(take(&one, &c), VT_EBUSY);
    assert_non_null(strstr(c.error.message, "machine x is in use: run r1"));
    assert_int_equal(take(&other, &c), VT_OK);
    vt_lease_release(a.lease);
    vt_lease_release(b.lease);
    vt_lease_release(c.lease);
}

static void test_kill_frees(void **state)
{
    (void)state;
    const struct vt_lease_request all = request("mine", 100, 0);
    struct result r;
    pid_t pid = holder("theirs", 100);
    assert_int_equal(take(&all, &r), VT_EBUSY);
    assert_non_null(strstr(r.error.message, "run theirs"));
    end(pid);
    assert_int_equal(take(&all, &r), VT_OK);
    vt_lease_release(r.lease);
    assert_int_equal(rmdir(dir), 0); /* the dead one's file was swept */
}

/* As a hypervisor does that outlives the vmtest that started it. */
static void test_an_heir_keeps_it(void **state)
{
    (void)state;
    const struct vt_lease_request all = request("kept", 100, 0);
    struct result a, b;
    assert_int_equal(take(&all, &a), VT_OK);
    pid_t heir = fork();
    if (heir == 0) {
        alarm(PATIENCE_S);
        for (;;)
            pause();
    }
    vt_lease_release(a.lease);
    assert_int_equal(count(false), 1);
    assert_int_equal(take(&all, &b), VT_EBUSY);
    end(heir);
    assert_int_equal(take(&all, &b), VT_OK);
    vt_lease_release(b.lease);
}

/* A VM that another process left running is put back: its present hypervisor makes room. */
static void test_its_own_place(void **state)
{
    (void)state;
    struct vt_lease_request all = request("kept", 100, 0), other = request("other", 100, 0);
    struct result a, b, c;
    all.place = "/run/vmtest/r/1-a";
    other.place = "/run/vmtest/r/2-a";
    assert_int_equal(take(&all, &a), VT_OK);
    assert_int_equal(take(&other, &b), VT_EBUSY);
    assert_int_equal(take(&all, &c), VT_OK);
    vt_lease_release(a.lease);
    assert_int_equal(take(&other, &b), VT_EBUSY);
    vt_lease_release(c.lease);
}

static void test_waiting_is_served(void **state)
{
    (void)state;
    const struct vt_lease_request all = request("mine", 100, 60);
    pid_t pid = holder("theirs", 30);
    struct vt_loop *loop = vt_loop_new(NULL);
    struct result r;
    begin(loop, &all, &r);
    for (double until = vt_monotonic() + 0.6; vt_monotonic() < until;)
        vt_loop_run_once(loop, true);
    assert_false(r.done);
    assert_int_equal(r.told, 1);
    assert_non_null(strstr(r.reason, "100 MiB of memory: held by run theirs"));
    assert_int_equal(count(true), 1);
    end(pid);
    while (!r.done)
        vt_loop_run_once(loop, true);
    assert_int_equal(r.error.code, VT_OK);
    assert_int_equal(count(false), 1);
    assert_int_equal(count(true), 0);
    vt_lease_release(r.lease);
    vt_loop_free(loop);
}

static void test_waiting_ends(void **state)
{
    (void)state;
    struct vt_lease_request all = request("mine", 100, 0.4);
    pid_t pid = holder("theirs", 30);
    struct result r;
    assert_int_equal(take(&all, &r), VT_EBUSY);
    assert_non_null(strstr(r.error.message, "waited"));
    assert_int_equal(count(true), 0);
    struct vt_loop *loop = vt_loop_new(NULL);
    all.wait = 100;
    struct vt_op *op = begin(loop, &all, &r);
    assert_int_equal(count(true), 1);
    vt_op_cancel(op);
    assert_int_equal(count(true), 0);
    while (!r.done)
        vt_loop_run_once(loop, true);
    assert_int_equal(r.error.code, VT_ECANCELED);
    vt_loop_free(loop);
    end(pid);
}

/* One that could be served at once does not overtake one that came before it. */
static void test_in_the_order_they_came(void **state)
{
    (void)state;
    const struct vt_lease_request large = request("large", 80, 60),
                                  small = request("small", 40, 60),
                                  at_once = request("at-once", 40, 0);
    pid_t pid = holder("first", 50);
    struct vt_loop *loop = vt_loop_new(NULL);
    struct result a, b, c;
    begin(loop, &large, &a);
    begin(loop, &small, &b);
    for (double until = vt_monotonic() + 0.6; vt_monotonic() < until;)
        vt_loop_run_once(loop, true);
    assert_false(a.done);
    assert_false(b.done);
    assert_non_null(strstr(b.reason, "run large"));
    assert_int_equal(take(&at_once, &c), VT_EBUSY);
    assert_non_null(strstr(c.error.message, "waiting since"));
    end(pid);
    while (!a.done)
        vt_loop_run_once(loop, true);
    assert_int_equal(a.error.code, VT_OK);
    assert_false(b.done);
    vt_lease_release(a.lease);
    while (!b.done)
        vt_loop_run_once(loop, true);
    assert_int_equal(b.error.code, VT_OK);
    vt_lease_release(b.lease);
    vt_loop_free(loop);
}

/* Two processes, set off together, want the last share; one of them holds it till both tried. */
static void test_race_for_the_last_share(void **state)
{
    (void)state;
    const struct vt_lease_request r = request("racer", 60, 0);
    for (int round = 0; round < 200; round++) {
        int go[2], told[2], hold[2];
        char yes = 0, answers[2];
        assert_true(!pipe(go) && !pipe(told) && !pipe(hold));
        pid_t pids[2];
        for (int i = 0; i < 2; i++) {
            pids[i] = fork();
            if (pids[i])
                continue;
            struct result got;
            close(hold[1]);
            close(go[1]);
            if (read(go[0], &yes, 1) != 0)
                _exit(1);
            char answer = take(&r, &got) == VT_OK ? 'y' : got.error.code == VT_EBUSY ? 'n' : '?';
            if (write(told[1], &answer, 1) != 1 || read(hold[0], &yes, 1) != 0)
                _exit(1);
            _exit(0);
        }
        close(go[1]); /* now */
        for (int i = 0; i < 2; i++)
            assert_int_equal(read(told[0], &answers[i], 1), 1);
        close(hold[1]);
        assert_int_equal(answers[0] + answers[1], 'y' + 'n');
        for (int i = 0; i < 2; i++)
            assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
        close(go[0]);
        close(told[0]);
        close(told[1]);
        close(hold[0]);
    }
}

static void plant(const char *name, const char *text, size_t n, bool locked)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    if (locked)
        assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0); /* for the life of the test */
    else
        close(fd);
}

static void test_garbage(void **state)
{
    (void)state;
    char huge[5000], path[200], victim[200];
    struct vt_leased *all;
    size_t n;
    memset(huge, '{', sizeof huge);
    assert_int_equal(mkdir(dir, 0700), 0);
    plant("0-a.lease", "", 0, true);
    plant("0-b.lease", "\0\377{", 3, true);
    plant("0-c.lease", huge, sizeof huge, true);
    plant("0-d.lease", "[1]", 3, true);
    static const char odd[] = "{\"memory\":-5,\"cpus\":\"x\",\"run\":7,\"slot\":[]}";
    plant("0-e.lease", odd, sizeof odd - 1, true);
    static const char late[] = "{\"memory\":9223372036854775807,\"cpus\":1,\"waiting\":true}";
    plant("9-f.lease", late, sizeof late - 1, true);
    plant("dead.lease", "{}", 2, false);
    plant("unrelated", "keep me", 7, false);
    snprintf(victim, sizeof victim, "%s/victim", root);
    assert_int_equal(vt_write_file(victim, "precious", 8, 0600, NULL), VT_OK);
    snprintf(path, sizeof path, "%s/0-link.lease", dir);
    assert_int_equal(symlink(victim, path), 0);
    snprintf(path, sizeof path, "%s/0-fifo.lease", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/0-folder.lease", dir);
    assert_int_equal(mkdir(path, 0700), 0);

    assert_int_equal(vt_lease_list(&all, &n, NULL), VT_OK);
    assert_int_equal(n, 2); /* e and f: objects; what they claim is bounded */
    assert_int_equal(all[0].memory, 0);
    assert_int_equal(all[0].cpus, 0);
    assert_true(all[1].waiting);
    vt_leased_free(all, n);
    const struct vt_lease_request r = request("mine", 100, 60);
    struct result got;
    struct vt_loop *loop = vt_loop_new(NULL);
    begin(loop, &r, &got); /* f came first and wants everything: this one waits in vain */
    vt_loop_run_once(loop, false);
    assert_false(got.done);
    vt_loop_free(loop);
    assert_int_equal(got.error.code, VT_ECANCELED);

    snprintf(path, sizeof path, "%s/dead.lease", dir);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/unrelated", dir);
    assert_int_equal(access(path, F_OK), 0);
    struct vt_buf text = VT_BUF_INIT;
    assert_int_equal(vt_read_file(victim, 100, &text, NULL), VT_OK);
    assert_string_equal(vt_buf_str(&text), "precious");
    vt_buf_free(&text);
}

static void test_the_folder(void **state)
{
    (void)state;
    struct stat st;
    struct result r;
    const struct vt_lease_request one = request("r", 1, 0);
    mode_t before = umask(077);
    assert_int_equal(take(&one, &r), VT_OK);
    umask(before);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 01777); /* for all users */
    assert_int_equal(fstat(vt_lease_fd(r.lease), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644); /* which they may read */
    assert_true(fcntl(vt_lease_fd(r.lease), F_GETFD) & FD_CLOEXEC);
    vt_lease_release(r.lease);

    assert_int_equal(chmod(dir, 0777), 0); /* others could replace what is in it */
    assert_int_equal(take(&one, &r), VT_EIO);
    assert_non_null(strstr(r.error.hint, "VMTEST_LEASE_DIR"));
    assert_int_equal(rmdir(dir), 0);
    char elsewhere[96];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", root);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    assert_int_equal(symlink(elsewhere, dir), 0);
    assert_int_equal(take(&one, &r), VT_EIO);
    assert_int_equal(rmdir(elsewhere), 0); /* nothing was written there */
}

/* A process that dies, or is stopped, with the folder locked holds up nobody for long. */
static void test_locked_folder(void **state)
{
    (void)state;
    assert_int_equal(mkdir(dir, 0700), 0);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    const struct vt_lease_request one = request("r", 1, 0);
    struct vt_loop *loop = vt_loop_new(NULL);
    struct result r;
    begin(loop, &one, &r);
    for (double until = vt_monotonic() + 0.2; vt_monotonic() < until;)
        vt_loop_run_once(loop, true);
    assert_false(r.done);
    close(fd);
    while (!r.done)
        vt_loop_run_once(loop, true);
    assert_int_equal(r.error.code, VT_OK);
    vt_lease_release(r.lease);
    vt_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEASE_TEST(test_take_and_release),
        LEASE_TEST(test_more_than_the_host_has),
        LEASE_TEST(test_processors),
        LEASE_TEST(test_disk),
        LEASE_TEST(test_slots),
        LEASE_TEST(test_kill_frees),
        LEASE_TEST(test_an_heir_keeps_it),
        LEASE_TEST(test_its_own_place),
        LEASE_TEST(test_waiting_is_served),
        LEASE_TEST(test_waiting_ends),
        LEASE_TEST(test_in_the_order_they_came),
        LEASE_TEST(test_race_for_the_last_share),
        LEASE_TEST(test_garbage),
        LEASE_TEST(test_the_folder),
        LEASE_TEST(test_locked_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
