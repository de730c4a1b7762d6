/* Units, quoting, names, printable text. */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/mem.h"
#include "core/text.h"
#include "vmtest/units.h"

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } good[] = {
        {"1.5", 1.5}, {"0", 0},        {"90s", 90},       {"250ms", 0.25},
        {"5m", 300},  {"1h30m", 5400}, {"2 h 1 s", 7201}, {"1d", 86400},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double s = -1;
        assert_int_equal(vt_parse_duration(good[i].text, &s, NULL), VT_OK);
        assert_true(fabs(s - good[i].seconds) < 1e-9);
    }
    static const char *const bad[] = {"",    "-1",  "1x",   "s",     "1m30",  "1e3",
                                      "inf", "nan", "0x10", "9999d", "1..5s", "5 m x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double s;
        struct vt_error err = VT_ERROR_INIT;
        assert_int_equal(vt_parse_duration(bad[i], &s, &err), VT_EINVAL);
        assert_non_null(strstr(err.message, bad[i]));
        assert_true(err.hint[0]);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"1073741824", 1u << 30},
        {"512M", 512u << 20},
        {"4G", 4ull << 30},
        {"1.5G", 3ull << 29},
        {"64KiB", 64u << 10},
        {"64kb", 64u << 10},
        {"10B", 10},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t n = 1;
        assert_int_equal(vt_parse_size(good[i].text, &n, NULL), VT_OK);
        assert_true(n == good[i].bytes);
    }
    static const char *const bad[] = {"", "-1", "G", "1X", "4GG", "1e9", "99999999T", "4G 2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t n;
        assert_int_equal(vt_parse_size(bad[i], &n, NULL), VT_EINVAL);
    }
}

/* What a real shell makes of the quoted word is what went in. */
static void test_shell_quote(void **state)
{
    (void)state;
    static const char *const words[] = {
        "plain", "",  "two words", "it's", "$(touch x)",  "`id`", "a\nb", "\"", "\\",
        "*",     "~", "-n",        "ü",    "a;b&c|d>e<f", "'",    "''",   "!",  "#",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct vt_buf line = VT_BUF_INIT;
        vt_buf_puts(&line, "printf %s ");
        vt_shell_quote(&line, words[i]);
        FILE *shell = popen(line.data, "r");
        assert_non_null(shell);
        char out[64] = "";
        size_t n = fread(out, 1, sizeof out - 1, shell);
        out[n] = '\0';
        assert_int_equal(pclose(shell), 0);
        assert_string_equal(out, words[i]);
        vt_buf_free(&line);
    }
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"timeout", "memory", "image", "cpus"};
    assert_string_equal(vt_nearest("tiemout", names, 4), "timeout");
    assert_string_equal(vt_nearest("Memroy", names, 4), "memory");
    assert_string_equal(vt_nearest("cpu", names, 4), "cpus");
    assert_null(vt_nearest("banana", names, 4));
    assert_null(vt_nearest("timeout", names, 0));
}

static void test_printable(void **state)
{
    (void)state;
    char control[] = "a\x1b[31mb\tc\nd\x7f";
    vt_text_printable(control);
    assert_string_equal(control, "a?[31mb\tc\nd?");
    char invalid[] = "x\xff\xc3\x28y";
    vt_text_printable(invalid);
    assert_string_equal(invalid, "x?\?(y");
    char utf8[] = "gr\xc3\xbc\xc3\x9f \xf0\x9f\x99\x82";
    vt_text_printable(utf8);
    assert_string_equal(utf8, "gr\xc3\xbc\xc3\x9f \xf0\x9f\x99\x82");
    char cut[] = "ab\xe2\x82";
    vt_text_printable(cut);
    assert_string_equal(cut, "ab");
    char overlong[] = "\xc0\xaf", surrogate[] = "\xed\xa0\x80z";
    vt_text_printable(overlong);
    assert_string_equal(overlong, "??");
    vt_text_printable(surrogate);
    assert_string_equal(surrogate, "???z");
}

static void test_utf8_append(void **state)
{
    (void)state;
    struct vt_buf b = VT_BUF_INIT;
    vt_utf8_append(&b,
                   "a\xff"
                   "b",
                   3);
    assert_string_equal(b.data, "a\xef\xbf\xbd"
                                "b");
    vt_buf_free(&b);
}

static void test_names(void **state)
{
    (void)state;
    assert_true(vt_is_plain_name("web-1.test_x"));
    assert_false(vt_is_plain_name(""));
    assert_false(vt_is_plain_name(".."));
    assert_false(vt_is_plain_name("a/b"));
    assert_false(vt_is_plain_name("-x"));
    assert_true(vt_is_env_name("_A1"));
    assert_false(vt_is_env_name("1A"));
    assert_false(vt_is_env_name("A-B"));
    assert_false(vt_is_env_name(""));
}

static void test_error_first_wins(void **state)
{
    (void)state;
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_fail(&err, VT_EINVAL, "op", "first %d", 1), VT_EINVAL);
    assert_int_equal(vt_fail(&err, VT_EIO, "op", "second"), VT_EIO);
    vt_hint(&err, "do this");
    vt_hint(&err, "not that");
    assert_int_equal(err.code, VT_EINVAL);
    assert_string_equal(err.message, "first 1");
    assert_string_equal(err.hint, "do this");
    for (int c = 0; c < VT_CODE_COUNT_; c++)
        assert_non_null(vt_code_name((enum vt_code)c));
}

static void test_error_long_text_is_cut_at_a_character(void **state)
{
    (void)state;
    char text[4000];
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xbc", 2);
    text[sizeof text - 2] = '\0';
    for (int shift = 0; shift < 2; shift++) {
        struct vt_error err = VT_ERROR_INIT;
        vt_fail(&err, VT_EIO, "op", "%s%s", shift ? "x" : "", text);
        size_t n = strlen(err.message);
        assert_true(n > 1000 && n < sizeof err.message);
        assert_int_equal(vt_utf8_prefix(err.message, n), n);
        assert_null(strchr(err.message, '?'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_shell_quote),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_printable),
        cmocka_unit_test(test_utf8_append),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_error_first_wins),
        cmocka_unit_test(test_error_long_text_is_cut_at_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
