/* Live progress, as a pipe gets it and as a small terminal shows it. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/sys.h"
#include "report/screen.h"
#include "vmtest/report.h"

/* --- a terminal --- */

#define ROWS 400
#define COLUMNS 200

struct terminal {
    char cells[ROWS][COLUMNS + 1];
    size_t row, column;
    size_t clears; /* of the rest of the screen: one for each drawing */
};

static void erase_from(struct terminal *t, size_t column)
{
    memset(t->cells[t->row] + column, '\0', COLUMNS - column);
}

static const char *escape(struct terminal *t, const char *p)
{
    unsigned n = 0;
    assert_int_equal(*p++, '[');
    for (; *p >= '0' && *p <= '9'; p++)
        n = n * 10 + (unsigned)(*p - '0');
    if (*p == 'A') {
        assert_true(t->row >= n);
        t->row -= n;
    } else if (*p == 'K') {
        erase_from(t, t->column);
    } else if (*p == 'J') {
        size_t row = t->row;
        erase_from(t, t->column);
        for (t->row++; t->row < ROWS; t->row++)
            erase_from(t, 0);
        t->row = row;
        t->clears++;
    } else {
        assert_int_equal(*p, 'm');
    }
    return p;
}

/* Shows what was written; characters must not run over the edge. */
static void show(struct terminal *t, const char *p, size_t width)
{
    memset(t, 0, sizeof *t);
    for (; *p; p++) {
        if (*p == '\x1b') {
            p = escape(t, p + 1);
        } else if (*p == '\r') {
            t->column = 0;
        } else if (*p == '\n') {
            t->row++;
            t->column = 0;
            assert_true(t->row < ROWS);
        } else {
            assert_true((unsigned char)*p >= 0x20);
            assert_true(t->column < width);
            t->cells[t->row][t->column++] = *p;
        }
    }
}

static bool on_screen(const struct terminal *t, const char *text)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strstr(t->cells[i], text))
            return true;
    return false;
}

/* --- events --- */

struct view {
    char *text;
    size_t size;
    FILE *out;
    struct vt_progress *progress;
};

static void view_open(struct view *v, bool tty, bool color, bool verbose, int width)
{
    *v = (struct view){0};
    v->out = open_memstream(&v->text, &v->size);
    const struct vt_progress_opts opts = {
        .out = v->out, .tty = tty, .color = color, .verbose = verbose, .width = width};
    v->progress = vt_progress_new(&opts);
}

static void view_close(struct view *v)
{
    vt_progress_free(v->progress);
    v->progress = NULL;
    fclose(v->out);
}

static void on_event(const struct vt_event *event, void *user)
{
    struct view *v = user;
    vt_progress_event(v->progress, event);
}

static void on_bad(const char *line, const char *why, void *user)
{
    (void)user;
    fail_msg("%s: %s", line, why);
}

static void tell(struct view *v, const char *json)
{
    struct vt_event_reader *r = vt_event_reader_new(0, on_event, on_bad, v);
    vt_event_reader_feed(r, json, strlen(json));
    vt_event_reader_feed(r, "\n", 1);
    vt_event_reader_free(r);
}

static void tell_beginning(struct view *v)
{
    tell(v, "{\"type\":\"run_start\",\"run\":\"r1\",\"results\":\"/out/r1\",\"jobs\":"
            "[{\"job\":1,\"suite\":\"wifi.lua\"}]}");
    tell(v, "{\"type\":\"job_start\",\"job\":1,\"suite\":\"wifi.lua\",\"results\":\"1-wifi\"}");
    tell(v, "{\"type\":\"plan\",\"job\":1,\"tests\":[{\"id\":1},{\"id\":2},{\"id\":3}]}");
    tell(v, "{\"type\":\"vm_state\",\"job\":1,\"vm\":\"web\",\"state\":\"starting\","
            "\"info\":{\"driver\":\"qemu\",\"accel\":\"tcg\",\"image\":\"small\"}}");
}

