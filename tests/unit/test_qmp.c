/* The QMP session: framing, replies by id, events, and what a peer may do wrong. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "driver/qemu/qmp.h"

#define GREETING                                                                                   \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "             \
    "\"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n"

struct seen {
    struct vt_qmp *qmp;
    struct vt_buf written, events;
    int replies, failures, broken;
    json_int_t value; /* of the last reply */
    struct vt_error error;
    bool free_in_event, command_in_reply;
};

static void on_write(const char *data, size_t n, void *user)
{
    vt_buf_add(&((struct seen *)user)->written, data, n);
}

static void on_event(const char *name, const json_t *data, void *user)
{
    struct seen *s = user;
    assert_true(json_is_object(data));
    vt_buf_printf(&s->events, "%s ", name);
    if (s->free_in_event) {
        vt_qmp_free(s->qmp);
        s->qmp = NULL;
    }
}

static void on_broken(const struct vt_error *why, void *user)
{
    struct seen *s = user;
    s->broken++;
    s->error = *why;
}

static void on_reply(const json_t *result, const struct vt_error *why, void *user)
{
    struct seen *s = user;
    assert_true((result == NULL) == (why != NULL));
    if (why) {
        s->failures++;
        s->error = *why;
    } else {
        s->replies++;
        s->value = json_integer_value(result);
        if (s->command_in_reply) {
            s->command_in_reply = false;
            vt_qmp_command(s->qmp, "next", NULL, on_reply, s);
        }
    }
}

static int setup(void **state)
{
    struct seen *s = vt_calloc(1, sizeof *s);
    const struct vt_qmp_handler handler = {
        .write = on_write, .event = on_event, .broken = on_broken, .user = s};
    s->qmp = vt_qmp_new(&handler);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct seen *s = *state;
    vt_qmp_free(s->qmp);
    vt_buf_free(&s->written);
    vt_buf_free(&s->events);
    vt_free(s);
    return 0;
}

static void feed(struct seen *s, const char *text)
{
    vt_qmp_feed(s->qmp, text, strlen(text));
}

static void test_command_and_reply(void **state)
{
    struct seen *s = *state;
    feed(s, GREETING);
    assert_string_equal(vt_qmp_version(s->qmp), "7.2.22");
    vt_qmp_command(s->qmp, "a", json_pack("{s:s}", "x", "line\nbreak"), on_reply, s);
    assert_string_equal(vt_buf_str(&s->written),
                        "{\"execute\":\"a\",\"id\":1,\"arguments\":{\"x\":\"line\\nbreak\"}}\n");
    feed(s, "{\"return\": 5, \"id\": 1}\r\n");
    assert_int_equal(s->replies, 1);
    assert_int_equal(s->value, 5);
    assert_int_equal(s->broken, 0);
}

static void test_pieces_of_any_size(void **state)
{
    struct seen *s = *state;
    const char *text = GREETING "{\"event\": \"STOP\"}\n\n{\"event\": \"RESUME\", \"data\": {}}\n"
                                "{\"return\": 7, \"id\": 1}\n";
    vt_qmp_command(s->qmp, "a", NULL, on_reply, s);
    for (const char *at = text; *at; at++)
        vt_qmp_feed(s->qmp, at, 1);
    assert_string_equal(vt_buf_str(&s->events), "STOP RESUME ");
    assert_int_equal(s->value, 7);
    assert_int_equal(s->broken, 0);
}

static void test_replies_out_of_order(void **state)
{
    struct seen *s = *state;
    struct seen second = {.replies = 0};
    feed(s, GREETING);
    vt_qmp_command(s->qmp, "a", NULL, on_reply, s);
    vt_qmp_command(s->qmp, "b", NULL, on_reply, &second);
    feed(s, "{\"return\": 20, \"id\": 2}\n{\"return\": 10, \"id\": 1}\n");
    assert_int_equal(s->value, 10);
    assert_int_equal(second.value, 20);
}

