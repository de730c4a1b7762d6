/* What a device says of itself: the truth about this guest, under Apple's keys. */
#ifndef VT_DEVICE_FACTS_H
#define VT_DEVICE_FACTS_H

#include "device/device.h"
#include "device/mdm.h"

/* All that DeviceInformation can be asked for; mdm may be NULL. plist_free() it. */
plist_t vtd_facts(const struct vtd *d, const struct vtd_mdm *mdm);

/* The dictionary of SecurityInfo. */
plist_t vtd_security_facts(const struct vtd_mdm *mdm);

#endif
