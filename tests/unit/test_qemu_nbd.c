/* URLs of NBD disks. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "driver/qemu/nbd.h"

static void check(const char *url, const char *host, const char *port, const char *socket,
                  const char *export)
{
    struct vt_nbd n;
    struct vt_error err = VT_ERROR_INIT;
    if (vt_nbd_parse(url, &n, &err))
        fail_msg("%s: %s", url, err.message);
    assert_string_equal(n.host ? n.host : "-", host);
    assert_string_equal(n.port ? n.port : "-", port);
    assert_string_equal(n.socket ? n.socket : "-", socket);
    assert_string_equal(n.export, export);
    json_t *node = vt_nbd_blockdev(&n);
    char *text = json_dumps(node, JSON_COMPACT | JSON_SORT_KEYS);
    assert_non_null(strstr(text, n.socket ? "\"type\":\"unix\"" : "\"type\":\"inet\""));
    free(text);
    json_decref(node);
    vt_nbd_clear(&n);
}

static void test_urls(void **state)
{
    (void)state;
    check("nbd://localhost", "localhost", "10809", "-", "");
    check("nbd://localhost/", "localhost", "10809", "-", "");
    check("nbd://10.0.0.1:99/a%20b/c", "10.0.0.1", "99", "-", "a b/c");
    check("nbd://[::1]:99/x", "::1", "99", "-", "x");
    check("nbd://[::1]", "::1", "10809", "-", "");
    check("nbd+unix:///?socket=/tmp/a,b%3Fc", "-", "-", "/tmp/a,b?c", "");
    check("nbd+unix:///disk?socket=/s", "-", "-", "/s", "disk");
}

static void test_what_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "nbd",
                                      "nbd:localhost:1",
                                      "nbds://host/",
                                      "http://host/",
                                      "nbd://",
                                      "nbd:///x",
                                      "nbd://h:0x1/",
                                      "nbd://h:/",
                                      "nbd://h:99999/",
                                      "nbd://h:1 /",
                                      "nbd://[::1/x",
                                      "nbd://[::1]x/",
                                      "nbd://h/%0",
                                      "nbd://h/%zz",
                                      "nbd://h/%00",
                                      "nbd://h/%-1",
                                      "nbd://h/x?y=z",
                                      "nbd+unix://?socket=/s",
                                      "nbd+unix:///x",
                                      "nbd+unix:///?socket=",
                                      "nbd+unix:///?socket=s",
                                      "nbd+unix:///?socket=/s&x=1",
                                      "nbd+unix:///?sock=/s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct vt_nbd n;
        struct vt_error err = VT_ERROR_INIT;
        if (!vt_nbd_parse(bad[i], &n, &err))
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(err.code, VT_EINVAL);
        assert_null(n.host);
        assert_null(n.socket);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_urls),
                                       cmocka_unit_test(test_what_is_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
