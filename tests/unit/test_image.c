/* The image store: what it finds, and everything it refuses. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "image/qcow2.h"
#include "vmtest/image.h"

#define GOOD                                                                                       \
    "{\"format\": 1, \"os\": \"linux\", \"arch\": \"x86_64\", \"kernel\": \"kernel\", "            \
    "\"memory\": \"64M\""

struct store {
    char *home, *dir; /* dir: the folder of image "one" */
};

static void put(const struct store *s, const char *name, const void *data, size_t n)
{
    char *path = vt_path_join(s->dir, name);
    assert_int_equal(vt_write_file(path, data, n, 0600, NULL), VT_OK);
    vt_free(path);
}

static void put_text(const struct store *s, const char *name, const char *text)
{
    put(s, name, text, strlen(text));
}

static void put_kernel(const struct store *s, const char *name)
{
    unsigned char bytes[1024] = {0};
    bytes[0x202] = 'H', bytes[0x203] = 'd', bytes[0x204] = 'r', bytes[0x205] = 'S';
    put(s, name, bytes, sizeof bytes);
}

static int setup(void **state)
{
    struct store *s = vt_calloc(1, sizeof *s);
    char home[] = "/tmp/vt-image-XXXXXX";
    if (!mkdtemp(home))
        return -1;
    s->home = vt_strdup(home);
    s->dir = vt_path_join(home, "images/one/20260101.1");
    setenv("VMTEST_HOME", home, 1);
    if (vt_mkdirs(s->dir, NULL))
        return -1;
    put_kernel(s, "kernel");
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct store *s = *state;
    vt_remove_tree(s->home, NULL);
    vt_free(s->home);
    vt_free(s->dir);
    vt_free(s);
    return 0;
}

/* Opens image "one" with this description, which must be refused with words that hold `part`. */
static void refused(const struct store *s, const char *json, const char *part)
{
    struct vt_image *image = NULL;
    struct vt_error err = VT_ERROR_INIT;
    put_text(s, "image.json", json);
    enum vt_code code = vt_image_open("one", &image, &err);
    if (code != VT_EIMAGE || image || !strstr(err.message, part) || !strstr(err.message, s->dir))
        fail_msg("%s\ngave %s: \"%s\"\nwanted: \"%s\"", json, vt_code_name(code), err.message,
                 part);
}

static void test_reads_everything(void **state)
{
    const struct store *s = *state;
    struct vt_image *image;
    struct vt_error err = VT_ERROR_INIT;
    put_text(s, "initrd", "x");
    put_text(s, "key", "x");
    put_text(s, "raw", "0123");
    char *disk = vt_path_join(s->dir, "disk");
    assert_int_equal(vt_qcow2_overlay(disk, "raw", "raw", 1 << 20, NULL), VT_OK);
    vt_free(disk);
    put_text(s, "image.json",
             GOOD
             ", \"initrd\": \"initrd\", \"append\": \"quiet\", \"disk\": \"disk\","
             "\"disk_format\": \"qcow2\", \"cpus\": 3, \"ready\": \"up\", \"description\": \"d\","
             "\"shutdown\": \"poweroff\", \"reboot\": \"reboot\", \"boot_deadline\": \"1m30s\","
             "\"iso\": \"initrd\", \"seed\": \"key\", \"update\": \"renew\","
             "\"created\": \"2026-01-01T00:00:00Z\", \"ssh\": {\"user\": \"root\", "
             "\"key\": \"key\", \"password\": \"p\", \"host_key\": \"ssh-ed25519 AAAA\"}}");
    if (vt_image_open("one", &image, &err))
        fail_msg("%s", err.message);
    assert_string_equal(image->name, "one");
    assert_string_equal(image->dir, s->dir);
    assert_string_equal(image->os, "linux");
    assert_string_equal(image->arch, "x86_64");
    char *kernel = vt_path_join(s->dir, "kernel");
    assert_string_equal(image->kernel, kernel);
    vt_free(kernel);
    assert_string_equal(vt_path_base(image->initrd), "initrd");
    assert_string_equal(image->append, "quiet");
    assert_string_equal(image->disk_format, "qcow2");
    assert_int_equal(image->memory, 64 << 20);
    assert_int_equal(image->cpus, 3);
    assert_true(image->boot_deadline == 90);
    assert_string_equal(image->ready, "up");
    assert_string_equal(image->shutdown, "poweroff");
    assert_string_equal(image->update, "renew");
    assert_string_equal(vt_path_base(image->iso), "initrd");
    assert_string_equal(vt_path_base(image->seed), "key");
    assert_string_equal(image->ssh_user, "root");
    assert_string_equal(image->ssh_password, "p");
    assert_string_equal(image->ssh_host_key, "ssh-ed25519 AAAA");
    assert_true(image->ssh_key[0] == '/');
    vt_image_free(image);
}

