#include "run/ledger.h"

#include <string.h>

#include "core/json.h"
#include "core/mem.h"

#define TESTS_MAX 1000000 /* per job */

static void planned(struct vt_ledger *l, const struct vt_event *test)
{
    int64_t id = vt_event_int(test, "id", 0);
    if (id < 1 || id > TESTS_MAX)
        return;
    size_t i = (size_t)id - 1;
    if (i >= l->room) {
        l->room = i < 512 ? 1024 : i * 2;
        l->tests = vt_realloc(l->tests, l->room * sizeof *l->tests);
    }
    for (; l->n <= i; l->n++)
        l->tests[l->n] = (struct vt_ledger_test){0};
    l->tests[i].at = l->plan.len;
    vt_event_print(test, &l->plan);
    l->tests[i].size = l->plan.len - l->tests[i].at;
    if (i < l->ended)
        l->ended = i;
}

static void test_end(struct vt_ledger *l, const struct vt_event *event)
{
    int64_t id = vt_event_int(event, "id", 0);
    l->counts[vt_event_outcome(event)]++;
    if (id < 1 || (size_t)id > l->n)
        return;
    l->tests[id - 1].size = 0;
    if ((size_t)id == l->running)
        l->running = 0;
}

void vt__ledger_event(struct vt_ledger *l, const struct vt_event *event)
{
    struct vt_event test;
    struct vt_event_items tests;
    int64_t id;
    switch (event->type) {
    case VT_EVENT_PLAN:
        tests = vt_event_items(event, "tests");
        while (vt_event_next(&tests, &test))
            planned(l, &test);
        break;
    case VT_EVENT_TEST_START:
        id = vt_event_int(event, "id", 0);
        l->running = id >= 1 && (size_t)id <= l->n ? (size_t)id : 0;
        break;
    case VT_EVENT_TEST_END:
        test_end(l, event);
        break;
    case VT_EVENT_SUITE_ERROR:
        if (vt_event_is(event, "stage", "load"))
            l->load_error = true;
        else
            l->setup_error = true;
        break;
    default:
        break;
    }
}

static json_t *end_of(const struct vt_ledger *l, const struct vt_ledger_test *of,
                      enum vt_outcome outcome, const char *message, const char *reason)
{
    json_t *event = vt_event_new("test_end"), *test;
    vt_json_parse(l->plan.data + of->at, of->size, "plan", &test, NULL);
    static const char *const copied[] = {"id", "name", "class", "file", "line"};
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
        if (json_object_get(test, copied[i]))
            json_object_set(event, copied[i], json_object_get(test, copied[i]));
    json_object_set_new(event, "outcome", json_string(vt_outcome_name(outcome)));
    json_object_set_new(event, "by", json_string("parent"));
    if (message)
        vt_json_set_text(event, "message", message, strlen(message));
    if (reason)
        vt_json_set_text(event, "reason", reason, strlen(reason));
    json_decref(test);
    return event;
}

json_t *vt__ledger_missing(struct vt_ledger *l, enum vt_outcome running_outcome, const char *why,
                           const char *reason)
{
    if (l->running && l->tests[l->running - 1].size)
        return end_of(l, &l->tests[l->running - 1], running_outcome, why, NULL);
    while (l->ended < l->n && !l->tests[l->ended].size)
        l->ended++;
    return l->ended < l->n ? end_of(l, &l->tests[l->ended], VT_NOT_RUN, NULL, reason) : NULL;
}

void vt__ledger_free(struct vt_ledger *l)
{
    vt_buf_free(&l->plan);
    vt_free(l->tests);
    *l = (struct vt_ledger){0};
}
