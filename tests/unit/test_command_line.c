/* Lines for the guest's shell, judged by a real POSIX shell. */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "guest/channel.h"

/* Runs the line by sh -c; returns its status, its output in out. */
static int run(const char *line, char *out, size_t size)
{
    int fd[2], status = 0;
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (!pid) {
        dup2(fd[1], 1);
        close(2);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(126);
    }
    close(fd[1]);
    size_t n = 0;
    ssize_t got;
    while ((got = read(fd[0], out + n, size - 1 - n)) > 0)
        n += (size_t)got;
    out[n] = '\0';
    close(fd[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const struct vt_exec_opts *opts, int status, const char *output)
{
    struct vt_buf line = VT_BUF_INIT;
    char out[4096];
    assert_int_equal(vt_exec_command_line(opts, &line, NULL), VT_OK);
    int got = run(vt_buf_str(&line), out, sizeof out);
    if (got != status || strcmp(out, output) != 0)
        print_error("line: %s\n", vt_buf_str(&line));
    assert_string_equal(out, output);
    assert_int_equal(got, status);
    vt_buf_free(&line);
}

static void test_words_arrive_as_they_are(void **state)
{
    (void)state;
    const char *const argv[] = {
        "printf", "<%s>",  "",           " ",         "a b",  "'",        "''",   "\"",
        "\\",     "$HOME", "$(echo no)", "`echo no`", "a\nb", "\t",       "*",    "?",
        "[a]",    "~",     "#x",         ";",         "&",    "|",        "(",    "{a,b}",
        "-",      "--",    "=",          "!",         "%s",   "\xc3\xa4", "\xff", NULL};
    expect(&(struct vt_exec_opts){.argv = argv}, 0,
           "<>< ><a b><'><''><\"><\\><$HOME><$(echo no)><`echo no`><a\nb><\t><*><?><[a]><~><#x>"
           "<;><&><|><(><{a,b}><-><--><=><!><%s><\xc3\xa4><\xff>");
}

static void test_env(void **state)
{
    (void)state;
    const char *const env[] = {"A=b c", "X_1=$HOME 'q'", "EMPTY=", "EQ=a=b", NULL};
    const char *const argv[] = {"sh", "-c", "echo \"$A|$X_1|$EMPTY|$EQ\"", NULL};
    expect(&(struct vt_exec_opts){.argv = argv, .env = env}, 0, "b c|$HOME 'q'||a=b\n");
    expect(&(struct vt_exec_opts){.command = "echo \"$A|$X_1|$EMPTY|$EQ\"; exit 4", .env = env}, 4,
           "b c|$HOME 'q'||a=b\n");
    /* seen by children, and by every part of the line */
    expect(&(struct vt_exec_opts){.command = "true; sh -c 'echo $A' || echo no", .env = env}, 0,
           "b c\n");
    const char *const none[] = {NULL};
    expect(&(struct vt_exec_opts){.command = "echo x", .env = none}, 0, "x\n");
}

static void test_cwd_guards_the_whole_line(void **state)
{
    (void)state;
    expect(&(struct vt_exec_opts){.command = "pwd; echo two", .cwd = "/usr"}, 0, "/usr\ntwo\n");
    expect(&(struct vt_exec_opts){.command = "echo one; echo two", .cwd = "/no such"}, 2, "");
    expect(&(struct vt_exec_opts){.command = "false || echo or # comment", .cwd = "/usr"}, 0,
           "or\n");
    const char *const argv[] = {"pwd", NULL}, *const env[] = {"A=1", NULL};
    expect(&(struct vt_exec_opts){.argv = argv, .cwd = "/usr", .env = env}, 0, "/usr\n");
    expect(&(struct vt_exec_opts){.argv = argv, .cwd = "/no such"}, 2, "");
    expect(&(struct vt_exec_opts){.command = "pwd", .cwd = "-x"}, 2, "");
}

static void test_here_document_and_background(void **state)
{
    (void)state;
    expect(&(struct vt_exec_opts){.command = "cat <<E\nhere\nE", .cwd = "/usr"}, 0, "here\n");
    expect(&(struct vt_exec_opts){.command = "true &", .cwd = "/usr"}, 0, "");
}

static void test_what_is_refused(void **state)
{
    (void)state;
    const char *const argv[] = {"x", NULL}, *const empty[] = {NULL};
    const char *const bad[][2] = {{"A", NULL},     {"=x", NULL},     {"1A=x", NULL},
                                  {"A B=x", NULL}, {"A;id=x", NULL}, {"", NULL}};
    struct vt_buf out = VT_BUF_INIT;
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_exec_command_line(&(struct vt_exec_opts){.argv = NULL}, &out, &err),
                     VT_EINVAL);
    assert_int_equal(err.code, VT_EINVAL);
    assert_int_equal(vt_exec_command_line(&(struct vt_exec_opts){.argv = empty}, &out, NULL),
                     VT_EINVAL);
    assert_int_equal(
        vt_exec_command_line(&(struct vt_exec_opts){.argv = argv, .command = "x"}, &out, NULL),
        VT_EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(
            vt_exec_command_line(&(struct vt_exec_opts){.argv = argv, .env = bad[i]}, &out, NULL),
            VT_EINVAL);
    vt_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_arrive_as_they_are),
        cmocka_unit_test(test_env),
        cmocka_unit_test(test_cwd_guards_the_whole_line),
        cmocka_unit_test(test_here_document_and_background),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
