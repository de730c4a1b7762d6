/* Property lists: what is read, and where and why what is broken is refused. */
#include "unit.h"

#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "plist/base64.h"
#include "plist/tree.h"

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">\n"

static plist_t good(const void *data, size_t n)
{
    struct vt_error err = VT_ERROR_INIT;
    plist_t tree;
    vt_plist_parse(data, n, "t", &tree, NULL, &err);
    if (err.code)
        fail_msg("%s", err.message);
    assert_non_null(tree);
    return tree;
}

static plist_t good_text(const char *text)
{
    return good(text, strlen(text));
}

static void bad(const char *text, const char *message)
{
    struct vt_error err = VT_ERROR_INIT;
    plist_t tree;
    assert_int_equal(vt_plist_parse(text, strlen(text), "t", &tree, NULL, &err), VT_EINVAL);
    assert_null(tree);
    assert_string_equal(err.message, message);
}

static void test_every_type(void **state)
{
    (void)state;
    plist_t t =
        good_text(HEAD "<!-- a comment --><dict>\n"
                       "<key>s</key><string>a &amp; <![CDATA[<b>]]> \xc3\xbc</string>"
                       "<key>i</key><integer>-7</integer><key>x</key><integer> 0x1F </integer>"
                       "<key>big</key><integer>18446744073709551615</integer>"
                       "<key>r</key><real>1.5</real><key>t</key><true/><key>f</key><false/>"
                       "<key>d</key><data>\n  AAEC\n  /w==\n</data>"
                       "<key>when</key><date>2026-01-31T12:00:00Z</date>"
                       "<key>far</key><date>4001-01-01T00:00:00Z</date>"
                       "<key>a</key><array><string/><dict/></array></dict></plist>");
    size_t n;
    int32_t sec, usec;
    assert_string_equal(vt_plist_str(t, "s", NULL), "a & <b> \xc3\xbc");
    assert_int_equal(vt_plist_int(t, "i", 0), -7);
    assert_int_equal(vt_plist_int(t, "x", 0), 31);
    assert_true(vt_plist_number(plist_dict_get_item(t, "r")) == 1.5);
    assert_true(vt_plist_bool(t, "t", false));
    assert_false(vt_plist_bool(t, "f", true));
    assert_memory_equal(vt_plist_data(t, "d", &n), "\0\1\2\377", 4);
    assert_int_equal(n, 4);
    plist_get_date_val(plist_dict_get_item(t, "when"), &sec, &usec);
    assert_int_equal(sec, 791553600);
    plist_get_date_val(plist_dict_get_item(t, "far"), &sec, &usec);
    assert_int_equal(sec, INT32_MAX);
    assert_int_equal(plist_array_get_size(vt_plist_array(t, "a")), 2);
    /* of another type, or missing: the fallback */
    assert_int_equal(vt_plist_int(t, "s", 3), 3);
    assert_null(vt_plist_str(t, "nothing", NULL));
    assert_null(vt_plist_dict(NULL, "a"));
    plist_free(t);
}

static void test_places(void **state)
{
    (void)state;
    static const char text[] = HEAD "<dict>\n<key>a</key>\n<string>x</string>\n"
                                    "  <key>b</key><array>\n<true/></array>\n<key>a</key><true/>"
                                    "</dict></plist>";
    struct vt_plist_info info;
    plist_t t;
    unsigned line, column;
    assert_int_equal(vt_plist_parse(text, strlen(text), "t", &t, &info, NULL), VT_OK);
    assert_true(vt_plist_place(info.places, t, &line, &column));
    assert_int_equal(line, 3);
    plist_t b = vt_plist_array(t, "b");
    assert_true(vt_plist_place(info.places, b, &line, &column));
    assert_int_equal(line, 6);
    assert_int_equal(column, 3);
    assert_true(vt_plist_place(info.places, plist_array_get_item(b, 0), &line, &column));
    assert_int_equal(line, 7);
    assert_string_equal(vt_plist_duplicate(info.places, 0, &line, &column), "a");
    assert_int_equal(line, 8);
    assert_null(vt_plist_duplicate(info.places, 1, &line, &column));
    assert_true(vt_plist_bool(t, "a", false)); /* the last counts */
    vt_plist_places_free(info.places);
    plist_free(t);
}

