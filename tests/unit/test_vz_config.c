/* CONFIG and requests of the vz helper: what is read, and where each mistake is told to be. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "vz/config.h"
#include "vz/refuse.h"
#include "vz/reply.h"
#include "vz/request.h"

#define HEAD "\"cpus\": 2, \"memory\": 1073741824, "
#define LINUX "\"boot\": {\"kind\": \"linux\", \"kernel\": \"/k\"}"
#define TAG36 "123456789012345678901234567890123456"
#define MACOS "\"boot\": {\"kind\": \"macos\", \"auxiliary\": \"/a\", \"hardware_model\": \"TWFj\"}"

static struct vtz_config *parse(const char *text, struct vtz_failure *failure)
{
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);
    if (!json)
        fail_msg("%s: %s", error.text, text);
    struct vtz_config *config = vtz_config_read(json, failure);
    json_decref(json);
    return config;
}

static const char everything[] =
    "{" HEAD "\"boot\": {\"kind\": \"linux\", \"kernel\": \"/k\", \"initrd\": \"/i\", "
    "\"cmdline\": \"console=hvc0\"}, "
    "\"disks\": [{\"path\": \"/d\", \"bus\": \"virtio\", \"read_only\": true, \"id\": \"root\", "
    "\"caching\": \"cached\", \"sync\": \"fsync\"}, "
    "{\"nbd\": \"nbd+unix:///x?socket=/s\", \"bus\": \"nvme\", \"sync\": \"none\"}], "
    "\"nics\": [{\"kind\": \"nat\", \"mac\": \"02:00:00:11:22:3f\"}, "
    "{\"kind\": \"bridged\", \"interface\": \"en0\"}, "
    "{\"kind\": \"vmnet\", \"mode\": \"host\", \"subnet\": \"192.168.77.0/24\"}], "
    "\"shares\": [{\"tag\": \"one\", \"path\": \"/p\", \"read_only\": true}, "
    "{\"tag\": \"automount\", \"paths\": {\"a\": {\"path\": \"/a\"}, "
    "\"b\": {\"path\": \"/b\", \"read_only\": true}}}], "
    "\"rosetta\": \"rosetta\", \"screen\": {\"width\": 1920, \"height\": 1080}, "
    "\"console\": {\"path\": \"/c\", \"input\": true}, "
    "\"vsock\": [{\"port\": 1024, \"socket\": \"/s\"}], \"clipboard\": true, \"nested\": true, "
    "\"balloon\": false, \"machine_identifier\": \"aWQ=\"}";

static void test_everything_is_read(void **state)
{
    (void)state;
    struct vtz_failure failure = VTZ_FAILURE_INIT;
    struct vtz_config *c = parse(everything, &failure);
    assert_null(failure.message);
    assert_int_equal(c->cpus, 2);
    assert_int_equal(c->memory, 1u << 30);
    assert_string_equal(c->boot.initrd, "/i");
    assert_string_equal(c->boot.cmdline, "console=hvc0");
    assert_int_equal(c->disk_count, 2);
    assert_true(c->disks[0].read_only);
    assert_int_equal(c->disks[0].caching, VTZ_CACHING_CACHED);
    assert_int_equal(c->disks[0].sync, VTZ_SYNC_FSYNC);
    assert_int_equal(c->disks[1].bus, VTZ_BUS_NVME);
    assert_null(c->disks[1].path);
    assert_int_equal(c->nic_count, 3);
    assert_string_equal(c->nics[1].bridge, "en0");
    assert_true(c->nics[2].host_only && c->nics[2].has_subnet);
    assert_int_equal(c->nics[2].subnet, 0xc0a84d00);
    assert_int_equal(c->nics[2].mask, 0xffffff00);
    assert_int_equal(c->share_count, 2);
    assert_null(c->shares[0].dirs[0].name);
    assert_true(c->shares[0].dirs[0].read_only && !c->shares[0].automount);
    assert_true(c->shares[1].automount);
    assert_int_equal(c->shares[1].dir_count, 2);
    assert_string_equal(c->shares[1].dirs[1].name, "b");
    assert_true(c->shares[1].dirs[1].read_only && !c->shares[1].dirs[0].read_only);
    assert_true(c->has_screen && c->ppi == 80 && c->width == 1920);
    assert_true(c->console_input && c->console_out == -1);
    assert_int_equal(c->ports[0].port, 1024);
    assert_true(c->clipboard && c->nested && !c->balloon && c->entropy);
    vtz_config_free(c);
}

/* A configuration, and what has to be in the message. */
static const char *const wrong[][2] = {
    {"[]", "config: not an object"},
    {"{" HEAD "\"disk\": [], " LINUX "}", "config.disk: is unknown here; is \"disks\" meant?"},
    {"{\"memory\": 1048576, " LINUX "}", "config.cpus: is missing"},
    {"{\"cpus\": 1.5, \"memory\": 1048576, " LINUX "}", "config.cpus: has to be an integer"},
    {"{\"cpus\": 0, \"memory\": 1048576, " LINUX "}", "config.cpus"},
    {"{\"cpus\": 1, \"memory\": 1048577, " LINUX "}", "multiple of 1 MiB"},
    {"{" HEAD "\"boot\": 5}", "config.boot: not an object"},
    {"{" HEAD "\"boot\": {\"kind\": \"bios\"}}", "config.boot.kind: \"bios\" is none of"},
    {"{" HEAD "\"boot\": {\"kind\": \"linux\"}}", "config.boot.kernel: is missing"},
    {"{" HEAD "\"boot\": {\"kind\": \"linux\", \"kernel\": \"k\"}}", "absolute path"},
    {"{" HEAD "\"boot\": {\"kind\": \"efi\", \"kernel\": \"/k\"}}", "config.boot.variables"},
    {"{" HEAD "\"boot\": {\"kind\": \"macos\", \"auxiliary\": \"/a\", \"hardware_model\": \"!\"}}",
     "config.boot.hardware_model: is no BASE64"},
    {"{" HEAD "\"boot\": {\"kind\": \"macos\", \"auxiliary\": \"/a\"}}",
     "hardware_model: is missing"},
    {"{" HEAD LINUX ", \"disks\": {}}", "config.disks: has to be an array"},
    {"{" HEAD LINUX ", \"disks\": [{\"bus\": \"virtio\"}]}", "config.disks[0].path: either"},
    {"{" HEAD LINUX ", \"disks\": [{\"path\": \"/d\", \"nbd\": \"nbd://h\", \"bus\": \"usb\"}]}",
     "config.disks[0].path: either"},
    {"{" HEAD LINUX ", \"disks\": [{\"path\": \"/d\"}]}", "config.disks[0].bus: is missing"},
    {"{" HEAD LINUX ", \"disks\": [{\"nbd\": \"http://h\", \"bus\": \"usb\"}]}", "no URL of NBD"},
    {"{" HEAD LINUX ", \"disks\": [{\"nbd\": \"nbd://h\", \"bus\": \"usb\", \"sync\": \"fsync\"}]}",
     "config.disks[0].sync"},
    {"{" HEAD LINUX ", \"disks\": [{\"path\": \"/d\", \"bus\": \"nvme\", \"id\": \"x\"}]}",
     "config.disks[0].id: is for disks"},
    {"{" HEAD LINUX ", \"disks\": [{\"path\": \"/d\", \"bus\": \"virtio\", "
     "\"id\": \"123456789012345678901\"}]}",
     "config.disks[0].id: has to be ASCII"},
    {"{" HEAD LINUX ", \"nics\": [{\"kind\": \"nat\", \"mac\": \"2:0\"}]}", "config.nics[0].mac"},
    {"{" HEAD LINUX ", \"nics\": [{\"kind\": \"nat\", \"interface\": \"en0\"}]}",
     "config.nics[0].interface: is unknown here"},
    {"{" HEAD LINUX ", \"nics\": [{\"kind\": \"bridged\"}]}", "config.nics[0].interface: is mi"},
    {"{" HEAD LINUX ", \"nics\": [{\"kind\": \"vmnet\", \"subnet\": \"192.168.77.1/24\"}]}",
     "config.nics[0].subnet"},
    {"{" HEAD LINUX ", \"nics\": [{\"kind\": \"vmnet\", \"subnet\": \"192.168.77.0/24x\"}]}",
     "config.nics[0].subnet"},
    {"{" HEAD LINUX ", \"shares\": [{\"tag\": \"" TAG36 "\", \"path\": \"/p\"}]}",
     "config.shares[0].tag: has to be of at most 35 bytes"},
    {"{" HEAD LINUX ", \"rosetta\": \"" TAG36 "\"}",
     "config.rosetta: has to be of at most 35 bytes"},
    {"{" HEAD LINUX ", \"shares\": [{\"tag\": \"t\"}]}", "config.shares[0].path: either"},
    {"{" HEAD LINUX ", \"shares\": [{\"tag\": \"t\", \"paths\": {}}]}", "config.shares[0].paths"},
    {"{" HEAD LINUX ", \"shares\": [{\"tag\": \"t\", \"paths\": {\"a/b\": {\"path\": \"/p\"}}}]}",
     "cannot be a directory's name"},
    {"{" HEAD LINUX ", \"shares\": [{\"tag\": \"t\", \"path\": \"/p\"}, "
     "{\"tag\": \"t\", \"path\": \"/q\"}]}",
     "config.shares[1].tag: another share"},
    {"{" HEAD LINUX ", \"rosetta\": \"t\", \"shares\": [{\"tag\": \"t\", \"path\": \"/p\"}]}",
     "config.rosetta: a share has"},
    {"{" HEAD LINUX ", \"rosetta\": \"t\", \"shares\": [{\"path\": \"/p\"}]}",
     "config.shares[0].tag: is missing"},
    {"{" HEAD MACOS ", \"rosetta\": \"r\"}", "config.rosetta: is for Linux"},
    {"{" HEAD MACOS ", \"nested\": true}", "config.nested: is for Linux"},
    {"{" HEAD MACOS ", \"disks\": [{\"path\": \"/d\", \"bus\": \"nvme\"}]}",
     "config.disks[0].bus: \"nvme\" is for Linux"},
    {"{" HEAD LINUX ", \"screen\": {\"width\": 0, \"height\": 9}}", "config.screen.width"},
    {"{" HEAD LINUX ", \"console\": {}}", "config.console.path: is missing"},
    {"{" HEAD LINUX ", \"vsock\": [{\"port\": 4294967295, \"socket\": \"/s\"}]}",
     "config.vsock[0].port"},
    {"{" HEAD LINUX ", \"clipboard\": 1}", "config.clipboard: has to be true or false"},
    {"{" HEAD LINUX ", \"machine_identifier\": \"abc\"}", "config.machine_identifier: is no"},
};

