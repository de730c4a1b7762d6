/* The stand-in's rules and answers, without a server: bytes in, answers out. */
#include "../unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "device/commands.h"
#include "device/install.h"
#include "device/managed.h"
#include "device/package.h"
#include "device/profile.h"
#include "device/store.h"
#include "plist/tree.h"

#define PAYLOAD(type_, id_, keys_)                                                                 \
    "<dict><key>PayloadType</key><string>" type_ "</string><key>PayloadIdentifier</key><string>"   \
    "x." id_ "</string><key>PayloadUUID</key><string>" id_ "</string>" keys_ "</dict>"
#define PROFILE(id_, payloads_)                                                                    \
    "<plist><dict><key>PayloadType</key><string>Configuration</string>"                            \
    "<key>PayloadIdentifier</key><string>" id_ "</string><key>PayloadUUID</key><string>u</string>" \
    "<key>PayloadVersion</key><integer>1</integer><key>PayloadContent</key><array>" payloads_      \
    "</array></dict></plist>"
#define MDM(server_, topic_, rights_)                                                              \
    PAYLOAD("com.apple.mdm", "m",                                                                  \
            "<key>ServerURL</key><string>" server_ "</string><key>Topic</key><string>" topic_      \
            "</string><key>AccessRights</key><integer>" rights_ "</integer>"                       \
            "<key>IdentityCertificateUUID</key><string>i</string>")
#define IDENTITY PAYLOAD("com.apple.security.pkcs12", "i", "")
#define TOPIC "com.apple.mgmt.x"

/* The innermost code of what a profile is refused with; 0 where it is taken. */
static int read_code(const char *text)
{
    struct vtd_profile profile;
    struct vtd_chain chain = {.n = 0};
    bool good = vtd_profile_read(text, strlen(text), &profile, &chain);
    assert_int_equal(good, chain.n == 0);
    vtd_profile_free(&profile);
    return chain.n ? chain.fault[chain.n - 1].code : 0;
}

static void test_profiles_are_checked(void **state)
{
    (void)state;
    assert_int_equal(read_code(PROFILE("p", PAYLOAD("a", "1", ""))), 0);
    assert_int_equal(read_code("nonsense"), 1000);
    assert_int_equal(read_code("<plist><array/></plist>"), 1000);
    assert_int_equal(read_code(PROFILE("", PAYLOAD("a", "1", ""))), 1002);
    assert_int_equal(read_code(PROFILE("p", "")), 1005);
    assert_int_equal(read_code(PROFILE("p", "<string/>")), 2000);
    assert_int_equal(read_code(PROFILE("p", PAYLOAD("a", "", ""))), 2002);
    assert_int_equal(read_code(PROFILE("p", PAYLOAD("a", "1", "") PAYLOAD("b", "1", ""))), 1007);
    assert_int_equal(
        read_code(PROFILE("p", PAYLOAD("a", "1", "<key>PayloadVersion</key><integer>2</integer>"))),
        2001);
}

static int mdm_code(const char *text)
{
    struct vtd_profile profile;
    struct vtd_chain chain = {.n = 0};
    assert_true(vtd_profile_read(text, strlen(text), &profile, &chain));
    vtd_mdm_check(vtd_payload_of_type(profile.payloads, "com.apple.mdm"), profile.payloads, false,
                  &chain);
    vtd_profile_free(&profile);
    return chain.n ? chain.fault[0].code : 0;
}

static void test_mdm_payloads_are_checked(void **state)
{
    (void)state;
    assert_int_equal(mdm_code(PROFILE("e", IDENTITY MDM("https://h/", TOPIC, "8191"))), 0);
    assert_int_equal(mdm_code(PROFILE("e", MDM("https://h/", TOPIC, "8191"))), 12005);
    assert_int_equal(mdm_code(PROFILE("e", IDENTITY MDM("http://h/", TOPIC, "8191"))), 12011);
    assert_int_equal(mdm_code(PROFILE("e", IDENTITY MDM("https://h/", "else", "8191"))), 12022);
    assert_int_equal(mdm_code(PROFILE("e", IDENTITY MDM("https://h/", TOPIC, "0"))), 12000);
    assert_int_equal(mdm_code(PROFILE("e", IDENTITY MDM("https://h/", TOPIC, "2"))), 12000);
    assert_int_equal(mdm_code(PROFILE("e", IDENTITY MDM("https://h/", TOPIC, "129"))), 12000);
    assert_int_equal(mdm_code(PROFILE("e", IDENTITY MDM("https://h/", TOPIC, "3"))), 0);
}

static void test_urls(void **state)
{
    (void)state;
    assert_true(vtd_url_allowed("https://example.com/x", false));
    assert_true(vtd_url_allowed("http://127.0.0.1:80/", false));
    assert_true(vtd_url_allowed("http://localhost", false));
    assert_true(vtd_url_allowed("http://[::1]:9/", false));
    assert_false(vtd_url_allowed("http://127.0.0.1.example.com/", false));
    assert_false(vtd_url_allowed("http://localhost:x@example.com/", false));
    assert_false(vtd_url_allowed("http://example.com/", false));
    assert_true(vtd_url_allowed("http://example.com/", true));
    assert_false(vtd_url_allowed("file:///etc/passwd", true));
    assert_false(vtd_url_allowed(NULL, true));
}

