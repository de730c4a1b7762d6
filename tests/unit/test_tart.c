/* What the tart driver reads of the command's output, in all recorded generations. */
#include "unit.h"

#include <string.h>

#include "core/mem.h"
#include "driver/tart/options.h"
#include "driver/tart/ours.h"
#include "driver/tart/output.h"

static void list(const char *text, enum vt_tart_state wanted)
{
    struct vt_tart_vm *vms;
    size_t count;
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_tart_read_list(text, strlen(text), &vms, &count, &err), VT_OK);
    const struct vt_tart_vm *vm = vt_tart_find(vms, count, "sequoia");
    assert_non_null(vm);
    assert_int_equal(vm->state, wanted);
    assert_null(vt_tart_find(vms, count, "sequoia2"));
    vt_tart_list_free(vms, count);
}

static void test_lists_of_all_generations(void **state)
{
    (void)state;
    list("[{\"Source\":\"local\",\"Size\":25,\"Name\":\"sequoia\"}]", VT_TART_UNKNOWN);
    list("[{\"Name\":\"sequoia\",\"Running\":true,\"Disk\":50,\"Source\":\"local\",\"Size\":25}]",
         VT_TART_RUNNING);
    list("[{\"Name\":\"sequoia\",\"Running\":false,\"Size\":\"25.1\"}]", VT_TART_STOPPED);
    list("[ {\n\"Running\" : false,\"State\" : \"suspended\",\"Name\" : \"sequoia\",\n\"Source\" : "
         "\"local\",\"Accessed\":\"2 minutes ago\",\"New\":{\"a\":[1,null]}} ]",
         VT_TART_SUSPENDED);
    list("a new version is out\n[{\"Name\":\"ghcr.io\\/cirruslabs\\/x\",\"State\":\"stopped\"},"
         "{\"Name\":\"sequoia\",\"State\":\"Running\"}]\n",
         VT_TART_RUNNING);
    list("[{\"Size\":1},7,{\"Name\":\"\"},{\"Name\":\"sequoia\",\"Running\":\"true\"}]",
         VT_TART_RUNNING);
}

static void test_escaped_slashes(void **state)
{
    (void)state;
    static const char text[] = "[{\"Name\":\"ghcr.io\\/org\\/vm:latest\",\"Source\":\"OCI\"}]";
    struct vt_tart_vm *vms;
    size_t count;
    assert_int_equal(vt_tart_read_list(text, strlen(text), &vms, &count, NULL), VT_OK);
    assert_non_null(vt_tart_find(vms, count, "ghcr.io/org/vm:latest"));
    vt_tart_list_free(vms, count);
}

static void test_what_is_no_list(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{}", "Source Name Size\nlocal x 25\n",
                                        "[{\"Name\":", "[1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct vt_tart_vm *vms;
        size_t count;
        struct vt_error err = VT_ERROR_INIT;
        assert_int_equal(vt_tart_read_list(texts[i], strlen(texts[i]), &vms, &count, &err),
                         VT_EPROTO);
        assert_int_equal(count, 0);
        assert_non_null(strstr(err.message, "tart list"));
        vt_tart_list_free(vms, count);
    }
    struct vt_tart_vm *vms;
    size_t count;
    assert_int_equal(vt_tart_read_list("[]\n", 3, &vms, &count, NULL), VT_OK);
    assert_int_equal(count, 0);
    vt_tart_list_free(vms, count);
}

static void get(const char *text, const char *os, int64_t cpus, int64_t memory)
{
    struct vt_tart_vm vm;
    assert_int_equal(vt_tart_read_vm(text, strlen(text), &vm, NULL), VT_OK);
    if (os)
        assert_string_equal(vm.os, os);
    else
        assert_null(vm.os);
    assert_int_equal(vm.cpus, cpus);
    assert_int_equal(vm.memory_mib, memory);
    vt_tart_vm_clear(&vm);
}

