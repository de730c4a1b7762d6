/* A hypervisor's process: a child's end and a stranger's, and that none stays behind. */
#include "unit.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vm/hypervisor.h"

struct seen {
    struct vt_loop *loop;
    struct vt_hypervisor *process;
    char dir[32], *log, *lock;
    int ended, status, signal;
    pid_t stranger; /* holds the lock; 0: none */
};

static void on_ended(int status, int sig, void *user)
{
    struct seen *s = user;
    s->ended++;
    s->status = status;
    s->signal = sig;
}

static int setup(void **state)
{
    struct seen *s = vt_calloc(1, sizeof *s);
    strcpy(s->dir, "/tmp/vmtest-hypervisor-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    s->log = vt_path_join(s->dir, "log");
    s->lock = vt_path_join(s->dir, "lock");
    s->loop = vt_loop_new(NULL);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct seen *s = *state;
    vt_hypervisor_free(s->process, SIGKILL);
    if (s->stranger) {
        kill(s->stranger, SIGKILL);
        waitpid(s->stranger, NULL, 0);
    }
    vt_loop_free(s->loop);
    vt_remove_tree(s->dir, NULL);
    vt_free(s->log);
    vt_free(s->lock);
    vt_free(s);
    return 0;
}

static void start_with(struct seen *s, const char *script, const int *fds, size_t fd_count)
{
    struct vt_args args = VT_ARGS_INIT;
    struct vt_error err = VT_ERROR_INIT;
    vt_args_add(&args, "/bin/sh");
    vt_args_add(&args, "-c");
    vt_args_add(&args, script);
    const struct vt_hypervisor_opts opts = {
        .args = &args, .log_path = s->log, .fds = fds, .fd_count = fd_count};
    s->process = vt_hypervisor_start(s->loop, &opts, on_ended, s, &err);
    vt_args_free(&args);
    assert_non_null(s->process);
}

static void start(struct seen *s, const char *script)
{
    start_with(s, script, NULL, 0);
}

/* The number that it says first. */
static long number_said(const struct seen *s)
{
    struct vt_buf text = VT_BUF_INIT;
    for (int i = 0; i < 5000 && !strchr(vt_buf_str(&text), '\n'); i++) {
        usleep(1000);
        vt_buf_clear(&text);
        vt_read_file(s->log, 100, &text, NULL);
    }
    long number = strtol(vt_buf_str(&text), NULL, 10);
    vt_buf_free(&text);
    return number;
}

/* Turns the loop till the end was told, for `seconds` at most. */
static void wait_ended(struct seen *s, double seconds)
{
    double until = vt_monotonic() + seconds;
    while (!s->ended && vt_monotonic() < until) {
        vt_loop_run_once(s->loop, false);
        usleep(1000);
    }
}

/* A process in a group of its own that holds the lock, once it does, till SIGUSR1. */
static void begin_stranger(struct seen *s)
{
    int ready[2], sig;
    char byte;
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    assert_int_equal(pipe(ready), 0);
    s->stranger = fork();
    if (s->stranger == 0) {
        int fd;
        setpgid(0, 0);
        signal(SIGTERM, SIG_IGN);
        sigprocmask(SIG_BLOCK, &wanted, NULL); /* it may come before it is waited for */
        if (vt_lock_file(s->lock, &fd, NULL) || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (sigwait(&wanted, &sig), close(fd);;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
}

static void attach(struct seen *s)
{
    struct vt_error err = VT_ERROR_INIT;
    s->process = vt_hypervisor_attach(s->loop, s->lock, on_ended, s, &err);
    assert_non_null(s->process);
    assert_int_equal(vt_hypervisor_pid(s->process), s->stranger);
    assert_false(vt_hypervisor_is_child(s->process));
}

static void test_child_exits(void **state)
{
    struct seen *s = *state;
    struct vt_buf said = VT_BUF_INIT;
    int ends[2];
    char text[8] = "";
    assert_int_equal(pipe(ends), 0);
    start_with(s, "echo given >&3; echo out; echo err >&2; exit 7", &ends[1], 1);
    close(ends[1]);
    assert_true(vt_hypervisor_is_child(s->process));
    wait_ended(s, 10);
    assert_int_equal(s->ended, 1);
    assert_int_equal(s->status, 7);
    assert_int_equal(s->signal, 0);
    assert_int_equal(read(ends[0], text, sizeof text), 6);
    assert_string_equal(text, "given\n");
    close(ends[0]);
    assert_int_equal(vt_read_file(s->log, 100, &said, NULL), VT_OK);
    assert_string_equal(vt_buf_str(&said), "out\nerr\n");
    vt_buf_free(&said);
}

static void test_child_is_killed_when_late(void **state)
{
    struct seen *s = *state;
    double began = vt_monotonic();
    start(s, "trap '' INT; echo 1; while :; do sleep 1; done");
    assert_int_equal(number_said(s), 1);
    vt_hypervisor_signal(s->process, SIGINT);
    vt_hypervisor_expect_end(s->process, 0.2);
    vt_hypervisor_expect_end(s->process, 100); /* gives it no more time */
    wait_ended(s, 10);
    assert_int_equal(s->ended, 1);
    assert_int_equal(s->signal, SIGKILL);
    assert_true(vt_monotonic() - began >= 0.2);
}

static void test_free_ends_the_whole_group(void **state)
{
    struct seen *s = *state;
    start(s, "sleep 1000 & echo $!; wait");
    pid_t inner = (pid_t)number_said(s), outer = (pid_t)vt_hypervisor_pid(s->process);
    assert_true(inner > 1);
    vt_hypervisor_free(s->process, SIGKILL);
    s->process = NULL;
    assert_int_equal(kill(outer, 0), -1); /* reaped */
    for (int i = 0; i < 5000 && getpgid(inner) == outer; i++)
        usleep(1000); /* whoever is its parent now reaps it */
    assert_int_not_equal(getpgid(inner), outer);
    for (int i = 0; i < 3; i++)
        vt_loop_run_once(s->loop, false);
    assert_int_equal(s->ended, 0); /* not told any more */
}

static void test_left_running(void **state)
{
    struct seen *s = *state;
    start(s, "exec sleep 1000");
    pid_t pid = (pid_t)vt_hypervisor_pid(s->process);
    vt_hypervisor_free(s->process, 0);
    s->process = NULL;
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_stranger_ends(void **state)
{
    struct seen *s = *state;
    begin_stranger(s);
    attach(s);
    vt_hypervisor_expect_end(s->process, INFINITY);
    wait_ended(s, 0.2);
    assert_int_equal(s->ended, 0);
    vt_hypervisor_signal(s->process, SIGKILL);
    wait_ended(s, 10);
    assert_int_equal(s->ended, 1);
    assert_int_equal(s->status, VT_STATUS_UNKNOWN);
    assert_int_equal(s->signal, 0);
}

static void test_stranger_is_killed_when_late(void **state)
{
    struct seen *s = *state;
    int how = 0;
    begin_stranger(s);
    attach(s);
    vt_hypervisor_expect_end(s->process, INFINITY);
    vt_hypervisor_signal(s->process, SIGTERM); /* which it ignores */
    vt_hypervisor_expect_end(s->process, 0.1);
    wait_ended(s, 10);
    assert_int_equal(s->ended, 1);
    assert_int_equal(waitpid(s->stranger, &how, 0), s->stranger);
    s->stranger = 0;
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
}

/* The lock is another's by now: the process that has the id is none of ours. */
static void test_another_holder_is_not_signalled(void **state)
{
    struct seen *s = *state;
    begin_stranger(s);
    attach(s);
    pid_t first = s->stranger;
    kill(first, SIGUSR1);
    for (int i = 0; i < 5000 && vt_lock_held(s->lock, NULL); i++)
        usleep(1000);
    begin_stranger(s);
    vt_hypervisor_signal(s->process, SIGKILL);
    usleep(50000);
    assert_int_equal(waitpid(first, NULL, WNOHANG), 0);
    assert_int_equal(waitpid(s->stranger, NULL, WNOHANG), 0);
    vt_hypervisor_free(s->process, 0);
    s->process = NULL;
    kill(first, SIGKILL);
    waitpid(first, NULL, 0);
}

static void test_refusals(void **state)
{
    struct seen *s = *state;
    struct vt_error err = VT_ERROR_INIT;
    struct vt_args args = VT_ARGS_INIT;
    assert_null(vt_hypervisor_attach(s->loop, s->lock, on_ended, s, &err));
    assert_int_equal(err.code, VT_ESTATE);
    err = (struct vt_error)VT_ERROR_INIT;
    vt_args_add(&args, "/nowhere/hypervisor");
    struct vt_hypervisor_opts opts = {.args = &args, .log_path = s->log};
    assert_null(vt_hypervisor_start(s->loop, &opts, on_ended, s, &err));
    assert_int_equal(err.code, VT_ENOTFOUND);
    err = (struct vt_error)VT_ERROR_INIT;
    opts.log_path = "/nowhere/log";
    assert_null(vt_hypervisor_start(s->loop, &opts, on_ended, s, &err));
    assert_int_equal(err.code, VT_ENOTFOUND);
    vt_args_free(&args);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_child_exits),
        TEST(test_child_is_killed_when_late),
        TEST(test_free_ends_the_whole_group),
        TEST(test_left_running),
        TEST(test_stranger_ends),
        TEST(test_stranger_is_killed_when_late),
        TEST(test_another_holder_is_not_signalled),
        TEST(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
