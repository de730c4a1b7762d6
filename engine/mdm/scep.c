#include "mdm/scep.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

#define OP "mdm.scep"
#define NONCE_MAX 64
#define TRANSACTION_MAX 256
#define CHALLENGE_MAX 256
#define KEY_BITS_LEAST 2048
#define KEY_BITS_MOST 4096

/* Attributes of VeriSign's arc, RFC 8894, 3.2.1 */
#define MESSAGE_TYPE "2.16.840.1.113733.1.9.2"
#define PKI_STATUS "2.16.840.1.113733.1.9.3"
#define FAIL_INFO "2.16.840.1.113733.1.9.4"
#define SENDER_NONCE "2.16.840.1.113733.1.9.5"
#define RECIPIENT_NONCE "2.16.840.1.113733.1.9.6"
#define TRANSACTION_ID "2.16.840.1.113733.1.9.7"

#define CERT_REP "3"
#define PKCS_REQ "19"
#define SUCCESS "0"
#define FAILURE "2"

const char vt_scep_capabilities[] = "AES\nPOSTPKIOperation\nSCEPStandard\nSHA-256\nSHA-512\n";

/* --- reading --- */

/* The one value of a signed attribute, of the type; NULL where it is not there. */
static const ASN1_STRING *attribute(CMS_SignerInfo *signer, const char *oid, int type)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    const ASN1_STRING *value =
        object ? CMS_signed_get0_data_by_OBJ(signer, object, -3, type) : NULL;
    ASN1_OBJECT_free(object);
    return value;
}

static size_t size_of(const ASN1_STRING *s)
{
    int n = ASN1_STRING_length(s);
    return n > 0 ? (size_t)n : 0;
}

static bool is_text(const ASN1_STRING *s, const char *text)
{
    return s && size_of(s) == strlen(text) && !memcmp(ASN1_STRING_get0_data(s), text, strlen(text));
}

static CMS_ContentInfo *read_cms(const void *data, size_t n)
{
    const unsigned char *at = data;
    return n && n <= VT_SCEP_MAX ? d2i_CMS_ContentInfo(NULL, &at, (long)n) : NULL;
}

/* Checks the outer signature, by the key of the certificate that came with it, and puts what was
 * signed into `content`. */
static CMS_SignerInfo *open_outer(CMS_ContentInfo *cms, BIO *content)
{
    if (OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed ||
        CMS_verify(cms, NULL, NULL, NULL, content, CMS_NO_SIGNER_CERT_VERIFY | CMS_BINARY) != 1)
        return NULL;
    STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(cms);
    return sk_CMS_SignerInfo_num(signers) == 1 ? sk_CMS_SignerInfo_value(signers, 0) : NULL;
}

static enum vt_code read_attributes(CMS_SignerInfo *si, struct vt_scep_request *r,
                                    struct vt_error *err)
{
    const ASN1_STRING *id = attribute(si, TRANSACTION_ID, V_ASN1_PRINTABLESTRING);
    const ASN1_STRING *nonce = attribute(si, SENDER_NONCE, V_ASN1_OCTET_STRING);
    X509 *signer = NULL;
    CMS_SignerInfo_get0_algs(si, NULL, &signer, NULL, NULL);
    if (!id || !signer || !size_of(id) || size_of(id) > TRANSACTION_MAX || !nonce ||
        !size_of(nonce) || size_of(nonce) > NONCE_MAX)
        return vt_fail(err, VT_EPROTO, OP, "a message without transactionID or senderNonce");
    EVP_PKEY *key = X509_get0_pubkey(signer);
    if (!key || EVP_PKEY_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_bits(key) < KEY_BITS_LEAST ||
        EVP_PKEY_bits(key) > KEY_BITS_MOST)
        return vt_fail(err, VT_EPROTO, OP, "a requester whose key is not RSA of %d to %d bits",
                       KEY_BITS_LEAST, KEY_BITS_MOST);
    X509_up_ref(signer);
    r->signer = signer;
    vt_buf_add(&r->nonce, ASN1_STRING_get0_data(nonce), size_of(nonce));
    r->transaction = vt_strndup((const char *)ASN1_STRING_get0_data(id), size_of(id));
    if (!is_text(attribute(si, MESSAGE_TYPE, V_ASN1_PRINTABLESTRING), PKCS_REQ)) {
        r->why = VT_SCEP_BAD_REQUEST;
        return vt_fail(err, VT_EUNSUPPORTED, OP, "only the first enrollment (PKCSReq) is served");
    }
    return VT_OK;
}

