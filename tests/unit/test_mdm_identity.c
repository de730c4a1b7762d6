/* The lab's CA, and what it issues. */
#include "unit.h"

#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "mdm/identity.h"

static char home[64];

static int make_home(void **state)
{
    (void)state;
    strcpy(home, "/tmp/vmtest-ca-XXXXXX");
    return mkdtemp(home) ? 0 : -1;
}

static int remove_home(void **state)
{
    (void)state;
    return vt_remove_tree(home, NULL) ? -1 : 0;
}

static struct vt_ca *open_ca(void)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_ca *ca;
    char *dir = vt_path_join(home, "ca");
    if (vt_ca_open(dir, &ca, &err))
        fail_msg("%s", err.message);
    vt_free(dir);
    return ca;
}

static int verify(const struct vt_ca *ca, X509 *cert, int purpose)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, ca->cert);
    X509_STORE_CTX_init(ctx, store, cert, NULL);
    X509_STORE_CTX_set_purpose(ctx, purpose);
    int error = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return error;
}

static void test_ca_is_private_and_stays(void **state)
{
    (void)state;
    struct stat st;
    struct vt_ca *ca = open_ca(), *again = open_ca();
    assert_string_equal(ca->pem, again->pem);
    char *dir = vt_path_join(home, "ca"), *file = vt_path_join(dir, "ca.pem");
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    chmod(file, 0640);
    struct vt_error err = VT_ERROR_INIT;
    struct vt_ca *refused;
    assert_int_equal(vt_ca_open(dir, &refused, &err), VT_EAUTH);
    assert_null(refused);
    assert_non_null(strstr(err.hint, "chmod 600"));
    chmod(file, 0600);
    assert_int_equal(vt_write_file(file, "rubbish", 7, 0600, NULL), VT_OK);
    assert_int_equal(vt_ca_open(dir, &refused, NULL), VT_EINVAL);
    vt_free(dir);
    vt_free(file);
    vt_ca_free(ca);
    vt_ca_free(again);
}

/* Many processes that find no CA at once all get the same one, and leave nothing beside it. */
static void test_many_make_it_at_once(void **state)
{
    (void)state;
    enum { PROCESSES = 8 };
    pid_t pids[PROCESSES];
    int go[2], out[2];
    assert_int_equal(pipe(go) | pipe(out), 0);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char c, print[VT_FINGERPRINT_SIZE];
            close(go[1]);
            if (read(go[0], &c, 1) < 0)
                _exit(1);
            struct vt_ca *ca = open_ca();
            vt_fingerprint(ca->cert, print);
            vt_ca_free(ca);
            _exit(write(out[1], print, sizeof print - 1) != sizeof print - 1);
        }
    }
    close(go[0]);
    close(go[1]); /* they all begin */
    close(out[1]);
    char first[VT_FINGERPRINT_SIZE] = "", next[VT_FINGERPRINT_SIZE] = "";
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(read(out[0], next, sizeof next - 1), sizeof next - 1);
        if (i == 0)
            memcpy(first, next, sizeof first);
        assert_string_equal(first, next);
    }
    close(out[0]);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        assert_int_equal(status, 0);
    }
    char *temp = vt_path_join(home, "ca/ca.pem");
    assert_true(vt_is_file(temp));
    unlink(temp);
    vt_free(temp);
    temp = vt_path_join(home, "ca");
    assert_int_equal(rmdir(temp), 0);
    vt_free(temp);
}

