/* CMS (RFC 5652) over OpenSSL: signed profiles, and the detached signatures of the header
 * Mdm-Signature. Only DER is read. */
#ifndef VT_PLIST_CMS_H
#define VT_PLIST_CMS_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "vmtest/error.h"

#define VT_CMS_MAX_BYTES (16u << 20)

struct vt_cms_signer {
    char *subject, *issuer;       /* RFC 2253, UTF-8 */
    char *serial;                 /* lowercase hexadecimal */
    char sha256[65];              /* fingerprint of the certificate, lowercase hexadecimal */
    char *not_before, *not_after; /* RFC 3339, UTC */
};

struct vt_cms_signature {
    struct vt_cms_signer *signers; /* those whose certificate is in the message */
    size_t count;
    bool good;     /* the signature is over this content; says nothing of whom it is from */
    char why[200]; /* where it is not good */
};

/* True where the bytes begin as a CMS message in DER of the type signedData. */
bool vt_cms_is_signed(const void *data, size_t n);

/* Takes the content out of a signed message, also where its signature is not good: see
 * *signature, which is vt_cms_signature_free()d by the caller. VT_EINVAL for what is no such
 * message or has no content, VT_ELIMIT beyond VT_CMS_MAX_BYTES. */
enum vt_code vt_cms_unwrap(const void *data, size_t n, const char *what, struct vt_buf *content,
                           struct vt_cms_signature *signature, struct vt_error *err);
void vt_cms_signature_free(struct vt_cms_signature *signature);

/* Appends the DER of a message signed by key, whose certificate goes with it. `detached`: the
 * content is not in it (Mdm-Signature: base64 of that). chain: more certificates to go with it,
 * or NULL. The content is taken byte by byte. */
enum vt_code vt_cms_sign(X509 *certificate, EVP_PKEY *key, STACK_OF(X509) * chain, const void *data,
                         size_t n, bool detached, struct vt_buf *der, struct vt_error *err);

/* Checks a detached signature over exactly the bytes of body. *signer is the certificate that made
 * it, which X509_free() gives back. `trust`: what its chain must lead to (clientAuth among its EKUs
 * where it has any); NULL: whose it is is not checked. VT_EINVAL: no such message; VT_EAUTH: not
 * over this body, or not trusted. */
enum vt_code vt_cms_verify_detached(const void *der, size_t der_size, const void *body, size_t n,
                                    X509_STORE *trust, X509 **signer, struct vt_error *err);

#endif