static void test_one_vm(void **state)
{
    (void)state;
    get("{\"CPU\":4,\"Memory\":8192,\"Disk\":50,\"Display\":\"1024x768\"}", NULL, 4, 8192);
    get("{\"OS\":\"darwin\",\"CPU\":\"4\",\"Memory\":\"8192\",\"Size\":\"21.5\",\"Running\":false}",
        "darwin", 4, 8192);
    get("{\"OS\":\"linux\",\"CPU\":-4,\"Memory\":\"much\",\"State\":\"stopped\"}", "linux", 0, 0);
    struct vt_tart_vm vm;
    assert_int_equal(vt_tart_read_vm("[]", 2, &vm, NULL), VT_EPROTO);
    vt_tart_vm_clear(&vm);
}

static void test_version(void **state)
{
    (void)state;
    assert_int_equal(vt_tart_read_version("2.31.0\n"), 2031);
    assert_int_equal(vt_tart_read_version("1.0"), 1000);
    assert_int_equal(vt_tart_read_version("SNAPSHOT"), 0);
    assert_int_equal(vt_tart_read_version(""), 0);
    assert_int_equal(vt_tart_read_version("12"), 0);
}

static void test_address(void **state)
{
    (void)state;
    char address[64];
    assert_true(vt_tart_read_address("192.168.64.5\n", address));
    assert_string_equal(address, "192.168.64.5");
    assert_true(vt_tart_read_address("a warning\n10.0.0.1\r\n\n", address));
    assert_string_equal(address, "10.0.0.1");
    assert_false(vt_tart_read_address("", address));
    assert_false(vt_tart_read_address("no IP address found, is your VM running?\n", address));
    assert_false(vt_tart_read_address("1.2.3.4 5.6.7.8\n", address));
    assert_false(vt_tart_read_address("-oProxyCommand=x\n", address));
}

static void test_status_line(void **state)
{
    (void)state;
    size_t at = 99;
    int status = 99;
    static const char said[] = "warning\n\nabc 7\n";
    assert_true(vt_tart_find_status(said, strlen(said), "abc", &at, &status));
    assert_int_equal(at, 8);
    assert_int_equal(status, 7);
    assert_true(vt_tart_find_status("\nabc 255\n", 9, "abc", &at, &status));
    assert_int_equal(at, 0);
    assert_int_equal(status, 255);
    static const char *const none[] = {
        "",           "\n",        "abc 7\n",     "\nabc 7",    "\nabd 7\n",
        "\nabc 7 \n", "\nabc x\n", "\nabc 256\n", "\nabc -1\n", "\nabc 7\nmore\n"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(vt_tart_find_status(none[i], strlen(none[i]), "abc", &at, &status));
}

static void explains(const char *said, enum vt_code code, const char *hint)
{
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_tart_explain(said, "vm.start", "VM web", &err), code);
    assert_non_null(strstr(err.message, "VM web"));
    if (hint)
        assert_non_null(strstr(err.hint, hint));
}

static void test_errors(void **state)
{
    (void)state;
    explains("Error Domain=VZErrorDomain Code=6 \"The maximum…\" UserInfo={…}\n", VT_ELIMIT,
             "restart the host");
    explains("The number of VMs exceeds the system limit\n", VT_ELIMIT, "restart the host");
    explains("The number of VMs exceeds the system limit (other running VMs: a, b)\n", VT_ELIMIT,
             "restart the host");
    explains("Error Domain=VZErrorDomain Code=2 \"Failed to lock auxiliary storage.\"", VT_EBUSY,
             "processes");
    explains("Error Domain=VZErrorDomain Code=1 \"The virtual machine failed to start.\"",
             VT_EHYPERVISOR, NULL);
    explains(
        "Error Domain=VZErrorDomain Code=12 \"The virtual machine failed to restore with error "
        "“invalid argument”.\"",
        VT_ESTATE, "anew");
    explains("VM \"x\" is already running!", VT_EBUSY, "tart list");
    explains("VM \"x\" is running", VT_EBUSY, "tart list");
    explains("VM \"x\" must be stopped before cloning", VT_EUNSUPPORTED, "disk of its own");
    explains("Fatal error: failed to get terminal size: Inappropriate ioctl for device",
             VT_EUNSUPPORTED, "update tart");
    explains("Error: Unknown option '--random-mac'", VT_EUNSUPPORTED, "update tart");
    explains("the specified VM \"x\" does not exist", VT_ENOTFOUND, "tart list");
    explains("You can only suspend macOS VMs", VT_EUNSUPPORTED, "suspendable");
    explains("", VT_EHYPERVISOR, NULL);
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_tart_exec_failed("Failed to connect to the VM", 1, "web", &err), VT_EGUEST);
    assert_non_null(strstr(err.message, "Failed to connect"));
    err = (struct vt_error)VT_ERROR_INIT;
    vt_tart_exec_failed("", 125, "web", &err);
    assert_non_null(strstr(err.message, "could not start"));
}