static void test_encodings(void **state)
{
    (void)state;
    static const char body[] = "<plist><string>gr\xc3\xbc\xc3\x9f</string></plist>";
    static const char wide_head[] = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>";
    struct vt_buf text = VT_BUF_INIT;
    struct vt_plist_info info;
    plist_t t;
    for (int swap = 0; swap < 2; swap++) {
        vt_buf_clear(&text);
        vt_buf_add(&text, swap ? "\xfe\xff" : "\xff\xfe", 2);
        struct vt_buf all = VT_BUF_INIT;
        vt_buf_puts(&all, wide_head);
        vt_buf_puts(&all, "<plist><string>gr\xfc\xdf</string></plist>"); /* Latin-1 is U+00xx */
        for (size_t i = 0; i < all.len; i++) {
            char pair[2] = {swap ? '\0' : all.data[i], swap ? all.data[i] : '\0'};
            vt_buf_add(&text, pair, 2);
        }
        t = good(text.data, text.len);
        assert_string_equal(vt_plist_text(t), "gr\xc3\xbc\xc3\x9f");
        plist_free(t);
        vt_buf_free(&all);
    }
    vt_buf_clear(&text);
    vt_buf_puts(&text, "\xef\xbb\xbf \r\n<?xml version=\"1.0\"?>\r\n");
    vt_buf_puts(&text, body);
    assert_int_equal(vt_plist_parse(text.data, text.len, "t", &t, &info, NULL), VT_OK);
    assert_true(info.blanks_first);
    assert_string_equal(vt_plist_text(t), "gr\xc3\xbc\xc3\x9f");
    unsigned line, column;
    assert_true(vt_plist_place(info.places, t, &line, &column));
    assert_int_equal(line, 3);
    vt_plist_places_free(info.places);
    plist_free(t);
    vt_buf_free(&text);
}

static void test_large(void **state)
{
    (void)state;
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_puts(&text, "<plist><string>");
    for (int i = 0; i < 20000; i++)
        vt_buf_puts(&text, "0123456789");
    vt_buf_puts(&text, "</string></plist>");
    plist_t t = good(text.data, text.len);
    assert_int_equal(strlen(vt_plist_text(t)), 200000);
    plist_free(t);
    vt_buf_free(&text);
}

static void test_broken(void **state)
{
    (void)state;
    bad("", "t: empty, so no property list");
    bad("hello", "t:1:1: syntax error");
    bad(HEAD "<dict>\n<key>a</key>\n<string>x/string>\n</dict></plist>",
        "t:6:3: mismatched tag (in the <string> of line 5)");
    bad(" \n" HEAD "<dict><key>a</key></dict></plist>", "t:4:19: the key \"a\" has no value");
    bad(HEAD "<dict><string>x</string></dict></plist>", "t:3:7: a value without a key in <dict>");
    bad(HEAD "<dict><key>a</key><key>b</key></dict></plist>", "t:3:19: the key \"a\" has no value");
    bad(HEAD "<integer>1O</integer></plist>", "t:3:12: \"1O\" is no integer");
    bad(HEAD "<integer>18446744073709551616</integer></plist>",
        "t:3:30: the integer 18446744073709551616 is out of range");
    bad(HEAD "<real>x</real></plist>", "t:3:8: \"x\" is no number");
    bad(HEAD "<date>2026-13-01T00:00:00Z</date></plist>",
        "t:3:27: \"2026-13-01T00:00:00Z\" is no date like 2026-01-31T12:00:00Z");
    bad(HEAD "<data>A</data></plist>", "t:3:8: <data> holds no base64");
    bad(HEAD "<strin>x</strin></plist>", "t:3:1: <strin> is no element of a property list");
    bad(HEAD "<true/><true/></plist>", "t:3:8: a second value beside the list's own");
    bad(HEAD "<array>x</array></plist>", "t:3:8: text outside of a value");
    bad(HEAD "</plist>", "t:3:1: the list is empty");
    bad("  <dict/>", "t:1:3: <plist> is due here, not <dict>");
    bad("<dict/>", "t:1:1: <plist> is due here, not <dict>");
    bad("<!DOCTYPE plist [<!ENTITY a \"b\">]><plist><string>&a;</string></plist>",
        "t:1:29: entities of a document's own (\"a\") are not allowed");
    bad(HEAD "<string>\xff</string></plist>",
        "t:3:9: not well-formed (invalid token) (in the <string> of line 3)");
}

