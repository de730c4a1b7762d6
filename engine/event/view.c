/* Events as they are looked at: the same answers from a plain line's nodes and from a tree. */
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "event/scan.h"
#include "event/view.h"
#include "vmtest/event.h"

static bool same(const char *text, size_t n, const char *name)
{
    return !strncmp(text, name, n) && !name[n];
}

static const char *const outcome_names[VT_OUTCOME_COUNT_] = {
    [VT_PASSED] = "passed",       [VT_FAILED] = "failed",   [VT_ERROR] = "error",
    [VT_SKIPPED] = "skipped",     [VT_XFAILED] = "xfailed", [VT_XPASSED] = "xpassed",
    [VT_TIMED_OUT] = "timed_out", [VT_NOT_RUN] = "not_run",
};

const char *vt_outcome_name(enum vt_outcome outcome)
{
    return (unsigned)outcome < VT_OUTCOME_COUNT_ ? outcome_names[outcome] : "unknown";
}

static enum vt_outcome outcome_of(const char *name, size_t n)
{
    int i = 0;
    while (i < VT_OUTCOME_COUNT_ && !same(name, n, outcome_names[i]))
        i++;
    return (enum vt_outcome)i;
}

enum vt_outcome vt_outcome_parse(const char *name)
{
    return name ? outcome_of(name, strlen(name)) : VT_OUTCOME_COUNT_;
}

bool vt_outcome_is_failure(enum vt_outcome outcome)
{
    return outcome != VT_PASSED && outcome != VT_SKIPPED && outcome != VT_XFAILED;
}

static const char *const type_names[VT_EVENT_TYPE_COUNT_] = {
    [VT_EVENT_OTHER] = "",
    [VT_EVENT_RUN_START] = "run_start",
    [VT_EVENT_JOB_START] = "job_start",
    [VT_EVENT_JOB_END] = "job_end",
    [VT_EVENT_RUN_END] = "run_end",
    [VT_EVENT_PLAN] = "plan",
    [VT_EVENT_DEADLINE] = "deadline",
    [VT_EVENT_TEST_START] = "test_start",
    [VT_EVENT_TEST_END] = "test_end",
    [VT_EVENT_SUITE_ERROR] = "suite_error",
    [VT_EVENT_VM_STATE] = "vm_state",
    [VT_EVENT_OP] = "op",
    [VT_EVENT_OUTPUT] = "output",
    [VT_EVENT_LOG] = "log",
};

enum vt_event_type vt__event_type(const struct vt_event *e)
{
    struct vt_text name = vt_event_text(e, "type");
    int i = VT_EVENT_TYPE_COUNT_;
    while (name.data && --i > VT_EVENT_OTHER && !same(name.data, name.size, type_names[i]))
        continue;
    return (enum vt_event_type)i;
}

struct vt_event vt_event_of(json_t *object)
{
    struct vt_event e = {.json = object};
    enum vt_event_type type = vt__event_type(&e);
    e.type = type == VT_EVENT_TYPE_COUNT_ ? VT_EVENT_OTHER : type;
    return e;
}

/* A member of a plain event, or NULL. */
static const struct vt__node *find(const struct vt_event *e, const char *key)
{
    size_t i = e->nodes ? vt__member(e->nodes, e->node, key, strlen(key)) : 0;
    return i ? &e->nodes[i] : NULL;
}

struct vt_text vt_event_text(const struct vt_event *e, const char *key)
{
    const struct vt__node *node = find(e, key);
    if (node && node->kind == VT__STRING)
        return (struct vt_text){node->text, node->size};
    const json_t *value = json_object_get(e->json, key);
    return (struct vt_text){json_string_value(value), json_string_length(value)};
}

bool vt_event_is(const struct vt_event *e, const char *key, const char *text)
{
    struct vt_text value = vt_event_text(e, key);
    return value.data && same(value.data, value.size, text);
}

int64_t vt_event_int(const struct vt_event *e, const char *key, int64_t fallback)
{
    if (!e->nodes)
        return vt_json_int(e->json, key, fallback);
    const struct vt__node *node = find(e, key);
    return node && node->kind == VT__INTEGER ? node->integer : fallback;
}

double vt_event_num(const struct vt_event *e, const char *key, double fallback)
{
    if (!e->nodes)
        return vt_json_num(e->json, key, fallback);
    const struct vt__node *node = find(e, key);
    if (node && node->kind == VT__INTEGER)
        return (double)node->integer;
    return node && node->kind == VT__REAL ? node->real : fallback;
}

enum vt_outcome vt_event_outcome(const struct vt_event *e)
{
    struct vt_text name = vt_event_text(e, "outcome");
    enum vt_outcome outcome = name.data ? outcome_of(name.data, name.size) : VT_ERROR;
    return outcome == VT_OUTCOME_COUNT_ ? VT_ERROR : outcome;
}

static json_t *tree_of(const struct vt__node *node)
{
    switch (node->kind) {
    case VT__OBJECT:
        return json_loadb(node->text, node->size, 0, NULL);
    case VT__ARRAY: /* most often the tags of a test: none */
        return node->size == 2 ? json_array() : json_loadb(node->text, node->size, 0, NULL);
    case VT__STRING:
        return json_stringn(node->text, node->size);
    case VT__INTEGER:
        return json_integer(node->integer);
    case VT__REAL:
        return json_real(node->real);
    case VT__TRUE:
    case VT__FALSE:
        return json_boolean(node->kind == VT__TRUE);
    default:
        return json_null();
    }
}

json_t *vt_event_member(const struct vt_event *e, const char *key)
{
    if (!e->nodes)
        return json_incref(json_object_get(e->json, key));
    const struct vt__node *node = find(e, key);
    return node ? tree_of(node) : NULL;
}

json_t *vt_event_json(const struct vt_event *e)
{
    return e->nodes ? tree_of(&e->nodes[e->node]) : json_incref(e->json);
}

struct vt_event_items vt_event_items(const struct vt_event *e, const char *key)
{
    const struct vt__node *node = find(e, key);
    if (node && node->kind == VT__ARRAY)
        return (struct vt_event_items){
            {.nodes = e->nodes}, (size_t)(node - e->nodes) + 1, node->end};
    json_t *array = json_object_get(e->json, key);
    return (struct vt_event_items){{.json = array}, 0, json_array_size(array)};
}

bool vt_event_next(struct vt_event_items *items, struct vt_event *item)
{
    while (items->next < items->end) {
        const struct vt__node *node = items->of.nodes ? &items->of.nodes[items->next] : NULL;
        json_t *value = node ? NULL : json_array_get(items->of.json, items->next);
        size_t at = items->next;
        items->next = node ? node->end : at + 1;
        if (node && node->kind == VT__OBJECT) {
            *item = (struct vt_event){
                .line = node->text, .size = node->size, .nodes = items->of.nodes, .node = at};
            return true;
        }
        if (json_is_object(value)) {
            *item = (struct vt_event){.json = value};
            return true;
        }
    }
    return false;
}

static int append(const char *text, size_t n, void *user)
{
    vt_buf_add(user, text, n);
    return 0;
}

void vt_event_print(const struct vt_event *e, struct vt_buf *out)
{
    if (e->line)
        vt_buf_add(out, e->line, e->size);
    else
        json_dump_callback(e->json, append, out, JSON_COMPACT);
}
