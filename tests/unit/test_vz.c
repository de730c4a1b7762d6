/* The vz driver without any VM: the helper's dialect, what errors become, leases of macOS. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/vz/client.h"
#include "driver/vz/fault.h"
#include "driver/vz/features.h"
#include "driver/vz/host.h"
#include "driver/vz/leases.h"
#include "driver/vz/machine.h"

#define HELLO                                                                                      \
    "{\"event\": \"hello\", \"protocol\": 1, \"version\": \"0.1.0\", \"pid\": 7, \"state\": "      \
    "\"none\"}\n"

struct heard {
    struct vt_monitor *client;
    char written[4096];
    int hellos, events, broken, replies;
    char event[32], state[32];
    struct vt_error why; /* of the last refusal, or of what was broken */
};

static void on_write(const char *data, size_t n, void *user)
{
    struct heard *h = user;
    size_t have = strlen(h->written);
    assert_true(have + n < sizeof h->written);
    memcpy(h->written + have, data, n);
    h->written[have + n] = '\0';
}

static void on_hello(const json_t *hello, void *user)
{
    struct heard *h = user;
    assert_int_equal(json_integer_value(json_object_get(hello, "pid")), 7);
    h->hellos++;
}

static void on_event(const char *name, const json_t *event, void *user)
{
    struct heard *h = user;
    (void)event;
    h->events++;
    snprintf(h->event, sizeof h->event, "%s", name);
}

static void on_broken(const struct vt_error *why, void *user)
{
    struct heard *h = user;
    h->broken++;
    h->why = *why;
}

static void on_reply(const json_t *reply, const struct vt_error *why, void *user)
{
    struct heard *h = user;
    h->replies++;
    if (why)
        h->why = *why;
    else
        snprintf(h->state, sizeof h->state, "%s",
                 json_string_value(json_object_get(reply, "state")));
}

static void begin(struct heard *h)
{
    const struct vt_monitor_handler handler = {
        .write = on_write, .greeted = on_hello, .event = on_event, .broken = on_broken, .user = h};
    memset(h, 0, sizeof *h);
    h->client = vt_monitor_new(&vt_vz_client, &handler);
}

static void feed(struct heard *h, const char *text)
{
    vt_monitor_feed(h->client, text, strlen(text));
}

static void test_requests_and_replies(void **state)
{
    struct heard h;
    (void)state;
    begin(&h);
    for (const char *c = HELLO; *c; c++) /* in whatever pieces it comes */
        vt_monitor_feed(h.client, c, 1);
    assert_int_equal(h.hellos, 1);
    vt_monitor_request(h.client, "pause", NULL, on_reply, &h);
    vt_monitor_request(h.client, "save", json_pack("{s:s}", "path", "/x"), on_reply, &h);
    assert_string_equal(h.written, "{\"id\":1,\"op\":\"pause\"}\n"
                                   "{\"id\":2,\"op\":\"save\",\"path\":\"/x\"}\n");
    feed(&h, "{\"event\": \"state\", \"state\": \"paused\"}\n"
             "{\"id\": 2, \"ok\": true, \"state\": \"saving\"}\n");
    assert_string_equal(h.event, "state");
    assert_int_equal(h.replies, 1); /* that of the later one */
    assert_string_equal(h.state, "saving");
    feed(&h,
         "{\"id\": 1, \"ok\": false, \"state\": \"paused\", \"error\": {\"domain\": \"vmtest\", "
         "\"code\": 2, \"message\": \"it is paused\"}}\n");
    assert_int_equal(h.replies, 2);
    assert_int_equal(h.why.code, VT_ESTATE);
    assert_non_null(strstr(h.why.message, "\"pause\": it is paused"));
    assert_int_equal(h.broken, 0);
    vt_monitor_free(h.client);
}

