/* What Apple's framework can do where, and what its errors mean. */
#include <stdio.h>
#include <string.h>

#include "unit.h"

#include "cli/doctor.h"
#include "core/json.h"
#include "vmtest/apple.h"

static struct vt_macos_version version(const char *text)
{
    struct vt_macos_version v;
    assert_int_equal(vt_macos_version_parse(text, &v, NULL), VT_OK);
    return v;
}

static int compare(const char *a, const char *b)
{
    struct vt_macos_version x = version(a), y = version(b);
    int forth = vt_macos_version_compare(&x, &y), back = vt_macos_version_compare(&y, &x);
    assert_int_equal(forth, -back);
    return forth;
}

static void test_versions(void **state)
{
    (void)state;
    static const char *const rising[] = {"11",     "12.7.6", "13",       "13.6", "14",   "15.9",
                                         "15.9.1", "15.10",  "15.10.11", "26",   "26.1", "27"};
    for (size_t i = 0; i < sizeof rising / sizeof *rising; i++)
        for (size_t j = 0; j < sizeof rising / sizeof *rising; j++)
            assert_int_equal(compare(rising[i], rising[j]), (i > j) - (i < j));
    assert_int_equal(compare("26", "26.0.0"), 0);
    assert_int_equal(compare("27.0 beta", "27"), 0);
    assert_int_equal(compare("27.0 beta 3", "26.9"), 1);
    assert_int_equal(compare("27.0 RC", "27.0"), 0);
    assert_int_equal(compare("macOS 13.4.1 (a)", "13.4.1"), 0);
    assert_int_equal(compare("macOS 26.0 (25A5279m)", "26"), 0);
}

static void test_no_versions(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",          "x",        "15.",          ".5",         "15..1",    "15.1.2.3",
        "15,1",      "-15",      " 15",          "15 ",        "15.1beta", "15.1 betas",
        "15 beta x", "15 beta ", "15.1 ()",      "15.1 (a",    "15 (a)b",  "macOS",
        "macOS ",    "99999",    "15.123456789", "15.1 RC 2 ", "Sequoia",  "15\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct vt_macos_version v;
        struct vt_error err = VT_ERROR_INIT;
        if (vt_macos_version_parse(wrong[i], &v, &err) != VT_EINVAL)
            fail_msg("\"%s\" was taken for a version", wrong[i]);
        assert_non_null(strstr(err.message, "is no version of macOS"));
        assert_non_null(strstr(err.hint, "15.3"));
    }
    struct vt_macos_version v;
    assert_int_equal(vt_macos_version_parse(NULL, &v, NULL), VT_EINVAL);
}

/* The facts, as Apple tells them: what the table must answer. */
static const struct {
    const char *name;
    const char *host, *before; /* the least version, and one that is not enough */
    bool x86_64, macos, linux_;
} facts[] = {
    {"linux_guest", "11", "10.15", true, false, true},
    {"pause", "11", "10.15.7", true, true, true},
    {"vsock", "11", "10.15", true, true, true},
    {"serial", "11", "10.15", true, true, true},
    {"nat", "11", "10.15", true, true, true},
    {"bridged", "11", "10.15", true, true, true},
    {"stop", "12", "11.7", true, true, true},
    {"disk_id", "12.3", "12.2.1", true, true, true},
    {"linux_screen", "13", "12.7", true, false, true},
    {"random_mac", "11", "10.15", true, true, true},
    {"request_stop", "11", "10.15", true, true, true},
    {"trackpad", "13", "12.7", false, true, false},
    {"virtiofs", "12", "11.7", true, true, true},
    {"disk_modes", "12", "11.7", true, true, true},
    {"macos_guest", "12", "11.7", false, true, false},
    {"restore_image", "12", "11.7", false, true, false},
    {"install", "12", "11.7", false, true, false},
    {"efi", "13", "12.7", true, false, true},
    {"generic_identifier", "13", "12.7", true, false, true},
    {"rosetta", "13", "12.7", false, false, true},
    {"automount", "13", "12.7", false, true, false},
    {"usb_storage", "13", "12.7", true, true, true},
    {"clipboard", "13", "12.7", true, true, true},
    {"recovery", "13", "12.7", false, true, false},
    {"nbd", "14", "13.6", true, true, true},
    {"nvme", "14", "13.6", true, false, true},
    {"mac_keyboard", "14", "13.6", false, true, false},
    {"save_restore", "14.0", "13.6.9", false, true, true},
    {"nested", "15", "14.7", false, false, true},
    {"usb_hotplug", "15", "14.7", true, true, true},
    {"apple_account", "15", "14.7", false, true, false},
    {"vmnet", "26", "15.10", true, true, true},
    {"asif", "26", "15.10", true, true, true},
    {"provisioning", "27.0 beta", "26.4", false, true, false},
    {"overlays", "27.0 beta", "26.4", true, true, true},
};

