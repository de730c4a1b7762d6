/* The enrollment: what its profile says, what is remembered of it (mdm.plist), and talking to its
 * server. */
#ifndef VT_DEVICE_MDM_H
#define VT_DEVICE_MDM_H

#include "core/buf.h"
#include "device/device.h"

#define VTD_REPLY_MAX (16u << 20) /* bytes of a server's reply */

/* mdm.plist: Enrolling (between the profile's installation and the first TokenUpdate),
 * UserApproved, Token, PushMagic, BootstrapToken, Unanswered (a report the server has not got). */
struct vtd_mdm {
    plist_t records, record; /* all profiles, and the one with the MDM payload in it */
    plist_t payload;         /* com.apple.mdm */
    plist_t state;
    char *identity; /* path of the PEM file */
};

/* False where the device is not enrolled. vtd_mdm_free() in every case. */
bool vtd_mdm_load(const struct vtd *d, struct vtd_mdm *mdm);
void vtd_mdm_free(struct vtd_mdm *mdm);

enum vt_code vtd_mdm_save(const struct vtd *d, const struct vtd_mdm *mdm, struct vt_error *err);

/* A message with UDID in it, sent as Apple's devices do: with Mdm-Signature where the payload says
 * so, and the identity as TLS client certificate. `check_in`: a check-in to the CheckInURL with
 * Topic in it; else a report to the ServerURL. *status is the HTTP status; another than 200 is an
 * error (VT_EAUTH for 401 and for 403 of an unrecognized device, else VT_EPROTO). */
enum vt_code vtd_mdm_send(const struct vtd *d, const struct vtd_mdm *mdm, plist_t message,
                          bool check_in, long *status, struct vt_buf *reply, struct vt_error *err);

enum vt_code vtd_mdm_authenticate(const struct vtd *d, const struct vtd_mdm *mdm,
                                  struct vt_error *err);
enum vt_code vtd_mdm_token_update(const struct vtd *d, const struct vtd_mdm *mdm,
                                  struct vt_error *err);
enum vt_code vtd_mdm_check_out(const struct vtd *d, const struct vtd_mdm *mdm,
                               struct vt_error *err);

/* Escrows the bootstrap token where the server has that capability; and asks for what it has:
 * appends its bytes, nothing where there is none. */
enum vt_code vtd_mdm_set_bootstrap(const struct vtd *d, const struct vtd_mdm *mdm,
                                   struct vt_error *err);
enum vt_code vtd_mdm_get_bootstrap(const struct vtd *d, const struct vtd_mdm *mdm,
                                   struct vt_buf *token, struct vt_error *err);

#endif
