/* The image store's versions: made whole or not at all, numbered, found, marked, held. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "image/qcow2.h"
#include "vmtest/image.h"
#include "vmtest/log.h"
#include "vmtest/store.h"

struct store {
    char *home;
};

static int setup(void **state)
{
    struct store *s = vt_calloc(1, sizeof *s);
    char home[] = "/tmp/vt-store-XXXXXX";
    if (!mkdtemp(home))
        return -1;
    s->home = vt_strdup(home);
    setenv("VMTEST_HOME", home, 1);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct store *s = *state;
    vt_remove_tree(s->home, NULL);
    vt_free(s->home);
    vt_free(s);
    return 0;
}

static void put(const char *dir, const char *name, const void *data, size_t n)
{
    char *path = vt_path_join(dir, name);
    assert_int_equal(vt_write_file(path, data, n, 0600, NULL), VT_OK);
    vt_free(path);
}

static void fill(const char *dir, const char *extra)
{
    unsigned char kernel[1024] = {0};
    memcpy(kernel + 0x202, "HdrS", 4);
    put(dir, "kernel", kernel, sizeof kernel);
    char text[400];
    snprintf(text, sizeof text,
             "{\"format\": 1, \"os\": \"linux\", \"arch\": \"x86_64\", \"kernel\": \"kernel\","
             "\"memory\": \"64M\", \"description\": \"for a test\"%s}",
             extra);
    put(dir, "image.json", text, strlen(text));
}

static struct vt_image_stage *begin(const char *name)
{
    struct vt_image_stage *stage;
    struct vt_error err = VT_ERROR_INIT;
    if (vt_image_stage_begin(name, &stage, &err))
        fail_msg("%s", err.message);
    return stage;
}

/* Makes a version; "NAME@VERSION", in memory that the next call takes. */
static const char *make(const char *name, const struct vt_image_made *made)
{
    static char full[128];
    struct vt_image_stage *stage = begin(name);
    struct vt_error err = VT_ERROR_INIT;
    char *version;
    fill(vt_image_stage_dir(stage), "");
    if (vt_image_stage_commit(stage, made, &version, &err))
        fail_msg("%s", err.message);
    snprintf(full, sizeof full, "%s@%s", name, version);
    vt_free(version);
    return full;
}

static struct vt_image_version *find(const char *name)
{
    struct vt_image_version *version;
    struct vt_error err = VT_ERROR_INIT;
    if (vt_image_version_find(name, &version, &err))
        fail_msg("%s", err.message);
    return version;
}

static size_t members(const char *home, const char *folder)
{
    char command[300], text[32] = "";
    snprintf(command, sizeof command, "ls -A '%s/%s' 2>/dev/null | wc -l", home, folder);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    pclose(f);
    return (size_t)strtoul(text, NULL, 10);
}

static void test_a_version_is_described(void **state)
{
    (void)state;
    json_t *contents = json_pack("{s:s}", "kernel", "6.1");
    const struct vt_image_made made = {.recipe = "recipes/one.lua",
                                       .recipe_sha256 = "00",
                                       .parent = "base@20260101.1",
                                       .contents = contents,
                                       .role = VT_ROLE_BETA,
                                       .version = "20260102.3",
                                       .created = "2026-01-02T00:00:00Z"};
    assert_string_equal(make("one", &made), "one@20260102.3");
    struct vt_image_version *v = find("one");
    assert_string_equal(v->name, "one");
    assert_string_equal(v->version, "20260102.3");
    assert_string_equal(v->created, "2026-01-02T00:00:00Z");
    assert_string_equal(v->description, "for a test");
    assert_string_equal(v->os, "linux");
    assert_string_equal(v->arch, "x86_64");
    assert_string_equal(v->recipe, "recipes/one.lua");
    assert_string_equal(v->parent, "base@20260101.1");
    assert_string_equal(vt_json_str(v->contents, "kernel", ""), "6.1");
    assert_int_equal(v->role, VT_ROLE_BETA);
    assert_true(v->latest && v->bytes >= 1024 && !v->deprecated);
    assert_int_equal(json_array_size(v->files), 2);
    const json_t *kernel = json_array_get(v->files, 1);
    assert_string_equal(vt_json_str(kernel, "name", ""), "kernel");
    assert_int_equal(vt_json_int(kernel, "size", 0), 1024);
    assert_int_equal(vt_image_verify(v, NULL), VT_OK);
    vt_image_versions_free(v, 1);
    json_decref(contents);
}

