/* Leases in a folder of the test's own: taken, waited for, held by processes. */
#ifndef VT_TESTS_LEASE_HOST_H
#define VT_TESTS_LEASE_HOST_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vm/lease.h"

#define PATIENCE_S 50
#define MIB ((uint64_t)1 << 20)
#define LEASE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static char root[64], dir[96];

static inline int setup(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/vt-lease-XXXXXX");
    if (!mkdtemp(root))
        return 1;
    snprintf(dir, sizeof dir, "%s/leases", root);
    setenv("VMTEST_LEASE_DIR", dir, 1);
    setenv("VMTEST_MEMORY_LIMIT", "100M", 1);
    setenv("VMTEST_CPU_LIMIT", "8", 1);
    unsetenv("VMTEST_DISK_RESERVE");
    unsetenv("VMTEST_MACOS_LIMIT");
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    return vt_remove_tree(root, NULL) != VT_OK;
}

struct result {
    bool done;
    struct vt_error error;
    struct vt_lease *lease;
    double when;
    char reason[600];
    unsigned told;
};

static inline void on_done(struct vt_op *op, void *user)
{
    struct result *r = user;
    r->done = true;
    r->when = vt_monotonic();
    if (vt_op_error(op))
        r->error = *vt_op_error(op);
    else
        r->lease = vt_lease_taken(op);
}

static inline void on_waiting(const char *reason, void *user)
{
    struct result *r = user;
    r->told++;
    snprintf(r->reason, sizeof r->reason, "%s", reason);
}

static inline struct vt_lease_request request(const char *run, uint64_t mib, double wait)
{
    return (struct vt_lease_request){.run = run,
                                     .vm = "a",
                                     .needs = {.memory = mib * MIB, .cpus = 1},
                                     .wait = wait,
                                     .waiting = on_waiting};
}

static inline struct vt_op *begin(struct vt_loop *loop, const struct vt_lease_request *r,
                                  struct result *out)
{
    *out = (struct result){.done = false};
    struct vt_op *op = vt_lease_take(loop, r, on_done, out, NULL);
    assert_non_null(op);
    assert_false(out->done);
    return op;
}

static inline enum vt_code take(const struct vt_lease_request *r, struct result *out)
{
    struct vt_loop *loop = vt_loop_new(NULL);
    begin(loop, r, out);
    while (!out->done)
        vt_loop_run_once(loop, true);
    vt_loop_free(loop);
    return out->error.code;
}

static inline size_t count(bool waiting)
{
    struct vt_leased *all;
    size_t n, found = 0;
    assert_int_equal(vt_lease_list(&all, &n, NULL), VT_OK);
    for (size_t i = 0; i < n; i++)
        found += all[i].waiting == waiting;
    vt_leased_free(all, n);
    return found;
}

/* A process (of user `uid`; 0: of this one) that holds what it asked for until it is killed. */
static inline pid_t holder_of(const struct vt_lease_request *r, uid_t uid)
{
    int pipes[2];
    char told = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct result got;
        told = (!uid || !setuid(uid)) && take(r, &got) == VT_OK ? 'y' : 'n';
        alarm(PATIENCE_S); /* should the test end before it does */
        if (write(pipes[1], &told, 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    assert_int_equal(read(pipes[0], &told, 1), 1);
    close(pipes[0]);
    close(pipes[1]);
    assert_int_equal(told, 'y');
    return pid;
}

static inline void end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

#endif
