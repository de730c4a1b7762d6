/* What profiles that are installed together contradict each other in. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "profile/facts.h"
#include "profile/findings.h"
#include "profile/known.h"

#define PPPC "com.apple.TCC.configuration-profile-policy"

struct entry {
    size_t profile, order;
    char *domain, *key, *path;
    plist_t value;
};

struct set {
    struct vt_profile *const *profiles;
    const struct vt_facts *facts;
    struct vt_findings *out;
    size_t at; /* the profile that is walked */
    struct entry *v;
    size_t n, cap;
};

static void add(struct set *s, const char *domain, const char *key, const char *path, plist_t value)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->v = vt_realloc(s->v, s->cap * sizeof *s->v);
    }
    s->v[s->n] = (struct entry){.profile = s->at,
                                .order = s->n,
                                .domain = vt_strdup(domain),
                                .key = vt_strdup(key),
                                .path = vt_strdup(path),
                                .value = value};
    s->n++;
}

/* What a privacy policy says of each program, service by service. */
static void add_policies(struct set *s, const struct vt_setting *setting)
{
    for (struct vt_plist_walk it = vt_plist_walk(setting->value); vt_plist_next(&it);)
        for (uint32_t i = 0;
             vt_plist_is(it.value, PLIST_ARRAY) && i < plist_array_get_size(it.value); i++) {
            plist_t policy = plist_array_get_item(it.value, i);
            const char *program = vt_plist_str(policy, "Identifier", NULL);
            plist_t value = vt_plist_is(policy, PLIST_DICT)
                                ? plist_dict_get_item(policy, "Authorization")
                                : NULL;
            if (!value && program)
                value = plist_dict_get_item(policy, "Allowed");
            struct vt_buf key = VT_BUF_INIT, path = VT_BUF_INIT;
            vt_buf_printf(&key, "%s of %s", it.key, program ? program : "?");
            vt_buf_printf(&path, "%s.Services.%s[%u]", setting->path, it.key, i);
            if (program && value)
                add(s, PPPC, vt_buf_str(&key), vt_buf_str(&path), value);
            vt_buf_free(&key);
            vt_buf_free(&path);
        }
}

static void take(const struct vt_setting *setting, void *user)
{
    struct set *s = user;
    if (!strcmp(setting->domain, PPPC)) {
        if (!strcmp(setting->key, "Services"))
            add_policies(s, setting);
    } else if (!vt_known_independent(setting->domain)) {
        struct vt_buf path = VT_BUF_INIT;
        vt_buf_printf(&path, "%s.%s", setting->path, setting->key);
        add(s, setting->domain, setting->key, vt_buf_str(&path), setting->value);
        vt_buf_free(&path);
    }
}

static int by_key(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    int by = strcmp(left->domain, right->domain);
    if (!by)
        by = strcmp(left->key, right->key);
    return by ? by : (left->order > right->order) - (left->order < right->order);
}

/* One is for users, the other for the system: they do not meet. */
static bool other_scope(const struct set *s, const struct entry *a, const struct entry *b)
{
    const char *left = vt_plist_str(s->profiles[a->profile]->root, "PayloadScope", NULL);
    const char *right = vt_plist_str(s->profiles[b->profile]->root, "PayloadScope", NULL);
    return left && right && strcmp(left, right) != 0;
}

static void tell(struct set *s, const struct entry *first, const struct entry *second)
{
    bool policy = !strcmp(first->domain, PPPC);
    struct vt_buf was = VT_BUF_INIT, is = VT_BUF_INIT;
    vt_profile_value_text(&was, first->value);
    vt_profile_value_text(&is, second->value);
    struct vt_finding *f = vt_find(
        s->out, policy ? VT_RULE_MOST_RESTRICTIVE : VT_RULE_CONFLICT, s->profiles[second->profile],
        second->path, second->value, "%s: %s is %s here, and %s in %s (%s): %s", first->domain,
        first->key, vt_buf_str(&is), vt_buf_str(&was), vt_profile_name(s->profiles[first->profile]),
        first->path, policy ? "the most restrictive holds" : "which one holds is undefined");
    vt_find_hint(f, "set it in one of them");
    vt_buf_free(&was);
    vt_buf_free(&is);
}

static void compare_settings(struct set *s)
{
    if (s->n)
        qsort(s->v, s->n, sizeof *s->v, by_key);
    for (size_t i = 0, first = 0; i < s->n; i++) {
        struct entry *a = &s->v[first], *b = &s->v[i];
        if (strcmp(a->domain, b->domain) != 0 || strcmp(a->key, b->key) != 0)
            first = i;
        else if (i != first && !other_scope(s, a, b) && !vt_profile_same(a->value, b->value))
            tell(s, a, b);
    }
}

static const char *text_of(const struct vt_profile *p, const char *key)
{
    return vt_plist_str(p->root, key, NULL);
}

/* A text of the profile's own that an earlier one has, too. */
static void compare_own(struct set *s, size_t at, const char *key, enum vt_rule_id rule,
                        const char *means)
{
    const char *is = text_of(s->profiles[at], key);
    for (size_t i = 0; is && i < at; i++) {
        const char *was = text_of(s->profiles[i], key);
        if (was && !strcmp(was, is)) {
            vt_find(s->out, rule, s->profiles[at], key,
                    plist_dict_get_item(s->profiles[at]->root, key),
                    "\"%.80s\" is also the %s of %s: %s", is, key, vt_profile_name(s->profiles[i]),
                    means);
            return;
        }
    }
}

static bool has_type(const struct vt_profile *p, const char *type)
{
    for (size_t i = 0; i < vt_profile_payloads(p); i++) {
        const char *is = vt_plist_str(vt_profile_payload(p, i), "PayloadType", NULL);
        if (is && !strcmp(is, type))
            return true;
    }
    return false;
}

static void compare_types(struct set *s, size_t at)
{
    for (size_t k = 0; k < vt_profile_payloads(s->profiles[at]); k++) {
        plist_t payload = vt_profile_payload(s->profiles[at], k);
        const char *type = vt_plist_str(payload, "PayloadType", NULL);
        const struct vt_fact_type *fact = type ? vt_facts_type(s->facts, type, 0) : NULL;
        if (!fact || fact->availability.multiple != VT_FLAG_NO)
            continue;
        for (size_t i = 0; i < at; i++)
            if (has_type(s->profiles[i], type)) {
                vt_find(s->out, VT_RULE_SINGLE_INSTANCE_TWICE, s->profiles[at], "", payload,
                        "there may be one payload of the type %s, and %s has one, too", type,
                        vt_profile_name(s->profiles[i]));
                break;
            }
    }
}

void vt_profile_conflicts(struct vt_profile *const *profiles, size_t n,
                          const struct vt_facts *facts, struct vt_findings *out)
{
    struct set s = {.profiles = profiles, .facts = facts, .out = out};
    for (s.at = 0; s.at < n; s.at++) {
        vt_profile_settings(profiles[s.at], take, &s);
        compare_own(&s, s.at, "PayloadIdentifier", VT_RULE_SAME_IDENTIFIER,
                    "the one installed later replaces the other");
        compare_own(&s, s.at, "PayloadUUID", VT_RULE_SAME_UUID, "UUIDs are to be unique");
        compare_types(&s, s.at);
    }
    compare_settings(&s);
    for (size_t i = 0; i < s.n; i++) {
        vt_free(s.v[i].domain);
        vt_free(s.v[i].key);
        vt_free(s.v[i].path);
    }
    vt_free(s.v);
}
