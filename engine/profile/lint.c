/* The profile and its payloads; their values are lint_value.c's affair. */
#include "profile/lint.h"

#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "profile/known.h"

#define OP "profile.lint"

static void check_uuid(struct vt_lint *l, plist_t dict)
{
    const char *uuid = vt_plist_str(dict, "PayloadUUID", NULL);
    size_t mark = vt_lint_enter(l, "PayloadUUID");
    if (uuid && (!vt_starts_uuid(uuid) || uuid[36]))
        vt_find_hint(vt_find(l->out, VT_RULE_INVALID_UUID, l->profile, vt_buf_str(&l->path),
                             plist_dict_get_item(dict, "PayloadUUID"), "\"%.60s\" is no UUID",
                             uuid),
                     "`uuidgen` makes one");
    vt_lint_leave(l, mark);
}

/* The keys that every payload and the profile itself must have. */
static void check_common(struct vt_lint *l, plist_t dict)
{
    static const char *const keys[] = {"PayloadIdentifier", "PayloadUUID", "PayloadType"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        plist_t value = plist_dict_get_item(dict, keys[i]);
        size_t mark = vt_lint_enter(l, keys[i]);
        if (value && !vt_plist_text(value))
            vt_find(l->out, VT_RULE_WRONG_TYPE, l->profile, vt_buf_str(&l->path), value,
                    "%s where string is due", vt_plist_type_name(value));
        vt_lint_leave(l, mark);
        if (!value)
            vt_find(l->out, VT_RULE_MISSING_KEY, l->profile, vt_buf_str(&l->path), dict,
                    "the required key \"%s\" is missing", keys[i]);
    }
    plist_t version = plist_dict_get_item(dict, "PayloadVersion");
    if (!version)
        vt_find(l->out, VT_RULE_MISSING_VERSION, l->profile, vt_buf_str(&l->path), dict,
                "PayloadVersion is missing");
    else if (!vt_plist_is(version, PLIST_UINT))
        vt_find(l->out, VT_RULE_WRONG_TYPE, l->profile, vt_buf_str(&l->path), version,
                "PayloadVersion: %s where integer is due", vt_plist_type_name(version));
    check_uuid(l, dict);
}

/* A value that an earlier payload has too, by this key. */
static void check_twice(struct vt_lint *l, size_t at, const char *key, enum vt_rule_id rule)
{
    plist_t payload = vt_profile_payload(l->profile, at);
    const char *is = vt_plist_str(payload, key, NULL);
    for (size_t i = 0; is && i < at; i++) {
        const char *was = vt_plist_str(vt_profile_payload(l->profile, i), key, NULL);
        if (was && !strcmp(was, is)) {
            vt_find(l->out, rule, l->profile, vt_buf_str(&l->path),
                    plist_dict_get_item(payload, key), "%s \"%.80s\" is also PayloadContent[%zu]'s",
                    key, is, i);
            return;
        }
    }
}

static void check_single(struct vt_lint *l, size_t at, const struct vt_fact_type *type)
{
    for (size_t i = 0; type->availability.multiple == VT_FLAG_NO && i < at; i++) {
        const char *was = vt_plist_str(vt_profile_payload(l->profile, i), "PayloadType", NULL);
        if (was && !strcmp(was, type->name)) {
            vt_find(l->out, VT_RULE_SINGLE_INSTANCE, l->profile, vt_buf_str(&l->path),
                    vt_profile_payload(l->profile, at),
                    "there may be one payload of the type %s, and PayloadContent[%zu] is it",
                    type->name, i);
            return;
        }
    }
}

static void check_channel(struct vt_lint *l, const struct vt_fact_type *type, plist_t payload)
{
    const char *scope = vt_plist_str(l->profile->root, "PayloadScope", NULL);
    bool user = scope && !strcmp(scope, "User"), system = scope && !strcmp(scope, "System");
    const struct vt_availability *a = &type->availability;
    if ((user && a->user == VT_FLAG_NO) || (system && a->device == VT_FLAG_NO))
        vt_find_hint(vt_find(l->out, VT_RULE_WRONG_CHANNEL, l->profile, vt_buf_str(&l->path),
                             payload, "%s is not for the %s channel, which PayloadScope asks for",
                             type->name, user ? "user" : "device"),
                     "make PayloadScope %s", user ? "System" : "User");
}