static void tell_booted(struct view *v)
{
    tell(v, "{\"type\":\"vm_state\",\"job\":1,\"vm\":\"web\",\"state\":\"running\"}");
    tell(v, "{\"type\":\"op\",\"job\":1,\"vm\":\"web\",\"op\":\"start\",\"ms\":2100}");
}

static void tell_tests(struct view *v)
{
    tell(v, "{\"type\":\"test_start\",\"job\":1,\"id\":1,\"name\":\"T.testOne\",\"class\":\"T\"}");
    tell(v, "{\"type\":\"test_end\",\"job\":1,\"id\":1,\"name\":\"T.testOne\",\"class\":\"T\","
            "\"outcome\":\"passed\",\"duration\":0.1}");
    tell(v, "{\"type\":\"test_start\",\"job\":1,\"id\":2,\"name\":\"testTwo\",\"class\":\"T\"}");
    tell(v, "{\"type\":\"op\",\"job\":1,\"vm\":\"web\",\"op\":\"exec\",\"argv\":[\"id\",\"-u\"],"
            "\"status\":3,\"ms\":5,\"out\":{\"file\":\"web/ops.log\",\"offset\":0,\"size\":1}}");
    tell(v, "{\"type\":\"test_end\",\"job\":1,\"id\":2,\"name\":\"testTwo\",\"class\":\"T\","
            "\"outcome\":\"failed\",\"duration\":1.5,\"message\":\"expected: 0\\nactual: 3\","
            "\"file\":\"wifi.lua\",\"line\":12}");
    tell(v, "{\"type\":\"test_end\",\"job\":1,\"id\":3,\"name\":\"testThree\",\"class\":\"T\","
            "\"outcome\":\"skipped\",\"reason\":\"no radio\"}");
    tell(v, "{\"type\":\"job_end\",\"job\":1,\"outcome\":\"failed\",\"reason\":\"\","
            "\"duration\":4}");
}

static void tell_end(struct view *v)
{
    tell(v, "{\"type\":\"run_end\",\"exit\":1,\"duration\":4.5,\"counts\":{}}");
}

static const char expected[] = "vm web: booted in 2.1s (qemu, tcg, image small)\n"
                               "failed wifi.lua: T.testTwo 1.5s\n"
                               "    expected: 0\n"
                               "    actual: 3\n"
                               "    at wifi.lua:12\n"
                               "    transcript: /out/r1/1-wifi/web/ops.log\n"
                               "skipped wifi.lua: T.testThree (no radio)\n"
                               "wifi.lua: 1 failed, 1 passed, 1 skipped in 4.0s\n"
                               "1 failed, 1 passed, 1 skipped in 4.5s\n"
                               "on qemu, tcg, image small\n"
                               "results in /out/r1\n";

static void test_pipe(void **state)
{
    (void)state;
    struct view v;
    view_open(&v, false, false, false, 0);
    tell_beginning(&v);
    tell_booted(&v);
    vt_progress_tick(v.progress);
    tell_tests(&v);
    tell_end(&v);
    view_close(&v);
    assert_string_equal(v.text, expected);
    free(v.text);
}

static void test_verbose_pipe(void **state)
{
    (void)state;
    struct view v;
    view_open(&v, false, false, true, 0);
    tell_beginning(&v);
    tell_booted(&v);
    tell(&v, "{\"type\":\"output\",\"job\":1,\"stream\":\"stdout\",\"text\":\"printed\\n\"}");
    tell_tests(&v);
    view_close(&v);
    assert_non_null(strstr(v.text, "passed wifi.lua: T.testOne"));
    assert_non_null(strstr(v.text, "vm web: exec id -u -> 3"));
    assert_non_null(strstr(v.text, "vm web: starting"));
    assert_non_null(strstr(v.text, "    printed\n"));
    free(v.text);
}

