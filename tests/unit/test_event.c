/* Events: written and read back, in pieces, torn, overlong, and as garbage. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "event/scan.h"
#include "vmtest/event.h"

struct heard {
    size_t events, bad;
    char types[400]; /* "a b c " */
    char last_bad[256], last_why[256];
    json_t *last;
};

static void on_event(const struct vt_event *event, void *user)
{
    struct heard *h = user;
    struct vt_text type = vt_event_text(event, "type");
    size_t used = strlen(h->types);
    h->events++;
    snprintf(h->types + used, sizeof h->types - used, "%.*s ", (int)type.size, type.data);
    json_decref(h->last);
    h->last = vt_event_json(event);
}

static void on_bad(const char *line, const char *why, void *user)
{
    struct heard *h = user;
    h->bad++;
    assert_true(strlen(line) <= 200);
    snprintf(h->last_bad, sizeof h->last_bad, "%s", line);
    snprintf(h->last_why, sizeof h->last_why, "%s", why);
}

static struct heard hear(const char *data, size_t n, size_t piece)
{
    struct heard h = {0};
    struct vt_event_reader *r = vt_event_reader_new(0, on_event, on_bad, &h);
    for (size_t at = 0; at < n; at += piece)
        vt_event_reader_feed(r, data + at, n - at < piece ? n - at : piece);
    vt_event_reader_free(r);
    json_decref(h.last);
    h.last = NULL;
    return h;
}

static void test_pieces_do_not_matter(void **state)
{
    (void)state;
    static const char text[] = "{\"type\":\"a\"}\n\n{\"type\":\"b\",\"x\":\"\\n\"}\nrubbish\n"
                               "{\"type\":\"c\"}\r\n{\"type\":\"torn";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct heard h = hear(text, sizeof text - 1, piece);
        assert_string_equal(h.types, "a b c ");
        assert_int_equal(h.bad, 1);
        assert_string_equal(h.last_bad, "rubbish");
    }
}

static void test_garbage_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {"null",
                                        "5",
                                        "[]",
                                        "\"text\"",
                                        "{}",
                                        "{\"type\":5}",
                                        "{\"type\"",
                                        "{\"type\":\"a\"}{\"type\":\"b\"}",
                                        "\xff\xfe",
                                        "{\"type\":\"\xff\"}",
                                        "{\"type\":\"\\ud800\"}",
                                        "{\"type\":\"a\",\"type\":\"b\"}"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[100];
        int n = snprintf(line, sizeof line, "%s\n{\"type\":\"good\"}\n", lines[i]);
        struct heard h = hear(line, (size_t)n, 1000);
        if (h.bad != 1 || strcmp(h.types, "good ") != 0 || !h.last_why[0])
            fail_msg("%s: %zu bad, events %s", lines[i], h.bad, h.types);
    }
}

static void test_deep_nesting(void **state)
{
    (void)state;
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_puts(&text, "{\"type\":\"a\",\"x\":");
    for (int i = 0; i < 300000; i++)
        vt_buf_putc(&text, '[');
    vt_buf_puts(&text, "\n{\"type\":\"b\"}\n");
    struct heard h = hear(text.data, text.len, 4096);
    assert_int_equal(h.bad, 1);
    assert_string_equal(h.types, "b ");
    vt_buf_free(&text);
}

/* A line of exactly n bytes, the end of line besides. */
static void add_line(struct vt_buf *text, size_t n)
{
    size_t end = text->len + n;
    vt_buf_puts(text, "{\"type\":\"long\",\"x\":\"");
    while (text->len < end - 2)
        vt_buf_putc(text, 'x');
    vt_buf_puts(text, "\"}\n");
}

