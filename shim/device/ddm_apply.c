#include "device/ddm_apply.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "device/convert.h"
#include "device/http.h"
#include "device/install.h"
#include "device/profile.h"
#include "plist/tree.h"

#define PROFILE_MAX (16u << 20)

static const char ddm_source[] = "Declarative Device Management";

static json_t *payload_of(plist_t item)
{
    const char *text = vt_plist_str(item, "Declaration", "{}");
    json_t *declaration = json_loads(text, 0, NULL);
    json_t *payload = json_incref(json_object_get(declaration, "Payload"));
    json_decref(declaration);
    return payload ? payload : json_object();
}

static void judge(plist_t item, bool active, const char *valid, const char *code,
                  const char *reason)
{
    vt_plist_set_bool(item, "Active", active);
    vt_plist_set_str(item, "Valid", valid);
    plist_dict_remove_item(item, "Code");
    plist_dict_remove_item(item, "Reason");
    vt_plist_set_str(item, "Code", code);
    vt_plist_set_str(item, "Reason", reason);
}

/* com.apple.configuration.legacy: the profile lies at ProfileURL. */
static bool fetch_profile(struct vtd *d, const json_t *payload, struct vt_buf *out,
                          struct vtd_chain *chain)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vtd_http request = {.url = vt_json_str(payload, "ProfileURL", ""), .limit = PROFILE_MAX};
    long status = 0;
    enum vt_code code = vtd_http(d, &request, &status, out, &err);
    if (!code && status != 200)
        code = vt_fail(&err, VT_EPROTO, "ddm", "the profile was answered by HTTP %ld", status);
    return !code || vtd_fault(chain, vtd_own_domain, 5, "%s", err.message);
}

/* com.apple.configuration.passcode.settings: the payload of the same meaning, in a profile of its
 * own. */
static bool make_passcode(plist_t item, const json_t *payload, struct vt_buf *out)
{
    static const struct {
        const char *from, *to;
    } keys[] = {{"MinimumLength", "minLength"},
                {"MinimumComplexCharacters", "minComplexChars"},
                {"RequireAlphanumericPasscode", "requireAlphanumeric"},
                {"RequirePasscode", "forcePIN"},
                {"MaximumFailedAttempts", "maxFailedAttempts"},
                {"MaximumPasscodeAgeInDays", "maxPINAgeInDays"},
                {"PasscodeReuseLimit", "pinHistory"}};
    char name[300];
    const char *identifier = vt_plist_str(item, "Identifier", "");
    plist_t profile = plist_new_dict();
    snprintf(name, sizeof name, "com.apple.RemoteManagement.%.200s", identifier);
    vt_plist_set_str(profile, "PayloadType", "Configuration");
    vt_plist_set_str(profile, "PayloadIdentifier", name);
    vt_plist_set_str(profile, "PayloadUUID", name);
    vt_plist_set_int(profile, "PayloadVersion", 1);
    plist_t one = vt_plist_add_dict(vt_plist_set_array(profile, "PayloadContent"));
    vt_plist_set_str(one, "PayloadType", "com.apple.mobiledevice.passwordpolicy");
    vt_plist_set_str(one, "PayloadIdentifier", identifier);
    vt_plist_set_str(one, "PayloadUUID", identifier);
    vt_plist_set_int(one, "PayloadVersion", 1);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        json_t *value = json_object_get(payload, keys[i].from);
        if (value)
            plist_dict_set_item(one, keys[i].to, vtd_from_json(value));
    }
    if (json_is_false(json_object_get(payload, "RequireComplexPasscode")) == 0 &&
        json_object_get(payload, "RequireComplexPasscode"))
        vt_plist_set_bool(one, "allowSimple", false);
    bool good = !vt_plist_write(profile, VT_PLIST_XML, out, NULL);
    plist_free(profile);
    return good;
}