static void test_progress(void **state)
{
    static const char restoring[] = "restoring VM state from a snapshot...\n";
    (void)state;
    assert_int_equal(vt_tart_read_progress(""), VT_TART_SILENT);
    assert_int_equal(vt_tart_read_progress(restoring), VT_TART_RESUMING);
    assert_int_equal(vt_tart_read_progress("restoring VM state…\nresuming VM...\n"),
                     VT_TART_RESUMED);
    assert_int_equal(
        vt_tart_read_progress("There is already a running VM with the same MAC address!\n"),
        VT_TART_RESUMED);
}

static void test_names(void **state)
{
    (void)state;
    char a[VT_TART_NAME_SIZE], b[VT_TART_NAME_SIZE];
    vt_tart_new_name("a-name-that-is-as-long-as-one-may-be-sixty-four-characters-in-all", a);
    vt_tart_new_name("a-name-that-is-as-long-as-one-may-be-sixty-four-characters-in-all", b);
    assert_string_not_equal(a, b);
    assert_true(strlen(a) < VT_TART_NAME_SIZE - 1);
    assert_true(vt_tart_is_our_name(a));
    assert_null(strchr(a, '/'));
    static const char *const others[] = {"sequoia",    "vmtest", "vmtest-../x",
                                         "vmtest-a b", "",       "-vmtest-x"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(vt_tart_is_our_name(others[i]));
}

static enum vt_code options(const char *text, struct vt_error *err)
{
    struct vt_tart_options o;
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    enum vt_code code = vt_tart_options_read(object, "web", &o, err);
    vt_tart_options_clear(&o);
    json_decref(object);
    return code;
}

static void test_options(void **state)
{
    (void)state;
    assert_int_equal(options("{\"vm\":\"x\"}", NULL), VT_OK);
    assert_int_equal(options("{\"vm\":\"x\",\"user\":\"a\",\"key\":\"/k\",\"resolver\":\"arp\","
                             "\"suspendable\":true}",
                             NULL),
                     VT_OK);
    static const char *const wrong[] = {"{}",
                                        "{\"vm\":\"\"}",
                                        "{\"vm\":7}",
                                        "{\"vm\":\"--help\"}",
                                        "{\"vm\":\"x\",\"user\":\"a\"}",
                                        "{\"vm\":\"x\",\"key\":\"/k\"}",
                                        "{\"vm\":\"x\",\"user\":\"a\",\"key\":\"k\"}",
                                        "{\"vm\":\"x\",\"resolver\":\"dns\"}",
                                        "{\"vm\":\"x\",\"suspendable\":1}",
                                        "{\"vm\":\"x\",\"suspendible\":true}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct vt_error err = VT_ERROR_INIT;
        assert_int_equal(options(wrong[i], &err), VT_EINVAL);
        assert_non_null(strstr(err.message, "web"));
    }
    struct vt_error err = VT_ERROR_INIT;
    options("{\"vm\":\"x\",\"suspendible\":true}", &err);
    assert_non_null(strstr(err.hint, "suspendable"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_of_all_generations),
        cmocka_unit_test(test_escaped_slashes),
        cmocka_unit_test(test_what_is_no_list),
        cmocka_unit_test(test_one_vm),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_status_line),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