static void check_needs(struct vt_lint *l, const struct vt_fact_type *type, plist_t payload)
{
    const struct vt_availability *a = &type->availability;
    const char *path = vt_buf_str(&l->path);
    if (a->user_approved == VT_FLAG_YES)
        vt_find(l->out, VT_RULE_USER_APPROVED, l->profile, path, payload,
                "%s needs an MDM enrollment that the user approved", type->name);
    else if (a->manual == VT_FLAG_NO)
        vt_find(l->out, VT_RULE_NEEDS_MDM, l->profile, path, payload,
                "%s cannot be installed by hand, only by an MDM server", type->name);
    if (a->supervised == VT_FLAG_YES)
        vt_find(l->out, VT_RULE_SUPERVISED, l->profile, path, payload,
                "%s needs a supervised device", type->name);
}

static void unknown_type(struct vt_lint *l, plist_t payload)
{
    static const char apple[] = "com.apple.";
    const char *names[1024];
    const size_t skip = sizeof apple - 1;
    size_t n = 0;
    for (size_t i = 0; i < l->facts->n_types && n < sizeof names / sizeof *names; i++)
        if (!strncmp(l->facts->types[i].name, apple, skip))
            names[n++] = l->facts->types[i].name + skip;
    const char *near =
        vt_nearest(strncmp(l->type, apple, skip) != 0 ? l->type : l->type + skip, names, n);
    struct vt_finding *f =
        vt_find(l->out, VT_RULE_UNKNOWN_TYPE, l->profile, vt_buf_str(&l->path),
                plist_dict_get_item(payload, "PayloadType"),
                "the payload type %s is not in Apple's schema: its keys are not checked", l->type);
    if (near)
        vt_find_hint(f, "did you mean \"%s%s\"? An application's own preferences are set so, too",
                     apple, near);
}

static void check_payload(struct vt_lint *l, size_t at, plist_t payload)
{
    const struct vt_fact_type *type, *first;
    int lists[VT_LINT_MAX_LISTS];
    size_t n = 0;
    check_common(l, payload);
    check_twice(l, at, "PayloadUUID", VT_RULE_DUPLICATE_UUID);
    check_twice(l, at, "PayloadIdentifier", VT_RULE_DUPLICATE_IDENTIFIER);
    l->type = vt_plist_str(payload, "PayloadType", NULL);
    if (!l->type)
        return;
    for (size_t i = 0; n < VT_LINT_MAX_LISTS && (type = vt_facts_type(l->facts, l->type, i)); i++)
        lists[n++] = type->sub;
    if (!(first = vt_facts_type(l->facts, l->type, 0))) {
        unknown_type(l, payload);
        return;
    }
    const char *base = vt_known_base(l->type), *unfit = vt_known_unfit(l->type, NULL);
    if (base && n < VT_LINT_MAX_LISTS && (type = vt_facts_type(l->facts, base, 0)))
        lists[n++] = type->sub;
    if (unfit)
        vt_find(l->out, VT_RULE_NOT_IN_VM, l->profile, vt_buf_str(&l->path), payload, "%s: %s",
                l->type, unfit);
    vt_lint_available(l, &first->availability, payload, l->type);
    check_single(l, at, first);
    check_channel(l, first, payload);
    check_needs(l, first, payload);
    vt_lint_dict(l, lists, n, payload, true);
}

static void check_payloads(struct vt_lint *l)
{
    plist_t list = vt_plist_array(l->profile->root, "PayloadContent");
    size_t inside = vt_lint_enter(l, "PayloadContent");
    for (uint32_t i = 0; list && i < plist_array_get_size(list); i++) {
        plist_t payload = plist_array_get_item(list, i);
        size_t mark = vt_lint_enter_index(l, i);
        if (vt_plist_is(payload, PLIST_DICT))
            check_payload(l, i, payload);
        else
            vt_find(l->out, VT_RULE_WRONG_TYPE, l->profile, vt_buf_str(&l->path), payload,
                    "%s where a payload (a dictionary) is due", vt_plist_type_name(payload));
        vt_lint_leave(l, mark);
    }
    vt_lint_leave(l, inside);
}

