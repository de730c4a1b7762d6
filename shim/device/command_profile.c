/* InstallProfile, RemoveProfile, ProfileList, CertificateList. */
#include <string.h>

#include "device/certs.h"
#include "device/commands.h"
#include "device/install.h"
#include "device/store.h"
#include "plist/tree.h"

bool vtd_cmd_install_profile(struct vtd_job *job)
{
    size_t n;
    const void *payload = vt_plist_data(job->command, "Payload", &n);
    if (!payload) {
        job->malformed = true;
        return vtd_fault(&job->chain, vtd_mdm_domain, 12008, "InstallProfile has no Payload");
    }
    return vtd_install(job->d, payload, n, &(struct vtd_install_opts){.by_mdm = true}, &job->chain);
}

bool vtd_cmd_remove_profile(struct vtd_job *job)
{
    const char *identifier = vt_plist_str(job->command, "Identifier", NULL);
    struct vtd_chain leftover = {.n = 0};
    if (!identifier) {
        job->malformed = true;
        return vtd_fault(&job->chain, vtd_mdm_domain, 12008, "RemoveProfile has no Identifier");
    }
    if (vtd_uninstall(job->d, identifier, true, &leftover))
        return true; /* gone, whatever a handler could not undo: `effects` tells */
    job->chain = leftover;
    return false;
}

static void copy(plist_t to, plist_t from, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        plist_t value = plist_dict_get_item(from, keys[i]);
        if (value)
            plist_dict_set_item(to, keys[i], plist_copy(value));
    }
}

static void list_record(plist_t list, plist_t record)
{
    static const char *const top[] = {"PayloadUUID",
                                      "PayloadIdentifier",
                                      "PayloadVersion",
                                      "PayloadDisplayName",
                                      "PayloadOrganization",
                                      "PayloadDescription",
                                      "PayloadRemovalDisallowed"};
    static const char *const inner[] = {
        "PayloadType",        "PayloadVersion",     "PayloadIdentifier",  "PayloadUUID",
        "PayloadDisplayName", "PayloadDescription", "PayloadOrganization"};
    plist_t profile = vt_plist_dict(record, "Profile"), payloads = vtd_record_payloads(record);
    plist_t item = vt_plist_add_dict(list);
    copy(item, profile, top, sizeof top / sizeof top[0]);
    if (!plist_dict_get_item(item, "PayloadRemovalDisallowed"))
        vt_plist_set_bool(item, "PayloadRemovalDisallowed", false);
    vt_plist_set_bool(item, "HasRemovalPasscode",
                      vt_plist_bool(profile, "HasRemovalPasscode", false));
    vt_plist_set_bool(item, "IsEncrypted", false);
    vt_plist_set_bool(item, "IsManaged", vt_plist_bool(record, "Managed", false));
    vt_plist_set_str(item, "Source", vt_plist_str(record, "Source", NULL));
    plist_t signers = vt_plist_array(record, "Signers");
    plist_dict_set_item(item, "SignerCertificates",
                        signers ? plist_copy(signers) : plist_new_array());
    plist_t content = vt_plist_set_array(item, "PayloadContent");
    for (uint32_t i = 0; i < plist_array_get_size(payloads); i++) {
        plist_t payload = plist_array_get_item(payloads, i);
        plist_t out = vt_plist_add_dict(content);
        copy(out, payload, inner, sizeof inner / sizeof inner[0]);
        if (!plist_dict_get_item(out, "PayloadVersion"))
            vt_plist_set_int(out, "PayloadVersion", 1);
    }
}

bool vtd_cmd_profile_list(struct vtd_job *job)
{
    bool managed = vt_plist_bool(job->command, "ManagedOnly", false);
    plist_t list = vt_plist_set_array(job->report, "ProfileList");
    plist_t records = vtd_store_all(job->d);
    plist_t enrolled = vtd_record_with_mdm(records);
    for (uint32_t i = 0; i < plist_array_get_size(records); i++) {
        plist_t record = plist_array_get_item(records, i);
        if (!managed || record == enrolled || vt_plist_bool(record, "Managed", false))
            list_record(list, record);
    }
    plist_free(records);
    return true;
}

bool vtd_cmd_certificate_list(struct vtd_job *job)
{
    bool managed = vt_plist_bool(job->command, "ManagedOnly", false);
    plist_dict_set_item(job->report, "CertificateList", vtd_certs_list(job->d, managed));
    return true;
}
