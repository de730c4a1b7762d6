/* Declarative Device Management: what the server declares is fetched, installed or taken away, and
 * told to it.
 *
 * Kept in ddm.plist: Token (the server's DeclarationsToken), Items: array of {Kind, Identifier,
 * ServerToken, Type, Active, Valid, Code, Reason, Profile (the profile it became)}. */
#ifndef VT_DEVICE_DDM_H
#define VT_DEVICE_DDM_H

#include "device/mdm.h"

/* Fetches what changed, applies it, and sends a status report. */
enum vt_code vtd_ddm_sync(struct vtd *d, const struct vtd_mdm *mdm, struct vt_error *err);

/* The enrollment is over. */
void vtd_ddm_forget(struct vtd *d);

#endif
