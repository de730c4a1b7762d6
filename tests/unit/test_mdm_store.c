/* What the lab server remembers. */
#include "unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "mdm/store.h"

static struct vt_store *store;

static void enroll(const char *udid, const char *cert)
{
    const struct vt_enrollment_row row = {
        .id = cert, .topic = "com.apple.mgmt.t", .valid = 60, .expires = vt_wall() + 60};
    struct vt_buf token = VT_BUF_INIT;
    vt_buf_puts(&token, "token");
    const struct vt_authenticate a = {.udid = udid, .cert = cert, .serial = "S1"};
    assert_int_equal(vt_store_add_enrollment(store, &row, NULL), VT_OK);
    assert_int_equal(vt_store_add_cert(store, cert, cert, vt_wall() + 60, NULL), VT_OK);
    assert_int_equal(vt_store_authenticate(store, &a, NULL), VT_OK);
    assert_int_equal(vt_store_token(store, udid, &token, "magic", &token, false, NULL), VT_OK);
    vt_buf_free(&token);
}

static enum vt_code enqueue(const char *udid, const char *uuid, struct vt_error *err)
{
    struct vt_buf body = VT_BUF_INIT;
    vt_buf_puts(&body, uuid);
    enum vt_code code = vt_store_enqueue(store, udid, uuid, "ProfileList", &body, err);
    vt_buf_free(&body);
    return code;
}

static const char *next(const char *udid, bool idle)
{
    static char uuid[64];
    struct vt_command_row row;
    assert_int_equal(vt_store_next(store, udid, idle, &row, NULL), VT_OK);
    snprintf(uuid, sizeof uuid, "%s", row.uuid ? row.uuid : "-");
    if (row.uuid)
        assert_string_equal(vt_buf_str(&row.body), row.uuid);
    vt_command_row_clear(&row);
    return uuid;
}

static bool answer(const char *udid, const char *uuid, enum vt_mdm_status status, const char *text)
{
    struct vt_buf reply = VT_BUF_INIT;
    bool known = false;
    vt_buf_puts(&reply, text);
    assert_int_equal(vt_store_answer(store, udid, uuid, status, &reply, &known, NULL), VT_OK);
    vt_buf_free(&reply);
    return known;
}

static int open_memory(void **state)
{
    (void)state;
    return vt_store_open(NULL, &store, NULL) ? -1 : 0;
}

static int close_store(void **state)
{
    (void)state;
    vt_store_close(store);
    store = NULL;
    return 0;
}

static void test_queue_keeps_its_order(void **state)
{
    (void)state;
    enroll("D", "c1");
    assert_string_equal(next("D", true), "-");
    assert_int_equal(enqueue("D", "z", NULL), VT_OK);
    assert_int_equal(enqueue("D", "a", NULL), VT_OK);
    assert_string_equal(next("D", true), "z");
    assert_string_equal(next("D", true), "z");                    /* till it is answered */
    assert_false(answer("D", "a", VT_MDM_ACKNOWLEDGED, "early")); /* was not sent yet */
    assert_true(answer("D", "z", VT_MDM_ACKNOWLEDGED, "first"));
    assert_false(answer("D", "z", VT_MDM_ERROR, "second"));
    assert_string_equal(next("D", false), "a");
    struct vt_command_row row;
    assert_int_equal(vt_store_command(store, "D", "z", &row, NULL), VT_OK);
    assert_int_equal(row.status, VT_MDM_ACKNOWLEDGED);
    assert_string_equal(vt_buf_str(&row.reply), "first");
    vt_command_row_clear(&row);
    assert_int_equal(vt_store_withdraw(store, "D", "z", NULL), VT_ESTATE);
    assert_int_equal(vt_store_withdraw(store, "D", "a", NULL), VT_OK);
    assert_int_equal(vt_store_withdraw(store, "D", "a", NULL), VT_ENOTFOUND);
    assert_string_equal(next("D", true), "-");
}

static void test_not_now_waits_for_idle(void **state)
{
    (void)state;
    enroll("D", "c1");
    enqueue("D", "a", NULL);
    enqueue("D", "b", NULL);
    assert_string_equal(next("D", true), "a");
    assert_true(answer("D", "a", VT_MDM_NOT_NOW, ""));
    assert_string_equal(next("D", false), "b");
    assert_true(answer("D", "b", VT_MDM_ACKNOWLEDGED, ""));
    assert_string_equal(next("D", false), "-");
    assert_string_equal(next("D", true), "a");
    assert_true(answer("D", "a", VT_MDM_NOT_NOW, ""));
    assert_string_equal(next("D", true), "a");
    assert_true(answer("D", "a", VT_MDM_ERROR, "x"));
    struct vt_command_row row;
    assert_int_equal(vt_store_command(store, "D", "a", &row, NULL), VT_OK);
    assert_int_equal(row.not_now, 2);
    assert_int_equal(row.status, VT_MDM_ERROR);
    vt_command_row_clear(&row);
}