static void test_mistakes_are_placed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct vtz_failure failure = VTZ_FAILURE_INIT;
        assert_null(parse(wrong[i][0], &failure));
        assert_int_equal(failure.code, VTZ_BAD_REQUEST);
        if (!strstr(failure.message, wrong[i][1]))
            fail_msg("\"%s\" is not in \"%s\"", wrong[i][1], failure.message);
        vtz_failure_clear(&failure);
    }
}

static void test_too_long_for_a_socket(void **state)
{
    (void)state;
    char text[400], path[140];
    for (int with_input = 0; with_input < 2; with_input++) {
        struct vtz_failure failure = VTZ_FAILURE_INIT;
        memset(path, 'x', sizeof path);
        path[0] = '/';
        path[with_input ? 105 : 139] = '\0'; /* a file's path may be longer than a socket's */
        snprintf(text, sizeof text,
                 "{" HEAD LINUX ", \"console\": {\"path\": \"%s\", \"input\": %s}}", path,
                 with_input ? "true" : "false");
        struct vtz_config *config = parse(text, &failure);
        assert_int_equal(config == NULL, with_input);
        if (with_input)
            assert_non_null(strstr(failure.message, "too long for a Unix socket"));
        vtz_failure_clear(&failure);
        vtz_config_free(config);
    }
}

