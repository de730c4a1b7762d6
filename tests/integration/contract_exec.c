/* The contract of commands, for every channel: results, quoting, input, limits, many at once, and
 * every way a command can end early. */
#include "channel_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"

static void test_status_and_streams(void **state)
{
    struct rig *r = *state;
    struct outcome o = exec_now(
        r->loop, r->ch,
        &(struct vt_exec_opts){.command = "echo out; echo err >&2; exit 7", .timeout = 60});
    assert_int_equal(o.code, VT_OK);
    assert_int_equal(o.status, 7);
    assert_string_equal(o.out, "out\n");
    assert_string_equal(o.err, "err\n");
    assert_string_equal(o.signal, "");
    assert_false(o.truncated);
    assert_true(o.duration > 0 && o.duration < 60);
    outcome_free(&o);
}

static void test_signal(void **state)
{
    struct rig *r = *state;
    struct outcome o = exec_now(
        r->loop, r->ch, &(struct vt_exec_opts){.command = "kill -TERM $$; sleep 5", .timeout = 60});
    assert_int_equal(o.code, VT_OK);
    assert_int_equal(o.status, -1);
    assert_string_equal(o.signal, "TERM");
    outcome_free(&o);
}

static void test_hostile_words(void **state)
{
    struct rig *r = *state;
    const char *const argv[] = {"printf",
                                "[%s]",
                                "a b",
                                "'",
                                "\"",
                                "$(id)",
                                "`id`",
                                "\\",
                                "x\ny",
                                "*",
                                "",
                                "-n",
                                "~",
                                "#",
                                "&& exit 3",
                                "!x",
                                r->only_utf8 ? "\xc3\xa9" : "\xff\xfe",
                                NULL};
    struct outcome o =
        exec_now(r->loop, r->ch, &(struct vt_exec_opts){.argv = argv, .timeout = 60});
    assert_int_equal(o.code, VT_OK);
    assert_non_null(o.out);
    assert_string_equal(
        o.out, r->only_utf8 ? "[a b]['][\"][$(id)][`id`][\\][x\ny][*][][-n][~][#][&& exit 3][!x]"
                              "[\xc3\xa9]"
                            : "[a b]['][\"][$(id)][`id`][\\][x\ny][*][][-n][~][#][&& exit 3][!x]"
                              "[\xff\xfe]");
    outcome_free(&o);
}

static void test_env_and_cwd(void **state)
{
    struct rig *r = *state;
    const char *const env[] = {"A=1 2", "B_=it's $HOME", NULL};
    const char *const argv[] = {"sh", "-c", "echo \"$A|$B_|$(pwd)\"", NULL};
    struct vt_exec_opts opts = {.argv = argv, .env = env, .cwd = "/usr", .timeout = 60};
    struct outcome o = exec_now(r->loop, r->ch, &opts);
    assert_string_equal(o.out, "1 2|it's $HOME|/usr\n");
    outcome_free(&o);
    opts = (struct vt_exec_opts){
        .command = "echo \"$A\"; pwd", .env = env, .cwd = "/usr", .timeout = 60};
    o = exec_now(r->loop, r->ch, &opts);
    assert_string_equal(o.out, "1 2\n/usr\n");
    outcome_free(&o);
    opts.cwd = "/no such folder";
    o = exec_now(r->loop, r->ch, &opts);
    assert_int_equal(o.code, VT_OK);
    assert_int_not_equal(o.status, 0);
    assert_string_equal(o.out, "");
    assert_non_null(strstr(o.err, "no such folder"));
    outcome_free(&o);
}

static void test_missing_command(void **state)
{
    struct rig *r = *state;
    const char *const argv[] = {"no-such-command", NULL};
    struct outcome o =
        exec_now(r->loop, r->ch, &(struct vt_exec_opts){.argv = argv, .timeout = 60});
    assert_int_equal(o.code, VT_OK);
    assert_int_equal(o.status, 127);
    outcome_free(&o);
}