static void test_bounds(void **state)
{
    (void)state;
    struct vt_buf text = VT_BUF_INIT;
    struct vt_error err = VT_ERROR_INIT;
    plist_t t;
    vt_buf_puts(&text, "<plist>");
    for (int i = 0; i <= VT_PLIST_MAX_DEPTH; i++)
        vt_buf_puts(&text, "<array>");
    assert_int_equal(vt_plist_parse(text.data, text.len, "t", &t, NULL, &err), VT_ELIMIT);
    vt_buf_clear(&text);
    vt_buf_puts(&text, "<plist><array>");
    for (unsigned i = 0; i <= VT_PLIST_MAX_NODES; i++)
        vt_buf_puts(&text, "<true/>");
    assert_int_equal(vt_plist_parse(text.data, text.len, "t", &t, NULL, NULL), VT_ELIMIT);
    vt_buf_free(&text);
    char *huge = vt_calloc(1, VT_PLIST_MAX_BYTES + 1);
    assert_int_equal(vt_plist_parse(huge, VT_PLIST_MAX_BYTES + 1, "t", &t, NULL, NULL), VT_ELIMIT);
    vt_free(huge);
}

static plist_t sample(void)
{
    plist_t t = plist_new_dict();
    vt_plist_set_str(t, "name", "gr\xc3\xbc\xc3\x9f");
    vt_plist_set_int(t, "small", -3);
    vt_plist_set_bool(t, "yes", true);
    vt_plist_set_data(t, "bytes", "\0\377", 2);
    vt_plist_add_str(vt_plist_set_array(t, "list"), "x");
    vt_plist_set_int(vt_plist_set_dict(t, "more"), "n", 300);
    return t;
}

static void test_written_is_read(void **state)
{
    (void)state;
    for (enum vt_plist_form form = VT_PLIST_XML; form <= VT_PLIST_BINARY; form++) {
        struct vt_buf out = VT_BUF_INIT;
        plist_t t = sample();
        assert_int_equal(vt_plist_write(t, form, &out, NULL), VT_OK);
        plist_free(t);
        t = good(out.data, out.len);
        size_t n;
        assert_string_equal(vt_plist_str(t, "name", NULL), "gr\xc3\xbc\xc3\x9f");
        assert_int_equal(vt_plist_int(t, "small", 0), -3);
        assert_true(vt_plist_bool(t, "yes", false));
        assert_memory_equal(vt_plist_data(t, "bytes", &n), "\0\377", 2);
        assert_int_equal(vt_plist_int(vt_plist_dict(t, "more"), "n", 0), 300);
        unsigned keys = 0;
        for (struct vt_plist_walk w = vt_plist_walk(t); vt_plist_next(&w);)
            keys++;
        assert_int_equal(keys, 6);
        plist_free(t);
        vt_buf_free(&out);
    }
}

/* A binary list of these objects, each of at most 255 bytes in all; one byte per reference. */
static struct vt_buf binary(const char *const *objects, const size_t *sizes, size_t n)
{
    struct vt_buf out = VT_BUF_INIT, table = VT_BUF_INIT;
    vt_buf_puts(&out, "bplist00");
    for (size_t i = 0; i < n; i++) {
        vt_buf_putc(&table, (char)out.len);
        vt_buf_add(&out, objects[i], sizes[i]);
    }
    size_t at = out.len;
    char trailer[32] = {0};
    trailer[6] = trailer[7] = 1;
    trailer[15] = (char)n;
    trailer[31] = (char)at;
    vt_buf_add(&out, table.data, table.len);
    vt_buf_add(&out, trailer, sizeof trailer);
    vt_buf_free(&table);
    return out;
}