static int read_request(const char *text, struct vtz_request *r, struct vtz_failure *failure)
{
    return vtz_request_read(r, text, strlen(text), failure);
}

static void test_requests(void **state)
{
    (void)state;
    struct vtz_failure failure = VTZ_FAILURE_INIT;
    struct vtz_request r;
    assert_int_equal(
        read_request("{\"id\": 9007199254740992, \"op\": \"attach_usb\", \"name\": \"n\","
                     " \"path\": \"/p\", \"read_only\": true}",
                     &r, &failure),
        0);
    assert_int_equal(r.id, INT64_C(9007199254740992));
    assert_int_equal(r.call.op, VTZ_OP_ATTACH_USB);
    assert_string_equal(r.call.name, "n");
    assert_true(r.call.read_only);
    vtz_request_clear(&r);
    static const char *const bad[][2] = {
        {"", "no JSON"},
        {"nil", "no JSON"},
        {"[]", "not an object"},
        {"{\"op\": \"state\"}", "id: is missing"},
        {"{\"id\": -1, \"op\": \"state\"}", "id: has to be"},
        {"{\"id\": 9007199254740993, \"op\": \"state\"}", "id: has to be"},
        {"{\"id\": 1}", "op: is missing"},
        {"{\"id\": 1, \"op\": \"connect\"}", "op: \"connect\" is none of"},
        {"{\"id\": 1, \"id\": 2, \"op\": \"state\"}", "duplicate"},
        {"{\"id\": 1, \"op\": \"state\", \"path\": \"/p\"}", "path: is unknown here"},
        {"{\"id\": 1, \"op\": \"save\"}", "path: is missing"},
        {"{\"id\": 1, \"op\": \"save\", \"path\": \"/a\\u0000b\"}", "no JSON"},
        {"{\"id\": 1, \"op\": \"create\", \"config\": {}}", "config.cpus: is missing"},
        {"{\"id\": 1, \"op\": \"start\", \"recovery\": 1}", "recovery: has to be"},
        {"{\"id\": 1, \"op\": \"start\", \"provisioning\": {\"user\": \"u\"}}",
         "provisioning.password_file: is missing"},
        {"{\"id\": 1, \"op\": \"attach_usb\", \"name\": \"n\", \"path\": \"/p\"}",
         "read_only: is mi"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_request(bad[i][0], &r, &failure), -1);
        if (!strstr(failure.message, bad[i][1]))
            fail_msg("\"%s\" is not in \"%s\"", bad[i][1], failure.message);
        assert_int_equal(r.has_id, i > 5 && i != 8 && i != 11);
        vtz_request_clear(&r);
        vtz_failure_clear(&failure);
    }
}

