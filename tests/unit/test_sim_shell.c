/* The simulated guest: its shell's grammar, its commands and its files, on a virtual clock. */
#include "vm_sim.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "core/mem.h"
#include "driver/sim/fs.h"
#include "driver/sim/line.h"

/* --- grammar --- */

static void expect_parse(const char *text, enum vt_code code, size_t commands)
{
    struct vt__sim_line line;
    struct vt_error err = VT_ERROR_INIT;
    enum vt_code got = vt__sim_line_parse(text, strlen(text), &line, &err);
    if (got != code || line.count != commands)
        fail_msg("%s: %s (%s), %zu commands", text, vt_code_name(got), err.message, line.count);
    vt__sim_line_clear(&line);
}

static void test_grammar(void **state)
{
    (void)state;
    expect_parse("", VT_OK, 0);
    expect_parse("  \n\n # a comment\n", VT_OK, 0);
    expect_parse("a; b && c || d & e", VT_OK, 5);
    expect_parse("a &&\n\n b", VT_OK, 2);
    expect_parse("a\nb\n", VT_OK, 2);
    expect_parse("echo a#b '# c' # d", VT_OK, 1);
    expect_parse("> f", VT_OK, 1);
    expect_parse("a;", VT_OK, 1);
    expect_parse("a &", VT_OK, 1);
    expect_parse(";", VT_EINVAL, 0);
    expect_parse("a && ", VT_EINVAL, 0);
    expect_parse("&& a", VT_EINVAL, 0);
    expect_parse("a ; ; b", VT_EINVAL, 0);
    expect_parse("a;;b", VT_EINVAL, 0);
    expect_parse("echo 'a", VT_EINVAL, 0);
    expect_parse("echo \"a", VT_EINVAL, 0);
    expect_parse("echo >", VT_EINVAL, 0);
    expect_parse("echo > ;", VT_EINVAL, 0);
}

static void test_unknown_constructs_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "a | b",        "echo $(id)", "echo `id`", "echo \"$(id)\"", "echo \"`id`\"", "ls *",
        "ls a?",        "ls [ab]",    "(a)",       "if true",        "while x",       "{ a; }",
        "! a",          "cat << EOF", "a >| b",    "a 3>b",          "a 12>b",        "a >&3",
        "echo ${a:-b}", "echo $1",    "echo $@",   "cat 1<f",        "for",           "case"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        expect_parse(lines[i], VT_EUNSUPPORTED, 0);
    expect_parse("echo if 'for' \\*", VT_OK, 1);
}

static void test_line_limit(void **state)
{
    (void)state;
    char *text = vt_malloc(VT__SIM_LINE_MAX + 2);
    memset(text, 'a', VT__SIM_LINE_MAX + 1);
    text[VT__SIM_LINE_MAX + 1] = '\0';
    expect_parse(text, VT_ELIMIT, 0);
    text[VT__SIM_LINE_MAX] = '\0';
    expect_parse(text, VT_OK, 1);
    vt_free(text);
}

/* --- files --- */

static void expect_path(const char *cwd, const char *path, const char *expected)
{
    char *got = vt__sim_path(cwd, path);
    assert_string_equal(got, expected);
    vt_free(got);
}

static void test_paths(void **state)
{
    (void)state;
    expect_path("/a/b", "c", "/a/b/c");
    expect_path("/a/b", "../../..", "/");
    expect_path("/", "a/./b//c/", "/a/b/c");
    expect_path("/x", "/a/..b/...", "/a/..b/...");
    assert_null(vt__sim_path("/", ""));
}

static void test_files_are_bounded(void **state)
{
    (void)state;
    struct vt__sim_fs *fs = vt__sim_fs_new("web");
    size_t big = VT__SIM_FS_BYTES - 1000;
    char *bytes = vt_calloc(big, 1);
    assert_int_equal(vt__sim_fs_write(fs, "/tmp/a", bytes, big, false, 0), 0);
    assert_int_equal(vt__sim_fs_write(fs, "/tmp/b", bytes, 1001, false, 0), ENOSPC);
    assert_int_equal(vt__sim_fs_write(fs, "/tmp/a", bytes, 1001, true, 0), ENOSPC);
    assert_int_equal(vt__sim_fs_write(fs, "/tmp/a", bytes, big, false, 0), 0);
    assert_int_equal(vt__sim_fs_remove(fs, "/tmp/a", false), 0);
    assert_int_equal(vt__sim_fs_write(fs, "/tmp/b", bytes, 1001, false, 0), 0);
    int failed = 0;
    for (size_t i = 0; !failed && i <= VT__SIM_FS_NODES; i++) {
        char path[40];
        snprintf(path, sizeof path, "/tmp/n%zu", i);
        failed = vt__sim_fs_mkdir(fs, path, false);
    }
    assert_int_equal(failed, ENOSPC);
    vt_free(bytes);
    vt__sim_fs_free(fs);
}

