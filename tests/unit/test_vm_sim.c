/* The state machine of VMs over simulated ones: states, faults, cancelling, the guest's own ways.
 */
#include "vm_sim.h"

#include <math.h>

#include "core/mem.h"

/* --- each operation from each state --- */

#define IN(state) (1u << VT_VM_##state)
#define ALIVE (IN(STARTING) | IN(RUNNING) | IN(PAUSED) | IN(STOPPING))

static const struct {
    const char *name;
    op_fn begin;
    unsigned allowed;

} operations[] = {
    {"vm.start", op_start, IN(DEFINED) | IN(STOPPED) | IN(CRASHED)},
    {"vm.stop", op_stop, IN(RUNNING)},
    {"vm.kill", op_kill, ALIVE},
    {"vm.pause", op_pause, IN(RUNNING)},
    {"vm.resume", op_resume, IN(PAUSED)},
    {"vm.reboot", op_reboot, IN(RUNNING)},
    {"vm.reboot", op_reset, IN(RUNNING)},
    {"vm.wait_stopped", op_wait, ~IN(DEFINED)},
    {"vm.exec", op_exec, IN(RUNNING) | IN(PAUSED)},
    {"vm.transfer", op_put, IN(RUNNING) | IN(PAUSED)},
};

static void ignore(struct vt_op *op, void *user)
{
    (void)op;
    (void)user;
}

/* Brings a new VM into a state. */
static void bring(struct rig *rig, enum vt_vm_state state)
{
    struct seen seen = {.rig = rig};
    rig_make(rig, "{" FAST "}");
    if (state == VT_VM_DEFINED)
        return;
    if (state == VT_VM_STARTING) {
        vt_vm_start(rig->vm, true, 0, ignore, NULL, NULL);
    } else {
        start_vm(rig);
        if (state == VT_VM_PAUSED)
            vt_vm_pause(rig->vm, on_op, &seen, NULL);
        else if (state == VT_VM_STOPPING)
            vt_vm_stop(rig->vm, 0, ignore, NULL, NULL);
        else if (state == VT_VM_STOPPED)
            vt_vm_stop(rig->vm, 0, on_op, &seen, NULL);
        else if (state == VT_VM_CRASHED) {
            const struct vt_exec_opts opts = {.command = "panic", .timeout = 10};
            vt_vm_exec(rig->vm, &opts, on_op, &seen, NULL);
        }
        if (state == VT_VM_PAUSED || state == VT_VM_STOPPED || state == VT_VM_CRASHED)
            await(rig, &seen);
    }
    assert_string_equal(vt_vm_state_name(vt_vm_state(rig->vm)), vt_vm_state_name(state));
}

static void test_every_operation_from_every_state(void **state)
{
    (void)state;
    for (unsigned s = VT_VM_DEFINED; s <= VT_VM_CRASHED; s++) {
        for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
            struct rig rig;
            bring(&rig, (enum vt_vm_state)s);
            struct seen seen = {.rig = &rig};
            struct vt_error err = VT_ERROR_INIT;
            struct vt_op *op = operations[i].begin(&rig, &seen, &err);
            const char *name = vt_vm_state_name((enum vt_vm_state)s);
            bool allowed = operations[i].allowed & 1u << s;
            if (!!op != allowed)
                fail_msg("%s in %s: %s", operations[i].name, name, err.message);
            if (op) {
                for (int n = 0; n < 100000 && !seen.calls; n++)
                    vt_loop_run_once(rig.loop, true);
                assert_int_equal(seen.calls, 1);
            } else {
                assert_int_equal(err.code, VT_ESTATE);
                assert_string_equal(err.op, operations[i].name);
                assert_non_null(strstr(err.message, "web"));
                if (!strstr(err.message, name) || !strstr(err.message, "needs"))
                    fail_msg("does not name both states: %s", err.message);
                assert_int_equal(vt_vm_state(rig.vm), s); /* nothing happened */
            }
            rig_end(&rig);
        }
    }
}

/* --- the way through --- */

static void test_states_are_told_in_order(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST "}");
    start_vm(&rig);
    static const op_fn way[] = {op_pause, op_resume, op_stop, op_start, op_kill};
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        struct seen seen = {.rig = &rig};
        assert_non_null(way[i](&rig, &seen, NULL));
        await(&rig, &seen);
        assert_int_equal(seen.why.code, VT_OK);
    }
    assert_string_equal(rig.states, "starting running paused running stopping stopped starting "
                                    "running stopped ");
    rig_end(&rig);
}

