/* The frames and greetings of the agent's protocol, and the QEMU guest agent's lines. */
#include <stdlib.h>
#include <string.h>

#include "agent/frame.h"
#include "core/mem.h"
#include "guest/qga_files.h"
#include "unit.h"

enum { tag = 0x01020305 };

static size_t build(unsigned char *out, enum vt__frame_type type, unsigned stream, const char *text,
                    uint32_t with_tag)
{
    size_t n = strlen(text);
    vt__frame_head(out, type, stream, 42, (uint32_t)n);
    memcpy(out + VT__FRAME_HEAD, text, n);
    vt__store_u32(out + VT__FRAME_HEAD + n, with_tag);
    return VT__FRAME_HEAD + n + VT__FRAME_TAIL;
}

static void test_frames_come_back(void **state)
{
    (void)state;
    unsigned char bytes[64];
    size_t n = build(bytes, VT__FRAME_BYTES, VT__FRAME_STDERR, "hello", tag), used = 99;
    struct vt__frame f;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(vt__frame_parse(bytes, i, tag, &f, &used), 0);
    assert_int_equal(vt__frame_parse(bytes, sizeof bytes, tag, &f, &used), 1);
    assert_int_equal(used, n);
    assert_int_equal(f.type, VT__FRAME_BYTES);
    assert_int_equal(f.stream, VT__FRAME_STDERR);
    assert_int_equal(f.channel, 42);
    assert_int_equal(f.size, 5);
    assert_memory_equal(f.data, "hello", 5);
}

static void test_what_is_no_frame(void **state)
{
    (void)state;
    unsigned char good[64], bad[64], zeros[VT__FRAME_HEAD] = {0};
    struct vt__frame f;
    size_t used, n = build(good, VT__FRAME_EXIT, 0, "text", tag);
    assert_int_equal(vt__frame_parse(zeros, sizeof zeros, tag, &f, &used), -1);
    assert_int_equal(vt__frame_parse(good, n, tag ^ 2, &f, &used), -1);
    const struct {
        size_t at;
        unsigned char value;
    } changes[] = {
        {0, 1} /* size */,          {4, 0},   {5, 0} /* mark */,    {6, 0},
        {6, VT__FRAME_TYPE_COUNT_}, {6, 255}, {7, 1} /* streams */, {n - 1, 0} /* tag */};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        memcpy(bad, good, n);
        bad[changes[i].at] = changes[i].value;
        assert_int_equal(vt__frame_parse(bad, n, tag, &f, &used), -1);
    }
    n = build(good, VT__FRAME_BYTES, VT__FRAME_STREAMS, "", tag);
    assert_int_equal(vt__frame_parse(good, n, tag, &f, &used), -1);
}

static void test_greetings_are_found_in_anything(void **state)
{
    (void)state;
    unsigned char nonce[VT__NONCE], seen[VT__NONCE], text[300], hello[VT__GREETING];
    uint32_t version = 0;
    size_t used = 0;
    for (size_t i = 0; i < sizeof nonce; i++)
        nonce[i] = (unsigned char)(i * 37);
    vt__greeting_make(hello, VT__HELLO, 3, nonce);
    for (size_t before = 0; before < 16; before++) {
        memset(text, 0, sizeof text);
        memcpy(text, hello, before); /* a part of the mark of one that was cut off */
        memcpy(text + before, hello, sizeof hello);
        for (size_t n = 0; n < before + sizeof hello; n++) {
            assert_false(vt__greeting_find(text, n, VT__HELLO, &version, seen, &used));
            assert_true(used <= before); /* what is left out is no part of it */
        }
        size_t rest = used;
        assert_true(
            vt__greeting_find(text + rest, sizeof text - rest, VT__HELLO, &version, seen, &used));
        assert_int_equal(rest + used, before + sizeof hello);
        assert_int_equal(version, 3);
        assert_memory_equal(seen, nonce, sizeof nonce);
    }
    assert_false(vt__greeting_find(hello, sizeof hello, VT__WELCOME, &version, seen, &used));
    assert_int_equal(used, sizeof hello);
}

static void test_tags_are_never_zero(void **state)
{
    (void)state;
    unsigned char nonce[VT__NONCE] = {0};
    assert_int_not_equal(vt__session_tag(nonce), 0);
    nonce[0] = 0x80;
    assert_int_equal(vt__session_tag(nonce), 0x80000001u);
}

static void test_fields(void **state)
{
    (void)state;
    unsigned char bytes[24];
    size_t n = 7;
    vt__store_u64(bytes, 0x1122334455667788u);
    vt__store_u32(bytes + 8, 3);
    memcpy(bytes + 12, "abc", 3);
    vt__store_u32(bytes + 15, 5); /* more than there is */
    struct vt__fields f = {.p = bytes, .n = 21};
    assert_true(vt__take_u64(&f) == 0x1122334455667788u);
    assert_memory_equal(vt__take_bytes(&f, &n), "abc", 3);
    assert_int_equal(n, 3);
    assert_null(vt__take_bytes(&f, &n));
    assert_int_equal(n, 0);
    assert_true(f.bad);
    assert_int_equal(vt__take_u32(&f), 0); /* also where there were bytes left */
}

static void test_lines_of_the_qemu_guest_agent(void **state)
{
    (void)state;
    static const char *const none[] = {"", "{}", "[]", "x", "{\"return\"", "\"return\""};
    json_t *result = NULL;
    char *problem = NULL;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_false(vt__qga_parse(none[i], strlen(none[i]), &result, &problem));
    static const char good[] = "{\"return\": {\"pid\": 7}}";
    assert_true(vt__qga_parse(good, strlen(good), &result, &problem));
    assert_int_equal(json_integer_value(json_object_get(result, "pid")), 7);
    assert_null(problem);
    json_decref(result);
    static const char bad[] = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no way\"}}";
    assert_true(vt__qga_parse(bad, strlen(bad), &result, &problem));
    assert_null(result);
    assert_string_equal(problem, "no way");
    vt_free(problem);
}

static void test_base64(void **state)
{
    (void)state;
    struct vt_buf text = VT_BUF_INIT, back = VT_BUF_INIT;
    for (size_t n = 0; n < 20; n++) {
        vt_buf_clear(&text);
        vt_buf_clear(&back);
        vt__base64_encode("\0\1\2\xff\xfe nineteen bytes", n, &text);
        assert_int_equal(text.len, (n + 2) / 3 * 4);
        assert_true(vt__base64_decode(text.data, text.len, &back));
        assert_int_equal(back.len, n);
        assert_true(!n || !memcmp(back.data, "\0\1\2\xff\xfe nineteen bytes", n));
    }
    assert_false(vt__base64_decode("abc", 3, &back));
    assert_false(vt__base64_decode("ab!=", 4, &back));
    vt_buf_free(&text);
    vt_buf_free(&back);
}

static void test_lines_of_stat(void **state)
{
    (void)state;
    struct vt__sftp_attrs attrs;
    static const char *const none[] = {"", "81a4", "81a4 ", "x 1", "81a4 x", "81a4 1 2", "-1 2"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_false(vt__qga_read_stat(none[i], strlen(none[i]), &attrs));
    assert_true(vt__qga_read_stat("81a4 12345\n", 11, &attrs));
    assert_int_equal(attrs.mode, 0100644);
    assert_int_equal(attrs.size, 12345);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_come_back),
        cmocka_unit_test(test_what_is_no_frame),
        cmocka_unit_test(test_greetings_are_found_in_anything),
        cmocka_unit_test(test_tags_are_never_zero),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_lines_of_the_qemu_guest_agent),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_lines_of_stat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
