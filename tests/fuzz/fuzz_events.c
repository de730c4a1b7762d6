/* Any bytes as a stream of events, in pieces of any size: the pieces must not matter. And every
 * line as the scanner sees it: what it takes jansson must take too, with the same values. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "event/scan.h"
#include "vmtest/event.h"

struct count {
    size_t events, bad;
};

static void on_event(const struct vt_event *event, void *user)
{
    struct count *count = user;
    if (!vt_event_text(event, "type").data || event->type >= VT_EVENT_TYPE_COUNT_)
        abort();
    count->events++;
}

static void on_bad(const char *line, const char *why, void *user)
{
    struct count *count = user;
    if (strlen(line) > 200 || !*why)
        abort();
    count->bad++;
}

static struct count read_in_pieces(const char *data, size_t size, size_t piece)
{
    struct count count = {0};
    struct vt_event_reader *r = vt_event_reader_new(0, on_event, on_bad, &count);
    for (size_t at = 0; at < size; at += piece)
        vt_event_reader_feed(r, data + at, size - at < piece ? size - at : piece);
    vt_event_reader_free(r);
    return count;
}

static bool same_value(const struct vt_event *e, const char *key, json_t *value)
{
    struct vt_text text = vt_event_text(e, key);
    if (text.size != json_string_length(value) || !text.data != !json_is_string(value) ||
        (text.size && memcmp(text.data, json_string_value(value), text.size) != 0))
        return false;
    if (vt_event_int(e, key, -7) != (json_is_integer(value) ? json_integer_value(value) : -7))
        return false;
    double num = vt_event_num(e, key, -7),
           wanted = json_is_number(value) ? json_number_value(value) : -7;
    if (memcmp(&num, &wanted, sizeof num) != 0)
        return false;
    json_t *own = vt_event_member(e, key);
    bool same = json_equal(own, value);
    json_decref(own);
    return same;
}

static void check_object(const struct vt_event *e, json_t *tree);

/* The objects of an array, in order. */
static void check_items(const struct vt_event *e, const char *key, json_t *array)
{
    struct vt_event_items items = vt_event_items(e, key);
    struct vt_event item;
    size_t i;
    json_t *value;
    json_array_foreach(array, i, value)
    {
        if (!json_is_object(value))
            continue;
        if (!vt_event_next(&items, &item))
            abort();
        check_object(&item, value);
    }
    if (vt_event_next(&items, &item))
        abort();
}

static void check_object(const struct vt_event *e, json_t *tree)
{
    const char *key;
    json_t *value, *own = vt_event_json(e);
    if (!json_equal(own, tree))
        abort();
    json_decref(own);
    json_object_foreach(tree, key, value)
    {
        if (!same_value(e, key, value))
            abort();
        check_items(e, key, value);
    }
}

static void compare(const char *line, size_t n)
{
    /* of just that size, so that a byte read too many is seen */
    char *exact = malloc(n ? n : 1);
    if (!exact)
        return;
    memcpy(exact, line, n);
    struct vt__nodes nodes = {0};
    if (vt__scan(&nodes, exact, n)) {
        struct vt_event event = {.line = exact, .size = n, .nodes = nodes.list};
        json_t *tree = json_loadb(exact, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        if (!json_is_object(tree))
            abort();
        check_object(&event, tree);
        json_decref(tree);
    }
    vt__nodes_free(&nodes);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    const char *text = (const char *)data + 1;
    struct count whole = read_in_pieces(text, size - 1, size);
    struct count parts = read_in_pieces(text, size - 1, (size_t)data[0] % 7 + 1);
    if (memcmp(&whole, &parts, sizeof whole) != 0)
        abort();
    compare(text, size - 1);
    struct vt_buf wrapped = VT_BUF_INIT; /* sooner JSON than the bare bytes are */
    vt_buf_puts(&wrapped, "{\"type\":\"a\",\"x\":[");
    vt_buf_add(&wrapped, text, size - 1);
    vt_buf_puts(&wrapped, "],\"y\":{\"a\":1}}");
    compare(wrapped.data, wrapped.len);
    vt_buf_free(&wrapped);
    return 0;
}
