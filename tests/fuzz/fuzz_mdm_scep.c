/* SCEP requests: as bytes, as what a valid message carries, and as what is encrypted in that. */
#include <openssl/cms.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "mdm/scep.h"

static struct vt_ca *ca;
static EVP_PKEY *key;
static X509 *self;

static void begin(void)
{
    char home[] = "/tmp/vmtest-fuzz-XXXXXX";
    if (!mkdtemp(home) || vt_ca_open(home, &ca, NULL) || vt_remove_tree(home, NULL))
        abort();
    key = vt_key_new(true, NULL);
    self = vt_ca_issue(ca, key, NULL, "requester", 3600, NULL);
}

static void encrypt(const uint8_t *data, size_t n, struct vt_buf *out)
{
    STACK_OF(X509) *to = sk_X509_new_null();
    BIO *in = BIO_new_mem_buf(data, (int)n);
    unsigned char *der = NULL;
    sk_X509_push(to, ca->cert);
    CMS_ContentInfo *cms = CMS_encrypt(to, in, EVP_aes_128_cbc(), CMS_BINARY);
    int size = i2d_CMS_ContentInfo(cms, &der);
    vt_buf_add(out, der, (size_t)size);
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    sk_X509_free(to);
}

static void sign(const uint8_t *data, size_t n, struct vt_buf *out)
{
    const unsigned flags = CMS_BINARY | CMS_PARTIAL;
    BIO *in = BIO_new_mem_buf(data, (int)n);
    unsigned char *der = NULL;
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
    CMS_SignerInfo *si = CMS_add1_signer(cms, self, key, EVP_sha256(), flags);
    CMS_signed_add1_attr_by_txt(si, "2.16.840.1.113733.1.9.2", V_ASN1_PRINTABLESTRING, "19", 2);
    CMS_signed_add1_attr_by_txt(si, "2.16.840.1.113733.1.9.7", V_ASN1_PRINTABLESTRING, "T", 1);
    CMS_signed_add1_attr_by_txt(si, "2.16.840.1.113733.1.9.5", V_ASN1_OCTET_STRING, "N", 1);
    CMS_final(cms, in, NULL, CMS_BINARY);
    int size = i2d_CMS_ContentInfo(cms, &der);
    vt_buf_add(out, der, (size_t)size);
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct vt_buf inner = VT_BUF_INIT, message = VT_BUF_INIT, reply = VT_BUF_INIT;
    struct vt_scep_request r;
    if (!ca)
        begin();
    if (!n)
        return 0;
    if (data[0] % 3 == 0)
        vt_buf_add(&message, data + 1, n - 1);
    else if (data[0] % 3 == 1)
        sign(data + 1, n - 1, &message);
    else
        encrypt(data + 1, n - 1, &inner);
    if (inner.len)
        sign((const uint8_t *)inner.data, inner.len, &message);
    enum vt_code code = vt_scep_read(ca, message.data, message.len, &r, NULL);
    if (!code && (!r.transaction || !r.key || !r.csr || !r.challenge))
        abort();
    if (r.transaction && vt_scep_refuse(ca, &r, r.why, &reply, NULL))
        abort();
    vt_scep_clear(&r);
    vt_buf_free(&inner);
    vt_buf_free(&message);
    vt_buf_free(&reply);
    return 0;
}
