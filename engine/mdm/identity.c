#include "mdm/identity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"

#define OP "mdm.identity"
#define DAY (24.0 * 3600)
#define CA_DAYS 3650
#define CA_LEAST_DAYS 30
#define SERVER_DAYS 398
#define BACKDATED 3600
#define CA_FILE_MAX 65536

enum vt_code vt__ssl_fail(struct vt_error *err, enum vt_code code, const char *op, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    ERR_clear_error();
    return vt_fail(err, code, op, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

/* --- keys and certificates --- */

EVP_PKEY *vt_key_new(bool rsa, struct vt_error *err)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(rsa ? EVP_PKEY_RSA : EVP_PKEY_EC, NULL);
    bool ok = ctx && EVP_PKEY_keygen_init(ctx) > 0;
    if (ok && rsa)
        ok = EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) > 0;
    else if (ok)
        ok = EVP_PKEY_CTX_set_ec_paramgen_curve_nid(ctx, NID_X9_62_prime256v1) > 0 &&
             EVP_PKEY_CTX_set_ec_param_enc(ctx, OPENSSL_EC_NAMED_CURVE) > 0;
    if (!ok || EVP_PKEY_keygen(ctx, &key) <= 0)
        vt__ssl_fail(err, VT_EINTERNAL, OP, "a key could not be made");
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static bool set_serial(X509 *cert)
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and always of one length */
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
    BN_free(n);
    return ok;
}

static bool add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    return ok;
}

/* A certificate over `key` with its times and names set, still to get its extensions and to be
 * signed. */
static X509 *begin(EVP_PKEY *key, X509_NAME *subject, const char *common_name, X509_NAME *issuer,
                   time_t until)
{
    X509 *cert = X509_new();
    X509_NAME *name = NULL;
    bool ok = cert && X509_set_version(cert, 2) && set_serial(cert) && X509_set_pubkey(cert, key) &&
              ASN1_TIME_set(X509_getm_notBefore(cert), time(NULL) - BACKDATED) &&
              ASN1_TIME_set(X509_getm_notAfter(cert), until);
    if (ok && !subject) {
        subject = name = X509_NAME_new();
        ok = name &&
             X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                        (const unsigned char *)common_name, -1, -1, 0) &&
             X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"vmtest",
                                        -1, -1, 0);
    }
    ok = ok && X509_set_subject_name(cert, subject) &&
         X509_set_issuer_name(cert, issuer ? issuer : subject);
    X509_NAME_free(name);
    if (ok)
        return cert;
    X509_free(cert);
    return NULL;
}

static time_t end_of(const struct vt_ca *ca, double seconds)
{
    double end = vt_wall() + seconds, last = vt_cert_expires(ca->cert);
    return (time_t)(end < last ? end : last);
}

X509 *vt_ca_issue(const struct vt_ca *ca, EVP_PKEY *key, X509_NAME *subject,
                  const char *common_name, double seconds, struct vt_error *err)
{
    X509 *cert =
        begin(key, subject, common_name, X509_get_subject_name(ca->cert), end_of(ca, seconds));
    bool rsa = EVP_PKEY_base_id(key) == EVP_PKEY_RSA;
    if (cert && add_ext(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
        add_ext(cert, ca->cert, NID_key_usage,
                rsa ? "critical,digitalSignature,keyEncipherment" : "critical,digitalSignature") &&
        add_ext(cert, ca->cert, NID_ext_key_usage, "clientAuth") &&
        add_ext(cert, ca->cert, NID_subject_key_identifier, "hash") &&
        add_ext(cert, ca->cert, NID_authority_key_identifier, "keyid:always") &&
        X509_sign(cert, ca->key, EVP_sha256()))
        return cert;
    X509_free(cert);
    vt__ssl_fail(err, VT_EINTERNAL, OP, "a device's certificate could not be made");
    return NULL;
}

static void add_names(const char *const *names, struct vt_buf *out)
{
    for (size_t i = 0; names[i]; i++) {
        unsigned char address[16];
        bool ip = inet_pton(AF_INET, names[i], address) == 1 ||
                  inet_pton(AF_INET6, names[i], address) == 1;
        vt_buf_printf(out, "%s%s:%s", i ? "," : "", ip ? "IP" : "DNS", names[i]);
    }
}

/* Names go into a line of OpenSSL's own little language. */
static bool is_host(const char *name)
{
    size_t n = strlen(name);
    return n && n < 254 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:") == n;
}

static enum vt_code put_key(EVP_PKEY *key, struct vt_buf *out)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text;
    bool ok = bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    if (ok) {
        long n = BIO_get_mem_data(bio, &text);
        vt_buf_add(out, text, (size_t)n);
    }
    BIO_free(bio);
    return ok ? VT_OK : VT_EINTERNAL;
}

