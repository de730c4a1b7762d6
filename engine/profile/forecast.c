/* What another version of the schema changes for what is in a profile. */
#include <string.h>

#include "core/mem.h"
#include "profile/facts.h"
#include "profile/findings.h"

struct forecast {
    const struct vt_profile *profile;
    const struct vt_facts *from, *to;
    struct vt_findings *out;
    struct vt_buf path;
};

static size_t enter(struct forecast *f, const char *key, size_t i)
{
    size_t mark = f->path.len;
    if (key)
        vt_buf_printf(&f->path, "%s%s", mark ? "." : "", key);
    else
        vt_buf_printf(&f->path, "[%zu]", i);
    return mark;
}

static void leave(struct forecast *f, size_t mark)
{
    f->path.len = mark;
    f->path.data[mark] = '\0';
}

static bool same_text(const char *a, const char *b)
{
    return (!a && !b) || (a && b && !strcmp(a, b));
}

static struct vt_finding *find(struct forecast *f, enum vt_rule_id rule, plist_t node,
                               const char *what, const char *change, const char *detail)
{
    struct vt_finding *finding = vt_find(f->out, rule, f->profile, vt_buf_str(&f->path), node,
                                         "%s %s%s", what, change, detail ? detail : "");
    finding->os = vt_strdup(f->to->name);
    return finding;
}

static void compare_availability(struct forecast *f, const struct vt_availability *a,
                                 const struct vt_availability *b, plist_t node, const char *what)
{
    if (b->removed && !same_text(a->removed, b->removed))
        find(f, VT_RULE_FORECAST_REMOVED, node, what, "is removed in macOS ", b->removed);
    if (b->deprecated && !same_text(a->deprecated, b->deprecated))
        find(f, VT_RULE_FORECAST_DEPRECATED, node, what, "is deprecated since macOS ",
             b->deprecated);
    if (b->introduced && !same_text(a->introduced, b->introduced))
        find(f, VT_RULE_FORECAST_CHANGED, node, what, "is now said to be introduced in macOS ",
             b->introduced);
    const struct {
        enum vt_flag was, is;
        const char *change;
    } flags[] = {
        {a->multiple, b->multiple, "may now be there several times: "},
        {a->device, b->device, "is for the device channel now: "},
        {a->user, b->user, "is for the user channel now: "},
        {a->user_approved, b->user_approved, "needs user-approved MDM now: "},
        {a->supervised, b->supervised, "needs supervision now: "},
        {a->manual, b->manual, "may be installed by hand now: "},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].was != flags[i].is && flags[i].is != VT_UNSAID)
            find(f, VT_RULE_FORECAST_CHANGED, node, what, flags[i].change,
                 flags[i].is == VT_FLAG_YES ? "yes" : "no");
}

static bool listed(const struct vt_fact *fact, const char *value)
{
    for (size_t i = 0; i < fact->n_one_of; i++)
        if (!strcmp(fact->one_of[i], value))
            return true;
    return false;
}

static void compare_fact(struct forecast *f, const struct vt_fact *a, const struct vt_fact *b,
                         plist_t node)
{
    compare_availability(f, &a->availability, &b->availability, node, "the key");
    if (a->kind != b->kind)
        find(f, VT_RULE_FORECAST_CHANGED, node, "the key",
             "is to be of another type now: ", vt_kind_name(b->kind));
    for (size_t i = 0; b->n_one_of && i < a->n_one_of; i++)
        if (!listed(b, a->one_of[i]))
            find(f, VT_RULE_FORECAST_CHANGED, node, "the key", "no longer takes the value ",
                 a->one_of[i]);
    for (size_t i = 0; a->n_one_of && i < b->n_one_of; i++)
        if (!listed(a, b->one_of[i]))
            find(f, VT_RULE_FORECAST_ADDED, node, "the key", "takes a new value: ", b->one_of[i]);
    if (!same_text(a->min, b->min))
        find(f, VT_RULE_FORECAST_CHANGED, node, "the key",
             "has another least value now: ", b->min ? b->min : "none");
    if (!same_text(a->max, b->max))
        find(f, VT_RULE_FORECAST_CHANGED, node, "the key",
             "has another greatest value now: ", b->max ? b->max : "none");
}

static void compare_lists(struct forecast *f, int from, int to, plist_t dict);