static enum vt_code ask(const char *name, struct vt_apple_place place, struct vt_error *err)
{
    enum vt_apple_feature feature;
    *err = (struct vt_error)VT_ERROR_INIT;
    assert_int_equal(vt_apple_feature_find(name, &feature, NULL), VT_OK);
    return vt_apple_supports(feature, &place, err);
}

static void test_facts(void **state)
{
    (void)state;
    assert_int_equal(sizeof facts / sizeof *facts, VT_APPLE_FEATURE_COUNT_); /* none without */
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        struct vt_error err;
        const char *name = facts[i].name;
        enum vt_code before =
            ask(name, (struct vt_apple_place){.host_version = facts[i].before}, &err);
        if (before != VT_EUNSUPPORTED || !strstr(err.message, facts[i].before))
            fail_msg("%s with %s: %s", name, facts[i].before, err.message);
        if (ask(name, (struct vt_apple_place){.host_version = facts[i].host}, &err))
            fail_msg("%s with %s: %s", name, facts[i].host, err.message);
        if ((ask(name, (struct vt_apple_place){.arch = "x86_64"}, &err) == VT_OK) !=
                facts[i].x86_64 ||
            (ask(name, (struct vt_apple_place){.guest_os = "macos"}, &err) == VT_OK) !=
                facts[i].macos ||
            (ask(name, (struct vt_apple_place){.guest_os = "linux"}, &err) == VT_OK) !=
                facts[i].linux_)
            fail_msg("%s: wrong processor or guest: %s", name, err.message);
        assert_int_equal(ask(name, (struct vt_apple_place){.arch = "arm64"}, &err), VT_OK);
    }
}

static void test_reasons(void **state)
{
    (void)state;
    struct vt_error err;
    const struct vt_apple_place old = {.host_version = "13.6", .arch = "arm64"},
                                intel = {.host_version = "26", .arch = "x86_64"},
                                m2 = {.host_version = "15.1",
                                      .arch = "aarch64",
                                      .chip = "Apple M2 Pro",
                                      .guest_os = "linux"},
                                m10 = {.host_version = "30", .chip = "Apple M10"},
                                old_guest = {.host_version = "27",
                                             .arch = "arm64",
                                             .guest_os = "macos",
                                             .guest_version = "26.2"},
                                linux_guest = {.host_version = "27",
                                               .guest_os = "linux",
                                               .guest_version = "6.1"},
                                no_mac = {.arch = "riscv64"}, no_version = {.host_version = "new"};
    assert_int_equal(ask("save_restore", old, &err), VT_EUNSUPPORTED);
    assert_string_equal(
        err.message,
        "saving a virtual machine's state needs macOS 14 on the host; this one has 13.6");
    assert_int_equal(ask("save_restore", intel, &err), VT_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "needs a Mac with Apple silicon (arm64)"));
    assert_int_equal(ask("nested", m2, &err), VT_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "needs an Apple M3 or later; this host has an Apple M2"));
    assert_int_equal(ask("nested", m10, &err), VT_OK);
    assert_int_equal(ask("provisioning", old_guest, &err), VT_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "needs macOS 27 in the guest; this one has 26.2"));
    assert_int_equal(ask("automount", old_guest, &err), VT_OK);
    /* a Linux guest's version is no version of macOS */
    assert_int_equal(ask("virtiofs", linux_guest, &err), VT_OK);
    assert_int_equal(ask("rosetta", old_guest, &err), VT_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "Linux guests alone; this one has macOS"));
    assert_int_equal(ask("nat", no_mac, &err), VT_EINVAL);
    assert_non_null(strstr(err.message, "riscv64"));
    assert_int_equal(ask("nat", no_version, &err), VT_EINVAL);
    assert_int_equal(vt_apple_supports(VT_APPLE_FEATURE_COUNT_, &old, NULL), VT_EINVAL);
}