static void test_password_file(void **state)
{
    (void)state;
    char path[] = "/tmp/vtz-password-XXXXXX", text[300];
    struct vtz_failure failure = VTZ_FAILURE_INIT;
    struct vtz_request r;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "secret words\nrest", 17), 17);
    close(fd);
    snprintf(
        text, sizeof text,
        "{\"id\": 1, \"op\": \"start\", \"provisioning\": {\"user\": \"u\", \"password_file\": "
        "\"%s\", \"auto_login\": true, \"remote_login\": false}}",
        path);
    assert_int_equal(read_request(text, &r, &failure), 0);
    assert_string_equal(r.call.provisioning->password, "secret words");
    assert_true(r.call.provisioning->auto_login && !r.call.provisioning->remote_login);
    vtz_request_clear(&r);
    chmod(path, 0640);
    assert_int_equal(read_request(text, &r, &failure), -1);
    assert_int_equal(failure.code, VTZ_FILE);
    assert_non_null(strstr(failure.message, "mode 0600"));
    vtz_request_clear(&r);
    vtz_failure_clear(&failure);
    unlink(path);
    assert_int_equal(read_request(text, &r, &failure), -1);
    assert_int_equal(failure.code, VTZ_FILE);
    vtz_request_clear(&r);
    vtz_failure_clear(&failure);
}

static void assert_refused(enum vt_apple_feature feature, const struct vt_apple_place *host,
                           const char *place, const char *told)
{
    struct vtz_failure failure = VTZ_FAILURE_INIT;
    vtz_refuse_on(&failure, feature, host, place);
    assert_int_equal(failure.code, VTZ_UNSUPPORTED);
    assert_string_equal(failure.message, told);
    vtz_failure_clear(&failure);
}

static void test_failures_are_told_in_bounds(void **state)
{
    struct vtz_failure chain[VTZ_UNDERLYING_MAX + 3] = {{.message = NULL}};
    const size_t n = sizeof chain / sizeof *chain;
    (void)state;
    for (size_t i = 0; i < n; i++) {
        vtz_fail(&chain[i], VTZ_INTERNAL, "a\x1b[2J %zu", i);
        assert_null(strchr(chain[i].message, '\x1b')); /* nothing that moves a terminal */
        chain[i].underlying = i + 1 < n ? &chain[i + 1] : NULL;
    }
    json_t *reply = vtz_reply_failed(NULL, &chain[0], VTZ_NONE);
    size_t depth = 0;
    for (const json_t *e = json_object_get(reply, "error"); e; e = json_object_get(e, "underlying"))
        depth++;
    assert_int_equal(depth, VTZ_UNDERLYING_MAX + 1);
    json_decref(reply);
    for (size_t i = 0; i < n; i++) {
        chain[i].underlying = NULL;
        vtz_failure_clear(&chain[i]);
    }
}

/* Every feature of the catalogue, on hosts that lack it and on one that has it. */
static void test_refusals_are_the_catalogues(void **state)
{
    const struct vt_apple_place old = {.host_version = "10.15", .arch = "arm64"},
                                intel = {.host_version = "99", .arch = "x86_64"},
                                new = {.host_version = "99", .arch = "arm64"};
    (void)state;
    for (enum vt_apple_feature f = 0; f < VT_APPLE_FEATURE_COUNT_; f++) {
        const struct vt_apple_feature_info *info = vt_apple_feature_info(f);
        char told[160];
        snprintf(told, sizeof told, "config.x: %s needs macOS %s on the host; this one has 10.15",
                 info->what, info->host);
        assert_refused(f, &old, "config.x", told);
        snprintf(told, sizeof told,
                 "%s needs a Mac with Apple silicon (arm64); this one's is x86_64", info->what);
        if (!info->on_x86_64)
            assert_refused(f, &intel, NULL, told);
        snprintf(told, sizeof told,
                 "%s needs a helper that was built with the SDK of macOS %s or later", info->what,
                 info->host);
        assert_refused(f, &new, NULL, told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_read),
        cmocka_unit_test(test_mistakes_are_placed),
        cmocka_unit_test(test_too_long_for_a_socket),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_password_file),
        cmocka_unit_test(test_failures_are_told_in_bounds),
        cmocka_unit_test(test_refusals_are_the_catalogues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
