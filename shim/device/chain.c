#include "device/chain.h"

#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "plist/tree.h"

const char vtd_profile_domain[] = "MCProfileErrorDomain";
const char vtd_payload_domain[] = "MCPayloadErrorDomain";
const char vtd_install_domain[] = "MCInstallationErrorDomain";
const char vtd_mdm_domain[] = "MCMDMErrorDomain";
const char vtd_client_domain[] = "MDMClientError";
const char vtd_own_domain[] = "VMTestDevice";

bool vtd_fault(struct vtd_chain *chain, const char *domain, int code, const char *fmt, ...)
{
    unsigned keep = chain->n < VTD_CHAIN_MAX ? chain->n : VTD_CHAIN_MAX - 1;
    struct vtd_fault fault = {.domain = domain, .code = code};
    va_list args;
    va_start(args, fmt);
    vsnprintf(fault.text, sizeof fault.text, fmt, args); /* may show what is in the chain */
    va_end(args);
    vt_text_printable(fault.text);
    memmove(&chain->fault[1], &chain->fault[0], keep * sizeof chain->fault[0]);
    chain->fault[0] = fault;
    chain->n = keep + 1;
    return false;
}

plist_t vtd_chain_plist(const struct vtd_chain *chain)
{
    plist_t array = plist_new_array();
    for (unsigned i = 0; i < chain->n; i++) {
        plist_t item = vt_plist_add_dict(array);
        vt_plist_set_str(item, "ErrorDomain", chain->fault[i].domain);
        vt_plist_set_int(item, "ErrorCode", chain->fault[i].code);
        vt_plist_set_str(item, "LocalizedDescription", chain->fault[i].text);
        vt_plist_set_str(item, "USEnglishDescription", chain->fault[i].text);
    }
    return array;
}

const char *vtd_chain_text(const struct vtd_chain *chain, char *out, unsigned size)
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < chain->n && n < size; i++) {
        const struct vtd_fault *f = &chain->fault[i];
        int wrote =
            snprintf(out + n, size - n, "%s%s (%s %d)", i ? ": " : "", f->text, f->domain, f->code);
        n += wrote > 0 ? (size_t)wrote : 0;
    }
    return out;
}
