/* Commands on a real ssh server: the contract, and what is ssh's own. */
#include "ssh_test.h"

#include <string.h>

#include "core/mem.h"

static void test_few_sessions(void **state)
{
    (void)state;
    struct ssh_rig r;
    rig_start(&r, "MaxSessions 1");
    struct outcome o[5];
    memset(o, 0, sizeof o);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5; i++)
            assert_non_null(r.base.ch->cls->exec(
                r.base.ch, &(struct vt_exec_opts){.command = "echo x", .timeout = 60}, on_exec,
                &o[i], NULL));
        for (int i = 0; i < 5; i++) {
            run_until(r.base.loop, &o[i].calls, 1);
            if (o[i].code)
                print_error("%s\n", o[i].error.message);
            assert_int_equal(o[i].code, VT_OK);
            assert_string_equal(o[i].out, "x\n");
            outcome_free(&o[i]);
        }
        struct vt_transfer_opts put = {.direction = VT_PUT,
                                       .remote = ssh_server_path(&r.server, "one"),
                                       .data = "1",
                                       .size = 1,
                                       .timeout = 60,
                                       .verify = true};
        struct outcome t = transfer_now(r.base.loop, r.base.ch, &put);
        if (t.code)
            print_error("%s\n", t.error.message);
        if (round == 0 && !r.server.dropbear)
            assert_int_equal(t.code, VT_OK);
        outcome_free(&t);
    }
    rig_free(&r);
}

static void test_rekeying(void **state)
{
    (void)state;
    struct ssh_rig r;
    rig_start(&r, "RekeyLimit 1M");
    struct outcome o[4];
    enum { size = 6 << 20 };
    char *data = pattern(size);
    memset(o, 0, sizeof o);
    for (int i = 0; i < 4; i++)
        assert_non_null(r.base.ch->cls->exec(r.base.ch,
                                             &(struct vt_exec_opts){.command = "cat",
                                                                    .input = data,
                                                                    .input_size = size,
                                                                    .output_limit = size,
                                                                    .timeout = 300},
                                             on_exec, &o[i], NULL));
    for (int i = 0; i < 4; i++) {
        run_until(r.base.loop, &o[i].calls, 1);
        if (o[i].code)
            print_error("%s\n", o[i].error.message);
        assert_int_equal(o[i].code, VT_OK);
        assert_int_equal(o[i].out_size, size);
        assert_memory_equal(o[i].out, data, size);
        outcome_free(&o[i]);
    }
    vt_free(data);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_sessions),
        cmocka_unit_test(test_rekeying),
    };
    if (!ssh_test_can_run())
        return 77;
    int failed = RUN_CONTRACT(exec_contract, rig_setup, rig_teardown);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
