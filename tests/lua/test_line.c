/* Lines of events as the host writes them: always valid JSON, whatever bytes a suite prints. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "line.h"

static json_t *parsed(struct vtl_line *l)
{
    json_error_t error;
    vtl_line_end(l);
    json_t *object = json_loadb(l->data, l->len, JSON_ALLOW_NUL, &error);
    if (!object)
        fail_msg("%s: %.*s", error.text, (int)l->len, l->data);
    return object;
}

static void check_text(const char *text, size_t n, const char *expected, size_t expected_n)
{
    struct vtl_line l = {0};
    vtl_line_begin(&l, "x");
    vtl_line_text(&l, "text", text, n);
    json_t *object = parsed(&l), *value = json_object_get(object, "text");
    assert_int_equal(json_string_length(value), expected_n);
    assert_memory_equal(json_string_value(value), expected, expected_n);
    json_decref(object);
    vtl_line_free(&l);
}

static void test_text(void **state)
{
    static const struct {
        const char *bytes, *expected;
    } cases[] = {
        {"plain", "plain"},
        {"\"\\/\b\f\n\r\t\x01\x7f", "\"\\/\b\f\n\r\t\x01\x7f"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xff", "\xef\xbf\xbd"},
        {"a\xc3", "a\xef\xbf\xbd"},               /* cut short */
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"}, /* longer than need be */
        {"\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* half of a surrogate pair */
        {"\xf4\x90\x80\x80z", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_text(cases[i].bytes, strlen(cases[i].bytes), cases[i].expected,
                   strlen(cases[i].expected));
    check_text("a\0b", 3, "a\0b", 3);
    check_text("", 0, "", 0);
}

static void test_random_bytes(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 2000; round++) {
        char bytes[64];
        struct vtl_line l = {0};
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)(rand() >> 7);
        vtl_line_begin(&l, "x");
        vtl_line_text(&l, "text", bytes, sizeof bytes);
        json_decref(parsed(&l));
        vtl_line_free(&l);
    }
}

static void test_numbers(void **state)
{
    static const double numbers[] = {0,         1,         0.5,        0.000001,
                                     0.0000004, 0.9999999, 59.9999994, 123456789.25};
    static const long long integers[] = {0, 1, -1, 10, 1234567890123, INT64_MIN, INT64_MAX};
    (void)state;
    struct vtl_line l = {0};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        vtl_line_begin(&l, "x");
        vtl_line_num(&l, "n", numbers[i]);
        json_t *object = parsed(&l);
        assert_true(fabs(json_real_value(json_object_get(object, "n")) - numbers[i]) <= 0.0000006);
        json_decref(object);
    }
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        vtl_line_begin(&l, "x");
        vtl_line_int(&l, "n", integers[i]);
        json_t *object = parsed(&l);
        assert_true(json_integer_value(json_object_get(object, "n")) == integers[i]);
        json_decref(object);
    }
    vtl_line_begin(&l, "x");
    vtl_line_num(&l, "nan", NAN);
    vtl_line_num(&l, "negative", -1);
    vtl_line_num(&l, "huge", 1e300);
    vtl_line_str(&l, "missing", NULL);
    vtl_line_bool(&l, "yes", true);
    json_t *object = parsed(&l);
    assert_int_equal(json_object_size(object), 3); /* type, time, yes */
    json_decref(object);
    vtl_line_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
