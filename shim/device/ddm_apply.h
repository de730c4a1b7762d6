/* Declarations put into effect. */
#ifndef VT_DEVICE_DDM_APPLY_H
#define VT_DEVICE_DDM_APPLY_H

#include "device/device.h"

/* Takes from `old` (may be NULL) to `items`, arrays as in ddm.plist: configurations that an
 * activation names are installed, those that none names any more are removed; Active, Valid, Code
 * and Reason of each of `items` are set. */
void vtd_ddm_apply(struct vtd *d, plist_t old, plist_t items);

#endif
