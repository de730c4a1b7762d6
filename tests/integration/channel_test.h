/* What the tests of every channel share: operations run to their end, what came of them, and the
 * contract itself, which states once how commands and transfers behave (contract_*.c). */
#ifndef VT_TESTS_CHANNEL_TEST_H
#define VT_TESTS_CHANNEL_TEST_H

#include "../unit/unit.h"
#include "guest/channel.h"

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

/* A loop, a connected channel, and how far its other end differs from the others. */
struct rig {
    struct vt_loop *loop;
    struct vt_channel *ch;
    const char *dir;       /* a folder that host and guest share: they are one machine */
    size_t longest_line;   /* of a command, that works */
    bool waits_for_strays; /* a command's background child that holds its output delays the end */
    bool ends_commands;    /* those that run out of time or are cancelled are ended in the guest */
    bool own_mounts;       /* the guest's end does not see new mounts of the host */
    bool fifo_fails;       /* a fifo that nobody reads is an error, and does not hang */
    bool only_utf8;        /* of words and names */
    bool no_pty;
    bool output_at_end; /* and not while a command runs; only 16 MiB of it */
};

/* n bytes without a pattern that a misplaced piece could match; for vt_free(). */
char *pattern(size_t n);

extern const struct CMUnitTest exec_contract[], transfer_contract[], transfer_failure_contract[];
extern const size_t exec_contract_count, transfer_contract_count, transfer_failure_contract_count;

/* Runs a contract on the rig that setup() leaves in *state. */
#define RUN_CONTRACT(name, setup, teardown)                                                        \
    _cmocka_run_group_tests(#name, name, name##_count, setup, teardown)

#endif