static void test_terminal(void **state)
{
    (void)state;
    static struct terminal t;
    struct view v;
    view_open(&v, true, false, false, 60);
    tell_beginning(&v);
    vt_progress_tick(v.progress);
    show(&t, v.text, 60);
    assert_true(on_screen(&t, "0 of 3 tests"));
    assert_true(on_screen(&t, "[web: booting"));
    tell_booted(&v);
    tell(&v, "{\"type\":\"test_start\",\"job\":1,\"id\":1,\"name\":\"T.testOne\",\"class\":\"T\"}");
    vt_progress_tick(v.progress);
    show(&t, v.text, 60);
    assert_true(on_screen(&t, "wifi.lua: T.testOne"));
    assert_true(on_screen(&t, "[web: running"));
    assert_false(on_screen(&t, "booting")); /* rewritten */
    assert_string_equal(t.cells[0], "vm web: booted in 2.1s (qemu, tcg, image small)");
    tell_tests(&v);
    tell_end(&v);
    view_close(&v);
    show(&t, v.text, 200);
    struct vt_buf screen = VT_BUF_INIT;
    for (size_t i = 0; i < ROWS; i++)
        if (t.cells[i][0])
            vt_buf_printf(&screen, "%s\n", t.cells[i]);
    assert_string_equal(screen.data, expected); /* nothing in place is left */
    vt_buf_free(&screen);
    free(v.text);
}