static void test_broken(void **state)
{
    static const struct {
        const char *said, *why;
    } cases[] = {
        {"{\"event\": \"state\"}\n", "no greeting"},
        {"nonsense\n", "not JSON"},
        {HELLO "{\"id\": 5, \"ok\": true}\n", "a reply to no request"},
        {HELLO "{\"id\": null, \"ok\": false, \"error\": {\"message\": \"what?\"}}\n", "what?"},
        {HELLO "{\"x\": 1}\n", "neither a reply nor an event"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct heard h;
        begin(&h);
        feed(&h, cases[i].said);
        feed(&h, HELLO); /* ignored from then on */
        assert_int_equal(h.broken, 1);
        assert_int_equal(h.why.code, VT_EPROTO);
        assert_non_null(strstr(h.why.message, cases[i].why));
        vt_monitor_free(h.client);
    }
}

static void test_another_version(void **state)
{
    struct heard h;
    (void)state;
    begin(&h);
    feed(&h, "{\"event\": \"hello\", \"protocol\": 2, \"version\": \"0.9\", \"pid\": 7}\n");
    assert_int_equal(h.hellos, 0);
    assert_int_equal(h.why.code, VT_EPROTO);
    assert_non_null(strstr(h.why.message, "speaks version 2"));
    assert_true(h.why.hint[0]);
    vt_monitor_free(h.client);
}

static void test_faults(void **state)
{
    struct vt_error why = VT_ERROR_INIT;
    (void)state;
    json_t *error = json_pack(
        "{s:s, s:i, s:s, s:s, s:{s:s, s:i, s:s}}", "domain", "VZErrorDomain", "code", 6, "message",
        "The number of virtual machines exceeds the limit.", "reason", "Too many.", "underlying",
        "domain", "NSPOSIXErrorDomain", "code", 28, "message", "No space");
    assert_int_equal(vt_vz_fault(error, "start", &why), VT_ELIMIT);
    assert_non_null(strstr(why.message, "(VZErrorDomain 6); because: No space"));
    assert_non_null(strstr(why.hint, "restart the host"));
    json_decref(error);
    why = (struct vt_error)VT_ERROR_INIT;
    assert_int_equal(vt_vz_fault(NULL, "start", &why), VT_EHYPERVISOR);
    assert_non_null(strstr(why.message, "no reason"));
}

static void test_leases(void **state)
{
    static const char text[] = "{\n\tname=old\n\tip_address=192.168.64.2\n"
                               "\thw_address=1,52:54:0:a:b:c\n\tlease=0x64b5b1a1\n}\n"
                               "{\n\tname=new\n\tip_address=192.168.64.9\n"
                               "\thw_address=1,52:54:0:a:b:c\n\tlease=0x74b5b1a1\n}\n"
                               "{\n\tname=older\n\tip_address=192.168.64.3\n"
                               "\thw_address=1,52:54:0:a:b:c\n\tlease=0x14b5b1a1\n}\n"
                               "{\n\tip_address=not an address\n\thw_address=1,2:0:0:0:0:1\n}\n"
                               "{\n\tip_address=10.0.0.1\n\thw_address=ff,2:0:0:0:0:2\n}\n"
                               "{\n\tip_address=10.0.0.7\n\thw_address=1,2:0:0:0:0:3\n\tlea";
    char out[VT_VZ_ADDRESS_MAX] = "";
    (void)state;
    assert_true(vt_vz_lease_find(text, sizeof text - 1, "52:54:00:0a:0b:0c", out));
    assert_string_equal(out, "192.168.64.9");
    assert_true(vt_vz_lease_find(text, sizeof text - 1, "52:54:00:0A:0B:0C", out));
    static const char *const none[] = {
        "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03" /* cut off */,
        "52:54:00:0a:0b:0d", "nonsense",          "52:54:00:0a:0b:0c:0d"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(vt_vz_lease_find(text, sizeof text - 1, none[i], out));
    assert_false(vt_vz_lease_find("", 0, "52:54:00:0a:0b:0c", out));
}

static void test_versions(void **state)
{
    (void)state;
    assert_true(vt_vz_compare_versions("15.1", "15.1") == 0);
    assert_true(vt_vz_compare_versions("15.1", "15.10") < 0);
    assert_true(vt_vz_compare_versions("26.0", "15.7.1") > 0);
    assert_true(vt_vz_compare_versions("15", "15.0.1") < 0);
    assert_true(vt_vz_compare_versions("15.0", "15") == 0);
}

/* --- what a VM asks for, against the catalogue --- */

static const struct vt_disk an_nvme = {.name = "d", .bus = VT_DISK_NVME, .size = 1 << 20},
                            a_usb = {.name = "d", .bus = VT_DISK_USB, .size = 1 << 20},
                            a_virtio = {.name = "d", .size = 1 << 20},
                            an_nbd = {.name = "d", .url = "nbd://localhost"};
static const struct vt_share a_share = {.name = "src", .path = "/src"};

static char tag[] = "rosetta";

/* `told` NULL: it is allowed. */
static const struct {
    const char *os, *guest, *host;
    const char *arch; /* NULL: "arm64" */
    bool kernel, iso;
    const struct vt_disk *disk;
    const struct vt_share *share;
    const struct vt_vz_options options;
    const char *told;
} asked[] = {
    {"linux", .kernel = true, .host = "11.0"},
    {"linux", .kernel = true, .host = "10.15", .told = "running a Linux guest needs macOS 11"},
    {"linux", .host = "12.7",
     .told = "booting by EFI needs macOS 13 on the host; this one has 12.7"},
    {"linux", .host = "13.0"},
    {"linux", .kernel = true, .host = "12.7", .iso = true, .told = "a disk on USB needs macOS 13"},
    {"linux", .kernel = true, .host = "12.7", .disk = &a_usb,
     .told = "a disk on USB needs macOS 13"},
    {"linux", .kernel = true, .host = "13.6", .disk = &an_nvme,
     .told = "NVMe controller needs macOS 14"},
    {"linux", .kernel = true, .host = "14.0", .disk = &an_nvme},
    {"linux", .kernel = true, .host = "13.6", .disk = &an_nbd,
     .told = "an NBD server needs macOS 14"},
    {"linux", .kernel = true, .host = "12.2", .disk = &a_virtio,
     .told = "naming a disk to its guest needs macOS 12.3"},
    {"linux", .kernel = true, .host = "12.3", .disk = &a_virtio},
    {"linux", .kernel = true, .host = "11.7", .share = &a_share,
     .told = "VirtioFS needs macOS 12 on the host"},
    {"linux", .kernel = true, .guest = "5.0", .share = &a_share}, /* no macOS */
    {"macos", .host = "11.7", .told = "running a macOS guest needs macOS 12 on the host"},
    {"macos", .host = "12.0", .guest = "12.0"},
    {"macos", .host = "15.0", .arch = "x86_64", .told = "needs a Mac with Apple silicon"},
    {"macos", .guest = "11.6",
     .told = "running a macOS guest needs macOS 12 in the guest; this one has 11.6"},
    {"macos", .guest = "12.6", .share = &a_share,
     .told = "VirtioFS needs macOS 13 in the guest; this one has 12.6"},
    {"macos", .guest = "13.0", .share = &a_share, .host = "99"},
    {"macos", .share = &a_share, .host = "99"},
    {"macos", .guest = "15.0", .disk = &an_nvme,
     .told = "NVMe controller is there for Linux guests alone"},
    {"linux", .kernel = true, .host = "12.6", .options = {.rosetta = tag},
     .told = "Rosetta needs macOS 13 on the host"},
    {"linux", .kernel = true, .host = "13.0", .options = {.rosetta = tag},
     .told = "Rosetta is not installed on this host"},
    {"macos", .options = {.rosetta = tag}, .told = "there for Linux guests alone"},
    {"linux", .kernel = true, .host = "14.0", .options = {.nested = true},
     .told = "needs macOS 15 on the host"},
    {"linux", .kernel = true, .host = "15.0", .options = {.nested = true},
     .told = "runs no virtual machines inside guests"},
    {"linux", .kernel = true, .host = "12.0", .options = {.clipboard = true},
     .told = "a shared clipboard needs macOS 13"},
    {"linux", .kernel = true, .host = "12.0", .options = {.screen = true},
     .told = "a screen of a Linux guest needs macOS 13"},
    {"macos", .host = "12.0", .options = {.screen = true}},
    {"linux", .kernel = true, .host = "15.6", .options = {.vmnet = true},
     .told = "vmnet's own topology needs macOS 26"},
    {"linux", .kernel = true, .options = {.recovery = true}, .told = "for macOS guests alone"},
    {"macos", .host = "12.0", .options = {.recovery = true}, .told = "recovery needs macOS 13"},
    {"linux", .kernel = true, .options = {.automount = true}, .told = "for macOS guests alone"},
    {"linux", .kernel = true, .host = "11.0", .options = {.disk_sync = tag},
     .told = "caches and synchronizes needs macOS 12"},
    {"macos", .guest = "Monterey", .told = "is no version of macOS"},
};

static void test_what_the_host_has(void **state)
{
    (void)state;
    char os[] = "linux", kernel[] = "/k";
    const struct vt_image image = {.os = os, .kernel = kernel};
    const struct vt_vm_config config = {.name = "one", .image = &image};
    const struct vt_vz_options options = {.rosetta = tag, .nested = true};
    json_t *host = json_pack("{s:s, s:s, s:s, s:b}", "os_version", "15.0", "arch", "arm64",
                             "rosetta", "installed", "nested", 1);
    assert_int_equal(vt_vz_features_check(&config, &options, host, NULL), VT_OK);
    json_object_set_new(host, "rosetta", json_string("not_supported"));
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_vz_features_check(&config, &options, host, &err), VT_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "not there for guests of this host"));
    json_decref(host);
}

