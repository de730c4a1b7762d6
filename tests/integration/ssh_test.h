/* What the tests of the ssh channel share: operations run to their end, what came of them. */
#ifndef VT_TESTS_SSH_TEST_H
#define VT_TESTS_SSH_TEST_H

#include "../unit/unit.h"
#include "ssh_server.h"

struct outcome {
    int calls;
    enum vt_code code;
    struct vt_error error;
    bool has_result;
    int status;
    char signal[16];
    char *out, *err; /* NUL-terminated copies */
    size_t out_size, err_size;
    bool truncated;
    double duration;
    struct vt_transfer_result transfer; /* without data */
    char *data;
};

/* Callbacks; user is a struct outcome. */
void on_exec(struct vt_op *op, void *user);
void on_transfer(struct vt_op *op, void *user);
void on_connect(struct vt_op *op, void *user);

void outcome_free(struct outcome *o);

/* Runs the loop until *calls reaches n. */
void run_until(struct vt_loop *loop, const int *calls, int n);

struct outcome connect_now(struct vt_loop *loop, struct vt_channel *ch, double timeout);
struct outcome exec_now(struct vt_loop *loop, struct vt_channel *ch,
                        const struct vt_exec_opts *opts);
struct outcome transfer_now(struct vt_loop *loop, struct vt_channel *ch,
                            const struct vt_transfer_opts *opts);
/* A shell line with a generous time-out, which must work. */
struct outcome sh(struct vt_loop *loop, struct vt_channel *ch, const char *line);

/* A loop and a connected channel to a new server. */
struct rig {
    struct ssh_server server;
    struct vt_loop *loop;
    struct vt_channel *ch;
};
void rig_start(struct rig *r, const char *config);
void rig_free(struct rig *r);

/* Group fixtures: *state is a rig with a plain server. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* n bytes without a pattern that a misplaced piece could match; for vt_free(). */
char *pattern(size_t n);

/* False, with the reason printed, where no server can run. */
bool ssh_test_can_run(void);

/* What main() returns: runs the array `tests`, or 77 (skipped) where no server can run. */
#define SSH_TEST_RUN(tests, setup, teardown)                                                       \
    (ssh_test_can_run() ? cmocka_run_group_tests(tests, setup, teardown) : 77)

#endif
