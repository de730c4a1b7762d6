/* The session with a monitor: framing, replies by id, events, and what a peer may do wrong; in a
 * dialect of its own, and what QMP's adds. That of vmtest-vz is in test_vz.c. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/qmp.h"
#include "loop/op.h"

#define GREETING "{\"hi\": true}\n"
#define QMP_GREETING                                                                               \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "             \
    "\"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n"
#define LINE_MAX_HERE 200

struct seen {
    struct vt_monitor *monitor;
    struct vt_buf written, events;
    char *version; /* of QEMU */
    int greetings, replies, failures, broken;
    json_int_t value; /* of the last reply */
    struct vt_error error;
    bool free_in_event, free_in_reply, request_in_reply;
};

static void ask(json_t *line, const char *name, json_t *arguments)
{
    json_object_set_new(line, "do", json_string(name));
    if (arguments)
        json_object_set(line, "with", arguments);
}

static bool greets(const json_t *message, struct vt_error *why)
{
    if (json_is_false(json_object_get(message, "hi")))
        vt_fail(why, VT_EUNSUPPORTED, "test", "unwilling");
    return json_is_true(json_object_get(message, "hi"));
}

static const json_t *answer(const json_t *message, const char *name, struct vt_error *why)
{
    const char *no = vt_json_str(message, "no", NULL);
    if (no)
        vt_fail(why, VT_EHYPERVISOR, "test", "%s: %s", name, no);
    return no ? NULL : json_object_get(message, "yes");
}

static const struct vt_monitor_dialect dialect = {
    .op = "test",
    .peer = "the peer",
    .line_max = LINE_MAX_HERE,
    .request = ask,
    .greeting = greets,
    .result = answer,
};

static void on_write(const char *data, size_t n, void *user)
{
    vt_buf_add(&((struct seen *)user)->written, data, n);
}

static void on_greeted(const json_t *greeting, void *user)
{
    struct seen *s = user;
    s->greetings++;
    s->version = json_object_get(greeting, "QMP") ? vt_qmp_version(greeting) : NULL;
}

static void free_monitor(struct seen *s)
{
    vt_monitor_free(s->monitor);
    s->monitor = NULL;
}

static void on_event(const char *name, const json_t *event, void *user)
{
    struct seen *s = user;
    assert_string_equal(vt_json_str(event, "event", ""), name);
    vt_buf_printf(&s->events, "%s ", name);
    if (s->free_in_event)
        free_monitor(s);
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
    }
    if (s->request_in_reply) {
        s->request_in_reply = false;
        vt_monitor_request(s->monitor, "next", NULL, on_reply, s);
    }
    if (s->free_in_reply)
        free_monitor(s);
}

static struct seen *begin(const struct vt_monitor_dialect *of)
{
    struct seen *s = vt_calloc(1, sizeof *s);
    const struct vt_monitor_handler handler = {.write = on_write,
                                               .greeted = on_greeted,
                                               .event = on_event,
                                               .broken = on_broken,
                                               .user = s};
    s->monitor = vt_monitor_new(of, &handler);
    return s;
}

static void end(struct seen *s)
{
    free_monitor(s);
    vt_buf_free(&s->written);
    vt_buf_free(&s->events);
    vt_free(s->version);
    vt_free(s);
}

static int setup(void **state)
{
    *state = begin(&dialect);
    return 0;
}

static int teardown(void **state)
{
    end(*state);
    return 0;
}

static void feed(struct seen *s, const char *text)
{
    vt_monitor_feed(s->monitor, text, strlen(text));
}

static void test_request_and_reply(void **state)
{
    struct seen *s = *state;
    feed(s, GREETING);
    assert_int_equal(s->greetings, 1);
    vt_monitor_request(s->monitor, "a", json_pack("{s:s}", "x", "line\nbreak"), on_reply, s);
    vt_monitor_request(s->monitor, "b", NULL, NULL, NULL);
    assert_string_equal(vt_buf_str(&s->written),
                        "{\"id\":1,\"do\":\"a\",\"with\":{\"x\":\"line\\nbreak\"}}\n"
                        "{\"id\":2,\"do\":\"b\"}\n");
    feed(s, "{\"yes\": 5, \"id\": 1}\r\n{\"yes\": 6, \"id\": 2}\n");
    assert_int_equal(s->replies, 1);
    assert_int_equal(s->value, 5);
    assert_int_equal(s->broken, 0);
}

static void test_pieces_of_any_size(void **state)
{
    struct seen *s = *state;
    const char *text = GREETING "{\"event\": \"STOP\"}\n\n \r\n{\"event\": \"RESUME\", \"x\": {}}\n"
                                "{\"yes\": 7, \"id\": 1}\n";
    vt_monitor_request(s->monitor, "a", NULL, on_reply, s);
    for (const char *at = text; *at; at++)
        vt_monitor_feed(s->monitor, at, 1);
    assert_string_equal(vt_buf_str(&s->events), "STOP RESUME ");
    assert_int_equal(s->value, 7);
    assert_int_equal(s->broken, 0);
}

