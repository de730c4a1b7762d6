/* SCEP: requests as RFC 8894 has them, made here with OpenSSL, and ones that are not. */
#include "unit.h"

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <stdlib.h>

#include "core/fs.h"
#include "core/mem.h"
#include "mdm/scep.h"

static char home[64];
static struct vt_ca *ca;
static EVP_PKEY *key;
static X509 *self;

static X509 *self_signed(EVP_PKEY *k)
{
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"requester", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, k);
    X509_sign(cert, k, EVP_sha256());
    return cert;
}

static int setup(void **state)
{
    (void)state;
    strcpy(home, "/tmp/vmtest-scep-XXXXXX");
    if (!mkdtemp(home) || vt_ca_open(home, &ca, NULL))
        return -1;
    key = vt_key_new(true, NULL);
    self = self_signed(key);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vt_ca_free(ca);
    EVP_PKEY_free(key);
    X509_free(self);
    return vt_remove_tree(home, NULL) ? -1 : 0;
}

struct spec { /* what a request is made of; zero: as it should be */
    const char *challenge, *type, *transaction;
    EVP_PKEY *csr_key; /* another than the signer's */
    X509 *signer;      /* with its key: */
    EVP_PKEY *signer_key;
    bool no_nonce, other_ca, plain;
};

static BIO *csr_of(const struct spec *s)
{
    EVP_PKEY *k = s->csr_key ? s->csr_key : key;
    X509_REQ *req = X509_REQ_new();
    X509_REQ_set_version(req, 0);
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_ASC,
                               (const unsigned char *)"a device", -1, -1, 0);
    X509_REQ_set_pubkey(req, k);
    if (s->challenge)
        X509_REQ_add1_attr_by_NID(req, NID_pkcs9_challengePassword, MBSTRING_ASC,
                                  (const unsigned char *)s->challenge, -1);
    X509_REQ_sign(req, k, EVP_sha256());
    BIO *out = BIO_new(BIO_s_mem());
    i2d_X509_REQ_bio(out, req);
    X509_REQ_free(req);
    return out;
}

static void make(const struct spec *s, struct vt_buf *out)
{
    STACK_OF(X509) *to = sk_X509_new_null();
    sk_X509_push(to, s->other_ca ? self : ca->cert);
    BIO *csr = csr_of(s), *inner = BIO_new(BIO_s_mem()), *outer = BIO_new(BIO_s_mem());
    CMS_ContentInfo *envelope = CMS_encrypt(to, csr, EVP_aes_128_cbc(), CMS_BINARY);
    i2d_CMS_bio(inner, envelope);
    X509 *signer = s->signer ? s->signer : self;
    EVP_PKEY *signer_key = s->signer ? s->signer_key : key;
    const char *type = s->type ? s->type : "19";
    const char *transaction = s->transaction ? s->transaction : "T-1";
    const unsigned flags = CMS_BINARY | CMS_PARTIAL;
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
    CMS_SignerInfo *si = CMS_add1_signer(cms, signer, signer_key, EVP_sha256(), flags);
    CMS_signed_add1_attr_by_txt(si, "2.16.840.1.113733.1.9.2", V_ASN1_PRINTABLESTRING, type,
                                (int)strlen(type));
    CMS_signed_add1_attr_by_txt(si, "2.16.840.1.113733.1.9.7", V_ASN1_PRINTABLESTRING, transaction,
                                (int)strlen(transaction));
    if (!s->no_nonce)
        CMS_signed_add1_attr_by_txt(si, "2.16.840.1.113733.1.9.5", V_ASN1_OCTET_STRING, "0123", 4);
    CMS_final(cms, s->plain ? csr : inner, NULL, CMS_BINARY);
    i2d_CMS_bio(outer, cms);
    char *data;
    long n = BIO_get_mem_data(outer, &data);
    vt_buf_add(out, data, (size_t)n);
    CMS_ContentInfo_free(cms);
    CMS_ContentInfo_free(envelope);
    sk_X509_free(to);
    BIO_free(csr);
    BIO_free(inner);
    BIO_free(outer);
}

static void get_text(CMS_SignerInfo *si, const char *oid, int type, char out[64])
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    const ASN1_STRING *s = CMS_signed_get0_data_by_OBJ(si, object, -3, type);
    ASN1_OBJECT_free(object);
    snprintf(out, 64, "%.*s", s ? ASN1_STRING_length(s) : 0,
             s ? (const char *)ASN1_STRING_get0_data(s) : "");
}