static void test_defaults(void **state)
{
    struct vt_image *image;
    put_text(*state, "image.json", GOOD "}");
    assert_int_equal(vt_image_open("one", &image, NULL), VT_OK);
    assert_int_equal(image->cpus, 1);
    assert_true(image->boot_deadline == 60);
    assert_null(image->ready);
    assert_null(image->ssh_user);
    vt_image_free(image);
}

static void test_a_folder_elsewhere(void **state)
{
    const struct store *s = *state;
    struct vt_image *image;
    struct vt_error err = VT_ERROR_INIT;
    put_text(s, "image.json", GOOD "}");
    assert_int_equal(vt_image_open(s->dir, &image, NULL), VT_OK);
    assert_string_equal(image->name, "one"); /* it is one of the store's */
    assert_string_equal(image->version, "20260101.1");
    vt_image_free(image);
    char *elsewhere = vt_path_join(s->home, "elsewhere");
    assert_int_equal(rename(s->dir, elsewhere), 0);
    assert_int_equal(vt_image_open(elsewhere, &image, NULL), VT_OK);
    assert_string_equal(image->name, "elsewhere");
    assert_null(image->version);
    vt_image_free(image);
    vt_free(elsewhere);
    assert_int_equal(vt_image_open("/nonexistent/image", &image, &err), VT_ENOTFOUND);
    assert_null(image);
}

