/* Files: atomic writes, bounded reads, locks across processes, removal that follows no link. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/sys.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/vmtest-fs-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return vt_remove_tree(dir, NULL) == VT_OK ? 0 : -1;
}

static char *at(const char *name)
{
    return vt_path_join(dir, name);
}

static void test_write_and_read(void **state)
{
    (void)state;
    char *path = at("file");
    struct vt_buf text = VT_BUF_INIT;
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_write_file(path, "hello", 5, 0640, NULL), VT_OK);
    assert_int_equal(vt_write_file(path, "again", 5, 0600, NULL), VT_OK);
    assert_int_equal(vt_read_file(path, 5, &text, NULL), VT_OK);
    assert_string_equal(text.data, "again");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(vt_read_file(path, 4, &text, &err), VT_ELIMIT);
    vt_buf_free(&text);
    vt_free(path);
}

static void test_write_leaves_nothing_on_failure(void **state)
{
    (void)state;
    char *folder = at("folder"), *inside = at("folder/x");
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_mkdirs(inside, NULL), VT_OK);
    assert_true(vt_write_file(folder, "x", 1, 0600, &err) != VT_OK); /* a folder is in the way */
    assert_non_null(strstr(err.message, "folder"));
    char command[128];
    snprintf(command, sizeof command, "ls -A %s | grep -c tmp-", dir);
    FILE *p = popen(command, "r");
    char count[8] = "";
    assert_non_null(fgets(count, sizeof count, p));
    pclose(p);
    assert_string_equal(count, "0\n");
    vt_free(folder);
    vt_free(inside);
}

static void test_remove_follows_no_link(void **state)
{
    (void)state;
    char *precious = at("precious"), *file = at("precious/file"), *tree = at("tree/deep/er"),
         *link = at("tree/deep/link"), *top = at("tree");
    assert_int_equal(vt_mkdirs(precious, NULL), VT_OK);
    assert_int_equal(vt_write_file(file, "x", 1, 0600, NULL), VT_OK);
    assert_int_equal(vt_mkdirs(tree, NULL), VT_OK);
    assert_int_equal(symlink(precious, link), 0);
    assert_int_equal(vt_remove_tree(top, NULL), VT_OK);
    assert_false(vt_is_dir(top));
    assert_true(vt_is_file(file));
    assert_int_equal(vt_remove_tree(top, NULL), VT_OK); /* gone already: no error */
    vt_free(precious);
    vt_free(file);
    vt_free(tree);
    vt_free(link);
    vt_free(top);
}

static void test_lock_dies_with_its_holder(void **state)
{
    (void)state;
    char *path = at("lock");
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd;
        char ok = vt_lock_file(path, &fd, NULL) == VT_OK ? '1' : '0';
        if (write(ready[1], &ok, 1) == 1)
            pause();
        _exit(0);
    }
    char byte = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, '1');
    long pid = 0;
    int fd;
    assert_true(vt_lock_held(path, &pid));
    assert_int_equal(pid, child);
    assert_int_equal(vt_lock_file(path, &fd, NULL), VT_EBUSY);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(vt_lock_held(path, NULL));
    assert_int_equal(vt_lock_file(path, &fd, NULL), VT_OK);
    close(fd);
    close(ready[0]);
    close(ready[1]);
    vt_free(path);
}

static void test_json(void **state)
{
    (void)state;
    char *path = at("x.json");
    struct vt_error err = VT_ERROR_INIT;
    json_t *object = NULL;
    assert_int_equal(vt_write_file(path, "{\"a\": 1,\n \"b\" 2}", 16, 0600, NULL), VT_OK);
    assert_int_equal(vt_json_load(path, &object, &err), VT_EPROTO);
    assert_null(object);
    assert_non_null(strstr(err.message, "x.json:2:"));
    assert_int_equal(vt_json_parse("[1]", 3, "list", &object, NULL), VT_EPROTO);
    assert_int_equal(vt_json_parse("{\"a\":1,\"a\":2}", 13, "twice", &object, NULL), VT_EPROTO);
    assert_int_equal(vt_json_parse("{\"n\":3,\"s\":\"t\"}", 15, "good", &object, NULL), VT_OK);
    assert_int_equal(vt_json_int(object, "n", 0), 3);
    assert_int_equal(vt_json_int(object, "s", 7), 7);
    assert_string_equal(vt_json_str(object, "s", ""), "t");
    vt_json_set_text(object, "bad", "a\xff", 2);
    assert_string_equal(vt_json_str(object, "bad", ""), "a\xef\xbf\xbd");
    json_decref(object);
    vt_free(path);
}

static void test_paths(void **state)
{
    (void)state;
    char *home = at("home"), *runtime = at("runtime"), *foreign = at("foreign");
    setenv("VMTEST_HOME", home, 1);
    setenv("VMTEST_RUNTIME_DIR", runtime, 1);
    char *images = vt_home_dir("images", NULL), *run = vt_runtime_dir("r1", NULL);
    assert_true(vt_is_dir(images) && vt_is_dir(run));
    struct stat st;
    assert_int_equal(stat(runtime, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    /* a link that somebody put there is refused */
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(symlink(runtime, foreign), 0);
    setenv("VMTEST_RUNTIME_DIR", foreign, 1);
    assert_null(vt_runtime_dir(NULL, &err));
    assert_non_null(strstr(err.message, "private"));
    vt_free(images);
    vt_free(run);
    vt_free(home);
    vt_free(runtime);
    vt_free(foreign);
}

static void test_find_program(void **state)
{
    (void)state;
    char *sh = vt_find_program("sh");
    assert_non_null(sh);
    assert_int_equal(sh[0], '/');
    vt_free(sh);
    assert_null(vt_find_program("no-such-program-here"));
    assert_null(vt_find_program("/etc/passwd"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_write_leaves_nothing_on_failure),
        cmocka_unit_test(test_remove_follows_no_link),
        cmocka_unit_test(test_lock_dies_with_its_holder),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_find_program),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
