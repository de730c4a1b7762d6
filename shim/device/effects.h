/* What a payload does to this guest: by the device itself (identities, the enrollment), by a
 * handler (handlers.md), or nothing at all. */
#ifndef VT_DEVICE_EFFECTS_H
#define VT_DEVICE_EFFECTS_H

#include "device/chain.h"
#include "device/device.h"

#define VTD_HANDLER_SECONDS 120.0

/* Appends {PayloadUUID, PayloadType, State "enforced"|"stored", Reason} to `effects`. A payload
 * that fails leaves nothing appended and the reason in the chain. */
bool vtd_effect_apply(const struct vtd *d, const char *profile, plist_t payload, plist_t effects,
                      struct vtd_chain *chain);

/* Takes the effect away; one that is not there is no error. */
bool vtd_effect_remove(const struct vtd *d, const char *profile, plist_t payload,
                       struct vtd_chain *chain);

/* True for payloads that others of the same profile refer to: they are applied first. */
bool vtd_effect_is_base(const char *payload_type);

/* Path of the PEM file (key, certificate, chain; mode 0600) of an identity payload. */
char *vtd_identity_path(const struct vtd *d, const char *profile, const char *uuid);

#endif
