/* How the vz helper ends: when it is told to, with its tie, by signals, and when nothing else does.
 */
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/sys.h"
#include "vz_backend.h"
#include "vz_peer.h"

static void test_ends_by_signal(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    kill(h->pid, SIGTERM);
    assert_null(next(&p));
    assert_int_equal(end_of(h), 0);
    leave(&p);
}

static void test_ends_with_its_tie(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    assert_int_equal(send(h->tie, "ignored", 7, 0), 7);
    say(&p, "{\"id\": 1, \"op\": \"state\"}\n");
    expect(&p, 1, "none", 0, NULL);
    usleep(50000); /* and it goes on */
    say(&p, "{\"id\": 2, \"op\": \"state\"}\n");
    expect(&p, 2, "none", 0, NULL);
    shutdown(h->tie, SHUT_WR);
    assert_null(next(&p));
    assert_int_equal(end_of(h), 0);
    leave(&p);
}

static void test_nothing_begins_while_it_ends(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    say(&p, CREATE("") "{\"id\": 2, \"op\": \"start\"}\n{\"id\": 3, \"op\": \"quit\"}\n"
                       "{\"id\": 4, \"op\": \"state\"}\n");
    expect(&p, 4, NULL, VTZ_WRONG_STATE, "about to end"); /* before those are done */
    expect(&p, 1, "stopped", 0, NULL);
    expect(&p, 2, "running", 0, NULL);
    expect(&p, 3, "running", 0, NULL);
    assert_null(next(&p));
    assert_int_equal(end_of(h), 0);
    leave(&p);
}

/* A client that is slow to read has all that it was told. */
static void test_the_last_words_are_heard(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    for (int i = 0; i < 5000; i++)
        say(&p, "x\n");
    say(&p, "{\"id\": 1, \"op\": \"quit\"}\n");
    usleep(200000);
    for (int i = 0; i < 5000; i++)
        expect(&p, -1, NULL, VTZ_BAD_REQUEST, NULL);
    expect(&p, 1, "none", 0, NULL);
    assert_int_equal(end_of(h), 0);
    leave(&p);
}

/* Neither a client that does not go nor a VM that does not stop holds it up for ever. */
static void test_nothing_holds_it_up(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h), broken = join(h);
    double begun = vt_monotonic();
    say(&p, CREATE("") "{\"id\": 2, \"op\": \"start\"}\n");
    await_state(&p, "starting");
    say(&broken, "\xff\n");
    expect(&broken, -1, NULL, VTZ_BAD_REQUEST, "no UTF-8");
    say(&p, "{\"id\": 3, \"op\": \"quit\"}\n");
    struct pollfd cut = {.fd = broken.fd}; /* POLLHUP comes unasked for */
    assert_int_equal(poll(&cut, 1, 8000), 1);
    assert_true(vt_monotonic() - begun > 3);
    assert_int_equal(end_of(h), 0);
    assert_true(vt_monotonic() - begun > 8);
    leave(&broken);
    leave(&p);
}

/* The exit code of the helper with these arguments, a space between them. */
static int run_main(const char *arguments)
{
    char *words = vt_strdup(arguments), *argv[8] = {words}, *rest = words;
    int argc = 0, status;
    while (argc < 7 && (argv[argc] = strsep(&rest, " ")))
        argc++;
    pid_t pid = fork();
    if (pid == 0) {
        crash_for_good();
        if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout))
            _exit(99);
        int code = vtz_main(argc, argv, &vz_test_backend);
        vt_free(words);
        exit(code);
    }
    vt_free(words);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_command_line(void **state)
{
    (void)state;
    char lengthy[200] = "vz /tmp/";
    memset(lengthy + 8, 'x', 150);
    assert_int_equal(run_main("vz"), 2);
    assert_int_equal(run_main("vz /a /b"), 2);
    assert_int_equal(run_main("vz --tie one /a"), 2);
    assert_int_equal(run_main("vz --lease 77 /a"), 2);
    assert_int_equal(run_main("vz --loose 1 /a"), 2);
    assert_int_equal(run_main("vz /tmp"), 1);
    assert_int_equal(run_main(lengthy), 1);
    assert_int_equal(run_main("vz --check"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ends_by_signal),
        TEST(test_ends_with_its_tie),
        cmocka_unit_test_setup_teardown(test_nothing_begins_while_it_ends, setup_slow, teardown),
        TEST(test_the_last_words_are_heard),
        cmocka_unit_test_setup_teardown(test_nothing_holds_it_up, setup_hung, teardown),
        cmocka_unit_test(test_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
