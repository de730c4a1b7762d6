/* Signing, taking apart, verifying; and what OpenSSL's own program says of it. */
#include "unit.h"

#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "plist/cms.h"

static EVP_PKEY *key;
static X509 *certificate;

static X509 *self_signed(EVP_PKEY *pair, const char *name)
{
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 0xabc);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, pair);
    assert_true(X509_sign(x, pair, EVP_sha256()) > 0);
    return x;
}

static int set_up(void **state)
{
    (void)state;
    key = EVP_RSA_gen(2048);
    certificate = self_signed(key, "L\xc3\xa4rm");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    X509_free(certificate);
    EVP_PKEY_free(key);
    return 0;
}

static const char body[] = "<plist>\r\n<true/>\n</plist>\n";

static void test_signed_profile(void **state)
{
    (void)state;
    struct vt_buf der = VT_BUF_INIT, content = VT_BUF_INIT;
    struct vt_cms_signature s;
    assert_int_equal(vt_cms_sign(certificate, key, NULL, body, sizeof body - 1, false, &der, NULL),
                     VT_OK);
    assert_true(vt_cms_is_signed(der.data, der.len));
    assert_false(vt_cms_is_signed(body, sizeof body - 1));
    assert_int_equal(vt_cms_unwrap(der.data, der.len, "t", &content, &s, NULL), VT_OK);
    assert_string_equal(content.data, body);
    assert_true(s.good);
    assert_int_equal(s.count, 1);
    assert_string_equal(s.signers[0].subject, "CN=L\xc3\xa4rm");
    assert_string_equal(s.signers[0].issuer, "CN=L\xc3\xa4rm");
    assert_string_equal(s.signers[0].serial, "0abc");
    assert_int_equal(strlen(s.signers[0].sha256), 64);
    assert_true(strcmp(s.signers[0].not_before, s.signers[0].not_after) < 0);
    vt_cms_signature_free(&s);

    /* one byte of the content changed: it is read, and told */
    char *at = memmem(der.data, der.len, "<true/>", 7);
    assert_non_null(at);
    at[1] = 'T';
    vt_buf_clear(&content);
    assert_int_equal(vt_cms_unwrap(der.data, der.len, "t", &content, &s, NULL), VT_OK);
    assert_non_null(strstr(content.data, "<True/>"));
    assert_false(s.good);
    assert_true(s.why[0]);
    vt_cms_signature_free(&s);
    vt_buf_free(&der);
    vt_buf_free(&content);
}

static void test_no_message(void **state)
{
    (void)state;
    struct vt_buf der = VT_BUF_INIT, content = VT_BUF_INIT;
    struct vt_cms_signature s;
    struct vt_error err = VT_ERROR_INIT, none = VT_ERROR_INIT;
    assert_int_equal(vt_cms_unwrap("0\x80nonsense", 10, "t", &content, &s, &err), VT_EINVAL);
    assert_non_null(strstr(err.message, "t: no signed CMS message"));
    vt_cms_signature_free(&s);
    vt_cms_sign(certificate, key, NULL, body, sizeof body - 1, true, &der, NULL);
    assert_int_equal(vt_cms_unwrap(der.data, der.len, "t", &content, &s, &none), VT_EINVAL);
    assert_non_null(strstr(none.message, "has no content"));
    vt_cms_signature_free(&s);
    vt_buf_free(&der);
    vt_buf_free(&content);
}

static void test_detached(void **state)
{
    (void)state;
    struct vt_buf der = VT_BUF_INIT;
    X509 *signer;
    struct vt_error err = VT_ERROR_INIT;
    X509_STORE *store = X509_STORE_new(), *other_store = X509_STORE_new();
    EVP_PKEY *other_key = EVP_RSA_gen(2048);
    X509 *other = self_signed(other_key, "other");
    X509_STORE_add_cert(store, certificate);
    X509_STORE_add_cert(other_store, other);
    vt_cms_sign(certificate, key, NULL, body, sizeof body - 1, true, &der, NULL);
    assert_null(memmem(der.data, der.len, "<true/>", 7));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vt_cms_verify_detached(der.data, der.len, body, sizeof body - 1,
                                                i ? store : NULL, &signer, &err),
                         VT_OK);
        assert_int_equal(X509_cmp(signer, certificate), 0);
        X509_free(signer);
    }
    assert_int_equal(
        vt_cms_verify_detached(der.data, der.len, body, sizeof body - 2, NULL, &signer, &err),
        VT_EAUTH);
    assert_null(signer);
    assert_int_equal(vt_cms_verify_detached(der.data, der.len, body, sizeof body - 1, other_store,
                                            &signer, NULL),
                     VT_EAUTH);
    assert_null(signer);
    assert_int_equal(vt_cms_verify_detached("x", 1, body, 1, NULL, &signer, NULL), VT_EINVAL);
    X509_STORE_free(store);
    X509_STORE_free(other_store);
    X509_free(other);
    EVP_PKEY_free(other_key);
    vt_buf_free(&der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signed_profile),
        cmocka_unit_test(test_no_message),
        cmocka_unit_test(test_detached),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
