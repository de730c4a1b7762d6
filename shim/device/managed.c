#include "device/managed.h"

#include <string.h>
#include <sys/stat.h>

#include "core/fs.h"
#include "core/mem.h"
#include "device/store.h"
#include "plist/tree.h"

static const char folder[] = "Library/Managed Preferences";

/* These configure something else than preferences; some hold secrets. */
static const char *const no_domain[] = {
    "com.apple.mdm",
    "com.apple.security.acme",
    "com.apple.security.pem",
    "com.apple.security.pkcs1",
    "com.apple.security.pkcs12",
    "com.apple.security.root",
    "com.apple.security.scep",
    "com.apple.profileRemovalPassword",
    "com.apple.vpn.managed",
    "com.apple.wifi.managed",
};

static bool has_domain(const char *type)
{
    if (!type[0] || type[0] == '.' || strchr(type, '/'))
        return false; /* no file's name */
    for (size_t i = 0; i < sizeof no_domain / sizeof no_domain[0]; i++)
        if (!strcmp(type, no_domain[i]))
            return false;
    return true;
}

static plist_t domain_of(plist_t domains, const char *name)
{
    plist_t domain = vt_plist_dict(domains, name);
    return domain ? domain : vt_plist_set_dict(domains, name);
}

static void merge(plist_t domains, const char *name, plist_t settings, bool payload)
{
    plist_t domain = domain_of(domains, name);
    for (struct vt_plist_walk w = vt_plist_walk(settings); vt_plist_next(&w);) {
        if (payload && !strncmp(w.key, "Payload", strlen("Payload")))
            continue;
        plist_dict_set_item(domain, w.key, plist_copy(w.value));
    }
}

/* com.apple.ManagedClient.preferences: DOMAIN → {Forced|Set-Once: [{mcx_preference_settings}]}. */
static void merge_custom(plist_t domains, plist_t payload)
{
    static const char *const kinds[] = {"Set-Once", "Forced"};
    plist_t content = vt_plist_dict(payload, "PayloadContent");
    for (struct vt_plist_walk w = vt_plist_walk(content); vt_plist_next(&w);) {
        for (size_t k = 0; has_domain(w.key) && k < sizeof kinds / sizeof kinds[0]; k++) {
            plist_t list = vt_plist_array(w.value, kinds[k]);
            for (uint32_t i = 0; list && i < plist_array_get_size(list); i++) {
                plist_t settings =
                    vt_plist_dict(plist_array_get_item(list, i), "mcx_preference_settings");
                if (settings)
                    merge(domains, w.key, settings, false);
            }
        }
    }
}

plist_t vtd_managed_domains(plist_t records)
{
    plist_t domains = plist_new_dict();
    for (uint32_t i = 0; i < plist_array_get_size(records); i++) {
        plist_t payloads = vtd_record_payloads(plist_array_get_item(records, i));
        for (uint32_t k = 0; payloads && k < plist_array_get_size(payloads); k++) {
            plist_t payload = plist_array_get_item(payloads, k);
            const char *type = vt_plist_str(payload, "PayloadType", "");
            if (!strcmp(type, "com.apple.ManagedClient.preferences"))
                merge_custom(domains, payload);
            else if (has_domain(type))
                merge(domains, type, payload, true);
        }
    }
    return domains;
}

static char *file_of(const struct vtd *d, const char *domain)
{
    return vtd_root_path(d, "%s/%s.plist", folder, domain);
}

/* As on a Mac: readable by all, binary. */
static enum vt_code write_domain(const struct vtd *d, const char *name, plist_t values,
                                 struct vt_error *err)
{
    struct vt_buf text = VT_BUF_INIT;
    char *path = file_of(d, name);
    enum vt_code code = vt_plist_write(values, VT_PLIST_BINARY, &text, err);
    if (!code)
        code = vt_write_file(path, text.data, text.len, 0644, err);
    vt_buf_free(&text);
    vt_free(path);
    return code;
}

static enum vt_code make_folder(const struct vtd *d, struct vt_error *err)
{
    char *path = vtd_root_path(d, "%s", folder);
    char *library = vt_path_dir(path);
    enum vt_code code = vt_mkdirs(path, err);
    if (!code) {
        chmod(library, 0755);
        chmod(path, 0755);
    }
    vt_free(library);
    vt_free(path);
    return code;
}

enum vt_code vtd_managed_refresh(const struct vtd *d, struct vt_error *err)
{
    plist_t records = vtd_store_all(d);
    plist_t domains = vtd_managed_domains(records);
    plist_t before = vtd_state_load(d, "managed.plist");
    enum vt_code code = make_folder(d, err);
    for (struct vt_plist_walk w = vt_plist_walk(before); vt_plist_next(&w);) {
        char *path = file_of(d, w.key);
        if (!vt_plist_dict(domains, w.key) && has_domain(w.key))
            vt_remove_tree(path, NULL);
        vt_free(path);
    }
    for (struct vt_plist_walk w = vt_plist_walk(domains); vt_plist_next(&w);)
        if (!code)
            code = write_domain(d, w.key, w.value, err);
    if (!code) /* last: till then the stale ones are remembered */
        code = vtd_state_save(d, "managed.plist", domains, err);
    plist_free(before);
    plist_free(domains);
    plist_free(records);
    return code;
}
