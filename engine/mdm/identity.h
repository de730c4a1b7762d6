/* Certificates of the lab: a CA per user, an identity per device, the server's own.
 *
 * The CA is RSA with 2048 bits, since SCEP encrypts to it. Its certificate and key are one file,
 * DIR/ca.pem, mode 0600 in a folder of mode 0700: it is there whole or not at all, and of two
 * processes that make it at once both get the same. */
#ifndef VT_MDM_IDENTITY_H
#define VT_MDM_IDENTITY_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

#include "core/buf.h"
#include "vmtest/error.h"

/* SHA-256 of a certificate's DER, hexadecimal, with its NUL. */
#define VT_FINGERPRINT_SIZE 65

struct vt_ca {
    X509 *cert;
    EVP_PKEY *key;
    char *pem; /* the certificate alone */
};

/* Opens the CA in `dir`, and makes both where they are missing. VT_EAUTH where others may read the
 * key, or where the CA has less than 30 days left. */
enum vt_code vt_ca_open(const char *dir, struct vt_ca **out, struct vt_error *err);
void vt_ca_free(struct vt_ca *ca);

/* A new key: RSA with 2048 bits, or EC on P-256. NULL with *err set on failure. */
EVP_PKEY *vt_key_new(bool rsa, struct vt_error *err);

/* Issues a certificate for clientAuth over `key` (its public half). `subject` may be a name from a
 * request; NULL: CN=common_name. `seconds` from now on it is valid, from an hour ago, so that a
 * guest's clock may be behind. NULL with *err set on failure. */
X509 *vt_ca_issue(const struct vt_ca *ca, EVP_PKEY *key, X509_NAME *subject,
                  const char *common_name, double seconds, struct vt_error *err);

/* A TLS server's certificate and its key, as PEM: the certificate, then the CA's. `names` are host
 * names and addresses (NULL-terminated, at least one). Valid for 398 days at most, which is what
 * Apple's systems accept, and never longer than the CA. */
enum vt_code vt_ca_server(const struct vt_ca *ca, const char *const *names, struct vt_buf *chain,
                          struct vt_buf *key, struct vt_error *err);

/* PKCS#12 of an identity. It is encrypted by 3DES, which every system reads: the password goes with
 * it in the same profile, so nothing hangs on it. */
enum vt_code vt_pkcs12(X509 *cert, EVP_PKEY *key, const struct vt_ca *ca, const char *password,
                       struct vt_buf *out, struct vt_error *err);

void vt_fingerprint(const X509 *cert, char out[VT_FINGERPRINT_SIZE]);

/* When it expires, seconds since 1970. */
double vt_cert_expires(const X509 *cert);

/* Appends a certificate's DER or PEM. */
void vt_cert_der(const X509 *cert, struct vt_buf *out);
void vt_cert_pem(X509 *cert, struct vt_buf *out);

/* Fails with what OpenSSL says, and empties its queue of errors. */
enum vt_code vt__ssl_fail(struct vt_error *err, enum vt_code code, const char *op,
                          const char *what);

#endif