static void test_what_cannot_be_queued(void **state)
{
    (void)state;
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(enqueue("nobody", "a", NULL), VT_ENOTFOUND);
    enroll("D", "c1");
    enroll("E", "c2");
    assert_int_equal(enqueue("D", "a", NULL), VT_OK);
    assert_int_equal(enqueue("D", "a", NULL), VT_EINVAL);
    assert_int_equal(enqueue("E", "a", NULL), VT_OK); /* one command for two devices */
    assert_int_equal(vt_store_check_out(store, "D", "it checked out", NULL), VT_OK);
    assert_int_equal(enqueue("D", "b", &err), VT_ESTATE);
    assert_non_null(strstr(err.message, "it checked out"));
    for (int i = 1; i < VT_STORE_QUEUE_MAX; i++) {
        char uuid[16];
        snprintf(uuid, sizeof uuid, "%d", i);
        assert_int_equal(enqueue("E", uuid, NULL), VT_OK);
    }
    assert_int_equal(enqueue("E", "one more", NULL), VT_ELIMIT);
}

static void test_old_answers_go(void **state)
{
    (void)state;
    struct vt_command_row row;
    enroll("D", "c1");
    for (int i = 0; i < VT_STORE_ANSWERS_KEPT + 3; i++) {
        char uuid[16];
        snprintf(uuid, sizeof uuid, "%d", i);
        enqueue("D", uuid, NULL);
        assert_string_equal(next("D", true), uuid);
        assert_true(answer("D", uuid, VT_MDM_ACKNOWLEDGED, ""));
    }
    assert_int_equal(vt_store_command(store, "D", "2", &row, NULL), VT_ENOTFOUND);
    assert_int_equal(vt_store_command(store, "D", "3", &row, NULL), VT_OK);
    vt_command_row_clear(&row);
}

static void test_enrolling_anew(void **state)
{
    (void)state;
    struct vt_cert_row cert;
    struct vt_device_row device;
    struct vt_command_row row;
    struct vt_buf bootstrap = VT_BUF_INIT;
    vt_buf_puts(&bootstrap, "boot");
    enroll("D", "c1");
    enroll("E", "c9");
    enqueue("D", "a", NULL);
    enqueue("E", "a", NULL);
    assert_int_equal(vt_store_set_bootstrap(store, "D", &bootstrap, NULL), VT_OK);
    assert_int_equal(vt_store_declare(store, "D", "i", "t", "1", "{}", NULL), VT_OK);
    enroll("D", "c2");
    assert_int_equal(vt_store_cert(store, "c1", &cert, NULL), VT_OK);
    assert_string_equal(cert.udid, "D");
    assert_non_null(cert.revoked);
    vt_cert_row_clear(&cert);
    assert_int_equal(vt_store_cert(store, "c2", &cert, NULL), VT_OK);
    assert_string_equal(cert.udid, "D");
    assert_string_equal(cert.topic, "com.apple.mgmt.t");
    assert_null(cert.revoked);
    vt_cert_row_clear(&cert);
    assert_int_equal(vt_store_cert(store, "c9", &cert, NULL), VT_OK);
    assert_null(cert.revoked);
    vt_cert_row_clear(&cert);
    assert_int_equal(vt_store_device(store, "D", &device, NULL), VT_OK);
    assert_string_equal(device.d.enrollment, "c2");
    assert_string_equal(device.cert, "c2");
    assert_string_equal(device.d.serial, "S1");
    assert_int_equal(device.d.state, VT_MDM_ENROLLED);
    assert_int_equal(device.d.queued, 0);
    assert_false(device.d.bootstrap_token);
    vt_device_row_clear(&device);
    assert_int_equal(vt_store_command(store, "D", "a", &row, NULL), VT_OK);
    assert_true(row.gone);
    vt_command_row_clear(&row);
    assert_string_equal(next("D", true), "-");
    assert_string_equal(next("E", true), "a");
    struct vt_declaration_row declaration;
    assert_int_equal(vt_store_declaration(store, "D", "i", &declaration, NULL), VT_ENOTFOUND);
    vt_buf_free(&bootstrap);
}