/* The profile's own keys, by the schema's TopLevel. */
static void check_top(struct vt_lint *l)
{
    plist_t root = l->profile->root, content = plist_dict_get_item(root, "PayloadContent");
    const struct vt_fact_type *top = vt_facts_type(l->facts, "TopLevel", 0);
    bool encrypted = vt_plist_bool(root, "IsEncrypted", false) ||
                     plist_dict_get_item(root, "EncryptedPayloadContent");
    check_common(l, root);
    if (encrypted)
        vt_find(l->out, VT_RULE_ENCRYPTED, l->profile, "", root,
                "the content is encrypted, and is not looked at");
    else if (!content)
        vt_find(l->out, VT_RULE_MISSING_KEY, l->profile, "", root,
                "the required key \"PayloadContent\" is missing");
    l->type = "a profile";
    if (!top)
        return;
    for (struct vt_plist_walk it = vt_plist_walk(root); vt_plist_next(&it);) {
        const struct vt_fact *fact = vt_facts_key(l->facts, top->sub, it.key);
        size_t mark = vt_lint_enter(l, it.key);
        if (!fact && !vt_is_payload_key(it.key))
            vt_find(l->out, VT_RULE_UNKNOWN_KEY, l->profile, vt_buf_str(&l->path), it.value,
                    "the key is not in Apple's schema of a profile");
        else if (fact && !vt_is_payload_key(it.key) && !vt_kind_fits(fact->kind, it.value))
            vt_find(l->out, VT_RULE_WRONG_TYPE, l->profile, vt_buf_str(&l->path), it.value,
                    "%s where %s is due", vt_plist_type_name(it.value), vt_kind_name(fact->kind));
        vt_lint_leave(l, mark);
    }
}

static void check_file(struct vt_lint *l)
{
    const struct vt_profile *p = l->profile;
    unsigned line, column;
    const char *key;
    if (p->info.blanks_first)
        vt_find(l->out, VT_RULE_BLANKS_FIRST, p, "", NULL, "there are blanks before <?xml");
    for (size_t i = 0; (key = vt_plist_duplicate(p->info.places, i, &line, &column)); i++) {
        struct vt_finding *f = vt_find(l->out, VT_RULE_DUPLICATE_KEY, p, "", NULL,
                                       "the key \"%.80s\" is there twice: the last counts", key);
        f->line = line;
        f->column = column;
    }
    if (p->is_signed && !p->signature.good)
        vt_find(l->out, VT_RULE_BAD_SIGNATURE, p, "", NULL, "the signature does not hold: %s",
                p->signature.why);
}

/* Splits "15.1,27.0" in place. */
static enum vt_code split(struct vt_lint *l, struct vt_error *err)
{
    for (char *word = l->versions, *end; word; word = end) {
        end = strchr(word, ',');
        if (end)
            *end++ = '\0';
        if (!vt_version_valid(word)) {
            vt_fail(err, VT_EINVAL, OP, "\"%.40s\" is no version of macOS", word);
            vt_hint(err, "give one or more, as \"15.1\" or \"15.1,27.0\"");
            return VT_EINVAL;
        }
        if (l->n_os == VT_LINT_MAX_OS)
            return vt_fail(err, VT_EINVAL, OP, "more than %d versions", VT_LINT_MAX_OS);
        l->os[l->n_os++] = word;
    }
    return VT_OK;
}

enum vt_code vt_os_check(const char *versions, struct vt_error *err)
{
    struct vt_lint l = {.versions = vt_strdup(versions)};
    enum vt_code code = split(&l, err);
    vt_free(l.versions);
    return code;
}

enum vt_code vt_profile_lint(const struct vt_profile *p, const struct vt_facts *facts,
                             const char *versions, struct vt_findings *out, struct vt_error *err)
{
    struct vt_lint l = {.profile = p, .facts = facts, .out = out};
    if (!versions && vt_version_valid(facts->name))
        versions = facts->name;
    l.versions = vt_strdup(versions);
    enum vt_code code = versions ? split(&l, err) : VT_OK;
    vt_buf_puts(&l.path, "");
    const char *type = vt_plist_str(p->root, "PayloadType", "");
    if (!code) {
        check_file(&l);
        if (!vt_plist_is(p->root, PLIST_DICT) ||
            (strcmp(type, "Configuration") != 0 && !vt_plist_array(p->root, "PayloadContent"))) {
            vt_find(out, VT_RULE_NOT_A_PROFILE, p, "", p->root,
                    "a property list, but no profile: it has neither the PayloadType "
                    "\"Configuration\" nor a PayloadContent");
        } else {
            if (strcmp(type, "Configuration") != 0 && *type)
                vt_find(out, VT_RULE_NOT_IN_LIST, p, "PayloadType",
                        plist_dict_get_item(p->root, "PayloadType"),
                        "\"%.60s\" where \"Configuration\" is due", type);
            check_top(&l);
            check_payloads(&l);
        }
    }
    vt_buf_free(&l.path);
    vt_free(l.versions);
    return code;
}
