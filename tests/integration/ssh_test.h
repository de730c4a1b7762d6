/* A channel to an ssh server of the test's own. */
#ifndef VT_TESTS_SSH_TEST_H
#define VT_TESTS_SSH_TEST_H

#include "channel_test.h"
#include "ssh_server.h"

struct ssh_rig {
    struct rig base; /* first */
    struct ssh_server server;
};
void rig_start(struct ssh_rig *r, const char *config);
void rig_free(struct ssh_rig *r);

/* Group fixtures: *state is a rig with a plain server. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* False, with the reason printed, where no server can run. */
bool ssh_test_can_run(void);

/* What main() returns: runs the array `tests`, or 77 (skipped) where no server can run. */
#define SSH_TEST_RUN(tests, setup, teardown)                                                       \
    (ssh_test_can_run() ? cmocka_run_group_tests(tests, setup, teardown) : 77)

#endif