/* --- the options of its own --- */

static char image_os[] = "linux", image_arch[] = "aarch64", image_kernel[] = "/k";
static const struct vt_image small = {
    .os = image_os, .arch = image_arch, .kernel = image_kernel, .cpus = 1, .memory = 1 << 28};

static enum vt_code read_options(const char *text, struct vt_vz *vz, struct vt_vm_config *config,
                                 struct vt_error *err)
{
    json_t *own = json_loads(text, 0, NULL);
    assert_non_null(own);
    config->vz = own;
    vz->config = config;
    enum vt_code code = vt_vz_options_read(config, &vz->options, err);
    json_decref(own);
    config->vz = NULL;
    return code;
}

static void test_wrong_options(void **state)
{
    static const struct vt_nic none[1];
    static const struct {
        const char *text, *told, *hint;
        bool no_nic;
    } wrong[] = {
        {.text = "{\"roseta\": true}",
         .told = "no option \"roseta\" in \"vz\"",
         .hint = "\"rosetta\""},
        {.text = "{\"rosetta\": \"\"}", .told = "\"rosetta\" of \"vz\" is to be true, or the tag"},
        {.text = "{\"rosetta\": \"a/b\"}", .told = "cannot be the tag"},
        {.text = "{\"rosetta\": \"123456789012345678901234567890123456\"}",
         .told = "at most 35 characters"},
        {.text = "{\"rosetta\": \"src\"}", .told = "the name of a share"},
        {.text = "{\"nested\": 1}", .told = "true or false"},
        {.text = "{\"screen\": true}", .told = "\"1920x1200\""},
        {.text = "{\"screen\": \"1920x\"}", .told = "\"1920x1200\""},
        {.text = "{\"screen\": \"1920x0\"}", .told = "\"1920x1200\""},
        {.text = "{\"screen\": \"19200x1200\"}", .told = "\"1920x1200\""},
        {.text = "{\"screen\": \"1920x1200x\"}", .told = "\"1920x1200\""},
        {.text = "{\"screen\": {\"width\": 1920}}", .told = "has no \"height\""},
        {.text = "{\"screen\": {\"width\": 0, \"height\": 1}}", .told = "1 to 16384"},
        {.text = "{\"screen\": {\"widht\": 1}}",
         .told = "no option \"widht\"",
         .hint = "\"width\""},
        {.text = "{\"vmnet\": \"bridged\"}", .told = "\"shared\" or \"host\""},
        {.text = "{\"vmnet\": {\"mode\": \"bridged\"}}", .told = "\"shared\" or \"host\""},
        {.text = "{\"vmnet\": {\"subnet\": \"192.168.77.1/24\"}}", .told = "192.168.77.0/24"},
        {.text = "{\"vmnet\": {\"subnet\": \"192.168.77.0/30\"}}", .told = "192.168.77.0/24"},
        {.text = "{\"vmnet\": \"host\"}", .told = "there is none", .no_nic = true},
        {.text = "{\"disk_sync\": \"some\"}", .told = "\"full\", \"fsync\" or \"none\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct vt_vm_config config = {.name = "one",
                                      .image = &small,
                                      .shares = &a_share,
                                      .share_count = 1,
                                      .nics = wrong[i].no_nic ? none : NULL};
        struct vt_vz vz = {.vm = NULL};
        struct vt_error err = VT_ERROR_INIT;
        assert_int_equal(read_options(wrong[i].text, &vz, &config, &err), VT_EINVAL);
        if (!strstr(err.message, wrong[i].told) || !strstr(err.message, "VM one: ") ||
            (wrong[i].hint && !strstr(err.hint, wrong[i].hint)))
            fail_msg("%s: %s (%s)", wrong[i].text, err.message, err.hint);
        vt_vz_options_clear(&vz.options);
    }
    struct vt_vm_config config = {.name = "one", .image = &small};
    struct vt_vz vz = {.vm = NULL};
    assert_int_equal(read_options("{\"automount\": true}", &vz, &config, NULL), VT_EINVAL);
}

