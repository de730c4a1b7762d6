#include "device/scep.h"

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#include "device/device.h"

/* Attributes of a SCEP message: VeriSign's arc 2.16.840.1.113733.1.9 (RFC 8894, 3.2.1). */
enum attribute { MESSAGE_TYPE, PKI_STATUS, FAIL_INFO, SENDER_NONCE, RECIPIENT_NONCE, TRANSACTION };
static const char *const oids[] = {
    [MESSAGE_TYPE] = "2.16.840.1.113733.1.9.2",    [PKI_STATUS] = "2.16.840.1.113733.1.9.3",
    [FAIL_INFO] = "2.16.840.1.113733.1.9.4",       [SENDER_NONCE] = "2.16.840.1.113733.1.9.5",
    [RECIPIENT_NONCE] = "2.16.840.1.113733.1.9.6", [TRANSACTION] = "2.16.840.1.113733.1.9.7",
};

static const char pkcs_req[] = "19", cert_rep[] = "3";

static enum vt_code failed(struct vt_error *err, enum vt_code code, const char *what)
{
    char reason[160] = "";
    unsigned long e = ERR_peek_last_error();
    if (e)
        ERR_error_string_n(e, reason, sizeof reason);
    ERR_clear_error();
    return vt_fail(err, code, "scep", "%s%s%s", what, e ? ": " : "", reason);
}

enum vt_code vtd_scep_take_ca(struct vtd_scep *scep, const void *data, size_t n,
                              struct vt_error *err)
{
    const unsigned char *p = data;
    X509 *one = d2i_X509(NULL, &p, (long)n);
    if (one) {
        scep->ca = sk_X509_new_null();
        sk_X509_push(scep->ca, one);
    } else {
        p = data;
        CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)n);
        scep->ca = cms ? CMS_get1_certs(cms) : NULL;
        CMS_ContentInfo_free(cms);
    }
    ERR_clear_error();
    if (sk_X509_num(scep->ca) < 1)
        return vt_fail(err, VT_EPROTO, "scep", "GetCACert was not answered by a certificate");
    return VT_OK;
}

bool vtd_scep_fingerprint(const struct vtd_scep *scep, const void *fingerprint, size_t n)
{
    const EVP_MD *const kinds[] = {EVP_md5(), EVP_sha1(), EVP_sha256()};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (int i = 0; i < sk_X509_num(scep->ca); i++) {
            unsigned char digest[EVP_MAX_MD_SIZE];
            unsigned size = 0;
            if (X509_digest(sk_X509_value(scep->ca, i), kinds[k], digest, &size) && size == n &&
                !memcmp(digest, fingerprint, n))
                return true;
        }
    }
    return false;
}

/* The certificate to encrypt to: an RA's, which may encipher keys; else the first. */
static X509 *recipient(const struct vtd_scep *scep)
{
    for (int i = 0; i < sk_X509_num(scep->ca); i++) {
        X509 *cert = sk_X509_value(scep->ca, i);
        if (!X509_check_ca(cert) && (X509_get_key_usage(cert) & KU_KEY_ENCIPHERMENT))
            return cert;
    }
    return sk_X509_value(scep->ca, 0);
}

static bool make_key(struct vtd_scep *scep, int bits)
{
    scep->key = EVP_RSA_gen((unsigned)bits);
    return scep->key != NULL;
}

static bool make_self(struct vtd_scep *scep, X509_NAME *subject)
{
    unsigned char serial[8];
    X509 *self = scep->self = X509_new();
    return self && RAND_bytes(serial, sizeof serial) == 1 && X509_set_version(self, 2) &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(self), serial[0] * 256u + serial[1] + 1) &&
           X509_set_subject_name(self, subject) && X509_set_issuer_name(self, subject) &&
           X509_gmtime_adj(X509_getm_notBefore(self), -300) &&
           X509_gmtime_adj(X509_getm_notAfter(self), 86400) && X509_set_pubkey(self, scep->key) &&
           X509_sign(self, scep->key, EVP_sha256());
}