static plist_t parse(const char *text)
{
    plist_t tree;
    assert_int_equal(vt_plist_parse(text, strlen(text), "test", &tree, NULL, NULL), VT_OK);
    return tree;
}

static plist_t record_of(const char *text, bool managed)
{
    plist_t record = plist_new_dict();
    plist_dict_set_item(record, "Profile", parse(text));
    vt_plist_set_bool(record, "Managed", managed);
    return record;
}

static int install_code(plist_t records, const char *text, bool by_mdm)
{
    struct vtd_chain chain = {.n = 0};
    plist_t new = parse(text);
    bool good = vtd_may_install(records, vt_plist_str(new, "PayloadIdentifier", ""),
                                vt_plist_array(new, "PayloadContent"), by_mdm, &chain);
    plist_free(new);
    assert_int_equal(good, chain.n == 0);
    return chain.n ? chain.fault[0].code : 0;
}

static void test_replacement_rules(void **state)
{
    (void)state;
    plist_t records = plist_new_array();
    plist_array_append_item(records,
                            record_of(PROFILE("e", IDENTITY MDM("https://h/", TOPIC, "3")), false));
    plist_array_append_item(records, record_of(PROFILE("m", PAYLOAD("a", "1", "")), true));
    assert_int_equal(
        install_code(records, PROFILE("e", IDENTITY MDM("https://h/", TOPIC, "3")), true), 0);
    assert_int_equal(
        install_code(records, PROFILE("e", IDENTITY MDM("https://h/", TOPIC, "1")), true), 0);
    assert_int_equal(
        install_code(records, PROFILE("e", IDENTITY MDM("https://h/", TOPIC, "7")), true), 12009);
    assert_int_equal(
        install_code(records, PROFILE("e", IDENTITY MDM("https://i/", TOPIC, "3")), true), 12012);
    assert_int_equal(
        install_code(records, PROFILE("e", IDENTITY MDM("https://h/", TOPIC "y", "3")), true),
        12012);
    assert_int_equal(install_code(records, PROFILE("e", IDENTITY), true), 4015);
    assert_int_equal(
        install_code(records, PROFILE("f", IDENTITY MDM("https://h/", TOPIC, "3")), true), 12001);
    assert_int_equal(install_code(records, PROFILE("m", PAYLOAD("a", "1", "")), true), 0);
    assert_int_equal(install_code(records, PROFILE("m", PAYLOAD("a", "1", "")), false), 4023);
    assert_int_equal(install_code(records, PROFILE("n", PAYLOAD("a", "1", "")), false), 0);
    plist_free(records);
}

static int remove_code(plist_t record, bool by_mdm)
{
    struct vtd_chain chain = {.n = 0};
    vtd_may_remove(record, "x", by_mdm, &chain);
    return chain.n ? chain.fault[0].code : 0;
}

static void test_removal_rules(void **state)
{
    (void)state;
    plist_t own = record_of(PROFILE("p", PAYLOAD("a", "1", "")), false);
    plist_t managed = record_of(PROFILE("p", PAYLOAD("a", "1", "")), true);
    assert_int_equal(remove_code(NULL, true), 89);
    assert_int_equal(remove_code(own, true), 12013);
    assert_int_equal(remove_code(own, false), 0);
    assert_int_equal(remove_code(managed, true), 0);
    assert_int_equal(remove_code(managed, false), 4023);
    vt_plist_set_bool(vt_plist_dict(own, "Profile"), "PayloadRemovalDisallowed", true);
    assert_int_equal(remove_code(own, false), 4023);
    plist_free(own);
    plist_free(managed);
}

static void test_packages_are_checked(void **state)
{
    (void)state;
    static const char manifest[] =
        "<plist><dict><key>items</key><array><dict><key>assets</key><array><dict>"
        "<key>kind</key><string>software-package</string><key>url</key><string>https://h/p</string>"
        "<key>md5-size</key><integer>2</integer><key>md5s</key><array>"
        "<string>187EF4436122D1CC2F40DC2B92F0EBA0</string>" /* of "ab" */
        "<string>4a8a08f09d37b73795649038408b5f33</string>" /* of "c" */
        "</array></dict></array></dict></array></dict></plist>";
    struct vtd_package package;
    struct vtd_chain chain = {.n = 0};
    plist_t tree = parse(manifest), empty = plist_new_dict();
    assert_true(vtd_package_read(tree, &package, &chain));
    assert_string_equal(package.url, "https://h/p");
    assert_true(vtd_package_check(&package, "abc", 3, &chain));
    assert_false(vtd_package_check(&package, "abd", 3, &chain));
    assert_false(vtd_package_check(&package, "ab", 2, &chain));
    assert_false(vtd_package_check(&package, "abcde", 5, &chain));
    assert_false(vtd_package_read(empty, &package, &chain));
    plist_free(tree);
    plist_free(empty);
}

