/* Identities: a key and its certificate, of a PKCS#12 payload or fetched by SCEP, kept as a PEM
 * file of mode 0600: the key, the certificate, and the certificates above it. */
#ifndef VT_DEVICE_IDENTITY_H
#define VT_DEVICE_IDENTITY_H

#include <openssl/x509.h>

#include "core/buf.h"
#include "device/chain.h"
#include "device/device.h"

/* Both write the file `path`, or nothing, with the reason in the chain. */
bool vtd_identity_pkcs12(plist_t payload, const char *path, struct vtd_chain *chain);
bool vtd_identity_scep(const struct vtd *d, plist_t payload, const char *path,
                       struct vtd_chain *chain);

/* RC2, DES: files of older tools and replies of SCEP servers are encrypted by them, and OpenSSL 3
 * keeps them apart. */
void vtd_load_old_ciphers(void);

/* Writes the file. above: NULL or more certificates. */
enum vt_code vtd_identity_write(const char *path, EVP_PKEY *key, X509 *cert, STACK_OF(X509) * above,
                                struct vt_error *err);

/* Appends the value of the header Mdm-Signature over a body: base64, on one line. */
enum vt_code vtd_identity_sign(const char *path, const void *body, size_t n, struct vt_buf *out,
                               struct vt_error *err);

#endif
