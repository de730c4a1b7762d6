/* Overlays that are written directly, held against what qemu-img says of them. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "image/qcow2.h"

#define MIB ((uint64_t)1 << 20)
#define TIB ((uint64_t)1 << 40)

struct folder {
    char *dir, *base, *overlay;
    bool qemu_img;
};

static int setup(void **state)
{
    struct folder *f = vt_calloc(1, sizeof *f);
    char dir[] = "/tmp/vt-qcow2-XXXXXX";
    if (!mkdtemp(dir))
        return -1;
    f->dir = vt_strdup(dir);
    f->base = vt_path_join(dir, "base, and: a 'name'");
    f->overlay = vt_path_join(dir, "overlay");
    char *program = vt_find_program("qemu-img");
    f->qemu_img = program != NULL;
    vt_free(program);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct folder *f = *state;
    vt_remove_tree(f->dir, NULL);
    vt_free(f->dir);
    vt_free(f->base);
    vt_free(f->overlay);
    vt_free(f);
    return 0;
}

static void make_raw(const struct folder *f, uint64_t size)
{
    int fd = open(f->base, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "hello", 5, 0), 5);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static void make_overlay(const struct folder *f, const char *format, uint64_t size)
{
    struct vt_error err = VT_ERROR_INIT;
    if (vt_qcow2_overlay(f->overlay, f->base, format, size, &err))
        fail_msg("%s", err.message);
}

/* What a command says, which must succeed. */
static json_t *ask(const char *command, const char *path)
{
    char line[500];
    snprintf(line, sizeof line, "%s --output=json '%s'", command, path);
    FILE *f = popen(line, "r");
    assert_non_null(f);
    json_t *answer = json_loadf(f, 0, NULL);
    assert_int_equal(pclose(f), 0); /* qemu-img check: 0 is "no error, no leak" */
    assert_non_null(answer);
    return answer;
}

static void check_overlay(const struct folder *f, const char *format, uint64_t size)
{
    json_t *info = ask("qemu-img info", f->overlay), *check = ask("qemu-img check", f->overlay);
    assert_int_equal(vt_json_int(info, "virtual-size", 0), size);
    assert_string_equal(vt_json_str(info, "format", ""), "qcow2");
    assert_string_equal(vt_json_str(info, "backing-filename", ""), f->base);
    assert_string_equal(vt_json_str(info, "backing-filename-format", ""), format);
    assert_int_equal(vt_json_int(check, "check-errors", -1), 0);
    json_decref(info);
    json_decref(check);
}

static void test_sizes(void **state)
{
    const struct folder *f = *state;
    static const uint64_t sizes[] = {512,         MIB,
                                     512 * MIB,   512 * MIB + 512,
                                     20480 * MIB, 4096 * MIB - 512,
                                     TIB,         64 * TIB - 512,
                                     64 * TIB};
    if (!f->qemu_img)
        skip();
    make_raw(f, MIB);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct vt_qcow2 disk;
        struct stat st;
        make_overlay(f, "raw", sizes[i]);
        check_overlay(f, "raw", sizes[i]);
        assert_int_equal(vt_qcow2_read(f->overlay, &disk, NULL), VT_OK);
        assert_int_equal(disk.size, sizes[i]);
        assert_int_equal(disk.cluster, 65536);
        assert_int_equal(disk.backing_len, strlen(f->base));
        assert_int_equal(stat(f->overlay, &st), 0);
        assert_true(st.st_blocks * 512 <= 65536);
    }
}

static void test_size_of_the_backing_file(void **state)
{
    const struct folder *f = *state;
    if (!f->qemu_img)
        skip();
    make_raw(f, 3 * MIB + 1);
    make_overlay(f, "raw", 0);
    check_overlay(f, "raw", 3 * MIB + 512);
    char line[500];
    snprintf(line, sizeof line, "qemu-img create -q -f qcow2 \"%s\" 20G", f->base);
    assert_int_equal(system(line), 0);
    make_overlay(f, "qcow2", 0);
    check_overlay(f, "qcow2", 20480 * MIB);
}

/* An overlay takes writes and shows what is below it. */
static void test_reads_and_writes(void **state)
{
    const struct folder *f = *state;
    char *io = vt_find_program("qemu-io"), line[500];
    vt_free(io);
    if (!io)
        skip();
    make_raw(f, 8 * MIB);
    make_overlay(f, "raw", 0);
    snprintf(line, sizeof line,
             "qemu-io -f qcow2 -c 'read -P 0x68 0 1' -c 'write -P 7 5M 64k' "
             "-c 'read -P 7 5M 64k' -c 'read -P 0 6M 1M' '%s' >'%s/out' 2>&1",
             f->overlay, f->dir);
    assert_int_equal(system(line), 0);
    snprintf(line, sizeof line, "grep -q 'failed\\|error' '%s/out'", f->dir);
    assert_int_not_equal(system(line), 0);
    check_overlay(f, "raw", 8 * MIB);
}

