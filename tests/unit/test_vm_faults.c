/* Faults of simulated VMs and what the state machine makes of them; scripts, good and bad. */
#include "vm_sim.h"

#include <math.h>

/* --- faults --- */

static void expect_start(const char *script, enum vt_code code, const char *text,
                         enum vt_vm_state after)
{
    struct rig rig;
    rig_make(&rig, script);
    struct seen seen = {.rig = &rig};
    assert_non_null(op_start(&rig, &seen, NULL));
    await(&rig, &seen);
    if (seen.why.code != code || !strstr(seen.why.message, text))
        fail_msg("%s: %s: %s", script, vt_code_name(seen.why.code), seen.why.message);
    pass_time(&rig, 5);
    assert_string_equal(vt_vm_state_name(vt_vm_state(rig.vm)), vt_vm_state_name(after));
    rig_end(&rig);
}

static void test_faults_of_start(void **state)
{
    (void)state;
    expect_start("{\"faults\":[{\"at\":\"start\",\"kind\":\"fail\",\"message\":\"no disk\"}]}",
                 VT_EHYPERVISOR, "no disk", VT_VM_CRASHED);
    expect_start("{\"faults\":[{\"at\":\"start\",\"kind\":\"hang\"}]}", VT_ETIMEDOUT,
                 "did not start", VT_VM_STOPPED);
    expect_start("{\"faults\":[{\"at\":\"start\",\"kind\":\"crash\",\"message\":\"died\"}]}",
                 VT_EGUEST, "died", VT_VM_CRASHED);
    expect_start("{\"faults\":[{\"at\":\"start\",\"kind\":\"slow\",\"after\":20}]}", VT_OK, "",
                 VT_VM_RUNNING);
    expect_start("{\"faults\":[{\"at\":\"ready\",\"kind\":\"hang\"}]}", VT_ETIMEDOUT, "network: up",
                 VT_VM_RUNNING);
    expect_start("{\"ready\":false}", VT_ETIMEDOUT, "web login:", VT_VM_RUNNING);
    expect_start("{\"faults\":[{\"at\":\"ready\",\"kind\":\"auth\"}]}", VT_EAUTH, "credential",
                 VT_VM_RUNNING);
    expect_start("{\"faults\":[{\"at\":\"ready\",\"kind\":\"fail\",\"message\":\"closed\"}]}",
                 VT_EGUEST, "closed", VT_VM_RUNNING);
    expect_start("{\"faults\":[{\"at\":\"ready\",\"kind\":\"crash\",\"after\":3,"
                 "\"message\":\"no root\"}]}",
                 VT_EGUEST, "panic: no root", VT_VM_CRASHED);
}

static void test_nth_start_fails(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST ",\"faults\":[{\"at\":\"start\",\"nth\":2,\"kind\":\"fail\"}]}");
    start_vm(&rig);
    struct seen seen = {.rig = &rig};
    op_kill(&rig, &seen, NULL);
    await(&rig, &seen);
    seen = (struct seen){.rig = &rig};
    op_start(&rig, &seen, NULL);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_EHYPERVISOR);
    start_vm(&rig);
    rig_end(&rig);
}

static void test_crash_while_a_command_runs(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST ",\"faults\":[{\"at\":\"exec\",\"kind\":\"crash\",\"after\":2,"
                   "\"message\":\"kernel bug\"}]}");
    start_vm(&rig);
    double start = vt_loop_now(rig.loop);
    struct seen seen;
    begin_line(&rig, "echo before; sleep 1000", 5000, &seen);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_EGUEST);
    assert_non_null(strstr(seen.why.message, "kernel bug"));
    assert_true(fabs(seen.at - start - 2) < 0.1); /* at once */
    assert_string_equal(seen.out, "before\n");
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_CRASHED);
    assert_non_null(strstr(vt_vm_reason(rig.vm), "kernel bug"));
    start_vm(&rig); /* a crashed VM can be started again */
    run_line(&rig, "echo again", &seen);
    assert_string_equal(seen.out, "again\n");
    rig_end(&rig);
}

