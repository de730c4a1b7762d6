/* SCEP (RFC 8894), the server's side of it: what a request says, and the replies.
 *
 * Pure: bytes in, bytes out; who may have a certificate is the caller's affair. Only the first
 * enrollment (PKCSReq) is served, for RSA keys, as the protocol wants it. */
#ifndef VT_MDM_SCEP_H
#define VT_MDM_SCEP_H

#include <openssl/x509.h>

#include "mdm/identity.h"

/* Largest request that is looked at, bytes. */
#define VT_SCEP_MAX ((size_t)64 << 10)

/* What GetCACaps answers. */
extern const char vt_scep_capabilities[];

enum vt_scep_fail { /* failInfo of RFC 8894, 3.2.1.4 */
                    VT_SCEP_BAD_ALG = 0,
                    VT_SCEP_BAD_MESSAGE_CHECK = 1,
                    VT_SCEP_BAD_REQUEST = 2,
};

struct vt_scep_request {
    char *transaction;     /* transactionID; NULL: nothing that could be answered */
    struct vt_buf nonce;   /* senderNonce, to be given back */
    X509 *signer;          /* the requester's own certificate, which the reply is encrypted to */
    X509_REQ *csr;         /* whose signature holds; NULL on failure */
    EVP_PKEY *key;         /* its public key */
    char *challenge;       /* challengePassword, "" where there is none */
    enum vt_scep_fail why; /* of a failure that can be answered */
};

/* Reads a PKIOperation. Where it fails, and request->transaction is set, the requester gets
 * vt_scep_refuse(); else the bytes were no SCEP. vt_scep_clear() in every case. */
enum vt_code vt_scep_read(const struct vt_ca *ca, const void *data, size_t n,
                          struct vt_scep_request *request, struct vt_error *err);
void vt_scep_clear(struct vt_scep_request *request);

/* Appends the CertRep that carries the certificate, or the refusal. */
enum vt_code vt_scep_grant(const struct vt_ca *ca, const struct vt_scep_request *request,
                           X509 *cert, struct vt_buf *out, struct vt_error *err);
enum vt_code vt_scep_refuse(const struct vt_ca *ca, const struct vt_scep_request *request,
                            enum vt_scep_fail why, struct vt_buf *out, struct vt_error *err);

#endif