static void read_challenge(X509_REQ *csr, struct vt_scep_request *r)
{
    int at = X509_REQ_get_attr_by_NID(csr, NID_pkcs9_challengePassword, -1);
    ASN1_TYPE *type = at >= 0 ? X509_ATTRIBUTE_get0_type(X509_REQ_get_attr(csr, at), 0) : NULL;
    unsigned char *text = NULL;
    int n = -1;
    if (type && (type->type == V_ASN1_PRINTABLESTRING || type->type == V_ASN1_UTF8STRING ||
                 type->type == V_ASN1_IA5STRING || type->type == V_ASN1_T61STRING ||
                 type->type == V_ASN1_BMPSTRING))
        n = ASN1_STRING_to_UTF8(&text, type->value.asn1_string);
    bool fits = n > 0 && n <= CHALLENGE_MAX && !memchr(text, '\0', (size_t)n);
    r->challenge = fits ? vt_strndup((const char *)text, (size_t)n) : vt_strdup("");
    OPENSSL_free(text);
}

/* The request inside. Decryption that fails and a request that makes no sense look the same to the
 * requester: no oracle about the CA's key. */
static enum vt_code read_csr(const struct vt_ca *ca, BIO *content, struct vt_scep_request *r,
                             struct vt_error *err)
{
    char *data;
    long n = BIO_get_mem_data(content, &data);
    CMS_ContentInfo *inner = read_cms(data, n > 0 ? (size_t)n : 0);
    BIO *plain = BIO_new(BIO_s_mem());
    r->why = VT_SCEP_BAD_MESSAGE_CHECK;
    if (inner && plain && OBJ_obj2nid(CMS_get0_type(inner)) == NID_pkcs7_enveloped &&
        CMS_decrypt(inner, ca->key, ca->cert, NULL, plain, CMS_BINARY) == 1)
        r->csr = d2i_X509_REQ_bio(plain, NULL);
    r->key = r->csr ? X509_REQ_get_pubkey(r->csr) : NULL;
    if (r->key && X509_REQ_verify(r->csr, r->key) != 1) {
        EVP_PKEY_free(r->key);
        r->key = NULL;
    }
    CMS_ContentInfo_free(inner);
    BIO_free(plain);
    ERR_clear_error();
    if (!r->key)
        return vt_fail(err, VT_EPROTO, OP, "a request that cannot be read, or is not for this CA");
    read_challenge(r->csr, r);
    r->why = VT_SCEP_BAD_REQUEST;
    if (X509_check_private_key(r->signer, r->key) != 1) { /* compares public halves */
        ERR_clear_error();
        return vt_fail(err, VT_EPROTO, OP, "a request that another key than its own has signed");
    }
    return VT_OK;
}

enum vt_code vt_scep_read(const struct vt_ca *ca, const void *data, size_t n,
                          struct vt_scep_request *r, struct vt_error *err)
{
    *r = (struct vt_scep_request){.why = VT_SCEP_BAD_REQUEST};
    CMS_ContentInfo *cms = read_cms(data, n);
    BIO *content = BIO_new(BIO_s_mem());
    CMS_SignerInfo *si = cms && content ? open_outer(cms, content) : NULL;
    enum vt_code code = VT_EPROTO;
    if (si) {
        code = read_attributes(si, r, err);
        if (!code)
            code = read_csr(ca, content, r, err);
    } else {
        vt__ssl_fail(err, VT_EPROTO, OP, "not a signed SCEP message");
    }
    BIO_free(content);
    CMS_ContentInfo_free(cms);
    ERR_clear_error();
    return code;
}

void vt_scep_clear(struct vt_scep_request *r)
{
    vt_free(r->transaction);
    vt_buf_free(&r->nonce);
    X509_free(r->signer);
    X509_REQ_free(r->csr);
    EVP_PKEY_free(r->key);
    if (r->challenge)
        OPENSSL_cleanse(r->challenge, strlen(r->challenge));
    vt_free(r->challenge);
    *r = (struct vt_scep_request){0};
}

/* --- replying --- */

