#include "device/store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "device/profile.h"
#include "plist/tree.h"

static const char folder[] = "profiles";

static void file_of(const char *identifier, char *out, size_t size)
{
    char hex[65];
    vtd_sha256_hex(identifier, strlen(identifier), hex);
    snprintf(out, size, "%s/%s.plist", folder, hex);
}

const char *vtd_record_identifier(plist_t record)
{
    return vt_plist_str(vt_plist_dict(record, "Profile"), "PayloadIdentifier", "");
}

plist_t vtd_record_payloads(plist_t record)
{
    return vt_plist_array(vt_plist_dict(record, "Profile"), "PayloadContent");
}

static int by_sequence(const void *a, const void *b)
{
    int64_t x = vt_plist_int(*(const plist_t *)a, "Sequence", 0);
    int64_t y = vt_plist_int(*(const plist_t *)b, "Sequence", 0);
    return (x > y) - (x < y);
}

plist_t vtd_store_all(const struct vtd *d)
{
    plist_t all = plist_new_array(), *found = NULL;
    size_t n = 0;
    char *path = vtd_state_path(d, "%s", folder);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char name[300];
        const char *end = strrchr(e->d_name, '.');
        if (!end || strcmp(end, ".plist") != 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
        plist_t record = vtd_state_load(d, name);
        if (!vtd_record_payloads(record)) {
            plist_free(record);
            continue;
        }
        found = vt_realloc(found, (n + 1) * sizeof *found);
        found[n++] = record;
    }
    if (dir)
        closedir(dir);
    if (n)
        qsort(found, n, sizeof *found, by_sequence);
    for (size_t i = 0; i < n; i++)
        plist_array_append_item(all, found[i]);
    vt_free(found);
    vt_free(path);
    return all;
}

plist_t vtd_store_find(const struct vtd *d, const char *identifier)
{
    char name[100];
    file_of(identifier, name, sizeof name);
    return vtd_state_load(d, name);
}

enum vt_code vtd_store_put(const struct vtd *d, plist_t record, struct vt_error *err)
{
    char name[100];
    file_of(vtd_record_identifier(record), name, sizeof name);
    return vtd_state_save(d, name, record, err);
}

void vtd_store_drop(const struct vtd *d, const char *identifier)
{
    char name[100];
    file_of(identifier, name, sizeof name);
    vtd_state_drop(d, name);
}

plist_t vtd_record_with_mdm(plist_t records)
{
    for (uint32_t i = 0; i < plist_array_get_size(records); i++) {
        plist_t record = plist_array_get_item(records, i);
        if (vtd_payload_of_type(vtd_record_payloads(record), "com.apple.mdm"))
            return record;
    }
    return NULL;
}

static bool same(plist_t a, plist_t b, const char *key)
{
    return !strcmp(vt_plist_str(a, key, ""), vt_plist_str(b, key, ""));
}

/* Where there is no CheckInURL, check-ins go to the ServerURL. */
static const char *check_in(plist_t mdm)
{
    return vt_plist_str(mdm, "CheckInURL", vt_plist_str(mdm, "ServerURL", ""));
}

static bool may_update_mdm(plist_t old, plist_t new, struct vtd_chain *chain)
{
    static const char *const fixed[] = {"Topic", "ServerURL"};
    if (!new)
        return vtd_fault(chain, vtd_install_domain, 4015,
                         "The replacement of the enrollment profile has no MDM payload");
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (!same(old, new, fixed[i]))
            return vtd_fault(chain, vtd_mdm_domain, 12012, "The MDM payload's %s may not change",
                             fixed[i]);
    if (strcmp(check_in(old), check_in(new)) != 0)
        return vtd_fault(chain, vtd_mdm_domain, 12012,
                         "The MDM payload's CheckInURL may not change");
    if (vt_plist_int(new, "AccessRights", 8191) & ~vt_plist_int(old, "AccessRights", 8191))
        return vtd_fault(chain, vtd_mdm_domain, 12009,
                         "An update of the MDM payload may not widen its AccessRights");
    return true;
}

bool vtd_may_install(plist_t records, const char *identifier, plist_t payloads, bool by_mdm,
                     struct vtd_chain *chain)
{
    plist_t enrolled = vtd_record_with_mdm(records);
    plist_t mdm = vtd_payload_of_type(payloads, "com.apple.mdm");
    bool update = enrolled && !strcmp(vtd_record_identifier(enrolled), identifier);
    if (update)
        return may_update_mdm(vtd_payload_of_type(vtd_record_payloads(enrolled), "com.apple.mdm"),
                              mdm, chain);
    if (enrolled && mdm)
        return vtd_fault(chain, vtd_mdm_domain, 12001, "The device is enrolled with MDM already");
    for (uint32_t i = 0; i < plist_array_get_size(records); i++) {
        plist_t record = plist_array_get_item(records, i);
        if (strcmp(vtd_record_identifier(record), identifier) != 0)
            continue;
        if (!by_mdm && vt_plist_bool(record, "Managed", false))
            return vtd_fault(chain, vtd_install_domain, 4023,
                             "The profile %s is managed: MDM alone may replace it", identifier);
    }
    return true;
}

bool vtd_may_remove(plist_t record, const char *identifier, bool by_mdm, struct vtd_chain *chain)
{
    plist_t profile = vt_plist_dict(record, "Profile");
    if (!record)
        return vtd_fault(chain, vtd_client_domain, 89, "Profile with identifier '%s' not found.",
                         identifier);
    bool managed = vt_plist_bool(record, "Managed", false);
    if (by_mdm && !managed)
        return vtd_fault(chain, vtd_mdm_domain, 12013, "The profile %s is not managed by MDM",
                         identifier);
    if (!by_mdm && (managed || vt_plist_bool(profile, "PayloadRemovalDisallowed", false)))
        return vtd_fault(chain, vtd_install_domain, 4023,
                         "The profile %s may not be removed by a person", identifier);
    return true;
}
