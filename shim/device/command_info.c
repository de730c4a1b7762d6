/* DeviceInformation, SecurityInfo, Settings. */
#include <string.h>

#include "core/mem.h"
#include "device/actions.h"
#include "device/commands.h"
#include "device/facts.h"
#include "plist/tree.h"

bool vtd_cmd_device_information(struct vtd_job *job)
{
    plist_t queries = vt_plist_array(job->command, "Queries");
    plist_t facts = vtd_facts(job->d, job->mdm);
    plist_t answers = vt_plist_set_dict(job->report, "QueryResponses");
    for (uint32_t i = 0; queries && i < plist_array_get_size(queries); i++) {
        const char *key = vt_plist_text(plist_array_get_item(queries, i));
        plist_t value = key ? plist_dict_get_item(facts, key) : NULL;
        if (value) /* what a device does not know it leaves out */
            plist_dict_set_item(answers, key, plist_copy(value));
    }
    plist_free(facts);
    return true;
}

bool vtd_cmd_security_info(struct vtd_job *job)
{
    plist_dict_set_item(job->report, "SecurityInfo", vtd_security_facts(job->mdm));
    return true;
}

static bool keep_self(struct vtd_job *job, struct vtd_chain *chain)
{
    struct vt_error err = VT_ERROR_INIT;
    if (!vtd_state_save(job->d, "self.plist", job->d->self, &err))
        return true;
    return vtd_fault(chain, vtd_mdm_domain, 12010, "%s", err.message);
}

static bool set_name(struct vtd_job *job, plist_t setting, struct vtd_chain *chain)
{
    const char *name = vt_plist_str(setting, "DeviceName", NULL);
    if (!name || !name[0])
        return vtd_fault(chain, vtd_mdm_domain, 12008, "DeviceName has no name");
    vt_plist_set_str(job->d->self, "DeviceName", name);
    return keep_self(job, chain);
}

static bool set_host(struct vtd_job *job, plist_t setting, struct vtd_chain *chain)
{
    const char *name = vt_plist_str(setting, "HostName", NULL);
    if (!name || !name[0])
        return vtd_fault(chain, vtd_mdm_domain, 12008, "HostName has no name");
    return vtd_action(job->d, "set-hostname", name, NULL, chain);
}

static bool set_organization(struct vtd_job *job, plist_t setting, struct vtd_chain *chain)
{
    plist_t info = vt_plist_dict(setting, "OrganizationInfo");
    if (info)
        plist_dict_set_item(job->d->self, "OrganizationInfo", plist_copy(info));
    else
        plist_dict_remove_item(job->d->self, "OrganizationInfo");
    return keep_self(job, chain);
}

bool vtd_cmd_settings(struct vtd_job *job)
{
    static const struct {
        const char *item;
        bool (*set)(struct vtd_job *, plist_t, struct vtd_chain *);
    } known[] = {
        {"DeviceName", set_name}, {"HostName", set_host}, {"OrganizationInfo", set_organization}};
    plist_t settings = vt_plist_array(job->command, "Settings");
    if (!settings) {
        job->malformed = true;
        return false;
    }
    plist_t results = vt_plist_set_array(job->report, "Settings");
    for (uint32_t i = 0; i < plist_array_get_size(settings); i++) {
        plist_t setting = plist_array_get_item(settings, i);
        plist_t result = vt_plist_add_dict(results);
        struct vtd_chain chain = {.n = 0};
        const char *item = vt_plist_str(setting, "Item", "");
        size_t k = 0;
        while (k < sizeof known / sizeof known[0] && strcmp(item, known[k].item) != 0)
            k++;
        bool good = k < sizeof known / sizeof known[0]
                        ? known[k].set(job, setting, &chain)
                        : vtd_fault(&chain, vtd_mdm_domain, 12021,
                                    "“%s” is no setting of this device", item);
        vt_plist_set_str(result, "Item", item);
        vt_plist_set_str(result, "Status", good ? "Acknowledged" : "Error");
        if (!good)
            plist_dict_set_item(result, "ErrorChain", vtd_chain_plist(&chain));
    }
    return true;
}
