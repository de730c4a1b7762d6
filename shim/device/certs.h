/* Certificates that profiles bring, and what they mean for the device's own requests. */
#ifndef VT_DEVICE_CERTS_H
#define VT_DEVICE_CERTS_H

#include <openssl/x509.h>

#include "core/buf.h"
#include "device/device.h"

/* The certificate of a com.apple.security.root, .pkcs1 or .pem payload (DER or PEM in its
 * PayloadContent); NULL for others. X509_free() it. */
X509 *vtd_payload_certificate(plist_t payload);

/* Appends PEM of what the device trusts: `pinned` (array of DER) alone where it is not NULL, else
 * the system's certificates and those of all installed profiles. */
void vtd_certs_trusted(const struct vtd *d, plist_t pinned, struct vt_buf *pem);

/* The array for CertificateList: certificates of profiles and the device's identities. */
plist_t vtd_certs_list(const struct vtd *d, bool managed_only);

/* What the server of the MDM payload is pinned to: array of DER, NULL where to nothing.
 * plist_free() it. key: "ServerURLPinningCertificateUUIDs" or that of CheckInURL. */
plist_t vtd_certs_pinned(plist_t mdm, plist_t payloads, const char *key);

#endif