static void test_input_goes_both_ways(void **state)
{
    struct rig *r = *state;
    enum { size = 8 << 20 };
    char *data = pattern(size);
    struct outcome o = exec_now(r->loop, r->ch,
                                &(struct vt_exec_opts){.command = "cat; echo done >&2",
                                                       .input = data,
                                                       .input_size = size,
                                                       .output_limit = size,
                                                       .timeout = 120});
    assert_int_equal(o.code, VT_OK);
    assert_int_equal(o.out_size, size);
    assert_memory_equal(o.out, data, size);
    assert_string_equal(o.err, "done\n");
    assert_false(o.truncated);
    outcome_free(&o);
    /* a command that does not read its input is no error */
    o = exec_now(r->loop, r->ch,
                 &(struct vt_exec_opts){
                     .command = "echo hi", .input = data, .input_size = size, .timeout = 120});
    assert_int_equal(o.code, VT_OK);
    assert_int_equal(o.status, 0);
    assert_string_equal(o.out, "hi\n");
    outcome_free(&o);
    /* without input: end of file at once */
    o = sh(r->loop, r->ch, "cat; echo end");
    assert_string_equal(o.out, "end\n");
    outcome_free(&o);
    vt_free(data);
}

static void test_pty(void **state)
{
    struct rig *r = *state;
    struct outcome o = exec_now(
        r->loop, r->ch,
        &(struct vt_exec_opts){.command = "test -t 0 && test -t 1 && echo terminal; echo err >&2",
                               .pty = true,
                               .timeout = 60});
    if (r->no_pty) {
        assert_int_equal(o.code, VT_EUNSUPPORTED);
        assert_non_null(strstr(o.error.message, "terminal"));
        assert_true(o.error.hint[0]);
        return;
    }
    assert_int_equal(o.code, VT_OK);
    assert_string_equal(o.out, "terminal\r\nerr\r\n");
    assert_int_equal(o.err_size, 0);
    outcome_free(&o);
    o = exec_now(r->loop, r->ch, &(struct vt_exec_opts){.command = "test -t 1", .timeout = 60});
    assert_int_equal(o.status, 1);
    outcome_free(&o);
}

struct counted {
    size_t out, err;
};

static void on_output(enum vt_stream stream, const char *data, size_t n, void *user)
{
    struct counted *c = user;
    (void)data;
    *(stream == VT_STDOUT ? &c->out : &c->err) += n;
}

#ifdef __SANITIZE_ADDRESS__
enum { memory_tells = false }; /* freed memory is kept for a while */
#else
enum { memory_tells = true };
#endif

static long peak_kib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

static void test_huge_output_is_truncated(void **state)
{
    struct rig *r = *state;
    if (r->output_at_end)
        skip();
    enum { size = 96 << 20, keep = 5000 };
    struct counted seen = {0, 0};
    long before = peak_kib();
    char command[128];
    snprintf(command, sizeof command, "head -c %d /dev/zero; head -c 7000 /dev/zero >&2; exit 3",
             size);
    struct outcome o = exec_now(r->loop, r->ch,
                                &(struct vt_exec_opts){.command = command,
                                                       .output_limit = keep,
                                                       .on_output = on_output,
                                                       .output_user = &seen,
                                                       .timeout = 300});
    assert_int_equal(o.code, VT_OK);
    assert_int_equal(o.status, 3);
    assert_true(o.truncated);
    assert_int_equal(o.out_size, keep);
    assert_int_equal(o.err_size, keep);
    assert_int_equal(seen.out, size);
    assert_int_equal(seen.err, 7000);
    assert_true(!memory_tells || peak_kib() - before < 48L * 1024);
    outcome_free(&o);
    o = sh(r->loop, r->ch, "head -c 5000 /dev/zero"); /* just the limit is not beyond it */
    assert_false(o.truncated);
    outcome_free(&o);
}

static void test_timeout_gives_partial_result(void **state)
{
    struct rig *r = *state;
    if (r->output_at_end)
        skip();
    /* the command ends, but a child of it holds its output open */
    struct outcome o =
        exec_now(r->loop, r->ch,
                 &(struct vt_exec_opts){.command = "echo $$; (sleep 20; echo never) & echo started",
                                        .timeout = 1.5});
    assert_true(o.has_result);
    if (!r->waits_for_strays) {
        assert_int_equal(o.code, VT_OK);
        assert_int_equal(o.status, 0);
        assert_non_null(strstr(o.out, "started\n"));
        outcome_free(&o);
        return;
    }
    assert_int_equal(o.code, VT_ETIMEDOUT);
    assert_int_equal(o.status, -1);
    assert_non_null(strstr(o.out, "started\n"));
    assert_null(strstr(o.out, "never"));
    assert_non_null(strstr(o.error.hint, "redirect"));
    assert_true(o.duration >= 1 && o.duration < 15);
    outcome_free(&o);
    assert_true(r->ch->cls->connected(r->ch));
    o = sh(r->loop, r->ch, "echo goes on");
    assert_string_equal(o.out, "goes on\n");
    outcome_free(&o);
}

