#include "plist/cms.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"

#define OP "cms"

/* The first reason in OpenSSL's queue, which is emptied. */
static const char *reason(char *text, size_t size)
{
    unsigned long code = ERR_get_error();
    const char *why = code ? ERR_reason_error_string(code) : NULL;
    snprintf(text, size, "%s", why ? why : "it cannot be read");
    ERR_clear_error();
    return text;
}

bool vt_cms_is_signed(const void *data, size_t n)
{
    static const unsigned char oid[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x07, 0x02};
    const unsigned char *p = data;
    if (n < 2 + sizeof oid || p[0] != 0x30)
        return false;
    size_t header = 2 + (p[1] > 0x80 ? p[1] & 0x7fu : 0);
    return header <= 10 && n >= header + sizeof oid && !memcmp(p + header, oid, sizeof oid);
}

static CMS_ContentInfo *read_der(const void *der, size_t n, const char *what, struct vt_error *err)
{
    const unsigned char *p = der;
    char why[120];
    if (n > VT_CMS_MAX_BYTES) {
        vt_fail(err, VT_ELIMIT, OP, "%s: larger than %u MiB", what, VT_CMS_MAX_BYTES >> 20);
        return NULL;
    }
    ERR_clear_error();
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)n);
    if (cms && OBJ_obj2nid(CMS_get0_type(cms)) == NID_pkcs7_signed)
        return cms;
    vt_fail(err, VT_EINVAL, OP, "%s: no signed CMS message: %s", what,
            cms ? "of another type" : reason(why, sizeof why));
    CMS_ContentInfo_free(cms);
    return NULL;
}

static char *name_text(const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    long n = BIO_get_mem_data(bio, &text);
    char *copy = vt_strndup(text ? text : "", n > 0 ? (size_t)n : 0);
    BIO_free(bio);
    return copy;
}

static char *time_text(const ASN1_TIME *when)
{
    struct tm tm;
    char text[32];
    if (!ASN1_TIME_to_tm(when, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
        return vt_strdup("");
    return vt_strdup(text);
}

static char *serial_text(X509 *certificate)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *hex = number ? BN_bn2hex(number) : NULL;
    char *copy = vt_strdup(hex ? hex : "");
    for (char *c = copy; *c; c++)
        if (*c >= 'A' && *c <= 'F')
            *c = (char)(*c - 'A' + 'a');
    OPENSSL_free(hex);
    BN_free(number);
    return copy;
}

static void describe(struct vt_cms_signer *signer, X509 *certificate)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    signer->subject = name_text(X509_get_subject_name(certificate));
    signer->issuer = name_text(X509_get_issuer_name(certificate));
    signer->serial = serial_text(certificate);
    signer->not_before = time_text(X509_get0_notBefore(certificate));
    signer->not_after = time_text(X509_get0_notAfter(certificate));
    X509_digest(certificate, EVP_sha256(), digest, &size);
    for (unsigned i = 0; i < size && i < 32; i++)
        snprintf(signer->sha256 + 2 * (size_t)i, 3, "%02x", digest[i]);
}

static void take_signers(CMS_ContentInfo *cms, struct vt_cms_signature *signature)
{
    CMS_set1_signers_certs(cms, NULL, 0);
    STACK_OF(X509) *certificates = CMS_get0_signers(cms);
    int n = certificates ? sk_X509_num(certificates) : 0;
    signature->signers = vt_calloc(n > 0 ? (size_t)n : 1, sizeof *signature->signers);
    for (int i = 0; i < n; i++)
        describe(&signature->signers[signature->count++], sk_X509_value(certificates, i));
    sk_X509_free(certificates);
}

