/* The rules of operations: once, later, on a deadline, cancelled, on a virtual clock. */
#include "unit.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/sys.h"
#include "loop/op.h"

struct seen {
    int calls;
    enum vt_code code;
    char out[64];
    int status;
};

static void on_done(struct vt_op *op, void *user)
{
    struct seen *seen = user;
    const struct vt_error *why = vt_op_error(op);
    seen->calls++;
    seen->code = why ? why->code : VT_OK;
}

static void on_process(struct vt_op *op, void *user)
{
    struct seen *seen = user;
    on_done(op, user);
    const struct vt_process_result *r = vt_op_result(op);
    if (r) {
        snprintf(seen->out, sizeof seen->out, "%s", r->out);
        seen->status = r->status;
    }
}

static void finish(struct vt_loop *loop)
{
    while (vt_loop_active(loop))
        vt_loop_run_once(loop, true);
}

static void test_completes_once_and_later(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    struct seen seen = {0};
    struct vt_op *op = vt_sleep(loop, 0, on_done, &seen, NULL);
    assert_non_null(op);
    assert_int_equal(seen.calls, 0);
    finish(loop);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.code, VT_OK);
    vt_loop_free(loop);
}

static void test_cancel_calls_back_later(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    struct seen seen = {0};
    struct vt_op *op = vt_sleep(loop, 100, on_done, &seen, NULL);
    vt_op_cancel(op);
    vt_op_cancel(op);
    assert_int_equal(seen.calls, 0);
    finish(loop);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.code, VT_ECANCELED);
    vt_loop_free(loop);
}

static void test_forget_never_calls_back(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    struct seen seen = {0};
    vt_op_forget(vt_sleep(loop, 100, on_done, &seen, NULL));
    finish(loop);
    assert_int_equal(seen.calls, 0);
    vt_loop_free(loop);
}

static void test_deadline(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    struct seen seen = {0};
    struct vt_op *op = vt_sleep(loop, 100, on_done, &seen, NULL);
    vt_op_set_deadline(op, 0.01);
    finish(loop);
    assert_int_equal(seen.code, VT_ETIMEDOUT);
    vt_loop_free(loop);
}

static void test_virtual_clock_jumps(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    assert_int_equal(vt_loop_set_virtual(loop, NULL), VT_OK);
    struct seen hour = {0}, day = {0};
    double real = vt_monotonic(), start = vt_loop_now(loop);
    vt_sleep(loop, 86400, on_done, &day, NULL);
    vt_sleep(loop, 3600, on_done, &hour, NULL);
    while (!hour.calls)
        vt_loop_run_once(loop, true);
    assert_int_equal(day.calls, 0);
    assert_true(fabs(vt_loop_now(loop) - start - 3600) < 1);
    finish(loop);
    assert_int_equal(day.calls, 1);
    assert_true(vt_monotonic() - real < 5);
    vt_loop_free(loop);
}

static void test_loop_free_cancels(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    struct seen seen = {0};
    vt_sleep(loop, 100, on_done, &seen, NULL);
    vt_loop_free(loop);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.code, VT_ECANCELED);
}

static void test_bad_arguments_start_nothing(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    struct vt_error err = VT_ERROR_INIT;
    assert_null(vt_sleep(loop, -1, on_done, NULL, &err));
    assert_int_equal(err.code, VT_EINVAL);
    assert_null(vt_sleep(loop, NAN, on_done, NULL, NULL));
    assert_int_equal(vt_loop_active(loop), 0);
    vt_loop_free(loop);
}

static void test_process(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    struct seen seen = {0};
    const char *argv[] = {"sh", "-c", "cat; exit 3", NULL};
    struct vt_process_opts opts = {
        .argv = argv, .input = "hello", .input_size = 5, .timeout = 20, .output_limit = 100};
    assert_non_null(vt_process_run(loop, &opts, on_process, &seen, NULL));
    finish(loop);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.status, 3);
    assert_string_equal(seen.out, "hello");
    vt_loop_free(loop);
}

static void test_process_timeout_ends_children(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    struct seen seen = {0};
    const char *argv[] = {"sh", "-c", "sleep 60 & sleep 60", NULL};
    struct vt_process_opts opts = {.argv = argv, .timeout = 0.1, .output_limit = 100};
    double start = vt_monotonic();
    assert_non_null(vt_process_run(loop, &opts, on_process, &seen, NULL));
    finish(loop);
    assert_int_equal(seen.code, VT_ETIMEDOUT);
    assert_true(vt_monotonic() - start < 10);
    vt_loop_free(loop);
}

static void test_process_not_there(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    struct vt_error err = VT_ERROR_INIT;
    const char *argv[] = {"/nonexistent/program", NULL};
    struct vt_process_opts opts = {.argv = argv, .timeout = 1};
    assert_null(vt_process_run(loop, &opts, on_process, NULL, &err));
    assert_int_equal(err.code, VT_ENOTFOUND);
    vt_loop_free(loop);
}

static struct vt_loop *woken;

static void on_alarm(int signal)
{
    (void)signal;
    vt_loop_wake(woken);
}

static void test_wake_from_a_signal_handler(void **state)
{
    (void)state;
    woken = vt_loop_new(NULL);
    struct vt_op *op = vt_sleep(woken, 1000, NULL, NULL, NULL);
    struct sigaction act = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, before;
    sigaction(SIGALRM, &act, &before);
    alarm(1);
    vt_loop_run_once(woken, true); /* else ctest's deadline ends this */
    sigaction(SIGALRM, &before, NULL);
    assert_int_equal(vt_loop_active(woken), 1);
    vt_op_forget(op);
    vt_loop_free(woken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wake_from_a_signal_handler),
        cmocka_unit_test(test_completes_once_and_later),
        cmocka_unit_test(test_cancel_calls_back_later),
        cmocka_unit_test(test_forget_never_calls_back),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_virtual_clock_jumps),
        cmocka_unit_test(test_loop_free_cancels),
        cmocka_unit_test(test_bad_arguments_start_nothing),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_process_timeout_ends_children),
        cmocka_unit_test(test_process_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