static void test_boot_takes_its_time(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{\"boot_seconds\": 40}");
    double start = vt_loop_now(rig.loop);
    start_vm(&rig);
    double took = vt_loop_now(rig.loop) - start;
    assert_true(took >= 40 && took < 41);
    char *text;
    vt_vm_console_tail(rig.vm, 4096, &text);
    assert_non_null(strstr(text, "booting"));
    assert_non_null(strstr(text, "web login:"));
    vt_free(text);
    json_t *info = vt_vm_info(rig.vm);
    assert_true(json_is_true(json_object_get(info, "simulated")));
    json_decref(info);
    rig_end(&rig);
}

static void test_start_without_waiting(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{\"boot_seconds\": 20}");
    struct seen seen = {.rig = &rig};
    double start = vt_loop_now(rig.loop);
    assert_non_null(vt_vm_start(rig.vm, false, 0, on_op, &seen, NULL));
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_OK);
    assert_true(seen.at - start < 1);
    run_line(&rig, "echo a", &seen); /* connects when the guest is there */
    assert_string_equal(seen.out, "a\n");
    assert_true(seen.at - start >= 20);
    rig_end(&rig);
}

/* --- the guest's own ways --- */

static void test_poweroff_is_noticed(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST "}");
    start_vm(&rig);
    struct seen seen, other;
    begin_line(&rig, "echo part; sleep 100", 1000, &other);
    run_line(&rig, "poweroff", &seen);
    assert_int_equal(seen.status, 0);
    await(&rig, &other);
    assert_int_equal(other.why.code, VT_EGUEST);
    assert_non_null(strstr(other.why.message, "powered off"));
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_STOPPED);
    assert_string_equal(vt_vm_reason(rig.vm), "guest powered off");
    seen = (struct seen){.rig = &rig};
    op_wait(&rig, &seen, NULL); /* it has already */
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_OK);
    rig_end(&rig);
}

static void test_reboot_is_ready_anew(void **state)
{
    (void)state;
    static const op_fn ways[] = {op_reboot, op_reset};
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        rig_make(&rig, "{\"boot_seconds\": 10}");
        start_vm(&rig);
        struct seen seen = {.rig = &rig}, other;
        begin_line(&rig, "echo x > /tmp/kept; sleep 1000", 5000, &other);
        pass_time(&rig, 1);
        double start = vt_loop_now(rig.loop);
        assert_non_null(ways[i](&rig, &seen, NULL));
        await(&rig, &seen);
        assert_int_equal(seen.why.code, VT_OK);
        assert_true(seen.at - start >= 10);
        assert_int_equal(other.calls, 1);
        assert_int_equal(other.why.code, VT_EGUEST);
        assert_non_null(strstr(other.why.message, "restarted"));
        assert_int_equal(vt_vm_state(rig.vm), VT_VM_RUNNING);
        run_line(&rig, "cat /tmp/kept", &seen);
        assert_string_equal(seen.out, "x\n");
        rig_end(&rig);
    }
}

static void test_reboot_by_the_guest_itself(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{\"boot_seconds\": 10}");
    start_vm(&rig);
    struct seen seen;
    run_line(&rig, "reboot", &seen);
    pass_time(&rig, 2);
    double start = vt_loop_now(rig.loop);
    run_line(&rig, "echo back", &seen); /* waits for the guest */
    assert_string_equal(seen.out, "back\n");
    assert_true(seen.at - start > 5);
    rig_end(&rig);
}

static void test_second_boot_hangs(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST ",\"faults\":[{\"at\":\"ready\",\"nth\":2,\"kind\":\"hang\"}]}");
    start_vm(&rig);
    struct seen seen = {.rig = &rig};
    op_reboot(&rig, &seen, NULL);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_ETIMEDOUT);
    assert_non_null(strstr(seen.why.message, "console"));
    rig_end(&rig);
}

static void test_wait_times_out(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST "}");
    start_vm(&rig);
    struct seen seen = {.rig = &rig};
    op_wait(&rig, &seen, NULL);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_ETIMEDOUT);
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_RUNNING);
    rig_end(&rig);
}

/* --- paused --- */

