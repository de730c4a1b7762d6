/* The profile store: one file per installed profile, keyed by its top-level PayloadIdentifier.
 *
 * A record is a dictionary: Profile (the profile itself), Signers (array of DER), InstallDate,
 * Sequence (the order of installation), Managed (by MDM), Source ("Declarative Device Management"
 * or missing), Effects: array of {PayloadUUID, PayloadType, State, Reason}, in the order of
 * PayloadContent. */
#ifndef VT_DEVICE_STORE_H
#define VT_DEVICE_STORE_H

#include "device/chain.h"
#include "device/device.h"

/* All records, in the order of installation; an array, plist_free() it. */
plist_t vtd_store_all(const struct vtd *d);

/* NULL where there is none; plist_free() it. */
plist_t vtd_store_find(const struct vtd *d, const char *identifier);

enum vt_code vtd_store_put(const struct vtd *d, plist_t record, struct vt_error *err);
void vtd_store_drop(const struct vtd *d, const char *identifier);

const char *vtd_record_identifier(plist_t record);
plist_t vtd_record_payloads(plist_t record);

/* The record that has the com.apple.mdm payload, of an array of them; NULL where there is none. */
plist_t vtd_record_with_mdm(plist_t records);

/* Apple's rules for what may be installed beside and instead of what is there. Pure.
 *
 * records: what is installed; profile, payloads: the new one; by_mdm: the server installs it.
 * A second MDM payload is refused, and so is an update that changes Topic, ServerURL or
 * CheckInURL, or that widens AccessRights. */
bool vtd_may_install(plist_t records, const char *identifier, plist_t payloads, bool by_mdm,
                     struct vtd_chain *chain);

/* by_mdm: the server removes it: only what it installed itself, never the enrollment profile. A
 * person removes what PayloadRemovalDisallowed does not forbid and MDM did not install, and the
 * enrollment profile, with which all goes that MDM installed. */
bool vtd_may_remove(plist_t record, const char *identifier, bool by_mdm, struct vtd_chain *chain);

#endif
