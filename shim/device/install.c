#include "device/install.h"

#include <string.h>

#include "core/sys.h"
#include "device/effects.h"
#include "device/managed.h"
#include "device/profile.h"
#include "device/store.h"
#include "plist/tree.h"

static const char pending_file[] = "pending.plist";

static void remove_effects(const struct vtd *d, plist_t record, struct vtd_chain *chain)
{
    plist_t payloads = vtd_record_payloads(record);
    for (uint32_t i = payloads ? plist_array_get_size(payloads) : 0; i > 0; i--)
        vtd_effect_remove(d, vtd_record_identifier(record), plist_array_get_item(payloads, i - 1),
                          chain);
}

/* Applies all payloads, those that others refer to first, and notes what came of it. */
static bool apply_effects(const struct vtd *d, plist_t record, struct vtd_chain *chain)
{
    plist_t payloads = vtd_record_payloads(record), effects = plist_new_array();
    bool good = true;
    for (int base = 1; good && base >= 0; base--) {
        for (uint32_t i = 0; good && i < plist_array_get_size(payloads); i++) {
            plist_t payload = plist_array_get_item(payloads, i);
            const char *type = vt_plist_str(payload, "PayloadType", "");
            if (vtd_effect_is_base(type) != (base == 1))
                continue;
            good = vtd_effect_apply(d, vtd_record_identifier(record), payload, effects, chain);
            if (!good)
                vtd_fault(chain, vtd_install_domain, 4001,
                          "The payload %s (%s) could not be installed",
                          vt_plist_str(payload, "PayloadIdentifier", ""), type);
        }
    }
    plist_dict_set_item(record, "Effects", effects);
    return good;
}

static plist_t pending_of(plist_t old, plist_t new)
{
    plist_t pending = plist_new_dict();
    if (old)
        plist_dict_set_item(pending, "Old", plist_copy(old));
    if (new)
        plist_dict_set_item(pending, "New", plist_copy(new));
    return pending;
}

/* Back to the old state: idempotent, as handlers are. */
static void roll_back(const struct vtd *d, plist_t old, plist_t new)
{
    struct vtd_chain ignored = {.n = 0};
    if (new)
        remove_effects(d, new, &ignored);
    if (old && apply_effects(d, old, &ignored))
        vtd_store_put(d, old, NULL);
}

/* Old, new: records; either may be NULL. True where the new state is reached. */
static bool transact(const struct vtd *d, plist_t old, plist_t new, struct vtd_chain *chain)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vtd_chain leftover = {.n = 0};
    plist_t pending = pending_of(old, new);
    enum vt_code code = vtd_state_save(d, pending_file, pending, &err);
    plist_free(pending);
    if (code)
        return vtd_fault(chain, vtd_install_domain, 4016, "%s", err.message);
    if (old)
        remove_effects(d, old, new ? &leftover : chain);
    bool good = !new || apply_effects(d, new, chain);
    if (good && new &&vtd_store_put(d, new, &err))
        good = vtd_fault(chain, vtd_install_domain, 4016, "%s", err.message);
    if (good && !new)
        vtd_store_drop(d, vtd_record_identifier(old));
    if (!good)
        roll_back(d, old, new);
    else if (vtd_managed_refresh(d, &err))
        good = !new || vtd_fault(chain, vtd_install_domain, 4016, "%s", err.message);
    vtd_state_drop(d, pending_file);
    return good;
}

void vtd_recover(const struct vtd *d)
{
    plist_t pending = vtd_state_load(d, pending_file);
    if (!pending)
        return;
    plist_t old = vt_plist_dict(pending, "Old"), new = vt_plist_dict(pending, "New");
    plist_t now = vtd_store_find(d, vtd_record_identifier(new ? new : old));
    bool done =
        new ? now &&vt_plist_int(now, "Sequence", 0) == vt_plist_int(new, "Sequence", 0) : !now;
    if (!done)
        roll_back(d, old, new);
    vtd_managed_refresh(d, NULL);
    vtd_state_drop(d, pending_file);
    plist_free(now);
    plist_free(pending);
}

static plist_t make_record(plist_t records, const struct vtd_profile *profile,
                           const struct vtd_install_opts *opts)
{
    plist_t record = plist_new_dict();
    int64_t last = 0;
    for (uint32_t i = 0; i < plist_array_get_size(records); i++) {
        int64_t sequence = vt_plist_int(plist_array_get_item(records, i), "Sequence", 0);
        last = sequence > last ? sequence : last;
    }
    plist_dict_set_item(record, "Profile", plist_copy(profile->tree));
    plist_dict_set_item(record, "Signers", plist_copy(profile->signers));
    plist_dict_set_item(record, "InstallDate", vtd_date(vt_wall()));
    vt_plist_set_int(record, "Sequence", last + 1);
    vt_plist_set_bool(record, "Managed", opts->by_mdm);
    vt_plist_set_str(record, "Source", opts->source);
    return record;
}

bool vtd_install(const struct vtd *d, const void *data, size_t n,
                 const struct vtd_install_opts *opts, struct vtd_chain *chain)
{
    struct vtd_profile profile;
    plist_t records = vtd_store_all(d), new = NULL, old = NULL, mdm;
    bool good = vtd_profile_read(data, n, &profile, chain);
    if (good) {
        mdm = vtd_payload_of_type(profile.payloads, "com.apple.mdm");
        good = (!mdm || vtd_mdm_check(mdm, profile.payloads, d->plain_http, chain)) &&
               vtd_may_install(records, profile.identifier, profile.payloads, opts->by_mdm, chain);
    }
    if (good) {
        new = make_record(records, &profile, opts);
        old = vtd_store_find(d, profile.identifier);
        good = transact(d, old, new, chain);
    }
    if (!good)
        vtd_fault(chain, vtd_profile_domain, 1009, "The profile “%s” could not be installed",
                  vt_plist_str(profile.tree, "PayloadDisplayName",
                               profile.identifier ? profile.identifier : "?"));
    plist_free(new);
    plist_free(old);
    plist_free(records);
    vtd_profile_free(&profile);
    return good;
}

bool vtd_uninstall(const struct vtd *d, const char *identifier, bool by_mdm,
                   struct vtd_chain *chain)
{
    plist_t record = vtd_store_find(d, identifier);
    bool good =
        vtd_may_remove(record, identifier, by_mdm, chain) && transact(d, record, NULL, chain);
    plist_free(record);
    return good;
}

void vtd_unenroll(const struct vtd *d, struct vtd_chain *chain)
{
    plist_t records = vtd_store_all(d);
    plist_t mdm = vtd_record_with_mdm(records);
    for (uint32_t i = plist_array_get_size(records); i > 0; i--) {
        plist_t record = plist_array_get_item(records, i - 1);
        if (record != mdm && vt_plist_bool(record, "Managed", false))
            transact(d, record, NULL, chain);
    }
    if (mdm)
        transact(d, mdm, NULL, chain);
    plist_free(records);
}