static void test_overlong_lines(void **state)
{
    (void)state;
    struct vt_buf text = VT_BUF_INIT;
    add_line(&text, VT_EVENT_LINE_MAX);
    add_line(&text, VT_EVENT_LINE_MAX + 1);
    vt_buf_puts(&text, "{\"type\":\"b\"}\n");
    static const size_t pieces[] = {65536, (size_t)100 << 20};
    for (size_t i = 0; i < 2; i++) {
        struct heard h = hear(text.data, text.len, pieces[i]);
        assert_string_equal(h.types, "long b ");
        assert_int_equal(h.bad, 1);
        assert_non_null(strstr(h.last_why, "too long"));
        assert_int_equal(strncmp(h.last_bad, "{\"type\":\"long\"", 14), 0);
    }
    vt_buf_free(&text);
}

/* --- looking at one --- */

static const char members[] =
    "\"type\":\"test_end\",\"n\":-12,\"x\":0.25,\"zero\":-0,\"s\":\"\xc3\xa9\","
    "\"yes\":true,\"no\":false,\"nil\":null,\"empty\":[],"
    "\"o\":{\"a\":[1,{\"b\":2.5}]},\"outcome\":\"skipped\","
    "\"tests\":[{\"id\":1,\"name\":\"a\"},5,[],{\"id\":2}]";

static void check_members(const struct vt_event *e)
{
    struct vt_text s = vt_event_text(e, "s");
    assert_int_equal(s.size, 2);
    assert_memory_equal(s.data, "\xc3\xa9", 2);
    assert_null(vt_event_text(e, "n").data);
    assert_null(vt_event_text(e, "none").data);
    assert_null(vt_event_text(e, "typ").data);
    assert_int_equal(vt_event_int(e, "n", 7), -12);
    assert_int_equal(vt_event_int(e, "zero", 7), 0);
    assert_int_equal(vt_event_int(e, "x", 7), 7);
    assert_true(vt_event_num(e, "x", 7) == 0.25);
    assert_true(vt_event_num(e, "n", 7) == -12);
    assert_true(vt_event_num(e, "s", 7) == 7);
    assert_true(vt_event_is(e, "type", "test_end"));
    assert_false(vt_event_is(e, "type", "test_en"));
    assert_false(vt_event_is(e, "type", "test_end2"));
    assert_false(vt_event_is(e, "n", "-12"));
    assert_int_equal(vt_event_outcome(e), VT_SKIPPED);
    static const char *const names[] = {"a", NULL};
    struct vt_event_items items = vt_event_items(e, "tests");
    struct vt_event item;
    for (int i = 0; i < 2; i++) {
        assert_true(vt_event_next(&items, &item));
        assert_int_equal(vt_event_int(&item, "id", 0), i + 1);
        assert_int_equal(vt_event_is(&item, "name", "a"), names[i] != NULL);
    }
    assert_false(vt_event_next(&items, &item));
    items = vt_event_items(e, "o");
    assert_false(vt_event_next(&items, &item));
}

/* Every member alone, and the whole, as the tree says. */
static void check_tree(const struct vt_event *e, json_t *tree)
{
    const char *key;
    json_t *value, *own = vt_event_json(e);
    assert_true(json_equal(own, tree));
    json_decref(own);
    json_object_foreach(tree, key, value)
    {
        own = vt_event_member(e, key);
        assert_true(json_equal(own, value));
        json_decref(own);
    }
    assert_null(vt_event_member(e, "none"));
}

static void on_looked_at(const struct vt_event *event, void *user)
{
    bool *plain = user;
    assert_int_equal(event->nodes != NULL, *plain);
    assert_int_equal(event->type, VT_EVENT_TEST_END);
    check_members(event);
    json_t *tree = json_loadb(event->line, event->size, 0, NULL);
    check_tree(event, tree);
    struct vt_event same = vt_event_of(tree);
    assert_int_equal(same.type, VT_EVENT_TEST_END);
    check_members(&same);
    check_tree(&same, tree);
    struct vt_buf text = VT_BUF_INIT;
    vt_event_print(event, &text);
    assert_int_equal(text.len, event->size);
    vt_event_print(&same, &text);
    json_t *again = json_loads(text.data + event->size, 0, NULL);
    assert_true(json_equal(again, tree));
    json_decref(again);
    vt_buf_free(&text);
    json_decref(tree);
    *plain = !*plain;
}

