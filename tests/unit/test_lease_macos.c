/* The slots for macOS guests: two on a host, among all processes and users. */
#include "lease_host.h"

#include "vmtest/apple.h"

static struct vt_lease_request macos(const char *run, const char *vm, double wait)
{
    return (struct vt_lease_request){
        .run = run, .vm = vm, .needs = {.macos_guest = true}, .wait = wait, .waiting = on_waiting};
}

static void test_two_macos_guests(void **state)
{
    (void)state;
    const struct vt_lease_request first = macos("r1", "one", 0), second = macos("r2", "two", 0),
                                  third = macos("r3", "three", 0), linux_ = request("r4", 50, 0);
    char text[200];
    struct result r, l;
    pid_t a = holder_of(&first, 0), b = holder_of(&second, 0);
    assert_int_equal(take(&third, &r), VT_EBUSY);
    assert_non_null(
        strstr(r.error.message, "VM three is a macOS guest, of which this host runs 2"));
    snprintf(text, sizeof text, "run r1 (VM one of ");
    assert_non_null(strstr(r.error.message, text));
    snprintf(text, sizeof text, ", pid %ld, held since ", (long)a);
    assert_non_null(strstr(r.error.message, text));
    snprintf(text, sizeof text, ", pid %ld, held since ", (long)b);
    assert_non_null(strstr(r.error.message, text));
    assert_non_null(strstr(r.error.hint, "vmtest vm rm"));
    assert_int_equal(take(&linux_, &l), VT_OK); /* that takes no such slot */
    vt_lease_release(l.lease);
    end(a);
    assert_int_equal(take(&third, &r), VT_OK);
    assert_int_equal(take(&first, &l), VT_EBUSY);
    end(b);
    assert_int_equal(take(&first, &l), VT_OK);
    vt_lease_release(l.lease);
    vt_lease_release(r.lease);
    assert_int_equal(rmdir(dir), 0);
}

static void on_hour(struct vt_timer *timer)
{
    *(bool *)timer->user = true;
}

static void test_a_slot_for_macos_is_waited_for(void **state)
{
    (void)state;
    const struct vt_lease_request first = macos("r1", "one", 0), late = macos("r3", "three", 60);
    pid_t a = holder_of(&first, 0), b = holder_of(&first, 0);
    struct vt_loop *loop = vt_loop_new(NULL);
    struct result r;
    /* also where time is virtual: another process's VM ends in real time */
    assert_int_equal(vt_loop_set_virtual(loop, NULL), VT_OK);
    bool passed = false; /* a virtual hour, which takes no time unless something real is awaited */
    struct vt_timer hour = {.loop = NULL};
    vt_timer_set(&hour, loop, 3600, on_hour, &passed);
    begin(loop, &late, &r);
    for (double until = vt_monotonic() + 0.6; vt_monotonic() < until;)
        vt_loop_run_once(loop, true);
    assert_false(r.done);
    assert_non_null(strstr(r.reason, "one of 2 slots for macOS guests: held by run r1"));
    assert_false(passed);
    end(a);
    while (!r.done)
        vt_loop_run_once(loop, true);
    assert_int_equal(r.error.code, VT_OK);
    while (!passed)
        vt_loop_run_once(loop, true);
    vt_lease_release(r.lease);
    vt_loop_free(loop);
    end(b);
}

static void test_fewer_macos_guests(void **state)
{
    (void)state;
    const struct vt_lease_request one = macos("r1", "one", 0);
    struct vt_lease_limits limits;
    struct result a, b;
    assert_int_equal(vt_lease_limits(&limits, NULL), VT_OK);
    assert_int_equal(limits.macos_guests, VT_MACOS_GUESTS_MAX);
    setenv("VMTEST_MACOS_LIMIT", "1", 1);
    assert_int_equal(take(&one, &a), VT_OK);
    assert_int_equal(take(&one, &b), VT_EBUSY);
    assert_non_null(strstr(b.error.message, "runs 1 at once"));
    setenv("VMTEST_MACOS_LIMIT", "0", 1);
    assert_int_equal(take(&one, &b), VT_ELIMIT);
    assert_non_null(strstr(b.error.hint, "VMTEST_MACOS_LIMIT"));
    vt_lease_release(a.lease);
    static const char *const wrong[] = {"3", "-1", "two", "1x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("VMTEST_MACOS_LIMIT", wrong[i], 1);
        assert_int_equal(take(&one, &b), VT_EINVAL);
        assert_non_null(strstr(b.error.message, "VMTEST_MACOS_LIMIT"));
        assert_non_null(strstr(b.error.hint, "0 to 2"));
    }
}

/* Users share the slots: each can hold one, sees the other's, and is freed by the other's end. */
static void test_two_users(void **state)
{
    (void)state;
    if (getuid() != 0) {
        print_message("skipped: only root can be another user\n");
        skip();
    }
    const uid_t other = 12345, third = 12346;
    const struct vt_lease_request theirs = macos("theirs", "one", 0),
                                  ours = macos("ours", "two", 0);
    struct result a, b;
    assert_int_equal(chmod(root, 0755), 0); /* as /var/tmp is */
    assert_int_equal(chown(root, other, other), 0);
    pid_t first = holder_of(&theirs, other); /* who makes the folder, too */
    struct stat st;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_uid, other);
    pid_t second = holder_of(&theirs, third);
    assert_int_equal(take(&ours, &a), VT_EBUSY);
    assert_non_null(strstr(a.error.message, "VM one of 12345, pid"));
    assert_non_null(strstr(a.error.message, "VM one of 12346, pid"));
    end(first);
    assert_int_equal(take(&ours, &a), VT_OK);
    assert_int_equal(take(&ours, &b), VT_EBUSY);
    end(second);
    assert_int_equal(take(&ours, &b), VT_OK);
    vt_lease_release(a.lease);
    vt_lease_release(b.lease);
}

static void as_another(void (*what)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (setuid(12345))
            _exit(2);
        what();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void look_at_a_dead_one(void)
{
    const struct vt_lease_request one = macos("ours", "two", 0);
    struct result a;
    _exit(take(&one, &a) != VT_OK || count(false) != 1);
}

static void look_at_a_half_made_folder(void)
{
    const struct vt_lease_request one = macos("ours", "two", 0);
    struct vt_loop *loop = vt_loop_new(NULL);
    struct result r;
    begin(loop, &one, &r);
    for (double until = vt_monotonic() + 0.2; vt_monotonic() < until;)
        vt_loop_run_once(loop, true);
    _exit(r.done);
}

/* What another user left is not in the way, though only they or root may remove it. */
static void test_what_other_users_leave(void **state)
{
    (void)state;
    if (getuid() != 0) {
        print_message("skipped: only root can be another user\n");
        skip();
    }
    const struct vt_lease_request one = macos("theirs", "one", 0);
    assert_int_equal(chmod(root, 0755), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    as_another(look_at_a_half_made_folder); /* it waits till that is done */
    assert_int_equal(rmdir(dir), 0);
    pid_t a = holder_of(&one, 0), b = holder_of(&one, 0);
    end(a);
    end(b);
    as_another(look_at_a_dead_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEASE_TEST(test_two_macos_guests),       LEASE_TEST(test_a_slot_for_macos_is_waited_for),
        LEASE_TEST(test_fewer_macos_guests),     LEASE_TEST(test_two_users),
        LEASE_TEST(test_what_other_users_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