static void test_file_errors(void **state)
{
    (void)state;
    struct vt__sim_fs *fs = vt__sim_fs_new("web");
    assert_int_equal(vt__sim_fs_write(fs, "/none/a", "x", 1, false, 0), ENOENT);
    assert_int_equal(vt__sim_fs_write(fs, "/etc/hostname/a", "x", 1, false, 0), ENOTDIR);
    assert_int_equal(vt__sim_fs_write(fs, "/etc", "x", 1, false, 0), EISDIR);
    assert_int_equal(vt__sim_fs_mkdir(fs, "/etc", false), EEXIST);
    assert_int_equal(vt__sim_fs_mkdir(fs, "/etc/hostname", true), EEXIST);
    assert_int_equal(vt__sim_fs_mkdir(fs, "/etc/hostname/a", true), ENOTDIR);
    assert_int_equal(vt__sim_fs_mkdir(fs, "/a/b/c", false), ENOENT);
    assert_int_equal(vt__sim_fs_mkdir(fs, "/a/b/c", true), 0);
    assert_int_equal(vt__sim_fs_write(fs, "/a.txt", "x", 1, false, 0), 0);
    assert_int_equal(vt__sim_fs_remove(fs, "/a", false), EISDIR);
    assert_int_equal(vt__sim_fs_remove(fs, "/a", true), 0);
    assert_null(vt__sim_fs_find(fs, "/a/b"));
    assert_non_null(vt__sim_fs_find(fs, "/a.txt"));
    assert_int_equal(vt__sim_fs_remove(fs, "/", true), EBUSY);
    vt__sim_fs_free(fs);
}

/* --- commands --- */

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_make(&rig, "{\"boot_seconds\": 1, \"latency\": 0}");
    start_vm(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_end(&rig);
    return 0;
}

static void expect(const char *line, int status, const char *out)
{
    struct seen seen;
    run_line(&rig, line, &seen);
    if (seen.why.code || seen.status != status || strcmp(seen.out, out) != 0)
        fail_msg("%s\n  status %d, stdout \"%s\", stderr \"%s\" %s", line, seen.status, seen.out,
                 seen.errors, seen.why.message);
}

static void test_words_and_quotes(void **state)
{
    (void)state;
    expect("echo a   b", 0, "a b\n");
    expect("echo 'a   b' \"c  d\" e\\ f", 0, "a   b c  d e f\n");
    expect("echo 'it'\\''s' \"a\\\"b\\$c\\n\"", 0, "it's a\"b$c\\n\n");
    expect("printf '%s|' a '' \"\" b", 0, "a|||b|");
    expect("printf '%s-%s\\n' 1 2 3", 0, "1-2\n3-\n");
    expect("echo a\\\nb", 0, "ab\n");
    expect("echo -n x; echo y", 0, "xy\n");
}

static void test_variables(void **state)
{
    (void)state;
    expect("A='x  y'; echo $A \"$A\" '$A' ${A}z", 0, "x y x  y $A x yz\n");
    expect("printf '<%s>' $NONE \"$NONE\"", 0, "<>");
    expect("false; echo $?", 0, "1\n");
    expect("A=1; export B=2 C; A=3 env; echo $A", 0,
           "HOME=/root\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nSHELL=/bin/sh\nUSER=root\nA=3\nB=2\n"
           "C=\n1\n");
    expect("echo ~ ~/x a~", 0, "/root /root/x a~\n");
    expect("A=x A=$A; echo [$A", 2, "");
}

static void test_lists(void **state)
{
    (void)state;
    expect("true && echo a || echo b", 0, "a\n");
    expect("false && echo a || echo b", 0, "b\n");
    expect("true || echo a && echo b", 0, "b\n");
    expect("false; true", 0, "");
    expect("false || false", 1, "");
    expect("echo a; exit 3; echo b", 3, "a\n");
    expect("exit x", 2, "");
    expect("exit 300", 44, "");
}

static void test_redirections(void **state)
{
    (void)state;
    expect("cd /tmp; echo a > f; echo b >> f; cat f; cat < f", 0, "a\nb\na\nb\n");
    expect("cat /none > /tmp/o 2>&1; cat /tmp/o", 0, "cat: /none: No such file or directory\n");
    expect("cat /none 2>/dev/null", 1, "");
    expect("echo a >&2", 0, "");
    expect("echo a > /none/b && echo yes", 2, "");
    expect("cat < /none", 2, "");
    expect("echo a > /tmp", 2, "");
    expect("> /tmp/empty; cat /tmp/empty; test -f /tmp/empty", 0, "");
    expect("cat /tmp/f >> /tmp/f; cat /tmp/f", 0, "a\nb\na\nb\n");
}