static void test_replies_out_of_order(void **state)
{
    struct seen *s = *state;
    struct seen others[3] = {{.replies = 0}};
    feed(s, GREETING);
    for (int i = 0; i < 3; i++)
        vt_monitor_request(s->monitor, "a", NULL, on_reply, &others[i]);
    feed(s, "{\"yes\": 20, \"id\": 2}\n{\"yes\": 30, \"id\": 3}\n");
    vt_monitor_request(s->monitor, "b", NULL, on_reply, s); /* behind the one that is left */
    feed(s, "{\"yes\": 10, \"id\": 1}\n{\"yes\": 40, \"id\": 4}\n");
    for (int i = 0; i < 3; i++)
        assert_int_equal(others[i].value, 10 * (i + 1));
    assert_int_equal(s->value, 40);
    assert_int_equal(s->broken, 0);
}

static void test_refusal(void **state)
{
    struct seen *s = *state;
    feed(s, GREETING);
    vt_monitor_request(s->monitor, "cont", NULL, on_reply, s);
    feed(s, "{\"id\": 1, \"no\": \"never\"}\n");
    assert_int_equal(s->failures, 1);
    assert_int_equal(s->error.code, VT_EHYPERVISOR);
    assert_string_equal(s->error.message, "cont: never");
    assert_int_equal(s->broken, 0);
}

static void test_forgotten_reply(void **state)
{
    struct seen *s = *state;
    struct seen other = {.replies = 0};
    feed(s, GREETING);
    vt_monitor_request(s->monitor, "a", NULL, on_reply, s);
    vt_monitor_request(s->monitor, "b", NULL, on_reply, &other);
    vt_monitor_forget(s->monitor, s);
    feed(s, "{\"yes\": 5, \"id\": 1}\n{\"yes\": 6, \"id\": 2}\n");
    assert_int_equal(s->replies, 0);
    assert_int_equal(other.value, 6);
    assert_int_equal(s->broken, 0);
}

static void test_fail_ends_all(void **state)
{
    struct seen *s = *state;
    struct vt_error gone = VT_ERROR_INIT;
    vt_fail(&gone, VT_EGUEST, "vm", "gone");
    vt_monitor_request(s->monitor, "a", NULL, on_reply, s);
    vt_monitor_request(s->monitor, "b", NULL, on_reply, s);
    vt_monitor_fail(s->monitor, &gone);
    assert_int_equal(s->failures, 2);
    assert_string_equal(s->error.message, "gone");
    assert_int_equal(s->broken, 0);
    vt_monitor_request(s->monitor, "c", NULL, on_reply, s);
    vt_monitor_request(s->monitor, "d", NULL, on_reply, s);
    s->free_in_reply = true;
    vt_monitor_fail(s->monitor, &gone);
    assert_int_equal(s->failures, 3); /* none is told after it was freed */
}

