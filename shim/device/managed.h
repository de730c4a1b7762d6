/* The managed layer of preferences: Library/Managed Preferences/DOMAIN.plist.
 *
 * Always made anew of the whole store, so that it can neither keep a removed profile's values nor
 * miss one's. Of two profiles with the same key the one installed later counts (on a Mac that is
 * undefined). */
#ifndef VT_DEVICE_MANAGED_H
#define VT_DEVICE_MANAGED_H

#include "device/device.h"

/* A dictionary of domains, of an array of records. Pure; plist_free() it. */
plist_t vtd_managed_domains(plist_t records);

/* Writes the files and removes those of domains that are managed no more. */
enum vt_code vtd_managed_refresh(const struct vtd *d, struct vt_error *err);

#endif