static void test_lost_connection_comes_back(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST ",\"faults\":[{\"at\":\"exec\",\"kind\":\"drop\",\"after\":1}]}");
    start_vm(&rig);
    struct seen seen;
    begin_line(&rig, "echo part; sleep 100", 500, &seen);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_EGUEST);
    assert_non_null(strstr(seen.why.message, "connection"));
    assert_string_equal(seen.out, "part\n");
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_RUNNING);
    run_line(&rig, "echo again", &seen);
    assert_string_equal(seen.out, "again\n");
    rig_end(&rig);
}

static void test_faults_of_commands_and_files(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST ",\"faults\":["
                   "{\"at\":\"exec\",\"nth\":1,\"kind\":\"fail\",\"message\":\"no pty\"},"
                   "{\"at\":\"exec\",\"nth\":2,\"kind\":\"hang\"},"
                   "{\"at\":\"exec\",\"nth\":3,\"kind\":\"slow\",\"after\":7},"
                   "{\"at\":\"put\",\"kind\":\"fail\",\"message\":\"disk full\"},"
                   "{\"at\":\"get\",\"kind\":\"hang\"}]}");
    start_vm(&rig);
    struct seen seen;
    run_line(&rig, "echo a", &seen);
    assert_int_equal(seen.why.code, VT_EIO);
    assert_non_null(strstr(seen.why.message, "no pty"));
    begin_line(&rig, "echo a", 9, &seen);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_ETIMEDOUT);
    double start = vt_loop_now(rig.loop);
    run_line(&rig, "echo a", &seen);
    assert_true(seen.at - start >= 7 && seen.at - start < 8);
    seen = (struct seen){.rig = &rig};
    op_put(&rig, &seen, NULL);
    await(&rig, &seen);
    assert_non_null(strstr(seen.why.message, "disk full"));
    const struct vt_transfer_opts get = {.direction = VT_GET, .remote = "/etc/x", .timeout = 3};
    seen = (struct seen){.rig = &rig};
    vt_vm_transfer(rig.vm, &get, on_op, &seen, NULL);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_ETIMEDOUT);
    seen = (struct seen){.rig = &rig};
    vt_vm_transfer(rig.vm, &get, on_op, &seen, NULL);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_ENOTFOUND);
    rig_end(&rig);
}

static void test_running_guest_dies(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST ",\"faults\":[{\"at\":\"running\",\"kind\":\"crash\",\"after\":30,"
                   "\"message\":\"overheated\"}]}");
    start_vm(&rig);
    struct seen waits = {.rig = &rig};
    assert_non_null(vt_vm_wait_stopped(rig.vm, 100, on_op, &waits, NULL));
    await(&rig, &waits);
    assert_int_equal(waits.why.code, VT_EGUEST);
    assert_non_null(strstr(waits.why.message, "overheated"));
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_CRASHED);
    rig_end(&rig);
}

static void test_faults_of_stop_and_pause(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST ",\"faults\":[{\"at\":\"stop\",\"kind\":\"hang\"},"
                   "{\"at\":\"stop\",\"nth\":2,\"kind\":\"fail\",\"message\":\"no ACPI\"},"
                   "{\"at\":\"pause\",\"kind\":\"fail\",\"message\":\"refused\"},"
                   "{\"at\":\"pause\",\"nth\":2,\"kind\":\"hang\"}]}");
    start_vm(&rig);
    struct seen seen = {.rig = &rig};
    assert_non_null(vt_vm_stop(rig.vm, 4, on_op, &seen, NULL));
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_ETIMEDOUT);
    assert_non_null(strstr(seen.why.message, "did not power off"));
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_RUNNING);
    seen = (struct seen){.rig = &rig};
    op_stop(&rig, &seen, NULL);
    await(&rig, &seen);
    assert_non_null(strstr(seen.why.message, "no ACPI"));
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_RUNNING);
    seen = (struct seen){.rig = &rig};
    op_pause(&rig, &seen, NULL);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_EHYPERVISOR);
    assert_int_equal(vt_vm_state(rig.vm), VT_VM_RUNNING);
    seen = (struct seen){.rig = &rig};
    op_pause(&rig, &seen, NULL);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_ETIMEDOUT);
    run_line(&rig, "echo alive", &seen);
    assert_string_equal(seen.out, "alive\n");
    seen = (struct seen){.rig = &rig};
    op_stop(&rig, &seen, NULL);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_OK);
    rig_end(&rig);
}