static void test_files_in_the_guest(void **state)
{
    (void)state;
    expect("mkdir -p /tmp/a/b; cd /tmp/a; echo x > b/f; ls; ls b; pwd; ls -1 b/f", 0,
           "b\nf\n/tmp/a\nb/f\n");
    expect("test -e /tmp/a && test -d /tmp/a && test -f /tmp/a/b/f", 0, "");
    expect("test -f /tmp/a", 1, "");
    expect("rm /tmp/a", 1, "");
    expect("rm -r /tmp/a; test -e /tmp/a", 1, "");
    expect("rm /tmp/a", 1, "");
    expect("rm -rf /tmp/a", 0, "");
    expect("mkdir /x/y", 1, "");
    expect("cd /none", 2, "");
    expect("ls / /none", 1, "/:\ndev\netc\nhome\nopt\nroot\nsrv\ntmp\nusr\nvar\n");
    expect("cat /etc/hostname; hostname; uname; uname -a", 0,
           "web\nweb\nLinux\nLinux web 0-simulated x86_64\n");
}

static void test_what_is_not_there(void **state)
{
    (void)state;
    struct seen seen;
    run_line(&rig, "curl http://x", &seen);
    assert_int_equal(seen.status, 127);
    assert_string_equal(seen.errors, "sh: curl: not found\n");
    run_line(&rig, "ls | cat", &seen);
    assert_int_equal(seen.status, 2);
    assert_non_null(strstr(seen.errors, "does not know |"));
    run_line(&rig, "echo 'a", &seen);
    assert_int_equal(seen.status, 2);
    assert_non_null(strstr(seen.errors, "syntax error"));
    expect("/bin/echo a; /usr/bin/test -e /", 0, "a\n");
    expect("/bin/cd /", 127, "");
    expect("/etc/hostname", 126, "");
}

static void test_words_are_not_shell(void **state)
{
    (void)state;
    const char *argv[] = {"echo", "$HOME", "a;b", "it's", "*", NULL};
    struct seen seen = {.rig = &rig};
    const struct vt_exec_opts opts = {.argv = argv, .timeout = 5};
    assert_non_null(vt_vm_exec(rig.vm, &opts, on_exec, &seen, NULL));
    await(&rig, &seen);
    assert_string_equal(seen.out, "$HOME a;b it's *\n");
    const char *builtin[] = {"cd", "/tmp", NULL};
    const struct vt_exec_opts none = {.argv = builtin, .timeout = 5};
    seen = (struct seen){.rig = &rig};
    assert_non_null(vt_vm_exec(rig.vm, &none, on_exec, &seen, NULL));
    await(&rig, &seen);
    assert_int_equal(seen.status, 127);
}

static void test_options_of_exec(void **state)
{
    (void)state;
    static const char *const env[] = {"A=b c", NULL};
    const struct vt_exec_opts opts = {.command = "pwd; echo $A; cat; cat",
                                      .cwd = "/tmp",
                                      .env = env,
                                      .input = "in\0put",
                                      .input_size = 6,
                                      .timeout = 5};
    struct seen seen = {.rig = &rig};
    assert_non_null(vt_vm_exec(rig.vm, &opts, on_exec, &seen, NULL));
    await(&rig, &seen);
    assert_int_equal(seen.out_size, strlen("/tmp\nb c\n") + 6);
    assert_memory_equal(seen.out, "/tmp\nb c\nin", 11);
    const struct vt_exec_opts lost = {.command = "pwd", .cwd = "/none", .timeout = 5};
    seen = (struct seen){.rig = &rig};
    assert_non_null(vt_vm_exec(rig.vm, &lost, on_exec, &seen, NULL));
    await(&rig, &seen);
    assert_int_equal(seen.status, 2);
    assert_string_equal(seen.out, "");
    const struct vt_exec_opts pty = {.command = "echo a; cat /none", .pty = true, .timeout = 5};
    seen = (struct seen){.rig = &rig};
    assert_non_null(vt_vm_exec(rig.vm, &pty, on_exec, &seen, NULL));
    await(&rig, &seen);
    assert_string_equal(seen.out, "a\r\ncat: /none: No such file or directory\r\n");
    assert_string_equal(seen.errors, "");
}

static void test_signals(void **state)
{
    (void)state;
    struct seen seen;
    run_line(&rig, "echo a; kill -TERM $$; echo b", &seen);
    assert_int_equal(seen.status, -1);
    assert_string_equal(seen.signal, "TERM");
    assert_string_equal(seen.out, "a\n");
    run_line(&rig, "kill -9 $$", &seen);
    assert_string_equal(seen.signal, "KILL");
    expect("kill -0 $$ && kill -NONE $$", 1, "");
    expect("kill 1", 1, "");
}

/* --- time --- */

