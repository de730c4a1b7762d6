/* The tie: the lock lives as long as the program, and the program no longer than its parent. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vm/tie.h"

static char *dir, *lock;

static int setup(void **state)
{
    char path[] = "/tmp/vt-tie-XXXXXX";
    (void)state;
    if (!mkdtemp(path))
        return -1;
    dir = vt_strdup(path);
    lock = vt_path_join(path, "lock");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vt_remove_tree(dir, NULL);
    vt_free(dir);
    vt_free(lock);
    return 0;
}

static const char *used; /* the folder that the next ones use */

/* Starts `sh -c script` tied to this process, or to `parent` where that is not 0. */
static pid_t start(const char *with_lock, const char *parent, const char *script)
{
    const struct vt_tie tie = {.lock = with_lock, .use = used, .tied = true};
    struct vt_args args = VT_ARGS_INIT;
    assert_int_equal(vt_tie_begin(&args, &tie, NULL), VT_OK);
    for (size_t i = 0; parent && i < args.n; i++) {
        if (!strcmp(args.v[i], "--tied")) {
            vt_free(args.v[i + 1]);
            args.v[i + 1] = vt_strdup(parent);
        }
    }
    vt_args_add(&args, "sh");
    vt_args_add(&args, "-c");
    vt_args_add(&args, script);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        execv(args.v[0], args.v);
        _exit(1);
    }
    vt_args_free(&args);
    return pid;
}

static int status_of(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Its holder writes its id when it has the lock. */
static bool await_lock(bool wanted, long *pid)
{
    for (double end = vt_monotonic() + 30; vt_monotonic() < end; usleep(5000))
        if (vt_lock_held(lock, pid) == wanted && (!wanted || !pid || *pid))
            return true;
    return false;
}

static void test_becomes_the_program(void **state)
{
    (void)state;
    assert_int_equal(status_of(start(NULL, NULL, "exit 7")), 7);
    assert_int_equal(status_of(start(lock, NULL, "exit 8")), 8);
    assert_false(vt_lock_held(lock, NULL));
}

static void test_lock_lives_with_the_program(void **state)
{
    (void)state;
    pid_t pid = start(lock, NULL, "exec sleep 100");
    long holder = 0;
    assert_true(await_lock(true, &holder));
    assert_int_equal(holder, pid);
    assert_int_equal(status_of(start(lock, NULL, "exit 0")), VT_TIE_LOCKED);
    kill(pid, SIGKILL);
    assert_int_equal(status_of(pid), -SIGKILL);
    assert_false(vt_lock_held(lock, NULL));
    assert_int_equal(status_of(start(lock, NULL, "exit 0")), 0);
}

static bool is_used(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    bool used_now = flock(fd, LOCK_EX | LOCK_NB) != 0;
    close(fd);
    return used_now;
}

static void test_image_is_in_use_as_long_as_the_program_lives(void **state)
{
    (void)state;
    assert_false(is_used(dir));
    used = dir;
    pid_t pid = start(lock, NULL, "exec sleep 100");
    double end = vt_monotonic() + 30;
    while (!is_used(dir) && vt_monotonic() < end)
        usleep(5000);
    assert_true(is_used(dir));
    kill(pid, SIGKILL);
    assert_int_equal(status_of(pid), -SIGKILL);
    assert_false(is_used(dir));
    used = "/nonexistent/image";
    assert_int_equal(status_of(start(NULL, NULL, "exit 0")), VT_TIE_NOT_RUN);
    used = NULL;
}

static void test_dies_with_its_parent(void **state)
{
    (void)state;
    pid_t parent = fork();
    if (parent == 0) {
        start(lock, NULL, "exec sleep 100");
        for (;;)
            pause();
    }
    long holder = 0;
    assert_true(await_lock(true, &holder));
    assert_int_not_equal(holder, parent);
    kill(parent, SIGKILL);
    assert_int_equal(status_of(parent), -SIGKILL);
    assert_true(await_lock(false, NULL));
}

static void test_parent_that_is_gone(void **state)
{
    (void)state;
    assert_int_equal(status_of(start(NULL, "1", "exit 0")), VT_TIE_ORPHAN);
}

static void test_signals_are_plain(void **state)
{
    (void)state;
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    signal(SIGTERM, SIG_IGN);
    pid_t pid = start(lock, NULL, "exec sleep 100");
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGTERM, SIG_DFL);
    assert_true(await_lock(true, NULL));
    double end = vt_monotonic() + 30;
    int status;
    do {
        kill(pid, SIGTERM);
        usleep(20000);
    } while (waitpid(pid, &status, WNOHANG) == 0 && vt_monotonic() < end);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
}

static void test_bad_words(void **state)
{
    (void)state;
    static const char *const bad[][3] = {
        {"--"}, {"--lock", "--"}, {"--what", "x"}, {"--tied", "-5", "--"}, {NULL}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct vt_args args = VT_ARGS_INIT;
        vt_args_add(&args, "vmtest");
        vt_args_add(&args, "__tie");
        for (size_t j = 0; j < 3 && bad[i][j]; j++)
            vt_args_add(&args, bad[i][j]);
        pid_t pid = fork();
        if (pid == 0)
            _exit(freopen("/dev/null", "w", stderr) ? vt_tie_main((int)args.n, args.v) : 1);
        assert_int_equal(status_of(pid), VT_TIE_USAGE);
        vt_args_free(&args);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "__tie"))
        return vt_tie_main(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_becomes_the_program),
        TEST(test_lock_lives_with_the_program),
        TEST(test_image_is_in_use_as_long_as_the_program_lives),
        TEST(test_dies_with_its_parent),
        TEST(test_parent_that_is_gone),
        TEST(test_signals_are_plain),
        TEST(test_bad_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