static void test_capability_taken_away(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST ",\"without\":[\"pause\",\"reset\"]}");
    start_vm(&rig);
    struct seen seen = {.rig = &rig};
    struct vt_error err = VT_ERROR_INIT;
    assert_false(vt_vm_supports(rig.vm, VT_CAP_PAUSE, NULL));
    assert_true(vt_vm_supports(rig.vm, VT_CAP_STOP, NULL));
    assert_null(op_pause(&rig, &seen, &err));
    assert_int_equal(err.code, VT_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "pause"));
    assert_null(op_reset(&rig, &seen, NULL));
    rig_end(&rig);
}

/* --- scripts --- */

static void expect_bad_script(const char *script, const char *text, const char *hint)
{
    struct rig rig;
    enum vt_code code = rig_try(&rig, script, NULL);
    if (code != VT_EINVAL || !strstr(rig.err.message, text) || !strstr(rig.err.hint, hint))
        fail_msg("%s: %s: %s (%s)", script, vt_code_name(code), rig.err.message, rig.err.hint);
    vt_loop_free(rig.loop);
}

static void test_bad_scripts(void **state)
{
    (void)state;
    expect_bad_script("{\"boot_second\": 5}", "boot_second", "boot_seconds");
    expect_bad_script("{\"boot_seconds\": -1}", "boot_seconds", "");
    expect_bad_script("{\"latency\": \"1\"}", "latency", "");
    expect_bad_script("{\"ready\": 1}", "ready", "");
    expect_bad_script("{\"faults\": 1}", "faults", "");
    expect_bad_script("{\"faults\": [1]}", "faults", "");
    expect_bad_script("{\"faults\": [{\"kind\":\"fail\"}]}", "faults[1].at", "");
    expect_bad_script("{\"faults\": [{\"at\":\"exce\",\"kind\":\"fail\"}]}", "exec", "exec");
    expect_bad_script("{\"faults\": [{\"at\":\"exec\",\"kind\":\"fial\"}]}", "kind", "fail");
    expect_bad_script("{\"faults\": [{\"at\":\"exec\",\"kind\":\"auth\"}]}", "at exec", "");
    expect_bad_script("{\"faults\": [{\"at\":\"exec\",\"kind\":\"fail\",\"nth\":0}]}", "nth", "");
    expect_bad_script("{\"faults\": [{\"at\":\"exec\",\"kind\":\"fail\",\"nht\":1}]}", "nht",
                      "nth");
    expect_bad_script("{\"commands\": [{}]}", "commands[1].match", "");
    expect_bad_script("{\"commands\": [{\"match\":\"a\",\"status\":256}]}", "status", "");
    expect_bad_script("{\"without\": [\"puase\"]}", "without[1]", "pause");
}

