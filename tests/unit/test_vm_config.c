/* A VM's configuration: its JSON form both ways, and what is refused. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "vmtest/vm.h"

static json_t *parse(const char *text)
{
    json_t *object = NULL;
    assert_int_equal(vt_json_parse(text, strlen(text), "test", &object, NULL), VT_OK);
    return object;
}

/* What was read is written the same way, sizes as numbers. */
static void test_there_and_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{\"nics\": []}",
        "{\"name\": \"web\", \"driver\": \"sim\", \"memory\": 1073741824, \"cpus\": 2, "
        "\"accel\": \"tcg\", \"channel\": \"agent\", \"screen\": true, \"vnc\": true, "
        "\"forwards\": [{\"guest\": 80}, {\"guest\": 443, \"host\": 8443}], "
        "\"disks\": [{\"name\": \"data\", \"bus\": \"nvme\", \"size\": 1048576}, "
        "{\"name\": \"iso\", \"bus\": \"usb\", \"path\": \"/a\", \"format\": \"raw\", "
        "\"read_only\": true}, {\"name\": \"n\", \"bus\": \"virtio\", "
        "\"url\": \"nbd://127.0.0.1/x\", \"direct\": true}], "
        "\"nics\": [{\"kind\": \"nat\"}, {\"kind\": \"isolated\", \"network\": \"lab\", "
        "\"mac\": \"52:54:00:12:34:56\"}, {\"kind\": \"bridged\", \"network\": \"br0\"}], "
        "\"shares\": [{\"name\": \"src\", \"path\": \"/srv\", \"read_only\": true}], "
        "\"sim\": {\"a\": [1]}, \"ssh\": {\"host\": \"mac\"}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *object = parse(texts[i]);
        struct vt_vm_config config;
        assert_int_equal(vt_vm_config_from_json(object, false, &config, NULL), VT_OK);
        json_t *again = vt_vm_config_to_json(&config);
        assert_true(json_equal(object, again));
        json_decref(again);
        json_decref(object);
        vt_vm_config_clear(&config);
    }
}

static void test_sizes_as_text(void **state)
{
    (void)state;
    json_t *object =
        parse("{\"memory\": \"2G\", \"disks\": [{\"name\": \"d\", \"size\": \"1M\"}]}");
    struct vt_vm_config config;
    assert_int_equal(vt_vm_config_from_json(object, false, &config, NULL), VT_OK);
    assert_int_equal(config.memory, 2147483648u);
    assert_int_equal(config.disks[0].size, 1048576);
    assert_int_equal(config.disks[0].bus, VT_DISK_VIRTIO);
    assert_null(config.nics);
    vt_vm_config_clear(&config);
    json_decref(object);
}

static void test_what_cannot_be_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"memry\": 1}", "there is no option \"memry\""},
        {"{\"memory\": -1}", "\"memory\" is to be a size"},
        {"{\"memory\": \"much\"}", "\"memory\" is to be a size"},
        {"{\"cpus\": 1.5}", "\"cpus\" is to be a whole number"},
        {"{\"name\": \"\"}", "\"name\" is to be text"},
        {"{\"name\": \"a\\u0000b\"}", "\"name\" is to be text"},
        {"{\"screen\": 1}", "\"screen\" is to be true or false"},
        {"{\"sim\": []}", "\"sim\" is to be an object"},
        {"{\"disks\": {}}", "\"disks\" is to be a list"},
        {"{\"disks\": [1]}", "disks[1]: is to be an object"},
        {"{\"disks\": [{}, {\"bus\": \"ide\"}]}", "disks[2]: \"bus\" is to be one of \"virtio\""},
        {"{\"forwards\": [{\"guest\": 65536}]}", "forwards[1]: \"guest\" is to be a port"},
        {"{\"nics\": [{\"kind\": 1}]}", "nics[1]: \"kind\" is to be one of \"nat\""},
        {"{\"shares\": [{\"nme\": \"a\"}]}", "shares[1]: there is no option \"nme\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *object = parse(cases[i].text);
        struct vt_error err = VT_ERROR_INIT;
        struct vt_vm_config config;
        assert_int_equal(vt_vm_config_from_json(object, false, &config, &err), VT_EINVAL);
        assert_ptr_equal(strstr(err.message, cases[i].message), err.message);
        json_decref(object);
    }
}