static X509_REQ *make_csr(const struct vtd_scep *scep, X509_NAME *subject, const char *challenge)
{
    X509_REQ *csr = X509_REQ_new();
    if (csr && X509_REQ_set_subject_name(csr, subject) && X509_REQ_set_pubkey(csr, scep->key) &&
        (!challenge || X509_REQ_add1_attr_by_NID(csr, NID_pkcs9_challengePassword, MBSTRING_UTF8,
                                                 (const unsigned char *)challenge, -1)) &&
        X509_REQ_sign(csr, scep->key, EVP_sha256()))
        return csr;
    X509_REQ_free(csr);
    return NULL;
}

/* transactionID: the hash of the public key, so that a request that is sent again is the same. */
static bool name_transaction(struct vtd_scep *scep)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(scep->key, &der);
    if (n > 0)
        vtd_sha256_hex(der, (size_t)n, scep->transaction);
    OPENSSL_free(der);
    return n > 0 && RAND_bytes(scep->nonce, sizeof scep->nonce) == 1;
}

/* The request, encrypted to the CA. */
static BIO *envelope(const struct vtd_scep *scep, X509_REQ *csr)
{
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    STACK_OF(X509) *to = sk_X509_new_null();
    CMS_ContentInfo *cms = NULL;
    bool good = in && out && to && sk_X509_push(to, recipient(scep)) && i2d_X509_REQ_bio(in, csr);
    if (good)
        cms = CMS_encrypt(to, in, EVP_aes_128_cbc(), CMS_BINARY);
    good = cms && i2d_CMS_bio(out, cms);
    CMS_ContentInfo_free(cms);
    sk_X509_free(to);
    BIO_free(in);
    if (good)
        return out;
    BIO_free(out);
    return NULL;
}

/* n is the length always: by -1 OpenSSL means an ASN1_STRING. */
static bool add_attribute(CMS_SignerInfo *signer, enum attribute which, int type, const void *data,
                          size_t n)
{
    return CMS_signed_add1_attr_by_txt(signer, oids[which], type, data, (int)n) == 1;
}

static bool sign(const struct vtd_scep *scep, BIO *content, struct vt_buf *out)
{
    const unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_NOSMIMECAP;
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, content, flags);
    CMS_SignerInfo *signer =
        cms ? CMS_add1_signer(cms, scep->self, scep->key, EVP_sha256(), flags) : NULL;
    unsigned char *der = NULL;
    int n = -1;
    if (signer &&
        add_attribute(signer, MESSAGE_TYPE, V_ASN1_PRINTABLESTRING, pkcs_req, strlen(pkcs_req)) &&
        add_attribute(signer, TRANSACTION, V_ASN1_PRINTABLESTRING, scep->transaction,
                      strlen(scep->transaction)) &&
        add_attribute(signer, SENDER_NONCE, V_ASN1_OCTET_STRING, scep->nonce, sizeof scep->nonce) &&
        CMS_final(cms, content, NULL, flags))
        n = i2d_CMS_ContentInfo(cms, &der);
    if (n > 0)
        vt_buf_add(out, der, (size_t)n);
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    return n > 0;
}

enum vt_code vtd_scep_request(struct vtd_scep *scep, X509_NAME *subject, int bits,
                              const char *challenge, struct vt_buf *out, struct vt_error *err)
{
    if (bits < 1024 || bits > 8192)
        return vt_fail(err, VT_EINVAL, "scep", "Keysize %d is none of 1024 to 8192", bits);
    if (!make_key(scep, bits) || !make_self(scep, subject) || !name_transaction(scep))
        return failed(err, VT_EINTERNAL, "the key cannot be made");
    X509_REQ *csr = make_csr(scep, subject, challenge);
    BIO *content = csr ? envelope(scep, csr) : NULL;
    bool good = content && sign(scep, content, out);
    BIO_free(content);
    X509_REQ_free(csr);
    return good ? VT_OK : failed(err, VT_EINTERNAL, "the request cannot be made");
}

/* The attribute's text or bytes, NUL-terminated; false where there is none of this type. */
static bool attribute(CMS_SignerInfo *signer, enum attribute which, int type, char *out,
                      size_t size, size_t *n)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(oids[which], 1);
    const ASN1_STRING *value = CMS_signed_get0_data_by_OBJ(signer, oid, -3, type);
    ASN1_OBJECT_free(oid);
    ERR_clear_error();
    int length = value ? ASN1_STRING_length(value) : -1;
    if (length < 0 || (size_t)length >= size)
        return false;
    memcpy(out, ASN1_STRING_get0_data(value), (size_t)length);
    out[length] = '\0';
    if (n)
        *n = (size_t)length;
    return true;
}