static void test_identities(void **state)
{
    (void)state;
    struct vt_ca *ca = open_ca();
    for (int rsa = 0; rsa < 2; rsa++) {
        EVP_PKEY *key = vt_key_new(rsa, NULL);
        X509 *cert = vt_ca_issue(ca, key, NULL, "device one", 3600, NULL);
        X509 *other = vt_ca_issue(ca, key, NULL, "device one", 3600, NULL);
        char a[VT_FINGERPRINT_SIZE], b[VT_FINGERPRINT_SIZE];
        assert_int_equal(EVP_PKEY_bits(key), rsa ? 2048 : 256);
        assert_int_equal(verify(ca, cert, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
        assert_int_equal(verify(ca, cert, X509_PURPOSE_SSL_SERVER), X509_V_ERR_INVALID_PURPOSE);
        assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_CLIENT);
        assert_true(vt_cert_expires(cert) <= vt_wall() + 3600);
        assert_true(vt_cert_expires(cert) > vt_wall() + 3500);
        vt_fingerprint(cert, a);
        vt_fingerprint(other, b);
        assert_string_not_equal(a, b);
        X509_free(cert);
        X509_free(other);

        cert = vt_ca_issue(ca, key, NULL, "old", -60, NULL);
        assert_int_equal(verify(ca, cert, X509_PURPOSE_SSL_CLIENT), X509_V_ERR_CERT_HAS_EXPIRED);
        X509_free(cert);
        cert = vt_ca_issue(ca, key, NULL, "long", 1e10, NULL); /* not longer than the CA */
        assert_true(vt_cert_expires(cert) <= vt_cert_expires(ca->cert));
        X509_free(cert);
        EVP_PKEY_free(key);
    }
    vt_ca_free(ca);
}

static void test_pkcs12(void **state)
{
    (void)state;
    struct vt_ca *ca = open_ca();
    EVP_PKEY *key = vt_key_new(false, NULL);
    X509 *cert = vt_ca_issue(ca, key, NULL, "device", 3600, NULL);
    struct vt_buf der = VT_BUF_INIT;
    assert_int_equal(vt_pkcs12(cert, key, ca, "secret", &der, NULL), VT_OK);
    const unsigned char *at = (const unsigned char *)der.data;
    PKCS12 *p12 = d2i_PKCS12(NULL, &at, (long)der.len);
    EVP_PKEY *key2 = NULL;
    X509 *cert2 = NULL;
    STACK_OF(X509) *others = NULL;
    assert_int_equal(PKCS12_parse(p12, "wrong", &key2, &cert2, &others), 0);
    assert_int_equal(PKCS12_parse(p12, "secret", &key2, &cert2, &others), 1);
    assert_int_equal(X509_cmp(cert, cert2), 0);
    assert_int_equal(X509_check_private_key(cert, key2), 1);
    assert_int_equal(sk_X509_num(others), 1);
    sk_X509_pop_free(others, X509_free);
    X509_free(cert2);
    EVP_PKEY_free(key2);
    PKCS12_free(p12);
    vt_buf_free(&der);
    X509_free(cert);
    EVP_PKEY_free(key);
    vt_ca_free(ca);
}

static void test_server(void **state)
{
    (void)state;
    struct vt_ca *ca = open_ca();
    struct vt_buf chain = VT_BUF_INIT, pem = VT_BUF_INIT;
    const char *const names[] = {"localhost", "127.0.0.1", "10.0.2.2", "::1", NULL};
    assert_int_equal(vt_ca_server(ca, names, &chain, &pem, NULL), VT_OK);
    BIO *bio = BIO_new_mem_buf(chain.data, (int)chain.len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    X509 *issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_int_equal(X509_check_private_key(cert, key), 1);
    assert_int_equal(X509_cmp(issuer, ca->cert), 0);
    assert_int_equal(verify(ca, cert, X509_PURPOSE_SSL_SERVER), X509_V_OK);
    assert_int_equal(verify(ca, cert, X509_PURPOSE_SSL_CLIENT), X509_V_ERR_INVALID_PURPOSE);
    assert_int_equal(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(cert, "10.0.2.2", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "10.0.2.3", 0), 0);
    assert_true(vt_cert_expires(cert) - vt_wall() < 398 * 24 * 3600);
    X509_free(cert);
    X509_free(issuer);
    EVP_PKEY_free(key);
    vt_buf_clear(&chain);
    const char *const wrong[] = {"a,IP:1.2.3.4", NULL};
    assert_int_equal(vt_ca_server(ca, wrong, &chain, &pem, NULL), VT_EINVAL);
    vt_buf_free(&chain);
    vt_buf_free(&pem);
    vt_ca_free(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ca_is_private_and_stays, make_home, remove_home),
        cmocka_unit_test_setup_teardown(test_many_make_it_at_once, make_home, remove_home),
        cmocka_unit_test_setup_teardown(test_identities, make_home, remove_home),
        cmocka_unit_test_setup_teardown(test_pkcs12, make_home, remove_home),
        cmocka_unit_test_setup_teardown(test_server, make_home, remove_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
