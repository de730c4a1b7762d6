#include "vmtest/plist.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "core/buf.h"
#include "core/fs.h"
#include "mdm/convert.h"
#include "plist/cms.h"
#include "plist/tree.h"

static enum vt_code read_plain(const void *data, size_t n, const char *what, json_t **out,
                               struct vt_error *err)
{
    plist_t root = NULL;
    enum vt_code code = vt_plist_parse(data, n, what, &root, NULL, err);
    if (code)
        return code;
    *out = vt_plist_to_json(root);
    plist_free(root);
    return VT_OK;
}

enum vt_code vt_plist_read(const void *data, size_t n, const char *what, json_t **out,
                           struct vt_error *err)
{
    struct vt_buf content = VT_BUF_INIT;
    struct vt_cms_signature signature = {0};
    *out = NULL;
    if (!vt_cms_is_signed(data, n))
        return read_plain(data, n, what, out, err);
    enum vt_code code = vt_cms_unwrap(data, n, what, &content, &signature, err);
    if (!code)
        code = read_plain(content.data, content.len, what, out, err);
    vt_cms_signature_free(&signature);
    vt_buf_free(&content);
    return code;
}

/* --- signing --- */

#define IDENTITY_MAX (1u << 20) /* bytes of the file */

struct identity {
    EVP_PKEY *key;
    X509 *cert;
    STACK_OF(X509) * more;
};

static void identity_clear(struct identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->cert);
    sk_X509_pop_free(id->more, X509_free);
}

static int no_password(char *buf, int size, int writing, void *user)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

/* The key from anywhere in the file, then all certificates, of which the first is its own. */
static void read_pem(struct identity *id, const struct vt_buf *text)
{
    BIO *in = BIO_new_mem_buf(text->data, (int)text->len);
    id->more = sk_X509_new_null();
    if (in)
        id->key = PEM_read_bio_PrivateKey(in, NULL, no_password, NULL);
    BIO_free(in);
    in = BIO_new_mem_buf(text->data, (int)text->len);
    if (in)
        id->cert = PEM_read_bio_X509(in, NULL, no_password, NULL);
    for (X509 *cert; in && id->more && (cert = PEM_read_bio_X509(in, NULL, no_password, NULL));)
        if (!sk_X509_push(id->more, cert))
            X509_free(cert);
    BIO_free(in);
}

static enum vt_code read_identity(struct identity *id, const char *path, struct vt_error *err)
{
    struct vt_buf text = VT_BUF_INIT;
    enum vt_code code = vt_read_file(path, IDENTITY_MAX, &text, err);
    if (!code)
        read_pem(id, &text);
    if (text.data)
        OPENSSL_cleanse(text.data, text.len);
    vt_buf_free(&text);
    if (code)
        return code;
    if (!id->key || !id->cert)
        return vt_fail(err, VT_EINVAL, "profile.sign",
                       "%s has no %s: a PEM file with a key, not encrypted, and its certificate is "
                       "needed",
                       path, id->key ? "certificate" : "key that can be read");
    if (X509_check_private_key(id->cert, id->key) != 1)
        return vt_fail(err, VT_EINVAL, "profile.sign",
                       "%s: the first certificate in it is not the key's", path);
    return VT_OK;
}

enum vt_code vt_profile_sign(const void *profile, size_t n, const char *identity, void **out,
                             size_t *out_size, struct vt_error *err)
{
    struct identity id = {0};
    struct vt_buf der = VT_BUF_INIT;
    *out = NULL;
    *out_size = 0;
    enum vt_code code = read_identity(&id, identity, err);
    if (!code)
        code = vt_cms_sign(id.cert, id.key, id.more, profile, n, false, &der, err);
    identity_clear(&id);
    if (!code) {
        *out_size = der.len;
        *out = vt_buf_steal(&der);
    }
    vt_buf_free(&der);
    return code;
}