static void test_broken_peers(void **state)
{
    static const struct {
        const char *said, *why;
        enum vt_code code;
    } bad[] = {
        {"hello\n", "not JSON", VT_EPROTO},
        {"[]\n", "not JSON", VT_EPROTO},
        {"{\"event\": \"STOP\"}\n", "no greeting", VT_EPROTO},
        {"{\"hi\": false}\n", "unwilling", VT_EUNSUPPORTED},
        {GREETING "{\"yes\": {}, \"id\": 99}\n", "no request", VT_EPROTO},
        {GREETING "{\"yes\": {}, \"id\": \"1\"}\n", "no request", VT_EPROTO},
        {GREETING "{\"yes\": {}, \"id\": 1.0}\n", "no request", VT_EPROTO},
        {GREETING "{\"id\": 1}\n", "no request", VT_EPROTO}, /* neither yes nor no */
        {GREETING "{\"error\": {\"desc\": \"what?\"}}\n", "what?", VT_EPROTO},
        {GREETING "{\"event\": 5}\n", "neither", VT_EPROTO},
        {GREETING "{}\n", "neither", VT_EPROTO},
        {GREETING "{\"a\": \xff}\n", "not JSON", VT_EPROTO},
        {GREETING "{\"id\": 1, \"yes\"\n: 1}\n", "not JSON", VT_EPROTO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct seen *s = begin(&dialect);
        vt_monitor_request(s->monitor, "a", NULL, on_reply, s);
        feed(s, bad[i].said);
        assert_int_equal(s->broken, 1);
        assert_int_equal(s->failures, 1); /* what was under way does not wait for ever */
        assert_int_equal(s->error.code, bad[i].code);
        assert_non_null(strstr(s->error.message, bad[i].why));
        feed(s, GREETING "{\"yes\": 1, \"id\": 1}\nrubbish\n");
        assert_int_equal(s->broken, 1);
        assert_int_equal(s->replies, 0);
        end(s);
    }
}

static void test_long_lines(void **state)
{
    struct seen *s = *state;
    char line[LINE_MAX_HERE + 1];
    feed(s, GREETING);
    for (int i = 0; i < 3; i++) { /* the bound is each line's */
        memset(line, ' ', sizeof line);
        memcpy(line, "{\"event\": \"E\"}", 14);
        vt_monitor_feed(s->monitor, line, LINE_MAX_HERE / 2);
        vt_monitor_feed(s->monitor, line + LINE_MAX_HERE / 2, LINE_MAX_HERE - LINE_MAX_HERE / 2);
        assert_int_equal(s->broken, 0);
        feed(s, "\n");
    }
    assert_string_equal(vt_buf_str(&s->events), "E E E ");
    vt_monitor_feed(s->monitor, line, sizeof line); /* is not waited for to end */
    assert_int_equal(s->broken, 1);
    assert_non_null(strstr(s->error.message, "the peer broke its protocol: a line is too long"));
}

static void test_flood_of_events(void **state)
{
    struct seen *s = *state;
    struct vt_buf flood = VT_BUF_INIT;
    vt_buf_puts(&flood, GREETING);
    for (int i = 0; i < 20000; i++)
        vt_buf_puts(&flood, "{\"event\": \"E\", \"n\": 1}\n");
    vt_buf_puts(&flood, "{\"yes\": 9, \"id\": 1}\n");
    vt_monitor_request(s->monitor, "a", NULL, on_reply, s);
    vt_monitor_feed(s->monitor, flood.data, flood.len);
    vt_buf_free(&flood);
    assert_int_equal(s->events.len, 2 * 20000);
    assert_int_equal(s->value, 9); /* the reply behind them */
}

static void test_callbacks_may_do_anything(void **state)
{
    struct seen *s = *state;
    feed(s, GREETING);
    s->request_in_reply = true;
    vt_monitor_request(s->monitor, "a", NULL, on_reply, s);
    feed(s, "{\"yes\": 1, \"id\": 1}\n{\"yes\": 2, \"id\": 2}\n");
    assert_int_equal(s->value, 2);
    vt_monitor_request(s->monitor, "b", NULL, on_reply, s); /* is dropped without a reply */
    s->free_in_event = true;
    feed(s, "{\"event\": \"A\"}\n{\"event\": \"B\"}\n");
    assert_string_equal(vt_buf_str(&s->events), "A ");
    assert_int_equal(s->replies + s->failures, 2);
    assert_null(s->monitor);
}

static void on_done(struct vt_op *op, void *user)
{
    const struct vt_error *why = vt_op_error(op);
    *(int *)user = why ? (int)why->code : VT_OK;
}

static void test_operations(void **state)
{
    static const struct vt_op_class asks = {.name = "ask"};
    static const char *const replies[] = {"{\"yes\": 1, \"id\": 1}\n",
                                          "{\"no\": \"never\", \"id\": 2}\n", NULL};
    static const int codes[] = {VT_OK, VT_EHYPERVISOR, VT_ESTATE};
    struct seen *s = *state;
    struct vt_loop *loop = vt_loop_new(NULL);
    feed(s, GREETING);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        int code = -1;
        struct vt_op *op = vt_op_new(sizeof *op, &asks, loop, 10, on_done, &code);
        vt_monitor_request_op(replies[i] ? s->monitor : NULL, "a", op, "one");
        assert_int_equal(vt_op_ended(op), !replies[i]);
        if (replies[i])
            feed(s, replies[i]);
        while (vt_loop_active(loop))
            vt_loop_run_once(loop, true);
        assert_int_equal(code, codes[i]);
    }
    vt_loop_free(loop);
}

static void test_qmp(void **state)
{
    struct seen *s = begin(&vt_qmp);
    (void)state;
    feed(s, QMP_GREETING);
    assert_string_equal(s->version, "7.2.22");
    vt_monitor_request(s->monitor, "a", json_pack("{s:i}", "x", 1), on_reply, s);
    vt_monitor_request(s->monitor, "cont", NULL, on_reply, s);
    assert_string_equal(vt_buf_str(&s->written),
                        "{\"id\":1,\"execute\":\"a\",\"arguments\":{\"x\":1}}\n"
                        "{\"id\":2,\"execute\":\"cont\"}\n");
    feed(s, "{\"timestamp\": {}, \"event\": \"STOP\"}\r\n{\"return\": 5, \"id\": 1}\r\n");
    assert_string_equal(vt_buf_str(&s->events), "STOP ");
    assert_int_equal(s->value, 5);
    feed(s, "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"no way\"}}\n");
    assert_int_equal(s->failures, 1);
    assert_int_equal(s->error.code, VT_EHYPERVISOR);
    assert_string_equal(s->error.message, "QEMU refused cont: no way");
    feed(s, "{\"error\": {\"desc\": \"JSON parse error\"}}\n");
    assert_int_equal(s->broken, 1);
    assert_non_null(strstr(s->error.message, "JSON parse error"));
    end(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_and_reply),    TEST(test_pieces_of_any_size),
        TEST(test_replies_out_of_order), TEST(test_refusal),
        TEST(test_forgotten_reply),      TEST(test_fail_ends_all),
        TEST(test_broken_peers),         TEST(test_long_lines),
        TEST(test_flood_of_events),      TEST(test_callbacks_may_do_anything),
        TEST(test_operations),           cmocka_unit_test(test_qmp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
