/* Values against the facts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "profile/known.h"
#include "profile/lint.h"

#define MAX_NAMES 1024

size_t vt_lint_enter(struct vt_lint *l, const char *key)
{
    size_t mark = l->path.len;
    vt_buf_printf(&l->path, "%s%s", mark ? "." : "", key);
    return mark;
}

size_t vt_lint_enter_index(struct vt_lint *l, size_t i)
{
    size_t mark = l->path.len;
    vt_buf_printf(&l->path, "[%zu]", i);
    return mark;
}

void vt_lint_leave(struct vt_lint *l, size_t mark)
{
    l->path.len = mark;
    l->path.data[mark] = '\0';
}

static const char *here(const struct vt_lint *l)
{
    return vt_buf_str(&l->path);
}

static bool is_version(const char *text)
{
    return text && vt_version_valid(text);
}

static void available_on(struct vt_lint *l, const struct vt_availability *a, plist_t node,
                         const char *what, const char *os)
{
    struct vt_finding *f = NULL;
    if (is_version(a->introduced) && vt_version_compare(a->introduced, os) > 0)
        f = vt_find(l->out, VT_RULE_INTRODUCED_LATER, l->profile, here(l), node,
                    "%s is there since macOS %s, and is ignored by %s", what, a->introduced, os);
    else if (is_version(a->removed) && vt_version_compare(a->removed, os) <= 0)
        f = vt_find(l->out, VT_RULE_REMOVED, l->profile, here(l), node,
                    "%s was removed in macOS %s, and does nothing on %s", what, a->removed, os);
    else if (is_version(a->deprecated) && vt_version_compare(a->deprecated, os) <= 0)
        f = vt_find(l->out, VT_RULE_DEPRECATED, l->profile, here(l), node,
                    "%s is deprecated since macOS %s", what, a->deprecated);
    if (f)
        f->os = vt_strdup(os);
}

void vt_lint_available(struct vt_lint *l, const struct vt_availability *a, plist_t node,
                       const char *what)
{
    if (a->introduced && !strcmp(a->introduced, "n/a")) {
        vt_find(l->out, VT_RULE_NOT_ON_MACOS, l->profile, here(l), node,
                "%s is not for macOS, which ignores it", what);
        return;
    }
    for (size_t i = 0; i < l->n_os; i++)
        available_on(l, a, node, what, l->os[i]);
}

bool vt_lint_applies(const struct vt_lint *l, const struct vt_availability *a)
{
    if (a->introduced && !strcmp(a->introduced, "n/a"))
        return false;
    for (size_t i = 0; i < l->n_os; i++)
        if ((!is_version(a->introduced) || vt_version_compare(a->introduced, l->os[i]) <= 0) &&
            (!is_version(a->removed) || vt_version_compare(a->removed, l->os[i]) > 0))
            return true;
    return l->n_os == 0;
}

static void wrong_type(struct vt_lint *l, const struct vt_fact *fact, plist_t value)
{
    struct vt_buf shown = VT_BUF_INIT;
    vt_profile_value_text(&shown, value);
    struct vt_finding *f =
        vt_find(l->out, VT_RULE_WRONG_TYPE, l->profile, here(l), value, "%s where %s is due: %s",
                vt_plist_type_name(value), vt_kind_name(fact->kind), vt_buf_str(&shown));
    int64_t number = vt_plist_integer(value);
    if (fact->kind == VT_KIND_BOOLEAN && vt_plist_is(value, PLIST_UINT) && (number & ~1) == 0)
        vt_find_hint(f, "write <%s/>", number ? "true" : "false");
    else
        vt_find_hint(f, "write it as %s", vt_kind_name(fact->kind));
    vt_buf_free(&shown);
}

static bool is_listed(const struct vt_fact *fact, plist_t value)
{
    const char *text = vt_plist_text(value);
    double number = vt_plist_number(value);
    for (size_t i = 0; i < fact->n_one_of; i++) {
        char *end;
        double listed = strtod(fact->one_of[i], &end);
        if (text ? !strcmp(text, fact->one_of[i]) : !*end && fabs(listed - number) < 1e-9)
            return true;
    }
    return false;
}

static void not_listed(struct vt_lint *l, const struct vt_fact *fact, plist_t value)
{
    struct vt_buf shown = VT_BUF_INIT, all = VT_BUF_INIT;
    const char *text = vt_plist_text(value);
    const char *near = text ? vt_nearest(text, fact->one_of, fact->n_one_of) : NULL;
    vt_profile_value_text(&shown, value);
    for (size_t i = 0; i < fact->n_one_of && all.len < 300; i++)
        vt_buf_printf(&all, "%s%s", i ? ", " : "", fact->one_of[i]);
    struct vt_finding *f = vt_find(l->out, VT_RULE_NOT_IN_LIST, l->profile, here(l), value,
                                   "%s is none of the values there are", vt_buf_str(&shown));
    if (near)
        vt_find_hint(f, "did you mean \"%s\"? There are: %s", near, vt_buf_str(&all));
    else
        vt_find_hint(f, "there are: %s", vt_buf_str(&all));
    vt_buf_free(&shown);
    vt_buf_free(&all);
}

/* A range list and a range together: either will do. */
static void check_range(struct vt_lint *l, const struct vt_fact *fact, plist_t value)
{
    bool number = vt_plist_is(value, PLIST_UINT) || vt_plist_is(value, PLIST_REAL);
    bool ranged = number && (fact->min || fact->max);
    double is = vt_plist_number(value);
    if (fact->n_one_of && (number || vt_plist_text(value)) && is_listed(fact, value))
        return;
    if (ranged && ((fact->min && is < strtod(fact->min, NULL)) ||
                   (fact->max && is > strtod(fact->max, NULL))))
        vt_find(l->out, VT_RULE_OUT_OF_RANGE, l->profile, here(l), value,
                "%g is outside of the range from %s to %s", is, fact->min ? fact->min : "-∞",
                fact->max ? fact->max : "∞");
    else if (!ranged && fact->n_one_of && (number || vt_plist_text(value)) &&
             !(vt_plist_text(value) && vt_known_value(l->type, vt_plist_text(value))))
        not_listed(l, fact, value);
}