/* Configurations that can be read and make no sense. */
static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"disks\": [{\"size\": 512}]}", "disk 1 needs a plain name"},
        {"{\"disks\": [{\"name\": \"disk0\", \"size\": 512}]}", "the image's own disk"},
        {"{\"disks\": [{\"name\": \"a\"}]}", "exactly one of"},
        {"{\"disks\": [{\"name\": \"a\", \"size\": 512, \"path\": \"/a\"}]}", "exactly one of"},
        {"{\"disks\": [{\"name\": \"a\", \"size\": 513}]}", "multiple of 512"},
        {"{\"disks\": [{\"name\": \"a\", \"size\": 512, \"read_only\": true}]}", "neither"},
        {"{\"disks\": [{\"name\": \"a\", \"path\": \"b\"}]}", "no absolute path"},
        {"{\"disks\": [{\"name\": \"a\", \"path\": \"/b\", \"format\": \"vmdk\"}]}",
         "\"format\" is"},
        {"{\"disks\": [{\"name\": \"a\", \"size\": 512}, {\"name\": \"a\", \"size\": 512}]}",
         "two disks are called \"a\""},
        {"{\"nics\": [{\"mac\": \"52:54:00:12:34\"}]}", "is no MAC address"},
        {"{\"nics\": [{\"mac\": \"53:54:00:12:34:56\"}]}", "is no MAC address"},
        {"{\"nics\": [{\"mac\": \"52:54:00:12:34:56\"}, {\"mac\": \"52:54:00:12:34:56\"}]}",
         "two interfaces have the MAC address"},
        {"{\"nics\": [{\"kind\": \"nat\", \"network\": \"x\"}]}", "has no \"network\""},
        {"{\"nics\": [{\"kind\": \"isolated\"}]}", "needs the name of its \"network\""},
        {"{\"nics\": [{\"kind\": \"bridged\", \"network\": \"a-name-too-long\"}]}", NULL},
        {"{\"nics\": [{\"kind\": \"bridged\", \"network\": \"a-name-too-long1\"}]}",
         "needs the bridge's name"},
        {"{\"nics\": [], \"forwards\": [{\"guest\": 80}]}",
         "a forward needs an interface with NAT"},
        {"{\"forwards\": [{\"guest\": 0}]}", "no pair of ports"},
        {"{\"shares\": [{\"path\": \"/a\"}]}", "share 1 needs a plain name"},
        {"{\"shares\": [{\"name\": \"a\", \"path\": \"b\"}]}", "needs an absolute path"},
        {"{\"shares\": [{\"name\": \"a\", \"path\": \"/\"}, {\"name\": \"a\", \"path\": \"/\"}]}",
         "two shares are called \"a\""},
        {"{\"channel\": \"telnet\"}", "is no channel"},
    };
    vt_drivers_init();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *object = parse(cases[i].text);
        struct vt_error err = VT_ERROR_INIT;
        struct vt_vm_config config;
        struct vt_vm *vm = NULL;
        assert_int_equal(vt_vm_config_from_json(object, false, &config, &err), VT_OK);
        config.name = strdup("x");
        config.driver = strdup("sim");
        struct vt_loop *loop = vt_loop_new(NULL);
        enum vt_code code = vt_vm_new(loop, &config, &vm, &err);
        if (cases[i].message) {
            assert_int_equal(code, VT_EINVAL);
            assert_non_null(strstr(err.message, cases[i].message));
        } else {
            assert_int_equal(code, VT_EUNSUPPORTED); /* makes sense, but not to this driver */
        }
        vt_vm_free(vm, false);
        vt_loop_free(loop);
        vt_vm_config_clear(&config);
        json_decref(object);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_sizes_as_text),
        cmocka_unit_test(test_what_cannot_be_read),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
