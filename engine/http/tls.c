/* The server's TLS: its certificate and key from memory, and what it asks of clients. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <string.h>

#include "core/mem.h"
#include "http/server_internal.h"

#define OP "http.server"

/* Adds what OpenSSL says to *err. */
static int bad(struct vt_http_server *server, const char *what)
{
    char text[256] = "";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    vt_fail(server->err, VT_EINVAL, OP, "%s%s%s", what, *text ? ": " : "", text);
    return -1;
}

static int use_chain(struct vt_http_server *server, SSL_CTX *ssl)
{
    BIO *bio = BIO_new_mem_buf(server->cert_pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    int good = cert && SSL_CTX_use_certificate(ssl, cert) == 1;
    X509_free(cert);
    while (good && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (SSL_CTX_add_extra_chain_cert(ssl, cert) != 1) { /* takes it over */
            X509_free(cert);
            good = 0;
        }
    BIO_free(bio);
    if (!good)
        return bad(server, "the server's certificate cannot be used");
    ERR_clear_error(); /* the end of the text is no error */
    return 0;
}

static int use_key(struct vt_http_server *server, SSL_CTX *ssl)
{
    BIO *bio = BIO_new_mem_buf(server->key_pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    int good = key && SSL_CTX_use_PrivateKey(ssl, key) == 1 && SSL_CTX_check_private_key(ssl) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return good ? 0 : bad(server, "the server's key cannot be used with its certificate");
}

static int accept_any(int good, X509_STORE_CTX *store)
{
    (void)good;
    (void)store;
    return 1;
}

static int trust_clients(struct vt_http_server *server, SSL_CTX *ssl)
{
    BIO *bio = BIO_new_mem_buf(server->client_ca_pem, -1);
    X509 *ca;
    int n = 0;
    while ((ca = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        n += X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), ca) == 1 &&
             SSL_CTX_add_client_CA(ssl, ca) == 1;
        X509_free(ca);
    }
    BIO_free(bio);
    ERR_clear_error();
    return n ? 0 : bad(server, "there is no certificate in client_ca_pem");
}

int vt__http_tls(struct vt_http_server *server, SSL_CTX *ssl)
{
    static const unsigned char context[] = "vmtest";
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_session_id_context(ssl, context, sizeof context - 1);
    if (use_chain(server, ssl) || use_key(server, ssl))
        return -1;
    switch (server->opts.client_cert) {
    case VT_HTTP_CERT_NONE:
        SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        return 0;
    case VT_HTTP_CERT_ASK:
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, accept_any);
        return 0;
    case VT_HTTP_CERT_VERIFIED:
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
        break;
    case VT_HTTP_CERT_REQUIRED:
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        break;
    }
    return trust_clients(server, ssl);
}

char *vt__http_peer_cert(struct lws *wsi, size_t *size)
{
    SSL *ssl = lws_get_ssl(wsi);
    X509 *cert = ssl ? SSL_get_peer_certificate(ssl) : NULL;
    char *out = NULL;
    unsigned char *der = NULL;
    int n = cert ? i2d_X509(cert, &der) : 0;
    if (n > 0) {
        out = vt_malloc((size_t)n);
        memcpy(out, der, (size_t)n);
        *size = (size_t)n;
    }
    OPENSSL_free(der);
    X509_free(cert);
    return out;
}