static void check_value(struct vt_lint *l, const struct vt_fact *fact, plist_t value);

/* Each value against the definition of an array's values that fits its type, else the first. */
static void check_array(struct vt_lint *l, int list, plist_t array)
{
    const struct vt_fact_list *items = list < 0 ? NULL : &l->facts->lists[list];
    for (uint32_t i = 0; items && items->n && i < plist_array_get_size(array); i++) {
        plist_t value = plist_array_get_item(array, i);
        const struct vt_fact *fits = &items->keys[0];
        for (size_t k = items->n; k-- > 0;)
            if (vt_kind_fits(items->keys[k].kind, value))
                fits = &items->keys[k];
        size_t mark = vt_lint_enter_index(l, i);
        check_value(l, fits, value);
        vt_lint_leave(l, mark);
    }
}

static void check_value(struct vt_lint *l, const struct vt_fact *fact, plist_t value)
{
    if (!vt_kind_fits(fact->kind, value))
        wrong_type(l, fact, value);
    else if (fact->kind == VT_KIND_DICTIONARY && fact->sub >= 0)
        vt_lint_dict(l, &fact->sub, 1, value, false);
    else if (fact->kind == VT_KIND_ARRAY)
        check_array(l, fact->sub, value);
    else
        check_range(l, fact, value);
}

/* The definition of a key in any of the lists: one that fits the value, where there is a choice. */
static const struct vt_fact *find_key(const struct vt_lint *l, const int *lists, size_t n,
                                      const char *key, plist_t value)
{
    const struct vt_fact *found = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct vt_fact *one = vt_facts_key(l->facts, lists[i], key);
        if (one && (!found || !vt_kind_fits(found->kind, value)))
            found = one;
    }
    return found;
}

static void unknown_key(struct vt_lint *l, const int *lists, size_t n, const char *key,
                        plist_t value)
{
    const char *names[MAX_NAMES];
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; lists[i] >= 0 && k < l->facts->lists[lists[i]].n; k++)
            if (count < MAX_NAMES)
                names[count++] = l->facts->lists[lists[i]].keys[k].name;
    const char *near = vt_nearest(key, names, count);
    struct vt_finding *f = vt_find(l->out, VT_RULE_UNKNOWN_KEY, l->profile, here(l), value,
                                   "the key is not in Apple's schema of %s", l->type);
    if (near)
        vt_find_hint(f, "did you mean \"%s\"?", near);
}

static void check_required(struct vt_lint *l, const int *lists, size_t n, plist_t dict)
{
    for (size_t k = 0; lists[0] >= 0 && k < l->facts->lists[lists[0]].n; k++) {
        const struct vt_fact *fact = &l->facts->lists[lists[0]].keys[k];
        size_t by = 0;
        for (size_t i = 0; i < n; i++) {
            const struct vt_fact *one = vt_facts_key(l->facts, lists[i], fact->name);
            by += one && one->required;
        }
        const char *instead;
        bool there = plist_dict_get_item(dict, fact->name) != NULL || !strcmp(fact->name, "ANY") ||
                     vt_known_optional(l->type, fact->name);
        for (size_t i = 0; !there && (instead = vt_known_substitute(l->type, fact->name, i)); i++)
            there = plist_dict_get_item(dict, instead) != NULL;
        if (by == n && !there && vt_lint_applies(l, &fact->availability))
            vt_find(l->out, VT_RULE_MISSING_KEY, l->profile, here(l), dict,
                    "the required key \"%s\" is missing", fact->name);
    }
}

void vt_lint_dict(struct vt_lint *l, const int *lists, size_t n, plist_t dict, bool payload)
{
    for (struct vt_plist_walk it = vt_plist_walk(dict); vt_plist_next(&it);) {
        size_t mark = vt_lint_enter(l, it.key);
        const struct vt_fact *fact = find_key(l, lists, n, it.key, it.value);
        const char *unfit = payload ? vt_known_unfit(l->type, it.key) : NULL;
        if (fact)
            vt_lint_available(l, &fact->availability, it.value, "the key");
        else if (!payload || !vt_is_payload_key(it.key))
            fact = find_key(l, lists, n, "ANY", it.value);
        if (fact)
            check_value(l, fact, it.value);
        else if (!payload || !vt_is_payload_key(it.key))
            unknown_key(l, lists, n, it.key, it.value);
        if (unfit)
            vt_find(l->out, VT_RULE_NOT_IN_VM, l->profile, here(l), it.value, "%s", unfit);
        vt_lint_leave(l, mark);
    }
    check_required(l, lists, n, dict);
}