static bool add(CMS_SignerInfo *si, const char *oid, int type, const void *data, size_t n)
{
    return CMS_signed_add1_attr_by_txt(si, oid, type, data, (int)n) == 1;
}

static bool add_text(CMS_SignerInfo *si, const char *oid, const char *text)
{
    return add(si, oid, V_ASN1_PRINTABLESTRING, text, strlen(text));
}

/* Signs the reply. `content`: what it carries, or NULL. */
static enum vt_code finish(const struct vt_ca *ca, const struct vt_scep_request *r, BIO *content,
                           const char *status, const char *fail_info, struct vt_buf *out,
                           struct vt_error *err)
{
    unsigned char nonce[16];
    BIO *empty = content ? NULL : BIO_new(BIO_s_mem());
    BIO *data = content ? content : empty;
    const unsigned flags = CMS_BINARY | CMS_PARTIAL;
    CMS_ContentInfo *cms = data ? CMS_sign(NULL, NULL, NULL, NULL, flags) : NULL;
    CMS_SignerInfo *si =
        cms ? CMS_add1_signer(cms, ca->cert, ca->key, EVP_sha256(), flags | CMS_NOSMIMECAP) : NULL;
    bool ok = si && RAND_bytes(nonce, sizeof nonce) == 1 &&
              add_text(si, TRANSACTION_ID, r->transaction) &&
              add_text(si, MESSAGE_TYPE, CERT_REP) && add_text(si, PKI_STATUS, status) &&
              (!fail_info || add_text(si, FAIL_INFO, fail_info)) &&
              add(si, SENDER_NONCE, V_ASN1_OCTET_STRING, nonce, sizeof nonce) &&
              add(si, RECIPIENT_NONCE, V_ASN1_OCTET_STRING, r->nonce.data, r->nonce.len) &&
              CMS_final(cms, data, NULL, CMS_BINARY) == 1;
    unsigned char *der = NULL;
    int n = ok ? i2d_CMS_ContentInfo(cms, &der) : -1;
    if (n > 0)
        vt_buf_add(out, der, (size_t)n);
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(empty);
    return n > 0 ? VT_OK : vt__ssl_fail(err, VT_EINTERNAL, OP, "the reply could not be signed");
}

/* A PKCS#7 that carries nothing but the certificate, as CertRep wants it. */
static BIO *degenerate(X509 *cert)
{
    PKCS7 *p7 = PKCS7_new();
    BIO *out = BIO_new(BIO_s_mem());
    bool ok = p7 && out && PKCS7_set_type(p7, NID_pkcs7_signed) &&
              PKCS7_content_new(p7, NID_pkcs7_data) && PKCS7_set_detached(p7, 1) >= 0 &&
              PKCS7_add_certificate(p7, cert) && i2d_PKCS7_bio(out, p7);
    PKCS7_free(p7);
    if (ok)
        return out;
    BIO_free(out);
    return NULL;
}

enum vt_code vt_scep_grant(const struct vt_ca *ca, const struct vt_scep_request *r, X509 *cert,
                           struct vt_buf *out, struct vt_error *err)
{
    STACK_OF(X509) *to = sk_X509_new_null();
    BIO *plain = degenerate(cert), *sealed = BIO_new(BIO_s_mem());
    CMS_ContentInfo *envelope = NULL;
    if (to && plain && sealed && sk_X509_push(to, r->signer))
        envelope = CMS_encrypt(to, plain, EVP_aes_128_cbc(), CMS_BINARY);
    enum vt_code code = VT_EINTERNAL;
    if (envelope && i2d_CMS_bio(sealed, envelope))
        code = finish(ca, r, sealed, SUCCESS, NULL, out, err);
    else
        vt__ssl_fail(err, VT_EINTERNAL, OP, "the reply could not be encrypted");
    CMS_ContentInfo_free(envelope);
    BIO_free(plain);
    BIO_free(sealed);
    sk_X509_free(to);
    return code;
}

enum vt_code vt_scep_refuse(const struct vt_ca *ca, const struct vt_scep_request *r,
                            enum vt_scep_fail why, struct vt_buf *out, struct vt_error *err)
{
    char text[2] = {(char)('0' + (int)why), '\0'};
    return finish(ca, r, NULL, FAILURE, text, out, err);
}