static void bad_binary(const char *const *objects, const size_t *sizes, size_t n, enum vt_code code,
                       const char *why)
{
    struct vt_buf b = binary(objects, sizes, n);
    struct vt_error err = VT_ERROR_INIT;
    plist_t t;
    assert_int_equal(vt_plist_parse(b.data, b.len, "t", &t, NULL, &err), code);
    assert_null(t);
    if (!strstr(err.message, why))
        fail_msg("\"%s\" lacks \"%s\"", err.message, why);
    vt_buf_free(&b);
}

static void test_hostile_binary(void **state)
{
    (void)state;
    static const char *const self[] = {"\xa1\x00"};
    bad_binary(self, (size_t[]){2}, 1, VT_EINVAL, "holds itself");
    static const char *const ring[] = {"\xa1\x01", "\xa1\x00"};
    bad_binary(ring, (size_t[]){2, 2}, 2, VT_EINVAL, "holds itself");
    static const char *const beyond[] = {"\xa1\x07"};
    bad_binary(beyond, (size_t[]){2}, 1, VT_EINVAL, "does not exist");
    static const char *const number_key[] = {"\xd1\x01\x01", "\x10\x07"};
    bad_binary(number_key, (size_t[]){3, 2}, 2, VT_EINVAL, "a key that is no string");
    static const char *const long_data[] = {"\x4f\x13\x7f\xff\xff\xff\xff\xff\xff\xff"};
    bad_binary(long_data, (size_t[]){10}, 1, VT_EINVAL, "beyond the file");
    static const char *const nul_key[] = {"\xd1\x01\x02", "\x62\x00\x61\x00\x00", "\x09"};
    bad_binary(nul_key, (size_t[]){3, 5, 1}, 3, VT_EINVAL, "no text");
    static const char *const twice[] = {"\xd2\x01\x02\x03\x03", "\x51x", "\x61\x00x", "\x09"};
    bad_binary(twice, (size_t[]){5, 2, 3, 1}, 4, VT_EINVAL, "one key twice");
    static const char *const half[] = {"\x62\xd8\x00\x00\x61"};
    bad_binary(half, (size_t[]){5}, 1, VT_EINVAL, "no text");
    static const char *const null[] = {"\x00"};
    bad_binary(null, (size_t[]){1}, 1, VT_EINVAL, "not known");
    /* 30 arrays, each of the next one twice: 2^30 values in 90 bytes */
    char laughs[30][3];
    const char *objects[31];
    size_t sizes[31];
    for (size_t i = 0; i < 30; i++) {
        laughs[i][0] = '\xa2';
        laughs[i][1] = laughs[i][2] = (char)(i + 1);
        objects[i] = laughs[i];
        sizes[i] = 3;
    }
    objects[30] = "\x09";
    sizes[30] = 1;
    bad_binary(objects, sizes, 31, VT_ELIMIT, "too large a tree");
    bad("bplist15 and more that is long enough for the trailer",
        "t: no binary property list of version 00");
}

static void test_base64(void **state)
{
    (void)state;
    struct vt_buf text = VT_BUF_INIT, bytes = VT_BUF_INIT;
    unsigned char all[10000];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)(i * 7 >> 3);
    for (size_t n = 0; n < sizeof all; n = n * 3 + 1) {
        vt_buf_clear(&text);
        vt_buf_clear(&bytes);
        vt_base64_encode(&text, all, n);
        assert_null(strchr(vt_buf_str(&text), '\n'));
        assert_true(vt_base64_decode(&bytes, vt_buf_str(&text), text.len));
        assert_int_equal(bytes.len, n);
        assert_memory_equal(vt_buf_str(&bytes), all, n);
    }
    static const char *const wrong[] = {"A", "AB", "AAA=A", "A===", "AA-_", "====", "AAAA="};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(vt_base64_decode(&bytes, wrong[i], strlen(wrong[i])));
    vt_buf_free(&text);
    vt_buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),      cmocka_unit_test(test_places),
        cmocka_unit_test(test_encodings),       cmocka_unit_test(test_large),
        cmocka_unit_test(test_broken),          cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_written_is_read), cmocka_unit_test(test_hostile_binary),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
