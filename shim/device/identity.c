#include "device/identity.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "plist/base64.h"
#include "plist/cms.h"
#include "plist/tree.h"

#define PEM_MAX (1u << 20)

enum vt_code vtd_identity_write(const char *path, EVP_PKEY *key, X509 *cert, STACK_OF(X509) * above,
                                struct vt_error *err)
{
    char *dir = vt_path_dir(path), *text = NULL;
    BIO *mem = BIO_new(BIO_s_secmem());
    bool good = mem && PEM_write_bio_PrivateKey(mem, key, NULL, NULL, 0, NULL, NULL) &&
                PEM_write_bio_X509(mem, cert);
    for (int i = 0; good && i < sk_X509_num(above); i++)
        good = PEM_write_bio_X509(mem, sk_X509_value(above, i)) != 0;
    enum vt_code code =
        good ? vt_mkdirs(dir, err) : vt_fail(err, VT_EINTERNAL, "identity", "cannot be written");
    if (!code) {
        long n = BIO_get_mem_data(mem, &text);
        code = vt_write_file(path, text, (size_t)n, 0600, err);
    }
    BIO_free(mem);
    vt_free(dir);
    return code;
}

void vtd_load_old_ciphers(void)
{
    static OSSL_PROVIDER *kept[2]; /* for as long as this process runs */
    if (kept[0])
        return;
    kept[0] = OSSL_PROVIDER_load(NULL, "default");
    kept[1] = OSSL_PROVIDER_load(NULL, "legacy");
}

bool vtd_identity_pkcs12(plist_t payload, const char *path, struct vtd_chain *chain)
{
    struct vt_error err = VT_ERROR_INIT;
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    STACK_OF(X509) *above = NULL;
    size_t n;
    const unsigned char *data = vt_plist_data(payload, "PayloadContent", &n);
    vtd_load_old_ciphers();
    PKCS12 *p12 = data ? d2i_PKCS12(NULL, &data, (long)n) : NULL;
    bool good = true;
    if (!p12)
        good = vtd_fault(chain, vtd_payload_domain, 2000, "PayloadContent is no PKCS#12 file");
    else if (!PKCS12_parse(p12, vt_plist_str(payload, "Password", ""), &key, &cert, &above))
        good =
            vtd_fault(chain, vtd_install_domain, 4008,
                      "The PKCS#12 file cannot be read: the password is wrong, or it is damaged");
    else if (!key || !cert)
        good = vtd_fault(chain, vtd_install_domain, 4008,
                         "The PKCS#12 file has no key with a certificate");
    else if (vtd_identity_write(path, key, cert, above, &err))
        good = vtd_fault(chain, vtd_install_domain, 4016, "%s", err.message);
    PKCS12_free(p12);
    EVP_PKEY_free(key);
    X509_free(cert);
    sk_X509_pop_free(above, X509_free);
    ERR_clear_error();
    return good;
}

enum vt_code vtd_identity_sign(const char *path, const void *body, size_t n, struct vt_buf *out,
                               struct vt_error *err)
{
    struct vt_buf pem = VT_BUF_INIT, der = VT_BUF_INIT;
    enum vt_code code = vt_read_file(path, PEM_MAX, &pem, err);
    BIO *in = code ? NULL : BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
    X509 *cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    if (!code && (!key || !cert))
        code = vt_fail(err, VT_EINVAL, "identity", "%s holds no identity", path);
    if (!code)
        code = vt_cms_sign(cert, key, NULL, body, n, true, &der, err);
    if (!code)
        vt_base64_encode(out, der.data, der.len);
    EVP_PKEY_free(key);
    X509_free(cert);
    BIO_free(in);
    if (pem.data)
        OPENSSL_cleanse(pem.data, pem.len);
    vt_buf_free(&pem);
    vt_buf_free(&der);
    ERR_clear_error();
    return code;
}