static void test_background_child_with_redirected_output(void **state)
{
    struct rig *r = *state;
    struct outcome o = sh(r->loop, r->ch, "sleep 5 >/dev/null 2>&1 & echo fine");
    assert_string_equal(o.out, "fine\n");
    assert_true(o.duration < 5);
    outcome_free(&o);
}

static void test_many_at_once(void **state)
{
    struct rig *r = *state;
    enum { n = 20, size = 1 << 20 };
    struct outcome o[n];
    char *data = pattern(size);
    memset(o, 0, sizeof o);
    int done = 0;
    for (int i = 0; i < n; i++) {
        char command[64];
        snprintf(command, sizeof command, "cat; echo %d >&2; exit %d", i, i);
        assert_non_null(r->ch->cls->exec(
            r->ch,
            &(struct vt_exec_opts){
                .command = command, .input = data, .input_size = size - (size_t)i, .timeout = 300},
            on_exec, &o[i], NULL));
    }
    while (done < n) {
        vt_loop_run_once(r->loop, true);
        done = 0;
        for (int i = 0; i < n; i++)
            done += o[i].calls;
    }
    for (int i = 0; i < n; i++) {
        char err[16];
        snprintf(err, sizeof err, "%d\n", i);
        assert_int_equal(o[i].calls, 1);
        assert_int_equal(o[i].code, VT_OK);
        assert_int_equal(o[i].status, i);
        assert_int_equal(o[i].out_size, size - i);
        assert_memory_equal(o[i].out, data, (size_t)(size - i));
        /* a user's shell may say things of its own when it starts */
        assert_true(o[i].err_size >= strlen(err));
        assert_string_equal(o[i].err + o[i].err_size - strlen(err), err);
        outcome_free(&o[i]);
    }
    vt_free(data);
}

static void test_cancel_leaves_the_others_alone(void **state)
{
    struct rig *r = *state;
    if (r->output_at_end)
        skip();
    enum { n = 6 };
    struct outcome o[n];
    struct vt_op *ops[n];
    memset(o, 0, sizeof o);
    struct counted seen = {0, 0};
    for (int i = 0; i < n; i++) {
        struct vt_exec_opts opts = {.command = i % 2 ? "head -c 4000000 /dev/zero"
                                                     : "while :; do echo spam; done",
                                    .output_limit = 4000000,
                                    .timeout = 300};
        if (!i) {
            opts.on_output = on_output;
            opts.output_user = &seen;
        }
        ops[i] = r->ch->cls->exec(r->ch, &opts, on_exec, &o[i], NULL);
        assert_non_null(ops[i]);
    }
    vt_op_cancel(ops[4]); /* before it even has a channel */
    while (seen.out < 100000)
        vt_loop_run_once(r->loop, true);
    vt_op_cancel(ops[0]); /* in the middle */
    vt_op_cancel(ops[2]);
    run_until(r->loop, &o[0].calls, 1);
    for (int i = 1; i < n; i++)
        run_until(r->loop, &o[i].calls, 1);
    assert_int_equal(o[0].code, VT_ECANCELED);
    assert_true(o[0].out_size >= 100000);
    assert_int_equal(o[2].code, VT_ECANCELED);
    assert_int_equal(o[4].code, VT_ECANCELED);
    assert_false(o[4].has_result);
    for (int i = 1; i < n; i += 2) {
        assert_int_equal(o[i].code, VT_OK);
        assert_int_equal(o[i].out_size, 4000000);
    }
    for (int i = 0; i < n; i++)
        outcome_free(&o[i]);
    struct outcome last = sh(r->loop, r->ch, "echo goes on");
    assert_string_equal(last.out, "goes on\n");
    outcome_free(&last);
}

static struct vt_op *self;

static void cancel_from_inside(enum vt_stream stream, const char *data, size_t n, void *user)
{
    (void)stream;
    (void)data;
    (void)n;
    ++*(int *)user;
    vt_op_cancel(self);
}

static void test_cancel_from_on_output(void **state)
{
    struct rig *r = *state;
    if (r->output_at_end)
        skip();
    int seen = 0;
    struct outcome o = {.calls = 0};
    self = r->ch->cls->exec(r->ch,
                            &(struct vt_exec_opts){.command = "while :; do echo spam; done",
                                                   .on_output = cancel_from_inside,
                                                   .output_user = &seen,
                                                   .timeout = 60},
                            on_exec, &o, NULL);
    run_until(r->loop, &o.calls, 1);
    assert_int_equal(seen, 1);
    assert_int_equal(o.code, VT_ECANCELED);
    outcome_free(&o);
    o = sh(r->loop, r->ch, "echo goes on");
    outcome_free(&o);
}

