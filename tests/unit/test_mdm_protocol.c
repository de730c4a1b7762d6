/* The MDM protocol: bodies and identities in, replies out. */
#include "unit.h"

#include <stdlib.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "mdm/convert.h"
#include "mdm/protocol.h"
#include "plist/base64.h"

#define TOPIC "com.apple.mgmt.lab"
#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict>"
#define TAIL "</dict></plist>"

static struct vt_store *store;
static json_t *events;
static struct vt_protocol protocol;

static void on_event(json_t *event, void *user)
{
    (void)user;
    json_array_append_new(events, event);
}

static void add_cert(const char *fingerprint, double expires)
{
    const struct vt_enrollment_row row = {
        .id = fingerprint, .topic = TOPIC, .valid = 60, .expires = vt_wall() + 60};
    assert_int_equal(vt_store_add_enrollment(store, &row, NULL), VT_OK);
    assert_int_equal(vt_store_add_cert(store, fingerprint, fingerprint, expires, NULL), VT_OK);
}

static int setup(void **state)
{
    (void)state;
    if (vt_store_open(NULL, &store, NULL))
        return -1;
    events = json_array();
    protocol = (struct vt_protocol){.store = store, .event = on_event};
    add_cert("c1", vt_wall() + 3600);
    add_cert("c2", vt_wall() + 3600);
    add_cert("old", vt_wall() - 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vt_store_close(store);
    json_decref(events);
    return 0;
}

/* Sends bytes; the status, and the reply's body in `got`. */
static char got[65536];

static int send_bytes(const char *cert, const void *body, size_t n)
{
    struct vt_protocol_reply reply;
    const struct vt_protocol_request request = {.body = body, .size = n, .fingerprint = cert};
    vt_protocol_handle(&protocol, &request, &reply);
    snprintf(got, sizeof got, "%s", vt_buf_str(&reply.body));
    vt_buf_free(&reply.body);
    return reply.status;
}

/* Sends a dictionary: `inside` is what stands in it. */
static int send(const char *cert, const char *udid, const char *inside)
{
    struct vt_buf body = VT_BUF_INIT;
    vt_buf_printf(&body, HEAD "<key>UDID</key><string>%s</string>%s" TAIL, udid, inside);
    int status = send_bytes(cert, body.data, body.len);
    vt_buf_free(&body);
    return status;
}

static int checkin(const char *cert, const char *udid, const char *type, const char *more)
{
    struct vt_buf inside = VT_BUF_INIT;
    vt_buf_printf(&inside,
                  "<key>MessageType</key><string>%s</string>"
                  "<key>Topic</key><string>" TOPIC "</string>%s",
                  type, more);
    int status = send(cert, udid, inside.data);
    vt_buf_free(&inside);
    return status;
}

#define TOKEN                                                                                      \
    "<key>Token</key><data>dG9r</data><key>PushMagic</key><string>m</string>"                      \
    "<key>UnlockToken</key><data>dW4=</data>"

static void enroll(const char *cert, const char *udid)
{
    assert_int_equal(checkin(cert, udid, "Authenticate",
                             "<key>SerialNumber</key><string>S1</string>"
                             "<key>OSVersion</key><string>15.1</string>"),
                     200);
    assert_int_equal(checkin(cert, udid, "TokenUpdate", TOKEN), 200);
}

static int report(const char *cert, const char *udid, const char *status, const char *uuid,
                  const char *more)
{
    struct vt_buf inside = VT_BUF_INIT;
    vt_buf_printf(&inside, "<key>Status</key><string>%s</string>", status);
    if (uuid)
        vt_buf_printf(&inside, "<key>CommandUUID</key><string>%s</string>", uuid);
    vt_buf_puts(&inside, more);
    int code = send(cert, udid, inside.data);
    vt_buf_free(&inside);
    return code;
}

static enum vt_code enqueue(const char *udid, const char *uuid, const char *type)
{
    json_t *command = json_pack("{s:s}", "RequestType", type);
    enum vt_code code = vt_protocol_enqueue(store, udid, uuid, command, NULL);
    json_decref(command);
    return code;
}

/* The last event of a type, as text: "KEY=VALUE" of the member. */
static const char *last_event(const char *type, const char *key)
{
    for (size_t i = json_array_size(events); i-- > 0;) {
        const json_t *e = json_array_get(events, i);
        if (!strcmp(vt_json_str(e, "type", ""), type))
            return vt_json_str(e, key, "(none)");
    }
    return "(no event)";
}

static enum vt_mdm_state state_of(const char *udid)
{
    struct vt_device_row row;
    enum vt_mdm_state s = VT_MDM_NOT_ENROLLED;
    if (!vt_store_device(store, udid, &row, NULL))
        s = row.d.state;
    vt_device_row_clear(&row);
    return s;
}

static void test_enrolling_and_checking_out(void **state)
{
    (void)state;
    assert_int_equal(checkin("c1", "D", "Authenticate", ""), 200);
    assert_int_equal(state_of("D"), VT_MDM_ENROLLING);
    assert_string_equal(last_event("device", "state"), "enrolling");
    assert_int_equal(enqueue("D", "u", "ProfileList"), VT_ESTATE);
    assert_int_equal(report("c1", "D", "Idle", NULL, ""), 400);
    assert_int_equal(checkin("c1", "D", "TokenUpdate", TOKEN), 200);
    assert_int_equal(state_of("D"), VT_MDM_ENROLLED);
    assert_string_equal(last_event("device", "enrollment"), "c1");
    assert_int_equal(report("c1", "D", "Idle", NULL, ""), 200);
    assert_int_equal(checkin("c1", "D", "CheckOut", ""), 200);
    assert_int_equal(state_of("D"), VT_MDM_NOT_ENROLLED);
    assert_int_equal(report("c1", "D", "Idle", NULL, ""), 400);
    assert_non_null(strstr(last_event("refused", "reason"), "checked out"));
    /* a snapshot of the device from before is restored: its token brings it back */
    assert_int_equal(checkin("c1", "D", "TokenUpdate", TOKEN), 200);
    assert_int_equal(state_of("D"), VT_MDM_ENROLLED);
}

static void test_identities_that_are_refused(void **state)
{
    (void)state;
    assert_int_equal(checkin(NULL, "D", "Authenticate", ""), 400);
    assert_int_equal(checkin("none", "D", "Authenticate", ""), 400);
    assert_non_null(strstr(last_event("refused", "reason"), "not issued"));
    assert_int_equal(checkin("old", "D", "Authenticate", ""), 400);
    assert_non_null(strstr(last_event("refused", "reason"), "expired"));
    assert_int_equal(checkin("c1", "D", "TokenUpdate", TOKEN), 400); /* before Authenticate */
    assert_int_equal(state_of("D"), VT_MDM_NOT_ENROLLED);
    enroll("c1", "D");
    /* another device with it; and that device with another's command */
    assert_int_equal(checkin("c1", "E", "Authenticate", ""), 500);
    assert_non_null(strstr(last_event("refused", "reason"), "device D"));
    assert_int_equal(state_of("E"), VT_MDM_NOT_ENROLLED);
    assert_int_equal(report("c2", "D", "Idle", NULL, ""), 400);
    /* it enrolls anew: the first certificate is good no more */
    enroll("c2", "D");
    assert_int_equal(report("c2", "D", "Idle", NULL, ""), 200);
    assert_int_equal(report("c1", "D", "Idle", NULL, ""), 400);
    assert_non_null(strstr(last_event("refused", "reason"), "revoked"));
    assert_int_equal(checkin("c1", "D", "Authenticate", ""), 400);
    assert_int_equal(state_of("D"), VT_MDM_ENROLLED);
}

static void test_wrong_topic(void **state)
{
    (void)state;
    const char *const message = "<key>MessageType</key><string>Authenticate</string>"
                                "<key>Topic</key><string>com.apple.mgmt.other</string>";
    assert_int_equal(send("c1", "D", message), 400);
    assert_int_equal(send("c1", "D", "<key>MessageType</key><string>Authenticate</string>"), 400);
    assert_int_equal(state_of("D"), VT_MDM_NOT_ENROLLED);
}

static void test_command_loop(void **state)
{
    (void)state;
    struct vt_command_row row;
    enroll("c1", "D");
    assert_int_equal(report("c1", "D", "Idle", NULL, ""), 200);
    assert_string_equal(got, "");
    enqueue("D", "u1", "ProfileList");
    enqueue("D", "u2", "SecurityInfo");
    assert_int_equal(report("c1", "D", "Idle", NULL, ""), 200);
    assert_non_null(strstr(got, "<string>u1</string>"));
    assert_non_null(strstr(got, "<string>ProfileList</string>"));
    assert_int_equal(report("c1", "D", "NotNow", "u1", ""), 200);
    assert_non_null(strstr(got, "u2"));
    assert_int_equal(report("c1", "D", "Acknowledged", "u2",
                            "<key>SecurityInfo</key><dict><key>ManagementStatus</key><dict>"
                            "<key>UserApprovedEnrollment</key><true/></dict></dict>"),
                     200);
    assert_string_equal(got, "");
    struct vt_device_row device;
    assert_int_equal(vt_store_device(store, "D", &device, NULL), VT_OK);
    assert_int_equal(device.d.user_approved, VT_MDM_YES);
    assert_int_equal(device.d.queued, 1);
    vt_device_row_clear(&device);
    assert_int_equal(report("c1", "D", "Idle", NULL, ""), 200);
    assert_non_null(strstr(got, "u1"));
    assert_int_equal(
        report("c1", "D", "Error", "u1",
               "<key>ErrorChain</key><array><dict><key>ErrorCode</key><integer>4001</integer>"
               "<key>ErrorDomain</key><string>MCInstallationErrorDomain</string>"
               "<key>USEnglishDescription</key><string>no</string></dict></array>"),
        200);
    assert_string_equal(last_event("answer", "errors"), "MCInstallationErrorDomain 4001: no");
    assert_int_equal(vt_store_command(store, "D", "u1", &row, NULL), VT_OK);
    assert_int_equal(row.status, VT_MDM_ERROR);
    assert_int_equal(row.not_now, 1);
    assert_non_null(strstr(vt_buf_str(&row.reply), "4001"));
    vt_command_row_clear(&row);
    /* twice, never asked, of no sense */
    assert_int_equal(report("c1", "D", "Acknowledged", "u1", ""), 200);
    assert_int_equal(report("c1", "D", "Acknowledged", "u9", ""), 200);
    assert_string_equal(last_event("refused", "uuid"), "u9");
    assert_int_equal(report("c1", "D", "Sleeping", "u1", ""), 400);
    assert_int_equal(report("c1", "D", "Acknowledged", NULL, ""), 400);
    assert_int_equal(report("c1", "D", "Acknowledged", "", ""), 400);
}

static void test_bootstrap_token(void **state)
{
    (void)state;
    enroll("c1", "D");
    assert_int_equal(checkin("c1", "D", "GetBootstrapToken", ""), 200);
    assert_string_equal(got, "");
    assert_int_equal(
        checkin("c1", "D", "SetBootstrapToken", "<key>BootstrapToken</key><data>Ym9vdA==</data>"),
        200);
    assert_int_equal(checkin("c1", "D", "GetBootstrapToken", ""), 200);
    assert_non_null(strstr(got, "Ym9vdA=="));
    assert_int_equal(checkin("c1", "D", "SetBootstrapToken", ""), 200);
    assert_string_equal(last_event("bootstrap_token", "action"), "removed");
    assert_int_equal(checkin("c1", "D", "GetBootstrapToken", ""), 200);
    assert_string_equal(got, "");
}

static int declarative(const char *endpoint, const char *data)
{
    struct vt_buf more = VT_BUF_INIT;
    vt_buf_printf(&more, "<key>Endpoint</key><string>%s</string>", endpoint);
    if (data) {
        vt_buf_puts(&more, "<key>Data</key><data>");
        vt_base64_encode(&more, data, strlen(data));
        vt_buf_puts(&more, "</data>");
    }
    int status = checkin("c1", "D", "DeclarativeManagement", more.data);
    vt_buf_free(&more);
    return status;
}

static enum vt_code declare(const char *text)
{
    json_t *d = json_loads(text, 0, NULL);
    enum vt_code code = vt_protocol_declare(store, "D", d, NULL);
    json_decref(d);
    return code;
}

static void test_declarations(void **state)
{
    (void)state;
    char first[sizeof got];
    enroll("c1", "D");
    assert_int_equal(declarative("tokens", NULL), 200);
    strcpy(first, strstr(got, "DeclarationsToken"));
    *strchr(first, ',') = '\0';
    assert_int_equal(declare("{\"Type\":\"com.apple.configuration.passcode.settings\","
                             "\"Identifier\":\"org.example/1\",\"Payload\":{\"MinimumLength\":8}}"),
                     VT_OK);
    assert_int_equal(declarative("tokens", NULL), 200);
    assert_null(strstr(got, first));
    assert_int_equal(declarative("declaration-items", NULL), 200);
    json_t *items = json_loads(got, 0, NULL);
    const json_t *lists = json_object_get(items, "Declarations");
    assert_int_equal(json_array_size(json_object_get(lists, "Activations")), 0);
    assert_int_equal(json_array_size(json_object_get(lists, "Assets")), 0);
    assert_int_equal(json_array_size(json_object_get(lists, "Management")), 0);
    const json_t *item = json_array_get(json_object_get(lists, "Configurations"), 0);
    char token[128];
    snprintf(token, sizeof token, "%s", vt_json_str(item, "ServerToken", ""));
    assert_string_equal(vt_json_str(item, "Identifier", ""), "org.example/1");
    json_decref(items);
    assert_int_equal(declarative("declaration/configuration/org.example/1", NULL), 200);
    assert_non_null(strstr(got, token));
    assert_non_null(strstr(got, "MinimumLength"));
    assert_int_equal(declarative("declaration/asset/org.example/1", NULL), 404);
    assert_int_equal(declarative("declaration/configuration/none", NULL), 404);
    assert_int_equal(declarative("declaration/configuration", NULL), 400);
    assert_int_equal(declarative("else", NULL), 400);

    struct vt_buf status = VT_BUF_INIT;
    vt_buf_printf(&status,
                  "{\"StatusItems\":{\"management\":{\"declarations\":{\"configurations\":[{"
                  "\"identifier\":\"org.example/1\",\"server-token\":\"%s\",\"active\":true,"
                  "\"valid\":\"valid\"}]}}},\"Errors\":[]}",
                  token);
    assert_int_equal(declarative("status", status.data), 200);
    vt_buf_free(&status);
    assert_int_equal(declarative("status", "no json"), 400);
    assert_int_equal(declarative("status", NULL), 400);
    struct vt_declaration_row row;
    assert_int_equal(vt_store_declaration(store, "D", "org.example/1", &row, NULL), VT_OK);
    assert_string_equal(row.status_token, token);
    assert_non_null(strstr(row.status, "\"active\":true"));
    vt_declaration_row_clear(&row);

    json_t *command = vt_protocol_declare_command(store, "D", NULL);
    assert_string_equal(vt_json_str(command, "RequestType", ""), "DeclarativeManagement");
    json_decref(command);
}

static void test_declarations_that_are_wrong(void **state)
{
    (void)state;
    enroll("c1", "D");
    static const char *const wrong[] = {
        "{}",
        "{\"Type\":\"com.apple.other.x\",\"Identifier\":\"i\",\"Payload\":{}}",
        "{\"Type\":\"com.apple.asset.x\",\"Identifier\":\"\",\"Payload\":{}}",
        "{\"Type\":\"com.apple.asset.x\",\"Identifier\":\"i\"}",
        "{\"Type\":\"com.apple.asset.x\",\"Identifier\":\"i\",\"Payload\":{},\"Payloads\":1}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(declare(wrong[i]), VT_EINVAL);
}

static void test_users_have_no_channel(void **state)
{
    (void)state;
    const char *const user = "<key>UserID</key><string>U</string>";
    enroll("c1", "D");
    enqueue("D", "u1", "ProfileList");
    assert_int_equal(checkin("c1", "D", "UserAuthenticate", user), 410);
    struct vt_buf more = VT_BUF_INIT;
    vt_buf_printf(&more, "%s%s", user, TOKEN);
    assert_int_equal(checkin("c1", "D", "TokenUpdate", more.data), 200);
    vt_buf_free(&more);
    assert_int_equal(report("c1", "D", "Idle", NULL, user), 200);
    assert_string_equal(got, ""); /* the device's command is not the user's */
    assert_int_equal(checkin("c1", "D", "CheckOut", user), 400);
    assert_int_equal(state_of("D"), VT_MDM_ENROLLED);
    assert_int_equal(checkin("c1", "D", "GetToken", ""), 404);
}

static void test_what_makes_no_sense(void **state)
{
    (void)state;
    enroll("c1", "D");
    static const char *const bodies[] = {
        "",
        "x",
        "<plist",
        HEAD TAIL,
        "<plist version=\"1.0\"><array/></plist>",
        "<plist version=\"1.0\"><string>D</string></plist>",
        HEAD "<key>UDID</key><integer>1</integer>" TAIL,
        HEAD "<key>UDID</key><string>D</string>" TAIL,
        HEAD "<key>UDID</key><string></string><key>Status</key><string>Idle</string>" TAIL,
        HEAD "<key>UDID</key><string>D E</string><key>Status</key><string>Idle</string>" TAIL,
        HEAD "<key>UDID</key><string>D</string><key>Status</key><true/>" TAIL,
        HEAD "<key>UDID</key><string>D</string><key>MessageType</key><string>?</string>" TAIL,
        "bplist00",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        assert_int_equal(send_bytes("c1", bodies[i], strlen(bodies[i])), 400);
    assert_int_equal(checkin("c1", "D", "TokenUpdate", ""), 400);
    char long_udid[400];
    memset(long_udid, 'x', sizeof long_udid - 1);
    long_udid[sizeof long_udid - 1] = '\0';
    assert_int_equal(report("c1", long_udid, "Idle", NULL, ""), 400);
    assert_int_equal(report("c1", "D", "Idle", NULL, ""), 200);
}

/* As a Mac may send it, too. */
static void test_binary_list_and_enrollment_id(void **state)
{
    (void)state;
    struct vt_buf body = VT_BUF_INIT;
    plist_t dict = plist_new_dict();
    vt_plist_set_str(dict, "EnrollmentID", "E-1");
    vt_plist_set_str(dict, "MessageType", "Authenticate");
    vt_plist_set_str(dict, "Topic", TOPIC);
    assert_int_equal(vt_plist_write(dict, VT_PLIST_BINARY, &body, NULL), VT_OK);
    plist_free(dict);
    assert_int_equal(send_bytes("c1", body.data, body.len), 200);
    assert_int_equal(state_of("E-1"), VT_MDM_ENROLLING);
    vt_buf_free(&body);
}

static void test_commands_that_cannot_be_queued(void **state)
{
    (void)state;
    enroll("c1", "D");
    static const char *const wrong[] = {"{}",
                                        "{\"RequestType\":1}",
                                        "{\"RequestType\":\"\"}",
                                        "{\"RequestType\":\"X\",\"a\":null}",
                                        "{\"RequestType\":\"X\",\"a\":{\"$data\":\"%%\"}}",
                                        "{\"RequestType\":\"X\",\"a\":[{\"$date\":\"today\"}]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_t *command = json_loads(wrong[i], 0, NULL);
        assert_int_equal(vt_protocol_enqueue(store, "D", "u", command, NULL), VT_EINVAL);
        json_decref(command);
    }
    json_t *ok = json_loads("{\"RequestType\":\"X\",\"d\":{\"$data\":\"YWI=\"},\"t\":{\"$date\":"
                            "\"2026-01-31T12:00:00Z\"},\"n\":-3,\"r\":1.5,\"b\":[true,false],"
                            "\"s\":\"\\u00e4<&\"}",
                            0, NULL);
    assert_int_equal(vt_protocol_enqueue(store, "D", "u", ok, NULL), VT_OK);
    assert_int_equal(report("c1", "D", "Idle", NULL, ""), 200);
    plist_t back;
    assert_int_equal(vt_plist_parse(got, strlen(got), "it", &back, NULL, NULL), VT_OK);
    json_t *json = vt_plist_to_json(vt_plist_dict(back, "Command"));
    assert_true(json_equal(json, ok));
    json_decref(json);
    json_decref(ok);
    plist_free(back);
}

#define TEST(test_) cmocka_unit_test_setup_teardown(test_, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_enrolling_and_checking_out),
        TEST(test_identities_that_are_refused),
        TEST(test_wrong_topic),
        TEST(test_command_loop),
        TEST(test_bootstrap_token),
        TEST(test_declarations),
        TEST(test_declarations_that_are_wrong),
        TEST(test_users_have_no_channel),
        TEST(test_what_makes_no_sense),
        TEST(test_binary_list_and_enrollment_id),
        TEST(test_commands_that_cannot_be_queued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
