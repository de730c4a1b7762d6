/* Enrolling, leaving, and the command loop. */
#ifndef VT_DEVICE_SESSION_H
#define VT_DEVICE_SESSION_H

#include "device/chain.h"
#include "device/mdm.h"

/* Installs an enrollment profile, as a person or `profiles` would, and checks in: Authenticate,
 * TokenUpdate, the bootstrap token. Where the server refuses, nothing stays. */
enum vt_code vtd_enroll(struct vtd *d, const void *data, size_t n, bool approved,
                        struct vt_error *err);

/* Removes the enrollment profile and all that MDM installed. `tell`: CheckOut is sent where the
 * profile wants it; that the server cannot be reached stops nothing. VT_ESTATE: not enrolled. */
enum vt_code vtd_leave(struct vtd *d, bool tell, struct vt_error *err);

/* To be called once a device is open for writing: ends what a kill left half done. */
void vtd_session_recover(struct vtd *d);

/* Idle, and commands till the server has none. *answered counts them. A server that does not know
 * the device ends the enrollment (VT_EAUTH). VT_ESTATE: not enrolled. */
enum vt_code vtd_poll(struct vtd *d, unsigned *answered, struct vt_error *err);

#endif