/* The machine that the helper is asked for. */
static json_t *machine_of(const char *options, struct vt_vm_config *config)
{
    static char console[] = "/c", agent[] = "/a";
    struct vt_vz vz = {.console = console, .agent = agent};
    assert_int_equal(read_options(options, &vz, config, NULL), VT_OK);
    json_t *machine = vt_vz_machine(&vz), *start = vt_vz_start_members(&vz);
    json_object_set_new(machine, "start", start ? start : json_null());
    vt_vz_options_clear(&vz.options);
    return machine;
}

static void is_json(const json_t *machine, const char *key, const char *expected)
{
    const json_t *value = json_object_get(machine, key);
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;
    if (!text || strcmp(text, expected) != 0)
        fail_msg("%s: %s", key, text ? text : "not there");
    free(text);
}

static void test_the_machine(void **state)
{
    static const struct vt_disk disk = {.name = "data", .path = "/d", .read_only = true};
    static const struct vt_share shares[] = {{.name = "a", .path = "/x", .read_only = true},
                                             {.name = "b", .path = "/y"}};
    (void)state;
    struct vt_vm_config config = {.name = "one",
                                  .image = &small,
                                  .disks = &disk,
                                  .disk_count = 1,
                                  .shares = shares,
                                  .share_count = 2,
                                  .scratch_dir = "/s"};
    json_t *m = machine_of("{}", &config);
    for (size_t i = 0; i < 4; i++)
        assert_null(
            json_object_get(m, (const char *[]){"rosetta", "nested", "clipboard", "screen"}[i]));
    is_json(m, "nics", "[{\"kind\": \"nat\"}]");
    is_json(m, "start", "null");
    is_json(m, "shares",
            "[{\"path\": \"/x\", \"read_only\": true, \"tag\": \"a\"}, "
            "{\"path\": \"/y\", \"read_only\": false, \"tag\": \"b\"}]");
    json_decref(m);
    m = machine_of("{\"rosetta\": true, \"nested\": true, \"clipboard\": true, \"recovery\": true, "
                   "\"screen\": \"1920x1200\", \"vmnet\": {\"mode\": \"host\", \"subnet\": "
                   "\"10.7.0.0/16\"}, \"automount\": true, \"disk_caching\": \"cached\", "
                   "\"disk_sync\": \"none\"}",
                   &config);
    is_json(m, "rosetta", "\"rosetta\"");
    is_json(m, "nested", "true");
    is_json(m, "clipboard", "true");
    is_json(m, "screen", "{\"height\": 1200, \"width\": 1920}");
    is_json(m, "nics", "[{\"kind\": \"vmnet\", \"mode\": \"host\", \"subnet\": \"10.7.0.0/16\"}]");
    is_json(m, "shares",
            "[{\"paths\": {\"a\": {\"path\": \"/x\", \"read_only\": true}, \"b\": "
            "{\"path\": \"/y\", \"read_only\": false}}, \"tag\": \"automount\"}]");
    is_json(m, "disks",
            "[{\"bus\": \"virtio\", \"caching\": \"cached\", \"id\": \"data\", "
            "\"path\": \"/d\", \"read_only\": true, \"sync\": \"none\"}]");
    is_json(m, "start", "{\"recovery\": true}");
    json_decref(m);
    m = machine_of("{\"rosetta\": \"x86\", \"nested\": false, \"vmnet\": \"shared\", \"screen\": "
                   "{\"width\": 800, \"height\": 600, \"ppi\": 144}}",
                   &config);
    is_json(m, "rosetta", "\"x86\"");
    assert_null(json_object_get(m, "nested"));
    is_json(m, "screen", "{\"height\": 600, \"ppi\": 144, \"width\": 800}");
    is_json(m, "nics", "[{\"kind\": \"vmnet\", \"mode\": \"shared\"}]");
    json_decref(m);
}