static void test_chain_keeps_the_outermost(void **state)
{
    (void)state;
    struct vtd_chain chain = {.n = 0};
    char text[200];
    for (int i = 0; i < 6; i++)
        assert_false(vtd_fault(&chain, vtd_own_domain, i, "fault %d", i));
    assert_int_equal(chain.n, VTD_CHAIN_MAX);
    assert_int_equal(chain.fault[0].code, 5);
    vtd_chain_text(&chain, text, 20); /* cut, not overrun */
    assert_string_equal(text, "fault 5 (VMTestDevi");
}

/* A device below a folder of its own, enrolled as far as commands can tell. */
struct device {
    char root[40];
    struct vtd d;
    struct vtd_mdm mdm;
};

static int set_up(void **state)
{
    struct device *t = calloc(1, sizeof *t);
    strcpy(t->root, "/tmp/vmtest-device-XXXXXX");
    assert_non_null(mkdtemp(t->root));
    assert_int_equal(vtd_open(&t->d, t->root, true, 1, NULL), VT_OK);
    t->mdm.records = plist_new_array();
    t->mdm.state = plist_new_dict();
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    struct device *t = *state;
    plist_free(t->mdm.records);
    plist_free(t->mdm.state);
    vtd_close(&t->d);
    vt_remove_tree(t->root, NULL);
    free(t);
    return 0;
}

#define COMMAND(type_, keys_)                                                                      \
    "<plist><dict><key>CommandUUID</key><string>c</string><key>Command</key><dict>"                \
    "<key>RequestType</key><string>" type_ "</string>" keys_ "</dict></dict></plist>"

static void check_status(struct device *t, const char *text, const char *status, int code)
{
    enum vtd_after after;
    plist_t report = vtd_command_answer(&t->d, &t->mdm, text, strlen(text), &after, NULL);
    assert_non_null(report);
    assert_string_equal(vt_plist_str(report, "Status", ""), status);
    assert_string_equal(vt_plist_str(report, "CommandUUID", ""), "c");
    plist_t chain = vt_plist_array(report, "ErrorChain");
    assert_int_equal(chain ? vt_plist_int(plist_array_get_item(chain, 0), "ErrorCode", -1) : 0,
                     code);
    plist_free(report);
}

static void test_commands(void **state)
{
    struct device *t = *state;
    enum vtd_after after;
    struct vt_error err = VT_ERROR_INIT;
    check_status(t, COMMAND("ProfileList", ""), "Acknowledged", 0);
    check_status(t, COMMAND("SecurityInfo", ""), "Acknowledged", 0);
    check_status(t, COMMAND("NoSuchThing", ""), "Error", 12021);
    check_status(t, COMMAND("InstallProfile", ""), "CommandFormatError", 12008);
    check_status(t, COMMAND("InstallProfile", "<key>Payload</key><data>AAAA</data>"), "Error",
                 1009);
    check_status(t, COMMAND("RemoveProfile", "<key>Identifier</key><string>x</string>"), "Error",
                 89);
    check_status(t, COMMAND("InstalledApplicationList", ""), "Error", 4);
    check_status(t, "<plist><dict><key>CommandUUID</key><string>c</string></dict></plist>",
                 "CommandFormatError", 0);
    assert_null(vtd_command_answer(&t->d, &t->mdm, "<plist><dict/></plist>", 22, &after, &err));
    assert_int_equal(err.code, VT_EPROTO);
}

static void test_rights_and_told_answers(void **state)
{
    struct device *t = *state;
    t->mdm.payload = plist_new_dict();
    vt_plist_set_int(t->mdm.payload, "AccessRights", 3);
    check_status(t, COMMAND("ProfileList", ""), "Acknowledged", 0);
    check_status(t, COMMAND("SecurityInfo", ""), "Error", 12007);
    assert_int_equal(vtd_answer_set(&t->d, "not-now", "ProfileList", NULL), VT_OK);
    check_status(t, COMMAND("ProfileList", ""), "NotNow", 0);
    assert_int_equal(vtd_answer_set(&t->d, "error", NULL, NULL), VT_OK);
    check_status(t, COMMAND("ProfileList", ""), "Error", 3);
    assert_int_equal(vtd_answer_set(&t->d, "normal", "ProfileList", NULL), VT_OK);
    check_status(t, COMMAND("ProfileList", ""), "Acknowledged", 0);
    assert_int_equal(vtd_answer_set(&t->d, "later", NULL, NULL), VT_EINVAL);
    plist_free(t->mdm.payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profiles_are_checked),
        cmocka_unit_test(test_mdm_payloads_are_checked),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_replacement_rules),
        cmocka_unit_test(test_removal_rules),
        cmocka_unit_test(test_packages_are_checked),
        cmocka_unit_test(test_chain_keeps_the_outermost),
        cmocka_unit_test_setup_teardown(test_commands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rights_and_told_answers, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
