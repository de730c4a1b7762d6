/* An ErrorChain: what a device says of a command that failed, the outermost fault first.
 *
 * Domains and codes are those Apple published for iOS and macOS (MCProfileErrorDomain 1000…,
 * MCPayloadErrorDomain 2000…, MCInstallationErrorDomain 4000…, MCMDMErrorDomain 12000…, and
 * MDMClientError 89 of macOS). What a stand-in alone can say is of the domain VMTestDevice. */
#ifndef VT_DEVICE_CHAIN_H
#define VT_DEVICE_CHAIN_H

#include <plist/plist.h>
#include <stdbool.h>

#include "vmtest/error.h"

#define VTD_CHAIN_MAX 4

extern const char vtd_profile_domain[], vtd_payload_domain[], vtd_install_domain[],
    vtd_mdm_domain[], vtd_client_domain[], vtd_own_domain[];

struct vtd_fault {
    const char *domain;
    int code;
    char text[600];
};

struct vtd_chain {
    struct vtd_fault fault[VTD_CHAIN_MAX];
    unsigned n;
};

/* Puts a fault before those that are there (it is what they led to); of more than VTD_CHAIN_MAX
 * the innermost goes. Always false. */
bool vtd_fault(struct vtd_chain *chain, const char *domain, int code, const char *fmt, ...)
    VT_PRINTF(4, 5);

/* The array for the key ErrorChain. */
plist_t vtd_chain_plist(const struct vtd_chain *chain);

/* All texts, the outermost first, for a person; cut to what fits. Returns out. */
const char *vtd_chain_text(const struct vtd_chain *chain, char *out, unsigned size);

#endif