/* The identifier of the profile that a declaration became is kept in the item. */
static bool install(struct vtd *d, plist_t item, const struct vt_buf *data, struct vtd_chain *chain)
{
    struct vtd_profile profile;
    bool good = vtd_profile_read(data->data, data->len, &profile, chain);
    if (good && vtd_payload_of_type(profile.payloads, "com.apple.mdm"))
        good =
            vtd_fault(chain, vtd_mdm_domain, 12001, "A declaration may not bring an MDM payload");
    good = good &&
           vtd_install(d, data->data, data->len,
                       &(struct vtd_install_opts){.by_mdm = true, .source = ddm_source}, chain);
    if (good)
        vt_plist_set_str(item, "Profile", profile.identifier);
    vtd_profile_free(&profile);
    return good;
}

static void activate(struct vtd *d, plist_t item)
{
    const char *type = vt_plist_str(item, "Type", "");
    struct vtd_chain chain = {.n = 0};
    struct vt_buf data = VT_BUF_INIT;
    char text[600];
    bool good = true, known = true;
    json_t *payload = payload_of(item);
    if (!strcmp(type, "com.apple.configuration.legacy"))
        good = fetch_profile(d, payload, &data, &chain) && install(d, item, &data, &chain);
    else if (!strcmp(type, "com.apple.configuration.passcode.settings"))
        good = make_passcode(item, payload, &data) && install(d, item, &data, &chain);
    else if (strcmp(type, "com.apple.configuration.management.test") != 0)
        known = false;
    if (!known)
        judge(item, false, "unknown", "Error.ConfigurationNotSupported",
              "this device does not know declarations of this type");
    else if (good)
        judge(item, true, "valid", NULL, NULL);
    else
        judge(item, false, "valid", "Error.ConfigurationCannotBeApplied",
              vtd_chain_text(&chain, text, sizeof text));
    json_decref(payload);
    vt_buf_free(&data);
}

/* An activation with a predicate is not looked into: what it asks for cannot be told here. */
static bool names(plist_t activation, const char *identifier)
{
    json_t *payload = payload_of(activation);
    const json_t *list = json_object_get(payload, "StandardConfigurations");
    bool named = false;
    for (size_t i = 0; !json_object_get(payload, "Predicate") && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        named = named || (text && !strcmp(text, identifier));
    }
    json_decref(payload);
    return named;
}

static bool is_kind(plist_t item, const char *kind)
{
    return !strcmp(vt_plist_str(item, "Kind", ""), kind);
}

static bool is_wanted(plist_t items, plist_t item)
{
    for (uint32_t i = 0; i < plist_array_get_size(items); i++) {
        plist_t other = plist_array_get_item(items, i);
        if (is_kind(other, "activation") && names(other, vt_plist_str(item, "Identifier", "")))
            return true;
    }
    return false;
}

static bool profile_stays(plist_t items, const char *profile)
{
    for (uint32_t i = 0; i < plist_array_get_size(items); i++) {
        plist_t item = plist_array_get_item(items, i);
        if (!strcmp(vt_plist_str(item, "Profile", ""), profile) && is_wanted(items, item))
            return true;
    }
    return false;
}

static void judge_other(plist_t item)
{
    json_t *payload = payload_of(item);
    if (is_kind(item, "activation") && json_object_get(payload, "Predicate"))
        judge(item, false, "unknown", "Error.PredicateNotSupported",
              "this device cannot evaluate predicates");
    else
        judge(item, true, "valid", NULL, NULL);
    json_decref(payload);
}

void vtd_ddm_apply(struct vtd *d, plist_t old, plist_t items)
{
    struct vtd_chain ignored = {.n = 0};
    for (uint32_t i = 0; i < plist_array_get_size(items); i++) {
        plist_t item = plist_array_get_item(items, i);
        bool active =
            vt_plist_bool(item, "Active", false); /* of a declaration that did not change */
        if (!is_kind(item, "configuration"))
            judge_other(item);
        else if (!is_wanted(items, item))
            judge(item, false, "valid", "Info.NotReferencedByActivation", "no activation names it");
        else if (!active)
            activate(d, item);
    }
    for (uint32_t i = 0; old && i < plist_array_get_size(old); i++) {
        const char *profile = vt_plist_str(plist_array_get_item(old, i), "Profile", NULL);
        if (profile && !profile_stays(items, profile))
            vtd_uninstall(d, profile, true, &ignored);
    }
}