/* Signed by the CA, an answer to this request; its status. */
static enum vt_code check_reply(const struct vtd_scep *scep, CMS_ContentInfo *cms, BIO *content,
                                struct vt_error *err)
{
    char text[100], why[100];
    size_t n = 0;
    if (!CMS_verify(cms, scep->ca, NULL, NULL, content,
                    CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY | CMS_NOINTERN))
        return failed(err, VT_EPROTO, "the reply is not signed by the CA");
    STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(cms);
    CMS_SignerInfo *signer =
        sk_CMS_SignerInfo_num(signers) == 1 ? sk_CMS_SignerInfo_value(signers, 0) : NULL;
    if (!signer ||
        !attribute(signer, MESSAGE_TYPE, V_ASN1_PRINTABLESTRING, text, sizeof text, &n) ||
        strcmp(text, cert_rep) != 0)
        return vt_fail(err, VT_EPROTO, "scep", "the reply is no CertRep");
    if (!attribute(signer, TRANSACTION, V_ASN1_PRINTABLESTRING, text, sizeof text, &n) ||
        strcmp(text, scep->transaction) != 0)
        return vt_fail(err, VT_EPROTO, "scep", "the reply is of another transaction");
    if (!attribute(signer, RECIPIENT_NONCE, V_ASN1_OCTET_STRING, text, sizeof text, &n) ||
        n != sizeof scep->nonce || memcmp(text, scep->nonce, n) != 0)
        return vt_fail(err, VT_EPROTO, "scep", "the reply has another nonce than the request");
    if (!attribute(signer, PKI_STATUS, V_ASN1_PRINTABLESTRING, text, sizeof text, &n))
        return vt_fail(err, VT_EPROTO, "scep", "the reply has no pkiStatus");
    if (!strcmp(text, "3"))
        return vt_fail(err, VT_EBUSY, "scep", "the request is pending");
    if (strcmp(text, "0") != 0) {
        bool known = attribute(signer, FAIL_INFO, V_ASN1_PRINTABLESTRING, why, sizeof why, NULL);
        return vt_fail(err, VT_EAUTH, "scep", "the CA refuses the request (failInfo %s)",
                       known ? why : "none");
    }
    return VT_OK;
}

/* Of the certificates in the reply that of our key. */
static X509 *find_own(const struct vtd_scep *scep, CMS_ContentInfo *cms)
{
    STACK_OF(X509) *certs = CMS_get1_certs(cms);
    X509 *own = NULL;
    for (int i = 0; !own && i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);
        if (X509_check_private_key(cert, scep->key) == 1 && X509_up_ref(cert))
            own = cert;
    }
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    return own;
}

enum vt_code vtd_scep_reply(const struct vtd_scep *scep, const void *data, size_t n, X509 **cert,
                            struct vt_error *err)
{
    const unsigned char *p = data;
    CMS_ContentInfo *outer = d2i_CMS_ContentInfo(NULL, &p, (long)n), *inner = NULL, *certs = NULL;
    BIO *sealed = BIO_new(BIO_s_mem()), *open = BIO_new(BIO_s_mem());
    *cert = NULL;
    enum vt_code code = outer && sealed && open
                            ? check_reply(scep, outer, sealed, err)
                            : failed(err, VT_EPROTO, "the reply is no CMS message");
    if (!code) {
        inner = d2i_CMS_bio(sealed, NULL);
        if (!inner || !CMS_decrypt(inner, scep->key, scep->self, NULL, open, CMS_BINARY))
            code = failed(err, VT_EPROTO, "the reply cannot be decrypted");
    }
    if (!code) {
        certs = d2i_CMS_bio(open, NULL);
        *cert = certs ? find_own(scep, certs) : NULL;
        if (!*cert)
            code = failed(err, VT_EPROTO, "the reply has no certificate of our key");
    }
    CMS_ContentInfo_free(outer);
    CMS_ContentInfo_free(inner);
    CMS_ContentInfo_free(certs);
    BIO_free(sealed);
    BIO_free(open);
    return code;
}

void vtd_scep_clear(struct vtd_scep *scep)
{
    EVP_PKEY_free(scep->key);
    X509_free(scep->self);
    sk_X509_pop_free(scep->ca, X509_free);
    *scep = (struct vtd_scep){.key = NULL};
}