/* Once in its plain form, once with an escape, which only the JSON parser reads. */
static void test_same_answers_from_both_forms(void **state)
{
    (void)state;
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "{%s}\n{\"more\":\"\\n\",%s}\n", members, members);
    bool plain = true;
    struct vt_event_reader *r = vt_event_reader_new(0, on_looked_at, NULL, &plain);
    const char *second = strchr(text.data, '\n') + 1;
    vt_event_reader_feed(r, text.data, (size_t)(second - text.data));
    assert_false(plain);
    vt_event_reader_feed(r, second, strlen(second));
    assert_true(plain);
    vt_event_reader_free(r);
    vt_buf_free(&text);
}

static void test_job_in_front(void **state)
{
    (void)state;
    static const char text[] = "{\"type\":\"a\"}\n{\"type\":\"b\",\"job\":9}\n{}\n"
                               "{\"x\":\"\\n\",\"type\":\"c\"}\n[]\n {\"type\":\"d\"}\n";
    struct heard h = {0};
    struct vt_event_reader *r = vt_event_reader_new(3, on_event, on_bad, &h);
    vt_event_reader_feed(r, text, 13);
    assert_int_equal(json_integer_value(json_object_get(h.last, "job")), 3);
    vt_event_reader_feed(r, text + 13, sizeof text - 1 - 13);
    assert_int_equal(json_integer_value(json_object_get(h.last, "job")), 3);
    vt_event_reader_free(r);
    assert_string_equal(h.types, "a c ");
    assert_int_equal(h.bad, 4); /* with a job of its own, empty, no object, not at the begin */
    json_decref(h.last);
}

/* --- the scanner --- */

static void test_scanner_leaves_the_rest_to_the_parser(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool plain;
    } cases[] = {
        {"{}", true},
        {" { \"a\" : [ 1 , 2 ] , \"b\" : { } } \r", true},
        {"{\"a\":123456789012345}", true},
        {"{\"a\":1234567890123456}", false},  /* may be too long */
        {"{\"a\":12345678.12345678}", false}, /* may be rounded twice */
        {"{\"a\":1e5}", false},
        {"{\"a\":01}", false},
        {"{\"a\":-}", false},
        {"{\"a\":1.}", false},
        {"{\"a\":.5}", false},
        {"{\"a\":+1}", false},
        {"{\"a\":1,}", false},
        {"{\"a\":[1,]}", false},
        {"{\"a\":tru}", false},
        {"{\"a\":truee}", false},
        {"{\"a\" 1}", false},
        {"{\"a\":1}}", false},
        {"{\"a\":1} x", false},
        {"{\"a\":\"\\n\"}", false},
        {"{\"a\":\"\x01\"}", false},
        {"{\"a\":\"\x7f\"}", true},
        {"{\"a\":\"\xc3\xa9\"}", true},
        {"{\"a\":\"\xc3\"}", false},
        {"{\"a\":\"\xed\xa0\x80\"}", false}, /* a surrogate */
        {"{\"\xff\":1}", false},
        {"{\"a\":1,\"a\":2}", false},
        {"{\"a\":{\"b\":1,\"b\":2}}", false},
        {"{\"a\":{\"b\":1},\"b\":2}", true},
        {"[]", false},
        {"", false},
        {"{", false},
        {"{\"", false},
        {"{\"a", false},
        {"{\"a\"", false},
        {"{\"a\":", false},
        {"{\"a\":1", false},
    };
    struct vt__nodes nodes = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* of just that size, so that a sanitizer sees a byte read too many */
        size_t n = strlen(cases[i].text);
        char *exact = vt_malloc(n ? n : 1);
        memcpy(exact, cases[i].text, n);
        if (vt__scan(&nodes, exact, n) != cases[i].plain)
            fail_msg("%s", cases[i].text);
        vt_free(exact);
    }
    vt__nodes_free(&nodes);
}

/* --- writing --- */

static char path[64];