enum vt_code vt_ca_server(const struct vt_ca *ca, const char *const *names, struct vt_buf *chain,
                          struct vt_buf *key_out, struct vt_error *err)
{
    for (size_t i = 0; names[i]; i++)
        if (!is_host(names[i]))
            return vt_fail(err, VT_EINVAL, OP, "\"%s\" is no host name and no address", names[i]);
    struct vt_buf alternatives = VT_BUF_INIT;
    add_names(names, &alternatives);
    EVP_PKEY *key = vt_key_new(false, err);
    X509 *cert = key ? begin(key, NULL, names[0], X509_get_subject_name(ca->cert),
                             end_of(ca, SERVER_DAYS * DAY - BACKDATED))
                     : NULL;
    bool ok = cert && add_ext(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
              add_ext(cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
              add_ext(cert, ca->cert, NID_ext_key_usage, "serverAuth") &&
              add_ext(cert, ca->cert, NID_subject_key_identifier, "hash") &&
              add_ext(cert, ca->cert, NID_authority_key_identifier, "keyid:always") &&
              add_ext(cert, ca->cert, NID_subject_alt_name, vt_buf_str(&alternatives)) &&
              X509_sign(cert, ca->key, EVP_sha256()) && put_key(key, key_out) == VT_OK;
    if (ok) {
        vt_cert_pem(cert, chain);
        vt_buf_puts(chain, ca->pem);
    } else {
        vt__ssl_fail(err, VT_EINTERNAL, OP, "the server's certificate could not be made");
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    vt_buf_free(&alternatives);
    return ok ? VT_OK : VT_EINTERNAL;
}

enum vt_code vt_pkcs12(X509 *cert, EVP_PKEY *key, const struct vt_ca *ca, const char *password,
                       struct vt_buf *out, struct vt_error *err)
{
    const int nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC, rounds = 2048;
    STACK_OF(X509) *others = sk_X509_new_null();
    PKCS12 *p12 = NULL;
    if (others && sk_X509_push(others, ca->cert))
        p12 = PKCS12_create(password, "vmtest device", key, cert, others, nid, nid, rounds, -1, 0);
    /* what PKCS12_create() would make its MAC by differs between OpenSSL's versions */
    bool ok = p12 && PKCS12_set_mac(p12, password, -1, NULL, 0, rounds, EVP_sha1());
    unsigned char *der = NULL;
    int n = ok ? i2d_PKCS12(p12, &der) : -1;
    if (n > 0)
        vt_buf_add(out, der, (size_t)n);
    OPENSSL_free(der);
    PKCS12_free(p12);
    sk_X509_free(others);
    return n > 0 ? VT_OK : vt__ssl_fail(err, VT_EINTERNAL, OP, "the PKCS#12 could not be made");
}

void vt_fingerprint(const X509 *cert, char out[VT_FINGERPRINT_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    unsigned n = 0;
    X509_digest(cert, EVP_sha256(), digest, &n);
    for (size_t i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

double vt_cert_expires(const X509 *cert)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) ? (double)timegm(&tm) : 0;
}

void vt_cert_der(const X509 *cert, struct vt_buf *out)
{
    unsigned char *der = NULL;
    int n = i2d_X509(cert, &der);
    if (n > 0)
        vt_buf_add(out, der, (size_t)n);
    OPENSSL_free(der);
}

void vt_cert_pem(X509 *cert, struct vt_buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    if (bio && PEM_write_bio_X509(bio, cert)) {
        long n = BIO_get_mem_data(bio, &text);
        vt_buf_add(out, text, (size_t)n);
    }
    BIO_free(bio);
}

/* --- the CA --- */

static enum vt_code make_ca(struct vt_buf *pem, struct vt_error *err)
{
    EVP_PKEY *key = vt_key_new(true, err);
    if (!key)
        return VT_EINTERNAL;
    char name[64], id[9];
    vt_random_hex(id, 8);
    snprintf(name, sizeof name, "vmtest lab CA %s", id);
    X509 *cert = begin(key, NULL, name, NULL, (time_t)(vt_wall() + CA_DAYS * DAY));
    bool ok = cert && add_ext(cert, cert, NID_basic_constraints, "critical,CA:TRUE") &&
              add_ext(cert, cert, NID_key_usage,
                      "critical,keyCertSign,cRLSign,digitalSignature,keyEncipherment") &&
              add_ext(cert, cert, NID_subject_key_identifier, "hash") &&
              X509_sign(cert, key, EVP_sha256()) && put_key(key, pem) == VT_OK;
    if (ok)
        vt_cert_pem(cert, pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok ? VT_OK : vt__ssl_fail(err, VT_EINTERNAL, OP, "the lab's CA could not be made");
}

/* Puts the file in place unless another process has done so meanwhile. */
static enum vt_code publish_ca(const char *dir, const char *path, struct vt_error *err)
{
    struct vt_buf pem = VT_BUF_INIT;
    char id[17], name[32];
    vt_random_hex(id, 16);
    snprintf(name, sizeof name, "ca-%s.new", id);
    char *temp = vt_path_join(dir, name);
    enum vt_code code = make_ca(&pem, err);
    if (!code)
        code = vt_write_file(temp, pem.data, pem.len, 0600, err);
    if (!code && link(temp, path) && errno != EEXIST)
        code = vt_fail_sys(err, errno, OP, "cannot make %s", path);
    unlink(temp);
    if (pem.data)
        OPENSSL_cleanse(pem.data, pem.len);
    vt_buf_free(&pem);
    vt_free(temp);
    return code;
}

static enum vt_code parse_ca(const char *path, const struct vt_buf *pem, struct vt_ca *ca,
                             struct vt_error *err)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    ca->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    ca->cert = ca->key ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!ca->cert || X509_check_private_key(ca->cert, ca->key) != 1) {
        char what[600];
        snprintf(what, sizeof what, "%s holds no key and certificate that belong together", path);
        vt__ssl_fail(err, VT_EINVAL, OP, what);
        vt_hint(err, "remove it: a new CA is made, and devices must enroll anew");
        return VT_EINVAL;
    }
    struct vt_buf text = VT_BUF_INIT;
    vt_cert_pem(ca->cert, &text);
    ca->pem = vt_buf_steal(&text);
    return VT_OK;
}

static enum vt_code load_ca(const char *path, struct vt_ca *ca, struct vt_error *err)
{
    struct vt_buf pem = VT_BUF_INIT;
    struct stat st;
    if (stat(path, &st))
        return vt_fail_sys(err, errno, OP, "cannot read %s", path);
    if (st.st_uid != geteuid() || (st.st_mode & 077)) {
        vt_fail(err, VT_EAUTH, OP, "%s, a private key, can be read by others", path);
        vt_hint(err, "chmod 600 %s, or remove it where somebody may have read it", path);
        return VT_EAUTH;
    }
    enum vt_code code = vt_read_file(path, CA_FILE_MAX, &pem, err);
    if (!code)
        code = parse_ca(path, &pem, ca, err);
    if (pem.data)
        OPENSSL_cleanse(pem.data, pem.len);
    vt_buf_free(&pem);
    return code;
}

enum vt_code vt_ca_open(const char *dir, struct vt_ca **out, struct vt_error *err)
{
    *out = NULL;
    enum vt_code code = vt_mkdirs(dir, err);
    if (code)
        return code;
    char *path = vt_path_join(dir, "ca.pem");
    struct vt_ca *ca = vt_calloc(1, sizeof *ca);
    if (!vt_is_file(path))
        code = publish_ca(dir, path, err);
    if (!code)
        code = load_ca(path, ca, err);
    if (!code && vt_cert_expires(ca->cert) < vt_wall() + CA_LEAST_DAYS * DAY) {
        vt_fail(err, VT_EAUTH, OP, "the lab's CA in %s expires within %d days", path,
                CA_LEAST_DAYS);
        vt_hint(err, "remove the file: a new CA is made, and devices must enroll anew");
        code = VT_EAUTH;
    }
    vt_free(path);
    if (code)
        vt_ca_free(ca);
    else
        *out = ca;
    return code;
}

void vt_ca_free(struct vt_ca *ca)
{
    if (!ca)
        return;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    vt_free(ca->pem);
    vt_free(ca);
}
