/* A program that is replaced while it runs: what it executes, and where it looks for its files.
 * The test's own copy is the one that is replaced. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "unit.h"

#define NEW "#!/bin/sh\necho another program\nexit 9\n"

static char dir[] = "/tmp/vmtest-self-XXXXXX";

static void write_program(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_int_equal(vt_write_all(fd, data, size, path, NULL), VT_OK);
    close(fd);
}

static char *copy_here(const char *name)
{
    char *self = vt_self_path(), *path = vt_path_join(dir, name);
    struct vt_buf data = VT_BUF_INIT;
    assert_int_equal(vt_read_file(self, 256u << 20, &data, NULL), VT_OK);
    write_program(path, data.data, data.len);
    vt_buf_free(&data);
    vt_free(self);
    return path;
}

/* In the copy: puts NEW at its own place, tells where that is, and becomes itself. */
static int replace_self(const char *path, bool by_another)
{
    char *folder = vt_path_dir(path), *other = vt_path_join(folder, "new");
    write_program(other, NEW, sizeof NEW - 1);
    if (by_another ? rename(other, path) : unlink(path))
        return 1;
    char *self = vt_self_path(), *program = vt_own_program(), name[] = "vmtest", word[] = "again";
    char *argv[] = {name, word, NULL};
    printf("at %s\n", self);
    fflush(stdout);
    vt_free(self);
    vt_free(other);
    vt_free(folder);
    execv(program, argv);
    return 2;
}

/* In what it became. */
static int tell_name(void)
{
    char comm[32] = "";
    vt_name_process("vmtest");
    FILE *f = fopen("/proc/self/comm", "re");
    if (f && !fgets(comm, sizeof comm, f))
        return 3;
    if (f)
        fclose(f);
    printf("again, %s", f ? comm : "vmtest\n");
    return 0;
}

static void check_replaced(const char *name, const char *how)
{
    char *path = copy_here(name), out[512] = "";
    struct vt_buf wanted = VT_BUF_INIT;
    int ends[2], status = -1;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl(path, path, how, path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    size_t size = 0;
    for (ssize_t n; (n = read(ends[0], out + size, sizeof out - 1 - size)) > 0;)
        size += (size_t)n;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    vt_buf_printf(&wanted, "at %s\nagain, vmtest\n", path);
    assert_string_equal(out, wanted.data);
    assert_int_equal(status, 0);
    vt_buf_free(&wanted);
    vt_free(path);
}

/* macOS has no way to a file that is not at its path any more. */
static void test_the_same_program_runs(void **state)
{
    (void)state;
#ifdef __linux__
    check_replaced("program", "replaced");
    check_replaced("program", "removed");
#endif
}

static void test_a_name_that_looks_so(void **state)
{
    (void)state;
#ifdef __linux__
    check_replaced("so (deleted)", "replaced");
#endif
    char *path = copy_here("stays (deleted)"), out[512] = "";
    struct vt_buf command = VT_BUF_INIT;
    vt_buf_printf(&command, "'%s' where", path);
    FILE *f = popen(command.data, "r");
    assert_non_null(f);
    assert_non_null(fgets(out, sizeof out, f));
    assert_int_equal(pclose(f), 0);
    assert_string_equal(out, path);
    vt_buf_free(&command);
    vt_free(path);
}

static void test_another_is_named(void **state)
{
    (void)state;
    setenv("VMTEST_PROGRAM", "/opt/vmtest", 1);
    char *program = vt_own_program(), *self = vt_self_path();
    assert_string_equal(program, "/opt/vmtest");
    assert_string_not_equal(self, "/opt/vmtest");
    unsetenv("VMTEST_PROGRAM");
    vt_free(program);
    vt_free(self);
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return replace_self(argv[2], !strcmp(argv[1], "replaced"));
    if (argc > 1 && !strcmp(argv[1], "again"))
        return tell_name();
    if (argc > 1) {
        char *self = vt_self_path();
        fputs(self, stdout);
        vt_free(self);
        return 0;
    }
    unsetenv("VMTEST_PROGRAM");
    if (!mkdtemp(dir))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_program_runs),
        cmocka_unit_test(test_a_name_that_looks_so),
        cmocka_unit_test(test_another_is_named),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    vt_remove_tree(dir, NULL);
    return failed;
}