/* Opens a CertRep as a client does: "STATUS FAIL", and the certificate in it. */
static const char *open_reply(const struct vt_buf *reply, X509 **cert)
{
    static char text[256];
    char type[64], status[64], why[64], transaction[64], nonce[64];
    const unsigned char *at = (const unsigned char *)reply->data;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)reply->len);
    BIO *content = BIO_new(BIO_s_mem()), *plain = BIO_new(BIO_s_mem());
    STACK_OF(X509) *trusted = sk_X509_new_null();
    sk_X509_push(trusted, ca->cert);
    assert_non_null(cms);
    assert_int_equal(
        CMS_verify(cms, trusted, NULL, NULL, content, CMS_NO_SIGNER_CERT_VERIFY | CMS_NOINTERN), 1);
    CMS_SignerInfo *si = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
    get_text(si, "2.16.840.1.113733.1.9.2", V_ASN1_PRINTABLESTRING, type);
    get_text(si, "2.16.840.1.113733.1.9.3", V_ASN1_PRINTABLESTRING, status);
    get_text(si, "2.16.840.1.113733.1.9.4", V_ASN1_PRINTABLESTRING, why);
    get_text(si, "2.16.840.1.113733.1.9.7", V_ASN1_PRINTABLESTRING, transaction);
    get_text(si, "2.16.840.1.113733.1.9.6", V_ASN1_OCTET_STRING, nonce);
    assert_string_equal(type, "3");
    assert_string_equal(transaction, "T-1");
    assert_string_equal(nonce, "0123");
    snprintf(text, sizeof text, "%s %s", status, why);
    if (cert) {
        CMS_ContentInfo *inner = d2i_CMS_bio(content, NULL);
        assert_int_equal(CMS_decrypt(inner, key, self, NULL, plain, CMS_BINARY), 1);
        PKCS7 *p7 = d2i_PKCS7_bio(plain, NULL);
        assert_non_null(p7);
        assert_int_equal(sk_X509_num(p7->d.sign->cert), 1);
        *cert = X509_dup(sk_X509_value(p7->d.sign->cert, 0));
        PKCS7_free(p7);
        CMS_ContentInfo_free(inner);
    }
    sk_X509_free(trusted);
    BIO_free(content);
    BIO_free(plain);
    CMS_ContentInfo_free(cms);
    return text;
}

static void test_certificate_is_granted(void **state)
{
    (void)state;
    struct vt_buf request = VT_BUF_INIT, reply = VT_BUF_INIT;
    struct vt_scep_request r;
    make(&(struct spec){.challenge = "open sesame"}, &request);
    assert_int_equal(vt_scep_read(ca, request.data, request.len, &r, NULL), VT_OK);
    assert_string_equal(r.challenge, "open sesame");
    X509 *cert = vt_ca_issue(ca, r.key, X509_REQ_get_subject_name(r.csr), NULL, 3600, NULL),
         *got = NULL;
    assert_int_equal(vt_scep_grant(ca, &r, cert, &reply, NULL), VT_OK);
    assert_string_equal(open_reply(&reply, &got), "0 ");
    assert_int_equal(X509_cmp(cert, got), 0);
    assert_int_equal(X509_check_private_key(got, key), 1);
    assert_int_equal(X509_verify(got, ca->key), 1);
    X509_free(cert);
    X509_free(got);
    vt_scep_clear(&r);
    vt_buf_free(&request);
    vt_buf_free(&reply);
}

static void test_refusals_are_answered(void **state)
{
    (void)state;
    EVP_PKEY *other = vt_key_new(true, NULL);
    const struct {
        struct spec spec;
        const char *reply;
    } cases[] = {
        {{.type = "17"}, "2 2"},     /* a renewal */
        {{.csr_key = other}, "2 2"}, /* somebody else's key */
        {{.other_ca = true}, "2 1"}, /* encrypted to another */
        {{.plain = true}, "2 1"},    /* not encrypted */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vt_buf request = VT_BUF_INIT, reply = VT_BUF_INIT;
        struct vt_scep_request r;
        make(&cases[i].spec, &request);
        assert_int_not_equal(vt_scep_read(ca, request.data, request.len, &r, NULL), VT_OK);
        assert_non_null(r.transaction);
        assert_int_equal(vt_scep_refuse(ca, &r, r.why, &reply, NULL), VT_OK);
        assert_string_equal(open_reply(&reply, NULL), cases[i].reply);
        vt_scep_clear(&r);
        vt_buf_free(&request);
        vt_buf_free(&reply);
    }
    EVP_PKEY_free(other);
}

static void test_what_is_no_scep(void **state)
{
    (void)state;
    EVP_PKEY *ec = vt_key_new(false, NULL);
    X509 *ec_self = self_signed(ec);
    const struct spec specs[] = {
        {.no_nonce = true},
        {.signer = ec_self, .signer_key = ec},
        {.transaction = ""},
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        struct vt_buf request = VT_BUF_INIT;
        struct vt_scep_request r;
        make(&specs[i], &request);
        assert_int_equal(vt_scep_read(ca, request.data, request.len, &r, NULL), VT_EPROTO);
        assert_null(r.transaction);
        vt_scep_clear(&r);
        vt_buf_free(&request);
    }
    X509_free(ec_self);
    EVP_PKEY_free(ec);
}

/* One bit wrong anywhere never gives a request that is taken, and never does harm. */
static void test_no_flipped_bit_is_taken(void **state)
{
    (void)state;
    struct vt_buf request = VT_BUF_INIT;
    struct vt_scep_request r;
    unsigned taken = 0;
    make(&(struct spec){.challenge = "c"}, &request);
    for (size_t i = 0; i < request.len; i += 3) {
        request.data[i] ^= 0x10;
        if (vt_scep_read(ca, request.data, request.len, &r, NULL) == VT_OK) {
            /* bits that are in no signature: of the requester's own certificate, say */
            assert_string_equal(r.challenge, "c");
            taken++;
        }
        vt_scep_clear(&r);
        request.data[i] ^= 0x10;
    }
    assert_true(taken < request.len / 6);
    for (size_t n = 0; n < request.len; n += 7) {
        assert_int_not_equal(vt_scep_read(ca, request.data, n, &r, NULL), VT_OK);
        vt_scep_clear(&r);
    }
    assert_int_equal(ERR_peek_error(), 0);
    vt_buf_free(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate_is_granted),
        cmocka_unit_test(test_refusals_are_answered),
        cmocka_unit_test(test_what_is_no_scep),
        cmocka_unit_test(test_no_flipped_bit_is_taken),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