static void test_what_the_catalogue_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        char os[] = "linux", version[16] = "", kernel[] = "/k", iso[] = "/i";
        snprintf(os, sizeof os, "%s", asked[i].os);
        snprintf(version, sizeof version, "%s", asked[i].guest ? asked[i].guest : "");
        const struct vt_image image = {.os = os,
                                       .os_version = asked[i].guest ? version : NULL,
                                       .kernel = asked[i].kernel ? kernel : NULL,
                                       .iso = asked[i].iso ? iso : NULL};
        const struct vt_vm_config config = {.name = "one",
                                            .image = &image,
                                            .disks = asked[i].disk,
                                            .disk_count = asked[i].disk != NULL,
                                            .shares = asked[i].share,
                                            .share_count = asked[i].share != NULL};
        json_t *host = asked[i].host ? json_pack("{s:s, s:s, s:s}", "os_version", asked[i].host,
                                                 "arch", asked[i].arch ? asked[i].arch : "arm64",
                                                 "rosetta", "not_installed")
                                     : NULL;
        struct vt_error err = VT_ERROR_INIT;
        enum vt_code code = vt_vz_features_check(&config, &asked[i].options, host, &err);
        json_decref(host);
        if (!code != !asked[i].told || (asked[i].told && (!strstr(err.message, asked[i].told) ||
                                                          !strstr(err.message, "VM one: "))))
            fail_msg("%zu: %s", i, err.message);
        if (code == VT_EINVAL)
            assert_non_null(strstr(err.hint, "15.3"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_and_replies),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_another_version),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_leases),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_what_the_catalogue_refuses),
        cmocka_unit_test(test_what_the_host_has),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