static void test_versions_grow_and_the_newest_is_the_latest(void **state)
{
    (void)state;
    char first[128], second[128];
    snprintf(first, sizeof first, "%s", make("one", NULL));
    snprintf(second, sizeof second, "%s", make("one", NULL));
    assert_string_not_equal(first, second);
    struct vt_image *image;
    assert_int_equal(vt_image_open("one", &image, NULL), VT_OK);
    assert_string_equal(image->version, strchr(second, '@') + 1);
    vt_image_free(image);
    assert_int_equal(vt_image_open(first, &image, NULL), VT_OK);
    assert_string_equal(image->name, "one");
    assert_string_equal(image->version, strchr(first, '@') + 1);
    vt_image_free(image);

    const struct vt_image_made older = {.version = "20200101.1"}, later = {.version = "29990101.9"};
    make("one", &older); /* an import of something old does not take over */
    struct vt_image_version *v = find("one");
    assert_string_equal(v->version, strchr(second, '@') + 1);
    vt_image_versions_free(v, 1);
    make("one", &later);
    assert_string_equal(make("one", NULL), "one@29990101.10");
    struct vt_image_version *all;
    size_t n;
    assert_int_equal(vt_image_versions(&all, &n, NULL), VT_OK);
    assert_int_equal(n, 5);
    assert_string_equal(all[0].version, "20200101.1");
    assert_string_equal(all[4].version, "29990101.10");
    assert_true(all[4].latest && !all[3].latest);
    vt_image_versions_free(all, n);
}

static void test_a_version_is_taken_once(void **state)
{
    (void)state;
    const struct vt_image_made made = {.version = "20260102.3"};
    struct vt_error err = VT_ERROR_INIT;
    char *version;
    make("one", &made);
    struct vt_image_stage *stage = begin("one");
    fill(vt_image_stage_dir(stage), "");
    assert_int_equal(vt_image_stage_commit(stage, &made, &version, &err), VT_ESTATE);
    assert_null(version);
}