static void test_color_only_when_asked(void **state)
{
    (void)state;
    struct view v;
    view_open(&v, true, true, false, 80);
    tell_beginning(&v);
    tell_tests(&v);
    view_close(&v);
    assert_non_null(strstr(v.text, "\x1b[31mfailed wifi.lua"));
    free(v.text);
    view_open(&v, false, false, false, 80);
    tell_beginning(&v);
    tell_tests(&v);
    view_close(&v);
    assert_null(strchr(v.text, '\x1b'));
    free(v.text);
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

static void test_many_passes_are_few_writes(void **state)
{
    (void)state;
    struct view v;
    view_open(&v, true, false, false, 80);
    tell_beginning(&v);
    double start = vt_monotonic();
    json_t *event = json_loads("{\"type\":\"test_end\",\"job\":1,\"name\":\"t\","
                               "\"outcome\":\"passed\",\"duration\":0.0001}",
                               0, NULL);
    for (int i = 0; i < 10000; i++) {
        json_object_set_new(event, "id", json_integer(i + 1));
        struct vt_event of = vt_event_of(event);
        vt_progress_event(v.progress, &of);
    }
    json_decref(event);
    double took = vt_monotonic() - start;
    vt_progress_tick(v.progress);
    fflush(v.out);
    assert_true((double)count(v.text, "\x1b[J") <= took * 10 + 3);
    assert_non_null(strstr(v.text, "10000 passed"));
    view_close(&v);
    free(v.text);
}

static void test_hostile_text(void **state)
{
    (void)state;
    for (int tty = 0; tty < 2; tty++) {
        struct view v;
        view_open(&v, tty, false, true, 40);
        tell_beginning(&v);
        tell(&v, "{\"type\":\"test_start\",\"job\":1,\"id\":1,"
                 "\"name\":\"\\u001b]0;title\\u0007\\u009b2J\\nx\\ty\\u202e\"}");
        vt_progress_tick(v.progress);
        tell(&v, "{\"type\":\"test_end\",\"job\":1,\"id\":1,\"name\":\"\\u001b[2J\\u0000z\","
                 "\"outcome\":\"failed\",\"message\":\"\\u001b[2J\\r\\u009b1m\\nsecond\"}");
        tell(&v, "{\"type\":\"log\",\"level\":\"error\",\"text\":\"\\u001b[2Jlog\"}");
        tell(&v, "{\"type\":\"output\",\"job\":1,\"text\":\"\\u001b[2Jout\"}");
        view_close(&v);
        assert_null(strstr(v.text, "\x1b[2J"));
        assert_null(strstr(v.text, "\x1b]"));
        assert_null(strstr(v.text, "\xc2\x9b"));
        assert_null(strstr(v.text, "\xe2\x80\xae"));
        assert_non_null(strstr(v.text, "    ?[2J ?1m"));
        free(v.text);
    }
}

static void test_long_messages_are_cut(void **state)
{
    (void)state;
    struct view v;
    view_open(&v, false, false, false, 0);
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_puts(&text, "{\"type\":\"test_end\",\"job\":1,\"id\":1,\"name\":\"t\","
                       "\"outcome\":\"failed\",\"message\":\"");
    for (int i = 0; i < 1000; i++)
        vt_buf_printf(&text, "line %d\\n", i);
    vt_buf_puts(&text, "\"}");
    tell(&v, text.data);
    vt_buf_free(&text);
    view_close(&v);
    assert_non_null(strstr(v.text, "    line 39\n"));
    assert_null(strstr(v.text, "line 40\n"));
    assert_non_null(strstr(v.text, "more bytes in the reports]"));
    free(v.text);
}

static void test_suite_that_fails_as_a_whole(void **state)
{
    (void)state;
    struct view v;
    view_open(&v, false, false, false, 0);
    tell(&v, "{\"type\":\"job_start\",\"job\":1,\"suite\":\"a.lua\"}");
    tell(&v, "{\"type\":\"suite_error\",\"job\":1,\"stage\":\"load\",\"message\":\"no then\"}");
    tell(&v, "{\"type\":\"vm_state\",\"job\":1,\"vm\":\"web\",\"state\":\"crashed\","
             "\"reason\":\"panic\"}");
    tell(&v, "{\"type\":\"job_end\",\"job\":1,\"outcome\":\"crashed\",\"reason\":\"signal 11\"}");
    tell(&v, "{\"type\":\"run_end\",\"duration\":1,\"interrupted\":true}");
    view_close(&v);
    assert_string_equal(v.text, "a.lua: the suite failed in load\n    no then\n"
                                "vm web: crashed: panic\na.lua: crashed: signal 11\n"
                                "a.lua: no test in 0ms\ninterrupted: no test in 1.0s\n"
                                "on no VM\n");
    free(v.text);
}

static void test_events_of_any_shape(void **state)
{
    (void)state;
    static const char *const types[] = {"run_start", "job_start",   "job_end",  "run_end",
                                        "plan",      "test_start",  "test_end", "op",
                                        "vm_state",  "suite_error", "output",   "log"};
    static const char *const rests[] = {
        "",
        ",\"job\":1",
        ",\"job\":-1",
        ",\"job\":1e99",
        ",\"job\":1,\"vm\":5,\"argv\":5",
        ",\"job\":1,\"vm\":\"v\",\"op\":\"start\",\"ms\":\"x\",\"info\":[],\"out\":7",
        ",\"job\":1,\"tests\":{},\"id\":[],\"name\":null,\"outcome\":7,\"duration\":-1e300",
        ",\"jobs\":[1,{\"job\":99999999}],\"options\":5,\"results\":7"};
    struct view v;
    view_open(&v, true, true, true, 1);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        for (size_t k = 0; k < sizeof rests / sizeof *rests; k++) {
            char json[300];
            snprintf(json, sizeof json, "{\"type\":\"%s\"%s}", types[i], rests[k]);
            tell(&v, json);
            vt_progress_tick(v.progress);
        }
    }
    view_close(&v);
    free(v.text);
}

static void expect_fit(const char *text, int columns, const char *fitted)
{
    struct vt_buf out = VT_BUF_INIT;
    vt__text_fit(&out, text, strlen(text), columns);
    assert_string_equal(vt_buf_str(&out), fitted);
    vt_buf_free(&out);
}

static void test_columns(void **state)
{
    (void)state;
    expect_fit("abc", 3, "abc");
    expect_fit("abcd", 3, "ab…");
    expect_fit("日本語", 6, "日本語");
    expect_fit("日本語", 5, "日本…");
    expect_fit("日本語", 4, "日…");
    expect_fit("e\xcc\x81", 1, "e\xcc\x81"); /* a combining accent takes no column */
    expect_fit("éé", 1, "…");
    expect_fit("\xff\xfe", 2, "\xef\xbf\xbd\xef\xbf\xbd");
    expect_fit("", 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_verbose_pipe),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_color_only_when_asked),
        cmocka_unit_test(test_many_passes_are_few_writes),
        cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_long_messages_are_cut),
        cmocka_unit_test(test_suite_that_fails_as_a_whole),
        cmocka_unit_test(test_events_of_any_shape),
        cmocka_unit_test(test_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
