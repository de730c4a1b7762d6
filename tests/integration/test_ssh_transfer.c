/* Files through a real SFTP server: the contract, and what is ssh's own. */
#include "ssh_test.h"

#include <string.h>

static void test_no_sftp(void **state)
{
    struct ssh_rig r;
    if (((struct ssh_rig *)*state)->server.dropbear)
        skip();
    rig_start(&r, "Subsystem other /bin/false");
    struct vt_transfer_opts get = {.direction = VT_GET, .remote = "/etc/passwd", .timeout = 60};
    struct outcome o = transfer_now(r.base.loop, r.base.ch, &get);
    assert_int_equal(o.code, VT_EUNSUPPORTED);
    assert_non_null(strstr(o.error.message, "sftp"));
    assert_non_null(strstr(o.error.hint, "Subsystem sftp"));
    o = sh(r.base.loop, r.base.ch, "echo goes on");
    outcome_free(&o);
    rig_free(&r);
    rig_start(&r, "Subsystem sftp echo this is no sftp server");
    o = transfer_now(r.base.loop, r.base.ch, &get);
    assert_int_equal(o.code, VT_EPROTO);
    o = sh(r.base.loop, r.base.ch, "echo goes on");
    outcome_free(&o);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_sftp)};
    if (!ssh_test_can_run())
        return 77;
    int failed = RUN_CONTRACT(transfer_contract, rig_setup, rig_teardown) +
                 RUN_CONTRACT(transfer_failure_contract, rig_setup, rig_teardown);
    return failed + cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
