/* SCEP (RFC 8894), the device's side, as far as its messages go. Pure: bytes in, bytes out. */
#ifndef VT_DEVICE_SCEP_H
#define VT_DEVICE_SCEP_H

#include <openssl/x509.h>

#include "core/buf.h"
#include "vmtest/error.h"

/* What is asked for and by whom. vtd_scep_clear() it. */
struct vtd_scep {
    EVP_PKEY *key;
    X509 *self;          /* signs the request: self-signed, of the same key */
    STACK_OF(X509) * ca; /* of GetCACert: the one to encrypt to, and those above */
    char transaction[65];
    unsigned char nonce[16];
};

/* Takes the answer to GetCACert: one certificate, or a signed message of several. */
enum vt_code vtd_scep_take_ca(struct vtd_scep *scep, const void *data, size_t n,
                              struct vt_error *err);

/* True where one of the CA's certificates has this fingerprint: MD5, SHA-1 or SHA-256 by its
 * length. */
bool vtd_scep_fingerprint(const struct vtd_scep *scep, const void *fingerprint, size_t n);

/* Appends the DER of a PKCSReq for subject, with a new key of `bits`. challenge may be NULL. */
enum vt_code vtd_scep_request(struct vtd_scep *scep, X509_NAME *subject, int bits,
                              const char *challenge, struct vt_buf *out, struct vt_error *err);

/* Reads the CertRep. *cert (X509_free) is the certificate of our key. VT_EAUTH where the CA refuses
 * it, VT_EBUSY where it is pending, VT_EPROTO for what is no answer to this request. */
enum vt_code vtd_scep_reply(const struct vtd_scep *scep, const void *data, size_t n, X509 **cert,
                            struct vt_error *err);

void vtd_scep_clear(struct vtd_scep *scep);

#endif