static void test_challenge_is_good_once(void **state)
{
    (void)state;
    struct vt_enrollment_row row = {.id = "e1",
                                    .method = VT_MDM_SCEP,
                                    .topic = "t",
                                    .challenge = "abc",
                                    .valid = 77,
                                    .expires = vt_wall() + 60};
    struct vt_error err = VT_ERROR_INIT;
    char *id;
    double valid = 0;
    assert_int_equal(vt_store_add_enrollment(store, &row, NULL), VT_OK);
    row.id = "e2";
    row.challenge = "late";
    row.expires = vt_wall() - 1;
    assert_int_equal(vt_store_add_enrollment(store, &row, NULL), VT_OK);
    assert_int_equal(vt_store_take_challenge(store, "abd", &id, &valid, NULL), VT_EAUTH);
    assert_int_equal(vt_store_take_challenge(store, "", &id, &valid, NULL), VT_EAUTH);
    assert_int_equal(vt_store_take_challenge(store, "late", &id, &valid, &err), VT_EAUTH);
    assert_non_null(strstr(err.message, "expired"));
    assert_int_equal(vt_store_take_challenge(store, "abc", &id, &valid, NULL), VT_OK);
    assert_string_equal(id, "e1");
    assert_true(valid == 77);
    vt_free(id);
    assert_int_equal(vt_store_take_challenge(store, "abc", &id, &valid, NULL), VT_EAUTH);
    assert_null(id);
}

static void test_what_is_taken_back(void **state)
{
    (void)state;
    struct vt_cert_row cert;
    enroll("D", "c1");
    assert_int_equal(vt_store_begin(store, NULL), VT_OK);
    assert_int_equal(vt_store_add_cert(store, "c2", "c1", 1, NULL), VT_OK);
    assert_int_equal(vt_store_end(store, VT_EIO, NULL), VT_EIO);
    assert_int_equal(vt_store_cert(store, "c2", &cert, NULL), VT_ENOTFOUND);
    assert_int_equal(vt_store_begin(store, NULL), VT_OK);
    assert_int_equal(vt_store_add_cert(store, "c2", "c1", 1, NULL), VT_OK);
    assert_int_equal(vt_store_end(store, VT_OK, NULL), VT_OK);
    assert_int_equal(vt_store_cert(store, "c2", &cert, NULL), VT_OK);
    vt_cert_row_clear(&cert);
}

static void test_status_of_declarations(void **state)
{
    (void)state;
    struct vt_declaration_row row;
    enroll("D", "c1");
    assert_int_equal(vt_store_declare(store, "x", "i", "t", "1", "{}", NULL), VT_ENOTFOUND);
    assert_int_equal(vt_store_declare(store, "D", "i", "t", "1", "{\"a\":1}", NULL), VT_OK);
    assert_int_equal(vt_store_declaration_status(store, "D", "i", "1", "{}", NULL), VT_OK);
    assert_int_equal(vt_store_declaration_status(store, "D", "j", "1", "{}", NULL), VT_OK);
    assert_int_equal(vt_store_declare(store, "D", "i", "u", "2", "{}", NULL), VT_OK);
    assert_int_equal(vt_store_declaration(store, "D", "i", &row, NULL), VT_OK);
    assert_string_equal(row.type, "u");
    assert_string_equal(row.token, "2");
    assert_string_equal(row.status_token, "1");
    vt_declaration_row_clear(&row);
    assert_int_equal(vt_store_undeclare(store, "D", "i", NULL), VT_OK);
    assert_int_equal(vt_store_undeclare(store, "D", "i", NULL), VT_ENOTFOUND);
}

static void test_file_is_private_and_stays(void **state)
{
    (void)state;
    char home[] = "/tmp/vmtest-store-XXXXXX";
    assert_non_null(mkdtemp(home));
    char *path = vt_path_join(home, "s.sqlite");
    struct stat st;
    assert_int_equal(vt_store_open(path, &store, NULL), VT_OK);
    enroll("D", "c1");
    enqueue("D", "a", NULL);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    char *wal = vt_path_join(home, "s.sqlite-wal");
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    vt_store_close(store);
    assert_int_equal(vt_store_open(path, &store, NULL), VT_OK);
    assert_string_equal(next("D", true), "a");
    vt_store_close(store);
    assert_int_equal(vt_write_file(path, "not a database, but long enough", 31, 0600, NULL), VT_OK);
    unlink(wal);
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_store_open(path, &store, &err), VT_EIO);
    assert_null(store);
    assert_non_null(strstr(err.message, path));
    vt_free(wal);
    vt_free(path);
    vt_remove_tree(home, NULL);
}

#define IN_MEMORY(test_) cmocka_unit_test_setup_teardown(test_, open_memory, close_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(test_queue_keeps_its_order),
        IN_MEMORY(test_not_now_waits_for_idle),
        IN_MEMORY(test_what_cannot_be_queued),
        IN_MEMORY(test_old_answers_go),
        IN_MEMORY(test_enrolling_anew),
        IN_MEMORY(test_challenge_is_good_once),
        IN_MEMORY(test_what_is_taken_back),
        IN_MEMORY(test_status_of_declarations),
        cmocka_unit_test(test_file_is_private_and_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
