/* What the vz helper's backend says from other threads (sink.h). */
#include "unit.h"

#include <poll.h>
#include <unistd.h>

#include "core/mem.h"
#include "vz/sink.h"

static void tell(enum vtz_state state)
{
    struct vtz_event event = {.kind = VTZ_EVENT_STATE, .state = state};
    vtz_tell(&event);
}

static void answer(uint64_t token)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    vtz_fail(&outcome.failure, VTZ_INTERNAL, "said by %d", (int)token);
    vtz_done(token, &outcome);
}

static bool readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, 0) == 1;
}

static void test_in_order(void **state)
{
    struct vtz_report report;
    (void)state;
    int wake = vtz_sink_open();
    assert_true(wake >= 0);
    assert_false(readable(wake));
    answer(7);
    tell(VTZ_RUNNING);
    assert_true(readable(wake));
    assert_true(vtz_sink_take(&report));
    assert_false(report.is_event);
    assert_int_equal(report.token, 7);
    assert_string_equal(report.outcome.failure.message, "said by 7");
    vtz_outcome_clear(&report.outcome);
    assert_true(readable(wake)); /* till all is taken */
    assert_true(vtz_sink_take(&report));
    assert_true(report.is_event);
    assert_int_equal(report.event.state, VTZ_RUNNING);
    assert_false(vtz_sink_take(&report));
    assert_false(readable(wake));
    vtz_sink_close();
}

/* It is not kept, and does not go where the sink's pipe was. */
static void test_late_words_are_dropped(void **state)
{
    int after[2];
    (void)state;
    assert_true(vtz_sink_open() >= 0);
    answer(1); /* one that nobody takes */
    vtz_sink_close();
    assert_int_equal(pipe(after), 0);
    answer(2);
    tell(VTZ_STOPPED);
    assert_false(readable(after[0]));
    close(after[0]);
    close(after[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_late_words_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