static void test_relative_backing(void **state)
{
    const struct folder *f = *state;
    make_raw(f, 2 * MIB);
    char *plain = vt_path_join(f->dir, "plain");
    assert_int_equal(rename(f->base, plain), 0);
    struct vt_qcow2 disk;
    assert_int_equal(vt_qcow2_overlay(f->overlay, "plain", "raw", 0, NULL), VT_OK);
    assert_int_equal(vt_qcow2_read(f->overlay, &disk, NULL), VT_OK);
    assert_int_equal(disk.size, 2 * MIB);
    if (f->qemu_img)
        json_decref(ask("qemu-img check", f->overlay));
    vt_free(plain);
}

static void test_wrong_arguments(void **state)
{
    const struct folder *f = *state;
    char name[VT_QCOW2_BACKING_MAX + 2];
    memset(name, 'x', sizeof name);
    name[0] = '/';
    name[sizeof name - 1] = '\0';
    make_raw(f, MIB);
    assert_int_equal(vt_qcow2_overlay(f->overlay, name, "raw", MIB, NULL), VT_EINVAL);
    assert_int_equal(vt_qcow2_overlay(f->overlay, "", "raw", MIB, NULL), VT_EINVAL);
    assert_int_equal(vt_qcow2_overlay(f->overlay, "nbd:x", "raw", MIB, NULL), VT_EINVAL);
    assert_int_equal(vt_qcow2_overlay(f->overlay, f->base, "vmdk", MIB, NULL), VT_EINVAL);
    assert_int_equal(vt_qcow2_overlay(f->overlay, f->base, "raw", 513, NULL), VT_EINVAL);
    assert_int_equal(vt_qcow2_overlay(f->overlay, f->base, "raw", 65 * TIB, NULL), VT_EINVAL);
    assert_int_equal(vt_qcow2_overlay(f->overlay, f->base, "qcow2", MIB, NULL), VT_EIMAGE);
    assert_int_equal(vt_qcow2_overlay(f->overlay, "/nonexistent", "raw", 0, NULL), VT_ENOTFOUND);
    assert_int_equal(vt_qcow2_overlay("/nonexistent/x", f->base, "raw", 0, NULL), VT_ENOTFOUND);
    assert_false(vt_is_file(f->overlay));
}

/* Every change of a header is refused or gives values within their bounds. */
static void test_broken_headers(void **state)
{
    const struct folder *f = *state;
    make_raw(f, MIB);
    make_overlay(f, "raw", 0);
    static const struct {
        size_t at;
        unsigned char byte;
        const char *part;
    } cases[] = {
        {0, 'X', "no qcow2"},      {7, 9, "unknown version 9"}, {23, 8, "clusters"},
        {23, 22, "clusters"},      {24, 0x80, "64 TiB"},        {35, 1, "encrypted"},
        {47, 1, "tables"},         {79, 2, "corrupt"},          {78, 1, "does not know"},
        {103, 72, "cut off"},      {18, 1, "backing file"},     {26, 1, "too small"},
        {41, 1, "beyond its end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vt_error err = VT_ERROR_INIT;
        struct vt_qcow2 disk;
        make_overlay(f, "raw", 0);
        int fd = open(f->overlay, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, &cases[i].byte, 1, (off_t)cases[i].at), 1);
        if (cases[i].at == 18) /* a name of more than 64 KiB */
            assert_int_equal(pwrite(fd, "\1", 1, 17), 1);
        close(fd);
        if (vt_qcow2_read(f->overlay, &disk, &err) != VT_EIMAGE ||
            !strstr(err.message, cases[i].part))
            fail_msg("byte %zu: \"%s\" instead of \"%s\"", cases[i].at, err.message, cases[i].part);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* A name that is longer than the cluster it is to lie in. */
static void test_backing_name_larger_than_a_cluster(void **state)
{
    (void)state;
    unsigned char head[104] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 2};
    struct vt_qcow2 disk;
    struct vt_error err = VT_ERROR_INIT;
    head[15] = 200; /* backing file name at 200, */
    head[18] = 3;   /* 768 bytes long */
    head[23] = 9;   /* clusters of 512 bytes */
    head[30] = 2;   /* a disk of 512 bytes */
    head[39] = 1;   /* one entry of the table at */
    head[46] = 2;   /* 512 */
    head[54] = 4;   /* counts of references at 1024 */
    assert_int_equal(vt_qcow2_parse(head, sizeof head, "disk", &disk, &err), VT_EIMAGE);
    assert_non_null(strstr(err.message, "backing file"));
    head[18] = 1;
    assert_int_equal(vt_qcow2_parse(head, sizeof head, "disk", &disk, &err), VT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sizes),
        TEST(test_size_of_the_backing_file),
        TEST(test_reads_and_writes),
        TEST(test_relative_backing),
        TEST(test_backing_name_larger_than_a_cluster),
        TEST(test_wrong_arguments),
        TEST(test_broken_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