static void test_virtual_time(void **state)
{
    (void)state;
    struct seen seen;
    double start = vt_loop_now(rig.loop);
    run_line(&rig, "sleep 3600; echo a", &seen);
    assert_true(fabs(seen.at - start - 3600) < 1e-6);
    assert_true(fabs(seen.duration - 3600) < 1e-6);
    start = vt_loop_now(rig.loop);
    begin_line(&rig, "echo early; sleep 3600", 10, &seen);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_ETIMEDOUT);
    assert_true(fabs(seen.at - start - 10) < 1e-6);
    assert_string_equal(seen.out, "early\n");
    assert_int_equal(seen.status, -1);
}

static void test_background_holds_the_output(void **state)
{
    (void)state;
    struct seen seen;
    double start = vt_loop_now(rig.loop);
    run_line(&rig, "sleep 100 & echo a", &seen);
    assert_true(fabs(seen.at - start - 100) < 1e-6);
    start = vt_loop_now(rig.loop);
    run_line(&rig, "sleep 100 >/dev/null 2>&1 & echo a", &seen);
    assert_true(seen.at - start < 1);
    start = vt_loop_now(rig.loop);
    run_line(&rig, "sleep 5 && echo late > /tmp/late & echo a", &seen);
    assert_true(fabs(seen.at - start - 5) < 1e-6);
    expect("cat /tmp/late", 0, "late\n");
    run_line(&rig, "sleep 1 && echo b & sleep 2; echo c", &seen);
    assert_string_equal(seen.out, "b\nc\n");
}

static void test_files_change_when_it_is_time(void **state)
{
    (void)state;
    struct seen later;
    begin_line(&rig, "sleep 10; echo x > /tmp/x", 1e3, &later);
    pass_time(&rig, 9);
    expect("test -e /tmp/x", 1, "");
    pass_time(&rig, 2);
    expect("test -e /tmp/x", 0, "");
    await(&rig, &later);
}

static void count_bytes(enum vt_stream stream, const char *data, size_t n, void *user)
{
    (void)stream;
    (void)data;
    *(size_t *)user += n;
}

static void test_endless_output(void **state)
{
    (void)state;
    size_t all = 0;
    const struct vt_exec_opts opts = {.command = "yes",
                                      .timeout = 2,
                                      .output_limit = 1000,
                                      .on_output = count_bytes,
                                      .output_user = &all};
    struct seen seen = {.rig = &rig};
    assert_non_null(vt_vm_exec(rig.vm, &opts, on_exec, &seen, NULL));
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_ETIMEDOUT);
    assert_int_equal(seen.out_size, 1000);
    assert_true(seen.truncated);
    assert_true(all > 100000);
    expect("yes > /tmp/full", 1, "");
}

static void cancel_from_output(enum vt_stream stream, const char *data, size_t n, void *user)
{
    (void)stream;
    (void)data;
    (void)n;
    vt_op_cancel(*(struct vt_op **)user);
}

static void test_cancel_while_output_arrives(void **state)
{
    (void)state;
    struct vt_op *op = NULL;
    const struct vt_exec_opts opts = {.command = "echo a; cat /none; sleep 1; echo b",
                                      .timeout = 9,
                                      .on_output = cancel_from_output,
                                      .output_user = &op};
    struct seen seen = {.rig = &rig};
    op = vt_vm_exec(rig.vm, &opts, on_exec, &seen, NULL);
    await(&rig, &seen);
    assert_int_equal(seen.why.code, VT_ECANCELED);
    assert_string_equal(seen.out, "a\n");
}

static void test_growth_is_bounded(void **state)
{
    (void)state;
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_puts(&line, "A=0123456789");
    for (int i = 0; i < 40; i++)
        vt_buf_puts(&line, "; A=$A$A");
    vt_buf_puts(&line, "; echo end");
    struct seen seen;
    run_line(&rig, line.data, &seen);
    vt_buf_free(&line);
    assert_string_equal(seen.out, "end\n");
    assert_non_null(strstr(seen.errors, strerror(E2BIG)));
}

int main(void)
{
#define IN_GUEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_unknown_constructs_are_refused),
        cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_files_are_bounded),
        cmocka_unit_test(test_file_errors),
        IN_GUEST(test_words_and_quotes),
        IN_GUEST(test_variables),
        IN_GUEST(test_lists),
        IN_GUEST(test_redirections),
        IN_GUEST(test_files_in_the_guest),
        IN_GUEST(test_what_is_not_there),
        IN_GUEST(test_words_are_not_shell),
        IN_GUEST(test_options_of_exec),
        IN_GUEST(test_signals),
        IN_GUEST(test_virtual_time),
        IN_GUEST(test_background_holds_the_output),
        IN_GUEST(test_files_change_when_it_is_time),
        IN_GUEST(test_endless_output),
        IN_GUEST(test_cancel_while_output_arrives),
        IN_GUEST(test_growth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