static void test_pause_stops_the_guests_time(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST "}");
    start_vm(&rig);
    struct seen seen = {.rig = &rig}, command;
    begin_line(&rig, "sleep 10; echo done", 1000, &command);
    pass_time(&rig, 4);
    op_pause(&rig, &seen, NULL);
    await(&rig, &seen);
    pass_time(&rig, 500);
    assert_int_equal(command.calls, 0);
    seen = (struct seen){.rig = &rig};
    op_resume(&rig, &seen, NULL);
    await(&rig, &seen);
    double resumed = vt_loop_now(rig.loop);
    await(&rig, &command);
    assert_string_equal(command.out, "done\n");
    assert_true(command.at - resumed > 5 && command.at - resumed < 7);
    rig_end(&rig);
}

static void test_time_out_says_that_it_is_paused(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST "}");
    start_vm(&rig);
    struct seen seen = {.rig = &rig}, command;
    begin_line(&rig, "sleep 10; echo done", 60, &command);
    pass_time(&rig, 4);
    op_pause(&rig, &seen, NULL);
    await(&rig, &seen);
    await(&rig, &command);
    assert_int_equal(command.why.code, VT_ETIMEDOUT);
    if (!strstr(command.why.message, "paused"))
        fail_msg("%s", command.why.message);
    begin_line(&rig, "echo a", 5, &command); /* begun while paused */
    await(&rig, &command);
    assert_int_equal(command.why.code, VT_ETIMEDOUT);
    if (!strstr(command.why.message, "paused"))
        fail_msg("%s", command.why.message);
    rig_end(&rig);
}

/* --- cancelling and freeing --- */

/* A state at rest in which an operation is allowed. */
static enum vt_vm_state a_state_for(unsigned allowed)
{
    return allowed & IN(DEFINED)   ? VT_VM_DEFINED
           : allowed & IN(RUNNING) ? VT_VM_RUNNING
                                   : VT_VM_PAUSED;
}

static void test_every_operation_can_be_cancelled(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        enum vt_vm_state from = a_state_for(operations[i].allowed);
        for (int later = 0; later < 2; later++) {
            struct rig rig;
            bring(&rig, from);
            struct seen seen = {.rig = &rig};
            struct vt_op *op = operations[i].begin(&rig, &seen, NULL);
            if (later)
                pass_time(&rig, 0.005);
            vt_op_cancel(op);
            vt_op_cancel(op);
            assert_int_equal(seen.calls, 0);
            await(&rig, &seen);
            if (seen.why.code != VT_ECANCELED)
                fail_msg("%s: %s", operations[i].name, seen.why.message);
            pass_time(&rig, 200); /* what was under way comes to rest */
            assert_int_equal(seen.calls, 1);
            enum vt_vm_state rest = vt_vm_state(rig.vm);
            assert_true(rest != VT_VM_STARTING && rest != VT_VM_STOPPING);
            rig_end(&rig);
        }
    }
}

static void test_a_cancelled_start_can_be_started(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST "}");
    struct seen seen = {.rig = &rig};
    struct vt_op *op = op_start(&rig, &seen, NULL);
    vt_op_cancel(op);
    await(&rig, &seen);
    pass_time(&rig, 10);
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_STOPPED);
    start_vm(&rig);
    rig_end(&rig);
}

static void test_freeing_with_operations_under_way(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        enum vt_vm_state from = a_state_for(operations[i].allowed);
        struct rig rig;
        bring(&rig, from);
        struct seen seen = {.rig = &rig}, command = {.rig = &rig};
        bool also = from == VT_VM_RUNNING && op_exec(&rig, &command, NULL);
        operations[i].begin(&rig, &seen, NULL);
        vt_vm_free(rig.vm, false);
        assert_int_equal(seen.calls, 0);
        await(&rig, &seen);
        assert_int_equal(seen.why.code, VT_ECANCELED);
        assert_int_equal(command.calls, also);
        assert_int_equal(vt_loop_active(rig.loop), 0);
        vt_loop_free(rig.loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operation_from_every_state),
        cmocka_unit_test(test_states_are_told_in_order),
        cmocka_unit_test(test_boot_takes_its_time),
        cmocka_unit_test(test_start_without_waiting),
        cmocka_unit_test(test_poweroff_is_noticed),
        cmocka_unit_test(test_reboot_is_ready_anew),
        cmocka_unit_test(test_reboot_by_the_guest_itself),
        cmocka_unit_test(test_second_boot_hangs),
        cmocka_unit_test(test_wait_times_out),
        cmocka_unit_test(test_pause_stops_the_guests_time),
        cmocka_unit_test(test_time_out_says_that_it_is_paused),
        cmocka_unit_test(test_every_operation_can_be_cancelled),
        cmocka_unit_test(test_a_cancelled_start_can_be_started),
        cmocka_unit_test(test_freeing_with_operations_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