static void test_names(void **state)
{
    (void)state;
    enum vt_apple_feature found;
    struct vt_error err = VT_ERROR_INIT;
    for (enum vt_apple_feature i = 0; i < VT_APPLE_FEATURE_COUNT_; i++) {
        const struct vt_apple_feature_info *f = vt_apple_feature_info(i);
        struct vt_macos_version v;
        assert_int_equal(vt_apple_feature_find(f->name, &found, NULL), VT_OK);
        assert_int_equal(found, i); /* no name twice */
        assert_non_null(f->what);
        assert_int_equal(vt_macos_version_parse(f->host, &v, NULL), VT_OK);
        assert_true(!f->guest || vt_macos_version_parse(f->guest, &v, NULL) == VT_OK);
        assert_true(f->on_arm64 || f->on_x86_64);
        assert_true(f->of_macos || f->of_linux);
        assert_true(!f->guest || f->of_macos);
    }
    assert_null(vt_apple_feature_info(VT_APPLE_FEATURE_COUNT_));
    assert_int_equal(vt_apple_feature_find("virtio_fs", &found, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.hint, "\"virtiofs\""));
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *domain;
        long number;
        const char *op, *text;
        enum vt_code code;
        const char *message, *hint;
    } table[] = {
        {"VZErrorDomain", 6, "vm.start", "The limit was reached.", VT_ELIMIT, "allows (2)",
         "leaked"},
        {"VZErrorDomain", 2, "vm.start",
         "The process doesn't have the \"com.apple.security.virtualization\" entitlement.",
         VT_EUNSUPPORTED, "entitlement", "codesign --force --sign -"},
        {"VZErrorDomain", 2, "vm.start", "Invalid display count.", VT_EINVAL, "configuration",
         "vmtest features"},
        {"VZErrorDomain", 10007, "image.build", "Installation failed.", VT_EHYPERVISOR,
         "installation", "newer than the host"},
        {"VZErrorDomain", 40003, "vm.start", "Invalid password.", VT_EINVAL, "the password", ""},
        {"VZErrorDomain", 50002, "vm.start", "Inaccessible.", VT_EIO, "EFI variables", "mode"},
        {"VZErrorDomain", 10006, "image.build", "", VT_EUNSUPPORTED, "needs an update", "Xcode"},
        {"VZErrorDomain", -9, "vm.start", "The virtual machine encountered a security error.",
         VT_EHYPERVISOR, "key", "security unlock-keychain"},
        {"VZErrorDomain", 1, "vm.start", "Failed to create new HostKey.", VT_EHYPERVISOR, "key",
         "security unlock-keychain"},
        {"VZErrorDomain", 1, "vm.start", "The virtual machine failed to start.", VT_EHYPERVISOR,
         "inside", "log show"},
        {"NSOSStatusErrorDomain", -25308, "vm.start", "", VT_EHYPERVISOR, "keychain is locked",
         "security unlock-keychain"},
        {"VZErrorDomain", 12, "vm.restore", "Invalid argument", VT_EIMAGE, "not readable",
         "newer software"},
        {"VZErrorDomain", 12, "vm.restore", "The file is damaged.", VT_EHYPERVISOR, "restored",
         "snapshot anew"},
        {"NSPOSIXErrorDomain", 22, "vm.restore", "Invalid argument", VT_EIMAGE, "not readable",
         "newer software"},
        {"NSPOSIXErrorDomain", 22, "vm.start", "Invalid argument", VT_EHYPERVISOR, "refused", ""},
        {"NSPOSIXErrorDomain", 65, "guest.connect", "No route to host", VT_EIO, "no route",
         "Local Network"},
        {"VZErrorDomain", 8, "vm.start", "", VT_ENOSPC, "full", "vmtest gc"},
        {"VZErrorDomain", 9, "vm.start", "", VT_ECANCELED, "cancelled", ""},
        {"VZErrorDomain", 10, "vm.start", "", VT_EUNSUPPORTED, "cannot", "vmtest features"},
        {"VZErrorDomain", 4711, "vm.start", "Something new.", VT_EHYPERVISOR, "Something new.", ""},
        {"SomeDomain", 6, "vm.start", NULL, VT_EHYPERVISOR, "no reason was given", ""},
        {NULL, 6, "vm.start", "?", VT_EHYPERVISOR, "no domain 6", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct vt_error err = VT_ERROR_INIT;
        char number[32];
        snprintf(number, sizeof number, " %ld)", table[i].number);
        enum vt_code code =
            vt_apple_fail(&err, table[i].op, table[i].domain, table[i].number, table[i].text);
        if (code != table[i].code || err.code != code || !strstr(err.message, table[i].message) ||
            !strstr(err.message, number) || (*table[i].hint && !strstr(err.hint, table[i].hint)) ||
            !*table[i].hint != !*err.hint)
            fail_msg("row %zu: %s: %s [%s]", i, vt_code_name(code), err.message, err.hint);
        assert_string_equal(err.op, table[i].op);
    }
    assert_int_equal(vt_apple_fail(NULL, "vm.start", "VZErrorDomain", 6, NULL), VT_ELIMIT);
}