static void test_scripted_commands(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST ",\"commands\":[{\"match\":\"id -u\",\"stdout\":\"0\\n\"},"
                   "{\"match\":\"systemctl restart 'a b'\",\"status\":5,\"stderr\":\"no\\n\","
                   "\"seconds\":7}]}");
    start_vm(&rig);
    struct seen seen;
    run_line(&rig, "id -u", &seen);
    assert_string_equal(seen.out, "0\n");
    const char *words[] = {"systemctl", "restart", "a b", NULL};
    const struct vt_exec_opts opts = {.argv = words, .timeout = 100};
    seen = (struct seen){.rig = &rig};
    assert_non_null(vt_vm_exec(rig.vm, &opts, on_exec, &seen, NULL));
    await(&rig, &seen);
    assert_int_equal(seen.status, 5);
    assert_string_equal(seen.errors, "no\n");
    assert_true(seen.duration >= 7);
    run_line(&rig, "id", &seen);
    assert_int_equal(seen.status, 127);
    rig_end(&rig);
}

static void test_dry_run(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "{" FAST ",\"dry_run\":true}");
    start_vm(&rig);
    struct seen seen;
    run_line(&rig, "profiles show -all | grep Wifi", &seen);
    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.out, "");
    assert_string_equal(seen.errors, "");
    run_line(&rig, "defaults read x && exit 3", &seen);
    assert_int_equal(seen.status, 3);
    json_t *info = vt_vm_info(rig.vm);
    assert_true(json_is_true(json_object_get(info, "dry_run")));
    json_decref(info);
    rig_end(&rig);
}

static void test_image_ready_text(void **state)
{
    (void)state;
    char os[] = "macos", arch[] = "aarch64", name[] = "mac", ready[] = "GUEST-IS-UP";
    const struct vt_image image = {
        .name = name, .os = os, .arch = arch, .ready = ready, .cpus = 2, .boot_deadline = 30};
    struct rig rig;
    assert_int_equal(rig_try(&rig, "{" FAST "}", &image), VT_OK);
    start_vm(&rig);
    struct seen seen;
    run_line(&rig, "uname -sm", &seen);
    assert_string_equal(seen.out, "Darwin aarch64\n");
    rig_end(&rig);
}

/* How long a start of a guest that boots for 100 s lasts, and how it ends. */
static double start_with(double deadline, double timeout, enum vt_code *code)
{
    char name[] = "slow";
    const struct vt_image image = {.name = name, .cpus = 1, .boot_deadline = deadline};
    struct rig rig;
    assert_int_equal(rig_try(&rig, "{\"boot_seconds\": 100}", &image), VT_OK);
    struct seen seen = {.rig = &rig};
    double start = vt_loop_now(rig.loop);
    assert_non_null(vt_vm_start(rig.vm, true, timeout, on_op, &seen, NULL));
    await(&rig, &seen);
    *code = seen.why.code;
    rig_end(&rig);
    return seen.at - start;
}

static void test_boot_deadline_is_the_images(void **state)
{
    (void)state;
    enum vt_code code;
    double took = start_with(30, 0, &code);
    assert_int_equal(code, VT_ETIMEDOUT);
    assert_true(took > 29 && took < 31);
    took = start_with(150, 0, &code);
    assert_int_equal(code, VT_OK);
    assert_true(took > 100 && took < 101);
    took = start_with(30, 120, &code); /* the caller's word counts */
    assert_int_equal(code, VT_OK);
    assert_true(took > 100 && took < 101);
    took = start_with(150, 20, &code);
    assert_int_equal(code, VT_ETIMEDOUT);
    assert_true(took > 19 && took < 21);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_of_start),
        cmocka_unit_test(test_nth_start_fails),
        cmocka_unit_test(test_crash_while_a_command_runs),
        cmocka_unit_test(test_lost_connection_comes_back),
        cmocka_unit_test(test_faults_of_commands_and_files),
        cmocka_unit_test(test_running_guest_dies),
        cmocka_unit_test(test_faults_of_stop_and_pause),
        cmocka_unit_test(test_capability_taken_away),
        cmocka_unit_test(test_bad_scripts),
        cmocka_unit_test(test_scripted_commands),
        cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_image_ready_text),
        cmocka_unit_test(test_boot_deadline_is_the_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