/* A process that is there and no zombie. */
static bool lives(long pid)
{
    char path[64], state = 'Z';
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    fclose(f);
    return state != 'Z';
}

/* Runs out of time, or is cancelled: the command ends, and so does what it began, also what wants
 * to stay. */
static void test_ended_commands_leave_nothing(void **state)
{
    struct rig *r = *state;
    if (!r->ends_commands)
        skip();
    for (int canceled = 0; canceled < 2; canceled++) {
        char command[600], path[128];
        long pids[3] = {0, 0, 0};
        struct outcome o = {.calls = 0};
        snprintf(path, sizeof path, "%s/pids", r->dir);
        snprintf(command, sizeof command,
                 "sleep 300 & a=$!; (trap '' TERM HUP; exec sleep 301) & echo $$ $a $! >%s.new && "
                 "mv %s.new %s; wait",
                 path, path, path);
        struct vt_op *op = r->ch->cls->exec(
            r->ch, &(struct vt_exec_opts){.command = command, .timeout = canceled ? 300 : 3},
            on_exec, &o, NULL);
        assert_non_null(op);
        for (FILE *f = NULL; !pids[2];) {
            vt_loop_run_once(r->loop, false);
            usleep(1000);
            if ((f = fopen(path, "r"))) {
                assert_int_equal(fscanf(f, "%ld %ld %ld", &pids[0], &pids[1], &pids[2]), 3);
                fclose(f);
            }
        }
        for (int i = 0; i < 3; i++)
            assert_true(lives(pids[i]));
        if (canceled)
            vt_op_cancel(op);
        run_until(r->loop, &o.calls, 1);
        assert_int_equal(o.code, canceled ? VT_ECANCELED : VT_ETIMEDOUT);
        outcome_free(&o);
        double end = vt_loop_now(r->loop) + 60;
        for (int i = 0; i < 3; i++)
            while (lives(pids[i])) {
                assert_true(vt_loop_now(r->loop) < end);
                vt_loop_run_once(r->loop, false);
                usleep(1000);
            }
        unlink(path);
    }
    struct outcome o = sh(r->loop, r->ch, "echo goes on");
    outcome_free(&o);
}

static void test_wrong_arguments(void **state)
{
    struct rig *r = *state;
    struct outcome o = exec_now(r->loop, r->ch, &(struct vt_exec_opts){.timeout = 1});
    assert_int_equal(o.code, VT_EINVAL);
    o = exec_now(r->loop, r->ch, &(struct vt_exec_opts){.command = "true"});
    assert_int_equal(o.code, VT_EINVAL);
    char *line = vt_calloc(1, 40001);
    memset(line, 'x', 40000);
    o = exec_now(r->loop, r->ch, &(struct vt_exec_opts){.command = line, .timeout = 1});
    assert_int_equal(o.code, VT_ELIMIT);
    assert_non_null(strstr(o.error.hint, "input"));
    /* the longest that fits does work */
    memset(line, ' ', 40000);
    memcpy(line, "echo long", 9);
    line[r->longest_line] = '\0';
    o = sh(r->loop, r->ch, line);
    assert_string_equal(o.out, "long\n");
    outcome_free(&o);
    vt_free(line);
}

const struct CMUnitTest exec_contract[] = {
    cmocka_unit_test(test_status_and_streams),
    cmocka_unit_test(test_signal),
    cmocka_unit_test(test_hostile_words),
    cmocka_unit_test(test_env_and_cwd),
    cmocka_unit_test(test_missing_command),
    cmocka_unit_test(test_input_goes_both_ways),
    cmocka_unit_test(test_pty),
    cmocka_unit_test(test_huge_output_is_truncated),
    cmocka_unit_test(test_timeout_gives_partial_result),
    cmocka_unit_test(test_background_child_with_redirected_output),
    cmocka_unit_test(test_many_at_once),
    cmocka_unit_test(test_cancel_leaves_the_others_alone),
    cmocka_unit_test(test_cancel_from_on_output),
    cmocka_unit_test(test_ended_commands_leave_nothing),
    cmocka_unit_test(test_wrong_arguments),
};
const size_t exec_contract_count = sizeof exec_contract / sizeof exec_contract[0];