static void test_not_found_says_what_there_is(void **state)
{
    struct vt_image *image;
    struct vt_error err = VT_ERROR_INIT;
    put_text(*state, "image.json", GOOD "}");
    assert_int_equal(vt_image_open("onee", &image, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.message, "there is: one"));
    assert_non_null(strstr(err.hint, "\"one\""));
    static const char *const bad[] = {"", "..", ".hidden", "a b", "one\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(vt_image_open(bad[i], &image, NULL), VT_OK);
    assert_int_equal(vt_image_open(NULL, &image, NULL), VT_EINVAL);
}

static void make(const struct store *s, const char *folder)
{
    char *path = vt_path_join(s->home, folder);
    assert_int_equal(vt_mkdirs(path, NULL), VT_OK);
    vt_free(path);
}

static void test_names(void **state)
{
    const struct store *s = *state;
    char **names;
    size_t n;
    make(s, "images/a/20260101.1");
    make(s, "images/empty");
    make(s, "images/no-version/latest");
    make(s, "images/.hidden/20260101.1");
    assert_int_equal(vt_image_names(&names, &n, NULL), VT_OK);
    assert_int_equal(n, 2);
    assert_string_equal(names[0], "a");
    assert_string_equal(names[1], "one");
    vt_image_names_free(names, n);
}

static void test_an_image_without_versions_says_what_to_do(void **state)
{
    const struct store *s = *state;
    struct vt_image *image;
    struct vt_error err = VT_ERROR_INIT;
    make(s, "images/flat");
    char *path = vt_path_join(s->home, "images/flat/image.json");
    assert_int_equal(vt_write_file(path, "{}", 2, 0600, NULL), VT_OK);
    assert_int_equal(vt_image_open("flat", &image, &err), VT_EIMAGE);
    assert_non_null(strstr(err.message, "no versions"));
    assert_non_null(strstr(err.hint, "vmtest image build flat"));
    vt_free(path);
}

static void test_wrong_descriptions(void **state)
{
    static const struct {
        const char *json, *part;
    } wrong[] = {
        {"", "image.json"},
        {"[]", "not a JSON object"},
        {"{\"format\": 1", "image.json"},
        {GOOD ", \"memory\": 5}", "duplicate"},
        {"{\"format\": 2}", "\"format\" must be 1"},
        {"{}", "\"format\" is missing"},
        {"{\"format\": 1, \"arch\": \"x86_64\", \"memory\": \"64M\"}", "\"os\" is missing"},
        {"{\"format\": 1, \"os\": \"l\", \"arch\": \"x86_64\"}", "\"memory\" is missing"},
        {"{\"format\": 1, \"os\": \"l\", \"arch\": \"x86_64\", \"memory\": \"64M\"}",
         "\"kernel\" is missing"},
        {"{\"format\": 1, \"os\": \"l\", \"arch\": \"vax\", \"memory\": \"64M\"}", "\"arch\" must"},
        {GOOD ", \"kernl\": \"x\"}", "unknown key \"kernl\""},
        {GOOD ", \"ssh\": {\"usr\": \"x\"}}", "unknown key \"ssh.usr\""},
        {GOOD ", \"ssh\": []}", "\"ssh\" must be an object"},
        {GOOD ", \"ssh\": {\"key\": \"kernel\"}}", "\"ssh.user\" is missing"},
        {GOOD ", \"initrd\": 5}", "\"initrd\" must be a string"},
        {GOOD ", \"append\": \"a\\nb\"}", "\"append\" must be a string of one line"},
        {GOOD ", \"append\": \"a\\u0000b\"}", "\"append\" must be a string of one line"},
        {GOOD ", \"cpus\": 0}", "\"cpus\" must"},
        {GOOD ", \"cpus\": 1.5}", "\"cpus\" must"},
        {GOOD ", \"cpus\": 99999999999}", "\"cpus\" must"},
        {GOOD ", \"boot_deadline\": 0}", "\"boot_deadline\" must"},
        {GOOD ", \"boot_deadline\": \"soon\"}", "\"boot_deadline\" must"},
        {GOOD ", \"initrd\": \"nowhere\"}", "nowhere (\"initrd\" in its image.json)"},
        {GOOD ", \"disk\": \"kernel\"}", "\"disk_format\" is missing"},
        {GOOD ", \"disk\": \"kernel\", \"disk_format\": \"vmdk\"}", "\"disk_format\" must"},
        {GOOD ", \"disk\": \"kernel\", \"disk_format\": \"qcow2\"}", "is no qcow2 disk"},
        {GOOD ", \"firmware\": \"uboot\"}", "\"firmware\" must be \"bios\" or \"efi\""},
        {GOOD ", \"firmware\": \"efi\"}", "\"firmware\" must be absent where \"kernel\""},
        {GOOD ", \"iso\": \"nowhere\"}", "nowhere (\"iso\" in its image.json)"},
        {GOOD ", \"seed\": \"nowhere\"}", "nowhere (\"seed\" in its image.json)"},
        {GOOD ", \"update\": \"\"}", "\"update\" must be a string"},
        {"{\"format\": 1, \"os\": \"l\", \"arch\": \"aarch64\", \"memory\": \"64M\", "
         "\"iso\": \"kernel\", \"firmware\": \"bios\"}",
         "\"firmware\" must be \"efi\""},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused(*state, wrong[i].json, wrong[i].part);
}

static void test_memory(void **state)
{
    static const char *const bad[] = {"\"lots\"", "0", "-5", "\"1M\"", "\"5000G\"", "true", "1.5"};
    char json[256];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(json, sizeof json,
                 "{\"format\": 1, \"os\": \"l\", \"arch\": \"x86_64\", \"kernel\": \"kernel\", "
                 "\"memory\": %s}",
                 bad[i]);
        refused(*state, json, "\"memory\" must be");
    }
}

static void test_misspelled_key_has_a_hint(void **state)
{
    struct vt_image *image;
    struct vt_error err = VT_ERROR_INIT;
    put_text(*state, "image.json", GOOD ", \"inird\": \"x\"}");
    assert_int_equal(vt_image_open("one", &image, &err), VT_EIMAGE);
    assert_non_null(strstr(err.hint, "\"initrd\""));
}

static void test_wrong_files(void **state)
{
    const struct store *s = *state;
    put_text(s, "kernel", "");
    refused(s, GOOD "}", "is empty");
    put_text(s, "kernel", "#!/bin/sh\n");
    refused(s, GOOD "}", "no kernel");
    unsigned char arm[128] = {0};
    arm[0x38] = 'A', arm[0x39] = 'R', arm[0x3a] = 'M', arm[0x3b] = 0x64;
    put(s, "kernel", arm, sizeof arm);
    refused(s, GOOD "}", "not for x86_64");
    put(s, "kernel", "\177ELF", 4); /* cut off */
    refused(s, GOOD "}", "no kernel");
    put_kernel(s, "kernel");
    put_text(s, "initrd", "");
    refused(s, GOOD ", \"initrd\": \"initrd\"}", "is empty");
    unsigned char disk[104] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 9};
    put(s, "disk", disk, sizeof disk);
    refused(s, GOOD ", \"disk\": \"disk\", \"disk_format\": \"qcow2\"}", "unknown version 9");
    put_text(s, "disk", "");
    refused(s, GOOD ", \"disk\": \"disk\", \"disk_format\": \"raw\"}", "is empty");
    refused(s, GOOD ", \"disk\": \".\", \"disk_format\": \"raw\"}", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_reads_everything),
        TEST(test_defaults),
        TEST(test_a_folder_elsewhere),
        TEST(test_not_found_says_what_there_is),
        TEST(test_names),
        TEST(test_an_image_without_versions_says_what_to_do),
        TEST(test_wrong_descriptions),
        TEST(test_memory),
        TEST(test_misspelled_key_has_a_hint),
        TEST(test_wrong_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