static int open_temp(void)
{
    snprintf(path, sizeof path, "/tmp/vmtest-event-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    return fd;
}

static void test_written_and_read(void **state)
{
    (void)state;
    int fd = open_temp();
    struct vt_event_writer *w = vt_event_writer_new(fd);
    json_t *event = vt_event_new("test_end");
    json_object_set_new(event, "message", json_string("two\nlines \xe6\x97\xa5"));
    vt_event_write(w, event);
    vt_event_write_line(w, "{\"type\":\"raw\"}", 14);
    assert_int_equal(lseek(fd, 0, SEEK_END), 0); /* buffered */
    assert_int_equal(vt_event_flush(w, NULL), VT_OK);
    assert_true(write(fd, "{\"type\":\"torn\"", 14) == 14);
    vt_event_writer_free(w);
    close(fd);
    struct heard h = {0};
    assert_int_equal(vt_event_read_file(path, on_event, &h, NULL), VT_OK);
    assert_string_equal(h.types, "test_end raw ");
    json_decref(h.last);
    unlink(path);
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_event_read_file(path, on_event, &h, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.message, path));
}

static void test_new_events_have_a_time(void **state)
{
    (void)state;
    json_t *event = vt_event_new("x");
    const char *time = json_string_value(json_object_get(event, "time"));
    assert_int_equal(strlen(time), strlen("2026-01-31T12:00:00.123Z"));
    assert_int_equal(time[23], 'Z');
    json_decref(event);
}

static void test_too_long_events_are_cut_not_lost(void **state)
{
    (void)state;
    int fd = open_temp();
    size_t n = VT_EVENT_LINE_MAX;
    char *text = vt_malloc(n + 1);
    for (size_t i = 0; i < n; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[n] = '\0';
    struct vt_event_writer *w = vt_event_writer_new(fd);
    json_t *event = vt_event_new("test_end");
    json_object_set_new(event, "message", json_string(text));
    json_object_set_new(event, "name", json_string("kept"));
    vt_event_write(w, event);
    vt_event_writer_free(w);
    close(fd);
    struct heard h = {0};
    assert_int_equal(vt_event_read_file(path, on_event, &h, NULL), VT_OK);
    assert_int_equal(h.events, 1);
    const char *message = json_string_value(json_object_get(h.last, "message"));
    assert_non_null(strstr(message, "bytes cut"));
    assert_int_equal(strncmp(message, text, 60000), 0);
    assert_string_equal(json_string_value(json_object_get(h.last, "name")), "kept");
    json_decref(h.last);
    vt_free(text);
    unlink(path);
}

static void test_failed_write_is_told(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY);
    struct vt_event_writer *w = vt_event_writer_new(fd);
    vt_event_write(w, vt_event_new("a"));
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_event_flush(w, &err), VT_EIO);
    err = (struct vt_error)VT_ERROR_INIT;
    vt_event_write(w, vt_event_new("b"));
    assert_int_equal(vt_event_flush(w, &err), VT_EIO); /* remembered */
    vt_event_writer_free(w);
    close(fd);
}

static void test_outcomes(void **state)
{
    (void)state;
    for (int i = 0; i < VT_OUTCOME_COUNT_; i++)
        assert_int_equal(vt_outcome_parse(vt_outcome_name((enum vt_outcome)i)), i);
    assert_int_equal(vt_outcome_parse("Passed"), VT_OUTCOME_COUNT_);
    assert_int_equal(vt_outcome_parse(NULL), VT_OUTCOME_COUNT_);
    assert_string_equal(vt_outcome_name(VT_OUTCOME_COUNT_), "unknown");
    assert_false(vt_outcome_is_failure(VT_XFAILED));
    assert_true(vt_outcome_is_failure(VT_NOT_RUN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_do_not_matter),
        cmocka_unit_test(test_garbage_is_refused),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_overlong_lines),
        cmocka_unit_test(test_same_answers_from_both_forms),
        cmocka_unit_test(test_job_in_front),
        cmocka_unit_test(test_scanner_leaves_the_rest_to_the_parser),
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_new_events_have_a_time),
        cmocka_unit_test(test_too_long_events_are_cut_not_lost),
        cmocka_unit_test(test_failed_write_is_told),
        cmocka_unit_test(test_outcomes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