enum vt_code vt_cms_unwrap(const void *data, size_t n, const char *what, struct vt_buf *content,
                           struct vt_cms_signature *signature, struct vt_error *err)
{
    *signature = (struct vt_cms_signature){0};
    CMS_ContentInfo *cms = read_der(data, n, what, err);
    if (!cms)
        return err ? err->code : VT_EINVAL;
    ASN1_OCTET_STRING **held = CMS_get0_content(cms);
    if (!held || !*held) {
        CMS_ContentInfo_free(cms);
        return vt_fail(err, VT_EINVAL, OP, "%s: the signed message has no content", what);
    }
    vt_buf_add(content, ASN1_STRING_get0_data(*held), (size_t)ASN1_STRING_length(*held));
    ERR_clear_error();
    signature->good =
        CMS_verify(cms, NULL, NULL, NULL, NULL, CMS_NO_SIGNER_CERT_VERIFY | CMS_BINARY) == 1;
    if (!signature->good)
        reason(signature->why, sizeof signature->why);
    take_signers(cms, signature);
    ERR_clear_error();
    CMS_ContentInfo_free(cms);
    return VT_OK;
}

void vt_cms_signature_free(struct vt_cms_signature *signature)
{
    for (size_t i = 0; i < signature->count; i++) {
        vt_free(signature->signers[i].subject);
        vt_free(signature->signers[i].issuer);
        vt_free(signature->signers[i].serial);
        vt_free(signature->signers[i].not_before);
        vt_free(signature->signers[i].not_after);
    }
    vt_free(signature->signers);
    *signature = (struct vt_cms_signature){0};
}

enum vt_code vt_cms_sign(X509 *certificate, EVP_PKEY *key, STACK_OF(X509) * chain, const void *data,
                         size_t n, bool detached, struct vt_buf *der, struct vt_error *err)
{
    char why[120];
    unsigned char *bytes = NULL;
    if (n > VT_CMS_MAX_BYTES)
        return vt_fail(err, VT_ELIMIT, OP, "content larger than %u MiB", VT_CMS_MAX_BYTES >> 20);
    ERR_clear_error();
    BIO *in = BIO_new_mem_buf(n ? data : "", (int)n);
    CMS_ContentInfo *cms =
        CMS_sign(certificate, key, chain, in, CMS_BINARY | (detached ? CMS_DETACHED : 0));
    int size = cms ? i2d_CMS_ContentInfo(cms, &bytes) : -1;
    if (size > 0)
        vt_buf_add(der, bytes, (size_t)size);
    else
        vt_fail(err, VT_EINVAL, OP, "cannot sign: %s", reason(why, sizeof why));
    OPENSSL_free(bytes);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    return size > 0 ? VT_OK : VT_EINVAL;
}

enum vt_code vt_cms_verify_detached(const void *der, size_t der_size, const void *body, size_t n,
                                    X509_STORE *trust, X509 **signer, struct vt_error *err)
{
    char why[120];
    enum vt_code code = VT_OK;
    *signer = NULL;
    if (n > VT_CMS_MAX_BYTES)
        return vt_fail(err, VT_ELIMIT, OP, "content larger than %u MiB", VT_CMS_MAX_BYTES >> 20);
    CMS_ContentInfo *cms = read_der(der, der_size, "the signature", err);
    if (!cms)
        return err ? err->code : VT_EINVAL;
    if (trust) /* the purpose of a client, not of an e-mail, which is OpenSSL's default here */
        X509_VERIFY_PARAM_set_purpose(X509_STORE_get0_param(trust), X509_PURPOSE_SSL_CLIENT);
    BIO *in = BIO_new_mem_buf(n ? body : "", (int)n);
    unsigned flags = CMS_BINARY | CMS_DETACHED | (trust ? 0 : CMS_NO_SIGNER_CERT_VERIFY);
    if (CMS_verify(cms, NULL, trust, in, NULL, flags) != 1)
        code =
            vt_fail(err, VT_EAUTH, OP, "the signature does not hold: %s", reason(why, sizeof why));
    STACK_OF(X509) *certificates = code ? NULL : CMS_get0_signers(cms);
    if (certificates && sk_X509_num(certificates) > 0) {
        *signer = sk_X509_value(certificates, 0);
        X509_up_ref(*signer);
    } else if (!code) {
        code = vt_fail(err, VT_EAUTH, OP, "the signature names no signer");
    }
    sk_X509_free(certificates);
    BIO_free(in);
    CMS_ContentInfo_free(cms);
    return code;
}
