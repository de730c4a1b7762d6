/* Names by patterns, and parts of a configuration as an option's value. */
#include "unit.h"

#include <string.h>

#include "cli/spec.h"
#include "core/buf.h"
#include "core/mem.h"
#include "vmtest/named.h"

/* The words with spaces between, or "CODE: message". */
static const char *expand(const char *pattern)
{
    static char text[4096];
    struct vt_error err = VT_ERROR_INIT;
    char **names;
    size_t n;
    text[0] = '\0';
    if (vt_names_expand(pattern, &names, &n, &err)) {
        assert_null(names);
        assert_int_equal(n, 0);
        snprintf(text, sizeof text, "%s: %s", vt_code_name(err.code), err.message);
        return text;
    }
    for (size_t i = 0; i < n; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", i ? " " : "", names[i]);
    }
    vt_names_free(names, n);
    return text;
}

static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *words;
    } cases[] = {
        {"web", "web"},
        {"student-{1..3}", "student-1 student-2 student-3"},
        {"{3..1}", "3 2 1"},
        {"s{08..11}", "s08 s09 s10 s11"},
        {"s{8..010}x", "s008x s009x s010x"},
        {"{web,db}", "web db"},
        {"{web,db}-{a,b}", "web-a web-b db-a db-b"},
        {"a{,x}", "a ax"},
        {"{5..5}", "5"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(expand(cases[i].pattern), cases[i].words);
}

static void test_patterns_that_are_wrong(void **state)
{
    (void)state;
    static const char *const wrong[] = {"a{1..3", "a}", "{{1..2}}", "{1..x}", "{..}", "{1..-3}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_non_null(strstr(expand(wrong[i]), "invalid: "));
    assert_non_null(strstr(expand("{1..1001}"), "limit: "));
    assert_non_null(strstr(expand("{1..999999999}"), "limit: "));
    assert_non_null(strstr(expand("{1..99}{1..99}"), "limit: "));
    assert_non_null(strstr(expand("{1..99999999999999999999}"), "invalid: "));
    char **names;
    size_t n;
    assert_int_equal(vt_names_expand("{1..1000}", &names, &n, NULL), VT_OK);
    assert_int_equal(n, 1000);
    assert_string_equal(names[999], "1000");
    vt_names_free(names, n);
}

static const char *const flags[] = {"read_only", "direct", NULL};

static const char *spec(const char *text)
{
    static char out[2048];
    struct vt_error err = VT_ERROR_INIT;
    json_t *object;
    if (vt_spec_parse(text, flags, &object, &err)) {
        assert_null(object);
        snprintf(out, sizeof out, "%s: %s", vt_code_name(err.code), err.message);
        return out;
    }
    char *dumped = json_dumps(object, JSON_COMPACT);
    snprintf(out, sizeof out, "%s", dumped);
    free(dumped);
    json_decref(object);
    return out;
}

static void test_specs(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"size=1G,bus=nvme,name=data", "{\"size\":\"1G\",\"bus\":\"nvme\",\"name\":\"data\"}"},
        {"name=x,read-only", "{\"name\":\"x\",\"read_only\":true}"},
        {"read_only=no,direct=on", "{\"read_only\":false,\"direct\":true}"},
        {"path=/a,,b=c,name=d", "{\"path\":\"/a,b=c\",\"name\":\"d\"}"},
        {"path=a,,", "{\"path\":\"a,\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(spec(cases[i].text), cases[i].json);
}

static void test_specs_that_are_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "KEY=VALUE"},
        {"size=1G,", "KEY=VALUE"},
        {"=1G", "KEY=VALUE"},
        {"size", "no value"},
        {"size=", "no value"},
        {"size=1,size=2", "given twice"},
        {"direct=maybe", "yes or no"},
        {"name=\xff", "not valid UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_non_null(strstr(spec(cases[i].text), "invalid: "));
        assert_non_null(strstr(spec(cases[i].text), cases[i].says));
    }
    char *long_one = vt_malloc(10000);
    memset(long_one, 'x', 9999);
    long_one[9999] = '\0';
    assert_non_null(strstr(spec(long_one), "limit: "));
    vt_free(long_one);
}

static void test_forwards(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int host, guest;
    } cases[] = {{"8080:80", 8080, 80}, {"80", 0, 80},       {":80", -1, 0}, {"80:", -1, 0},
                 {"0:80", 0, 80},       {"65536:80", -1, 0}, {"a:1", -1, 0}, {"1:2:3", -1, 0},
                 {"80:0", -1, 0},       {"-1:80", -1, 0},    {"", -1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vt_error err = VT_ERROR_INIT;
        json_t *forward;
        enum vt_code code = vt_spec_forward(cases[i].text, &forward, &err);
        assert_int_equal(code, cases[i].host < 0 ? VT_EINVAL : VT_OK);
        if (code)
            continue;
        assert_int_equal(json_integer_value(json_object_get(forward, "host")), cases[i].host);
        assert_int_equal(json_integer_value(json_object_get(forward, "guest")), cases[i].guest);
        json_decref(forward);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns), cmocka_unit_test(test_patterns_that_are_wrong),
        cmocka_unit_test(test_specs),    cmocka_unit_test(test_specs_that_are_wrong),
        cmocka_unit_test(test_forwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