static void test_error_has_qemus_words(void **state)
{
    struct seen *s = *state;
    feed(s, GREETING);
    vt_qmp_command(s->qmp, "cont", NULL, on_reply, s);
    feed(s, "{\"id\": 1, \"error\": {\"class\": \"GenericError\", \"desc\": \"no way\"}}\n");
    assert_int_equal(s->failures, 1);
    assert_int_equal(s->error.code, VT_EHYPERVISOR);
    assert_non_null(strstr(s->error.message, "cont"));
    assert_non_null(strstr(s->error.message, "no way"));
}

static void test_forgotten_reply(void **state)
{
    struct seen *s = *state;
    feed(s, GREETING);
    vt_qmp_command(s->qmp, "a", NULL, on_reply, s);
    vt_qmp_forget(s->qmp, s);
    feed(s, "{\"return\": 5, \"id\": 1}\n");
    assert_int_equal(s->replies, 0);
    assert_int_equal(s->broken, 0);
}

static void test_fail_ends_all(void **state)
{
    struct seen *s = *state;
    struct vt_error gone = VT_ERROR_INIT;
    vt_fail(&gone, VT_EGUEST, "vm", "gone");
    vt_qmp_command(s->qmp, "a", NULL, on_reply, s);
    vt_qmp_command(s->qmp, "b", NULL, on_reply, s);
    vt_qmp_fail(s->qmp, &gone);
    assert_int_equal(s->failures, 2);
    assert_string_equal(s->error.message, "gone");
}

static void test_broken_peers(void **state)
{
    static const char *const bad[] = {
        "hello\n",
        "[]\n",
        "{\"event\": \"STOP\"}\n", /* before the greeting */
        GREETING "{\"return\": {}, \"id\": 99}\n",
        GREETING "{\"return\": {}}\n",
        GREETING "{\"return\": {}, \"id\": \"1\"}\n",
        GREETING "{\"error\": {\"desc\": \"JSON parse error\"}}\n",
        GREETING "{\"event\": 5}\n",
        GREETING "{}\n",
        GREETING "{\"a\": \xff}\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        void *one;
        setup(&one);
        struct seen *s = one;
        vt_qmp_command(s->qmp, "a", NULL, on_reply, s);
        feed(s, bad[i]);
        assert_int_equal(s->broken, 1);
        assert_int_equal(s->failures, 1); /* what was under way does not wait for ever */
        assert_int_equal(s->error.code, VT_EPROTO);
        feed(s, GREETING "{\"return\": 1, \"id\": 1}\nrubbish\n");
        assert_int_equal(s->broken, 1);
        assert_int_equal(s->replies, 0);
        teardown(&one);
    }
    (void)state;
}

static void test_endless_line(void **state)
{
    struct seen *s = *state;
    char piece[65536];
    memset(piece, 'x', sizeof piece);
    for (size_t n = 0; n <= VT_QMP_LINE_MAX && !s->broken; n += sizeof piece)
        vt_qmp_feed(s->qmp, piece, sizeof piece);
    assert_int_equal(s->broken, 1);
    assert_non_null(strstr(s->error.message, "too long"));
}

static void test_callbacks_may_do_anything(void **state)
{
    struct seen *s = *state;
    feed(s, GREETING);
    s->command_in_reply = true;
    vt_qmp_command(s->qmp, "a", NULL, on_reply, s);
    feed(s, "{\"return\": 1, \"id\": 1}\n{\"return\": 2, \"id\": 2}\n");
    assert_int_equal(s->value, 2);
    s->free_in_event = true;
    feed(s, "{\"event\": \"A\"}\n{\"event\": \"B\"}\n");
    assert_string_equal(vt_buf_str(&s->events), "A ");
    assert_null(s->qmp);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_command_and_reply),
        TEST(test_pieces_of_any_size),
        TEST(test_replies_out_of_order),
        TEST(test_error_has_qemus_words),
        TEST(test_forgotten_reply),
        TEST(test_fail_ends_all),
        TEST(test_broken_peers),
        TEST(test_endless_line),
        TEST(test_callbacks_may_do_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