static void test_what_is_not_there_is_named(void **state)
{
    (void)state;
    const struct vt_image_made made = {.version = "20260102.3"};
    struct vt_image *image;
    struct vt_error err = VT_ERROR_INIT;
    make("one", &made);
    assert_int_equal(vt_image_open("one@20260102.33", &image, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.message, "there is: 20260102.3"));
    assert_non_null(strstr(err.hint, "one@20260102.3"));
    static const char *const bad[] = {
        "one@",           "one@latest", "one@20260102", "one@20260102.3@1", "one@20260102.03",
        "one@20260102.0", "@20260102.3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(vt_image_open(bad[i], &image, NULL), VT_EINVAL);
}

/* Commits a folder that `spoil` made bad, and expects words with `part` and nothing left. */
static void refused(const struct store *s, void (*spoil)(const char *dir), const char *part)
{
    struct vt_image_stage *stage = begin("one");
    struct vt_error err = VT_ERROR_INIT;
    char *version;
    fill(vt_image_stage_dir(stage), "");
    spoil(vt_image_stage_dir(stage));
    if (vt_image_stage_commit(stage, NULL, &version, &err) != VT_EIMAGE ||
        !strstr(err.message, part))
        fail_msg("got \"%s\", wanted \"%s\"", err.message, part);
    assert_int_equal(members(s->home, "images/one"), 0);
}

static void spoil_kernel(const char *dir)
{
    put(dir, "kernel", "x", 1);
}

static void spoil_by_link(const char *dir)
{
    char *path = vt_path_join(dir, "link");
    assert_int_equal(symlink("/etc/passwd", path), 0);
    vt_free(path);
}

static void spoil_by_folder(const char *dir)
{
    char *path = vt_path_join(dir, "folder");
    assert_int_equal(mkdir(path, 0700), 0);
    vt_free(path);
}

static void spoil_by_fifo(const char *dir)
{
    char *path = vt_path_join(dir, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    vt_free(path);
}

static void spoil_by_hidden(const char *dir)
{
    put(dir, ".hidden", "x", 1);
}

static void spoil_by_outside(const char *dir)
{
    char *home = vt_path_dir(dir);
    put(home, "key", "x", 1);
    fill(dir, ", \"ssh\": {\"user\": \"root\", \"key\": \"../key\"}");
    vt_free(home);
}

static void test_a_bad_folder_is_refused_and_leaves_nothing(void **state)
{
    const struct store *s = *state;
    refused(s, spoil_kernel, "no kernel");
    refused(s, spoil_by_link, "it is a link");
    refused(s, spoil_by_folder, "it is no file");
    refused(s, spoil_by_fifo, "it is no file");
    refused(s, spoil_by_hidden, "name is not plain");
    struct vt_image_stage *stage = begin("one");
    struct vt_error err = VT_ERROR_INIT;
    char *version;
    spoil_by_outside(vt_image_stage_dir(stage));
    assert_int_equal(vt_image_stage_commit(stage, NULL, &version, &err), VT_EIMAGE);
    assert_non_null(strstr(err.message, "outside the image's folder"));
}

static void spoil_by_overlay(const char *dir)
{
    char *disk = vt_path_join(dir, "disk");
    put(dir, "base", "x", 1);
    assert_int_equal(vt_qcow2_overlay(disk, "base", "raw", 512, NULL), VT_OK);
    fill(dir, ", \"disk\": \"disk\", \"disk_format\": \"qcow2\"");
    vt_free(disk);
}

static void test_a_disk_that_needs_another_is_refused(void **state)
{
    refused(*state, spoil_by_overlay, "has its data in another file");
}

static void test_an_open_image_is_not_removed(void **state)
{
    const struct store *s = *state;
    struct vt_image *image;
    struct vt_error err = VT_ERROR_INIT;
    uint64_t freed = 0;
    make("one", NULL);
    assert_int_equal(vt_image_open("one", &image, NULL), VT_OK);
    assert_int_equal(vt_image_remove("one", true, &freed, &err), VT_EBUSY);
    assert_int_equal(freed, 0);
    struct vt_image_gc gc = {.keep = 0};
    make("one", NULL);
    assert_int_equal(vt_image_gc(&gc, NULL), VT_OK);
    assert_int_equal(gc.removed, 0);
    assert_true(vt_is_file(image->kernel));
    vt_image_free(image);
    assert_int_equal(vt_image_gc(&gc, NULL), VT_OK);
    assert_int_equal(gc.removed, 1);
    assert_true(gc.freed >= 1024);
    assert_int_equal(vt_image_remove("one", false, &freed, NULL), VT_OK);
    assert_true(freed >= 1024);
    assert_int_equal(members(s->home, "images/one"), 0);
    assert_int_equal(vt_image_remove("one", true, NULL, NULL), VT_ENOTFOUND);
}

static void test_gc_leaves_what_is_being_made(void **state)
{
    const struct store *s = *state;
    struct vt_image_gc gc = {.keep = 1};
    struct vt_image_stage *stage = begin("one");
    assert_int_equal(vt_image_gc(&gc, NULL), VT_OK);
    assert_int_equal(gc.removed, 0);
    assert_true(gc.making && vt_is_dir(vt_image_stage_dir(stage)));
    vt_image_stage_abandon(stage);
    pid_t maker = fork(); /* one that dies */
    if (maker == 0) {
        begin("one");
        _exit(0);
    }
    assert_int_equal(waitpid(maker, NULL, 0), maker);
    assert_int_equal(members(s->home, "images/one"), 1);
    assert_int_equal(vt_image_gc(&gc, NULL), VT_OK);
    assert_int_equal(gc.removed, 1);
    assert_false(gc.making);
    assert_int_equal(members(s->home, "images/one"), 0);
}

static void test_abandoned_stage_leaves_nothing(void **state)
{
    const struct store *s = *state;
    struct vt_image_stage *one = begin("one"), *two = begin("one");
    assert_string_not_equal(vt_image_stage_dir(one), vt_image_stage_dir(two));
    struct stat st;
    assert_int_equal(stat(vt_image_stage_dir(one), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    vt_image_stage_abandon(one);
    fill(vt_image_stage_dir(two), "");
    vt_image_stage_abandon(two);
    assert_int_equal(members(s->home, "images"), 0);
    static const char *const bad[] = {"", "..", "a/b", ".x", "one@20260101.1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(vt_image_stage_begin(bad[i], &one, NULL), VT_EINVAL);
}

static enum vt_image_role role_of(const char *name)
{
    struct vt_image_version *v = find(name);
    enum vt_image_role role = v->role;
    vt_image_versions_free(v, 1);
    return role;
}

static void test_a_role_moves_on(void **state)
{
    (void)state;
    char first[128];
    const struct vt_image_made made = {.role = VT_ROLE_CURRENT};
    snprintf(first, sizeof first, "%s", make("one", &made));
    make("one", NULL);
    assert_int_equal(role_of("one"), VT_ROLE_CURRENT);
    assert_int_equal(role_of(first), VT_ROLE_NONE);
    assert_int_equal(vt_image_set_role(first, VT_ROLE_LEGACY, NULL), VT_OK);
    assert_int_equal(role_of("one"), VT_ROLE_CURRENT);
    assert_int_equal(vt_image_set_role(first, VT_ROLE_CURRENT, NULL), VT_OK);
    assert_int_equal(role_of(first), VT_ROLE_CURRENT);
    assert_int_equal(role_of("one"), VT_ROLE_NONE);
    assert_int_equal(vt_image_set_role("onr", VT_ROLE_BETA, NULL), VT_ENOTFOUND);
    const struct vt_image_made older = {.version = "20200101.1"};
    assert_int_equal(vt_image_set_role("one", VT_ROLE_BETA, NULL), VT_OK);
    make("one", &older);
    assert_int_equal(role_of("one@20200101.1"), VT_ROLE_NONE);
    assert_int_equal(role_of("one"), VT_ROLE_BETA);
}

static void note_warning(enum vt_log_level level, const char *text, void *user)
{
    if (level == VT_LOG_WARNING)
        snprintf(user, 300, "%s", text);
}

static void test_deprecated(void **state)
{
    (void)state;
    char first[128], second[128], warning[300] = "";
    struct vt_image *image;
    snprintf(first, sizeof first, "%s", make("one", NULL));
    snprintf(second, sizeof second, "%s", make("one", NULL));
    assert_int_equal(vt_image_deprecate("one", "loses its clock", NULL), VT_OK);
    vt_log_set_sink(note_warning, warning);
    assert_int_equal(vt_image_open("one", &image, NULL), VT_OK);
    assert_string_equal(image->version, strchr(first, '@') + 1);
    assert_string_equal(warning, "");
    vt_image_free(image);
    assert_int_equal(vt_image_open(second, &image, NULL), VT_OK);
    assert_non_null(strstr(warning, "loses its clock"));
    vt_image_free(image);
    vt_log_set_sink(NULL, NULL);
    assert_int_equal(vt_image_deprecate(first, "too", NULL), VT_OK);
    struct vt_image_version *v = find("one"); /* where all are, the newest */
    assert_string_equal(v->version, strchr(second, '@') + 1);
    vt_image_versions_free(v, 1);
    assert_int_equal(vt_image_deprecate(first, NULL, NULL), VT_OK);
    v = find("one");
    assert_string_equal(v->version, strchr(first, '@') + 1);
    assert_null(v->deprecated);
    vt_image_versions_free(v, 1);
    assert_int_equal(vt_image_deprecate(first, "", NULL), VT_EINVAL);
    assert_int_equal(vt_image_deprecate(first, "two\nlines", NULL), VT_EINVAL);
}

static void expect_damage(const char *name, const char *part)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_image_version *v = find(name);
    if (vt_image_verify(v, &err) != VT_EIMAGE || !strstr(err.message, part))
        fail_msg("got \"%s\", wanted \"%s\"", err.message, part);
    vt_image_versions_free(v, 1);
}

static void test_verify_names_the_damaged_file(void **state)
{
    (void)state;
    make("one", NULL);
    struct vt_image_version *v = find("one");
    unsigned char kernel[1024] = {0};
    put(v->dir, "kernel", kernel, sizeof kernel);
    expect_damage("one", "/kernel is damaged");
    put(v->dir, "kernel", kernel, 7);
    expect_damage("one", "/kernel has 7 bytes instead of 1024");
    char *path = vt_path_join(v->dir, "kernel");
    unlink(path);
    vt_free(path);
    expect_damage("one", "/kernel is missing");
    memcpy(kernel + 0x202, "HdrS", 4);
    put(v->dir, "kernel", kernel, sizeof kernel);
    assert_int_equal(vt_image_verify(v, NULL), VT_OK);
    put(v->dir, "new", "x", 1);
    expect_damage("one", "/new does not belong there");
    vt_image_versions_free(v, 1);
}

static void test_a_damaged_version_json_is_listed(void **state)
{
    (void)state;
    make("one", NULL);
    struct vt_image_version *v = find("one"), *all;
    struct vt_error err = VT_ERROR_INIT;
    size_t n;
    put(v->dir, "version.json", "{\"format\": 1}", 13);
    vt_image_versions_free(v, 1);
    assert_int_equal(vt_image_version_find("one", &v, &err), VT_EIMAGE);
    assert_int_equal(vt_image_versions(&all, &n, NULL), VT_OK);
    assert_int_equal(n, 1);
    assert_non_null(all[0].broken);
    assert_int_equal(vt_image_verify(&all[0], NULL), VT_EIMAGE);
    vt_image_versions_free(all, n);
}

static void test_stages_of_two_processes(void **state)
{
    (void)state;
    enum { EACH = 5, MAKERS = 4 };
    pid_t makers[MAKERS];
    for (int i = 0; i < MAKERS; i++) {
        makers[i] = fork();
        assert_true(makers[i] >= 0);
        for (int k = 0; makers[i] == 0 && k < EACH; k++)
            make("one", NULL);
        if (!makers[i])
            _exit(0);
    }
    for (int i = 0; i < MAKERS; i++) {
        int status;
        assert_int_equal(waitpid(makers[i], &status, 0), makers[i]);
        assert_int_equal(status, 0);
    }
    struct vt_image_version *all;
    size_t n;
    assert_int_equal(vt_image_versions(&all, &n, NULL), VT_OK);
    assert_int_equal(n, EACH * MAKERS);
    for (size_t i = 0; i < n; i++) {
        assert_null(all[i].broken);
        assert_int_equal(all[i].latest, i == n - 1);
    }
    vt_image_versions_free(all, n);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_version_is_described),
        TEST(test_versions_grow_and_the_newest_is_the_latest),
        TEST(test_a_version_is_taken_once),
        TEST(test_what_is_not_there_is_named),
        TEST(test_a_bad_folder_is_refused_and_leaves_nothing),
        TEST(test_a_disk_that_needs_another_is_refused),
        TEST(test_an_open_image_is_not_removed),
        TEST(test_gc_leaves_what_is_being_made),
        TEST(test_abandoned_stage_leaves_nothing),
        TEST(test_a_role_moves_on),
        TEST(test_deprecated),
        TEST(test_verify_names_the_damaged_file),
        TEST(test_a_damaged_version_json_is_listed),
        TEST(test_stages_of_two_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
