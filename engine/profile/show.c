/* What is in a profile. */
#include <string.h>
#include <strings.h>

#include "core/json.h"
#include "profile/doc.h"

static void set_text(json_t *object, const char *name, plist_t dict, const char *key)
{
    const char *text = vt_plist_str(dict, key, NULL);
    if (text)
        vt_json_set_text(object, name, text, strlen(text));
}

/* Keys whose values are not for the eyes of whoever reads a log. */
static bool is_secret(const char *key)
{
    static const char *const parts[] = {"password", "secret", "challenge", "passphrase", "token"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcasestr(key, parts[i]))
            return true;
    return false;
}

static json_t *shown(plist_t value)
{
    if (vt_plist_is(value, PLIST_ARRAY)) {
        json_t *list = json_array();
        for (uint32_t i = 0; i < plist_array_get_size(value); i++)
            json_array_append_new(list, shown(plist_array_get_item(value, i)));
        return list;
    }
    if (!vt_plist_is(value, PLIST_DICT))
        return vt_profile_value_json(value);
    json_t *object = json_object();
    for (struct vt_plist_walk it = vt_plist_walk(value); vt_plist_next(&it);) {
        bool hide = is_secret(it.key) &&
                    (vt_plist_is(it.value, PLIST_STRING) || vt_plist_is(it.value, PLIST_DATA));
        json_object_set_new(object, it.key, hide ? json_string("(not shown)") : shown(it.value));
    }
    return object;
}

static json_t *payload_json(plist_t payload)
{
    json_t *object = json_object(), *settings = json_object();
    set_text(object, "type", payload, "PayloadType");
    set_text(object, "identifier", payload, "PayloadIdentifier");
    set_text(object, "uuid", payload, "PayloadUUID");
    set_text(object, "display_name", payload, "PayloadDisplayName");
    json_t *all = shown(payload), *value;
    const char *key;
    json_object_foreach(all, key, value) if (!vt_is_payload_key(key))
        json_object_set(settings, key, value);
    json_object_set_new(object, "settings", settings);
    json_decref(all);
    return object;
}

static json_t *signers_json(const struct vt_cms_signature *s)
{
    json_t *all = json_array();
    for (size_t i = 0; i < s->count; i++) {
        const struct vt_cms_signer *one = &s->signers[i];
        json_t *object =
            json_pack("{s:s, s:s, s:s, s:s}", "serial", one->serial, "sha256", one->sha256,
                      "not_before", one->not_before, "not_after", one->not_after);
        vt_json_set_text(object, "subject", one->subject, strlen(one->subject));
        vt_json_set_text(object, "issuer", one->issuer, strlen(one->issuer));
        json_array_append_new(all, object);
    }
    return all;
}

json_t *vt_profile_content(const struct vt_profile *p)
{
    return vt_profile_value_json(p->root);
}

json_t *vt_profile_show(const struct vt_profile *p)
{
    json_t *object = json_object(), *payloads = json_array();
    vt_json_set_text(object, "file", p->name, strlen(p->name));
    json_object_set_new(object, "format",
                        json_string(p->info.form == VT_PLIST_BINARY ? "binary" : "xml"));
    set_text(object, "display_name", p->root, "PayloadDisplayName");
    set_text(object, "identifier", p->root, "PayloadIdentifier");
    set_text(object, "uuid", p->root, "PayloadUUID");
    set_text(object, "organization", p->root, "PayloadOrganization");
    set_text(object, "scope", p->root, "PayloadScope");
    json_object_set_new(object, "removal_disallowed",
                        json_boolean(vt_plist_bool(p->root, "PayloadRemovalDisallowed", false)));
    json_object_set_new(object, "signed", json_boolean(p->is_signed));
    if (p->is_signed) {
        json_object_set_new(object, "signature_good", json_boolean(p->signature.good));
        json_object_set_new(object, "signers", signers_json(&p->signature));
    }
    for (size_t i = 0; i < vt_profile_payloads(p); i++)
        if (vt_profile_payload(p, i))
            json_array_append_new(payloads, payload_json(vt_profile_payload(p, i)));
    json_object_set_new(object, "payloads", payloads);
    return object;
}