static void compare_value(struct forecast *f, const struct vt_fact *a, const struct vt_fact *b,
                          plist_t value)
{
    if (a->sub < 0 || b->sub < 0)
        return;
    if (vt_plist_is(value, PLIST_DICT)) {
        compare_lists(f, a->sub, b->sub, value);
        return;
    }
    const struct vt_fact_list *was = &f->from->lists[a->sub], *is = &f->to->lists[b->sub];
    for (uint32_t i = 0;
         vt_plist_is(value, PLIST_ARRAY) && was->n && is->n && i < plist_array_get_size(value);
         i++) {
        size_t mark = enter(f, NULL, i);
        compare_value(f, &was->keys[0], &is->keys[0], plist_array_get_item(value, i));
        leave(f, mark);
    }
}

/* Keys that only the newer schema has: possible, or required from now on. */
static void compare_new(struct forecast *f, int from, int to, plist_t dict)
{
    for (size_t i = 0; i < f->to->lists[to].n; i++) {
        const struct vt_fact *fact = &f->to->lists[to].keys[i];
        const char *since = fact->availability.introduced;
        if (vt_facts_key(f->from, from, fact->name) || (since && !strcmp(since, "n/a")))
            continue;
        size_t mark = enter(f, fact->name, 0);
        plist_t value = plist_dict_get_item(dict, fact->name);
        find(f, fact->required && !value ? VT_RULE_FORECAST_CHANGED : VT_RULE_FORECAST_ADDED,
             value ? value : dict, "the key",
             fact->required && !value ? "is new, and required"
             : since                  ? "is new, since macOS "
                                      : "is new",
             fact->required && !value ? NULL : since);
        leave(f, mark);
    }
}

static void compare_lists(struct forecast *f, int from, int to, plist_t dict)
{
    if (from < 0 || to < 0)
        return;
    for (struct vt_plist_walk it = vt_plist_walk(dict); vt_plist_next(&it);) {
        const struct vt_fact *a = vt_facts_key(f->from, from, it.key);
        const struct vt_fact *b = vt_facts_key(f->to, to, it.key);
        if (!a && !b) {
            a = vt_facts_key(f->from, from, "ANY");
            b = vt_facts_key(f->to, to, "ANY");
        }
        size_t mark = enter(f, it.key, 0);
        if (a && b) {
            compare_fact(f, a, b, it.value);
            compare_value(f, a, b, it.value);
        } else if (a) {
            find(f, VT_RULE_FORECAST_GONE, it.value, "the key", "is no longer in the schema", NULL);
        }
        leave(f, mark);
    }
    compare_new(f, from, to, dict);
}

/* The entry of `to` that has a payload's keys, where there are several of the type: the one in the
 * same place among them. */
static void compare_type(struct forecast *f, plist_t payload, const char *type)
{
    const struct vt_fact_type *was, *is;
    if (vt_facts_type(f->from, type, 0) && !vt_facts_type(f->to, type, 0)) {
        find(f, VT_RULE_FORECAST_GONE, payload, type, "is no longer in the schema", NULL);
        return;
    }
    if (!vt_facts_type(f->from, type, 0) && vt_facts_type(f->to, type, 0)) {
        find(f, VT_RULE_FORECAST_ADDED, payload, type, "is in the schema now", NULL);
        return;
    }
    for (size_t i = 0;
         (was = vt_facts_type(f->from, type, i)) && (is = vt_facts_type(f->to, type, i)); i++) {
        if (i == 0)
            compare_availability(f, &was->availability, &is->availability, payload, type);
        compare_lists(f, was->sub, is->sub, payload);
    }
}

void vt_profile_forecast(const struct vt_profile *p, const struct vt_facts *from,
                         const struct vt_facts *to, struct vt_findings *out)
{
    struct forecast f = {.profile = p, .from = from, .to = to, .out = out};
    vt_buf_puts(&f.path, "");
    for (size_t i = 0; i < vt_profile_payloads(p); i++) {
        plist_t payload = vt_profile_payload(p, i);
        const char *type = vt_plist_str(payload, "PayloadType", NULL);
        vt_buf_clear(&f.path);
        vt_buf_printf(&f.path, "PayloadContent[%zu]", i);
        if (type)
            compare_type(&f, payload, type);
    }
    vt_buf_free(&f.path);
}
