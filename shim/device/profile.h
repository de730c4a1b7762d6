/* A configuration profile as it comes: XML or binary, signed or not; and what makes it one.
 * Pure: bytes in, a tree or an ErrorChain out. */
#ifndef VT_DEVICE_PROFILE_H
#define VT_DEVICE_PROFILE_H

#include "device/chain.h"

#define VTD_PROFILE_MAX_PAYLOADS 512

struct vtd_profile {
    plist_t tree;
    const char *identifier, *uuid; /* of the tree */
    plist_t payloads;              /* its PayloadContent, an array of dictionaries */
    plist_t signers;               /* array of DER certificates; empty where it is not signed */
};

/* Reads it and checks what every profile must have: types, identifiers, versions, unique UUIDs, a
 * signature that holds. vtd_profile_free() in every case. */
bool vtd_profile_read(const void *data, size_t n, struct vtd_profile *out, struct vtd_chain *chain);
void vtd_profile_free(struct vtd_profile *profile);

/* The first payload of this type in an array of payloads; NULL where there is none. */
plist_t vtd_payload_of_type(plist_t payloads, const char *type);
plist_t vtd_payload_of_uuid(plist_t payloads, const char *uuid);

/* What a com.apple.mdm payload must hold, beside the identity that it names. `plain_http`: see
 * vtd_url_allowed(). */
bool vtd_mdm_check(plist_t mdm, plist_t payloads, bool plain_http, struct vtd_chain *chain);

/* https:, or http: where the host is this machine itself or `plain_http`. */
bool vtd_url_allowed(const char *url, bool plain_http);

#endif