static void test_doctor(void **state)
{
    (void)state;
    struct vt_doctor r = {.lines = json_array()};
    const struct vt_apple_place host = {
        .host_version = "13.6", .arch = "arm64", .chip = "Apple M1"};
    vt_doctor_apple(&r, &host);
    const json_t *first = json_array_get(r.lines, 0);
    assert_non_null(strstr(vt_json_str(first, "text", ""), "macOS 13.6 on Apple M1"));
    assert_int_equal(r.worst, VT_DOCTOR_OK);
    size_t i, missing = 0;
    json_t *line;
    json_array_foreach(r.lines, i, line)
    {
        missing += i > 0;
        if (!strcmp(vt_json_str(line, "topic", ""), "save_restore"))
            assert_non_null(strstr(vt_json_str(line, "text", ""), "needs macOS 14 on the host"));
        assert_string_not_equal(vt_json_str(line, "topic", ""), "efi"); /* it has that */
    }
    char counted[32];
    snprintf(counted, sizeof counted, " %zu of %d ", VT_APPLE_FEATURE_COUNT_ - missing,
             (int)VT_APPLE_FEATURE_COUNT_);
    assert_non_null(strstr(vt_json_str(first, "text", ""), counted));
    json_decref(r.lines);

    r = (struct vt_doctor){.lines = json_array()};
    vt_doctor_apple(&r, &(struct vt_apple_place){.host_version = "?"});
    assert_int_equal(r.worst, VT_DOCTOR_WARNING);
    assert_int_equal(json_array_size(r.lines), 1);
    json_decref(r.lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions), cmocka_unit_test(test_no_versions),
        cmocka_unit_test(test_facts),    cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_names),    cmocka_unit_test(test_errors),
        cmocka_unit_test(test_doctor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
