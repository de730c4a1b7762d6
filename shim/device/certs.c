#include "device/certs.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "device/effects.h"
#include "device/profile.h"
#include "device/store.h"
#include "plist/tree.h"

#define BUNDLE_MAX (8u << 20)

static const char system_bundle[] = "/etc/ssl/certs/ca-certificates.crt";

static X509 *read_certificate(const void *data, size_t n)
{
    const unsigned char *p = data;
    X509 *cert = data ? d2i_X509(NULL, &p, (long)n) : NULL;
    if (!cert && data) {
        BIO *in = BIO_new_mem_buf(data, (int)n);
        cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
        BIO_free(in);
    }
    ERR_clear_error();
    return cert;
}

X509 *vtd_payload_certificate(plist_t payload)
{
    static const char *const types[] = {"com.apple.security.root", "com.apple.security.pkcs1",
                                        "com.apple.security.pem"};
    const char *type = vt_plist_str(payload, "PayloadType", "");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        size_t n;
        const void *data = vt_plist_data(payload, "PayloadContent", &n);
        if (!strcmp(type, types[i]))
            return read_certificate(data, n);
    }
    return NULL;
}

static void add_pem(struct vt_buf *out, X509 *cert)
{
    char *text = NULL;
    BIO *mem = BIO_new(BIO_s_mem());
    if (mem && cert && PEM_write_bio_X509(mem, cert)) {
        long n = BIO_get_mem_data(mem, &text);
        vt_buf_add(out, text, (size_t)n);
    }
    BIO_free(mem);
}

static void add_der(plist_t array, X509 *cert)
{
    unsigned char *der = NULL;
    int n = i2d_X509(cert, &der);
    if (n > 0)
        plist_array_append_item(array, plist_new_data((const char *)der, (uint64_t)n));
    OPENSSL_free(der);
}

static void add_of_profiles(const struct vtd *d, struct vt_buf *pem)
{
    plist_t records = vtd_store_all(d);
    /* a profile that is just being installed is not in the store yet, but its server is asked */
    plist_t pending = vtd_state_load(d, "pending.plist");
    plist_t new = vt_plist_dict(pending, "New");
    if (new)
        plist_array_append_item(records, plist_copy(new));
    for (uint32_t i = 0; i < plist_array_get_size(records); i++) {
        plist_t payloads = vtd_record_payloads(plist_array_get_item(records, i));
        for (uint32_t k = 0; payloads && k < plist_array_get_size(payloads); k++) {
            X509 *cert = vtd_payload_certificate(plist_array_get_item(payloads, k));
            add_pem(pem, cert);
            X509_free(cert);
        }
    }
    plist_free(pending);
    plist_free(records);
}

void vtd_certs_trusted(const struct vtd *d, plist_t pinned, struct vt_buf *pem)
{
    if (!pinned) {
        char *path = vtd_root_path(d, "%s", system_bundle + 1);
        vt_read_file(path, BUNDLE_MAX, pem, NULL);
        vt_free(path);
        add_of_profiles(d, pem);
        return;
    }
    for (uint32_t i = 0; i < plist_array_get_size(pinned); i++) {
        uint64_t n = 0;
        const char *der = plist_get_data_ptr(plist_array_get_item(pinned, i), &n);
        X509 *cert = read_certificate(der, (size_t)n);
        add_pem(pem, cert);
        X509_free(cert);
    }
}

plist_t vtd_certs_pinned(plist_t mdm, plist_t payloads, const char *key)
{
    plist_t names = vt_plist_array(mdm, key), pinned;
    if (!names || !plist_array_get_size(names))
        return NULL;
    pinned = plist_new_array();
    for (uint32_t i = 0; i < plist_array_get_size(names); i++) {
        const char *uuid = vt_plist_text(plist_array_get_item(names, i));
        X509 *cert = vtd_payload_certificate(vtd_payload_of_uuid(payloads, uuid ? uuid : ""));
        if (cert)
            add_der(pinned, cert);
        X509_free(cert);
    }
    return pinned;
}

static void list_one(plist_t list, X509 *cert, bool identity)
{
    char name[256] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof name);
    plist_t der = plist_new_array(), item = vt_plist_add_dict(list);
    add_der(der, cert);
    plist_dict_set_item(item, "Data", plist_copy(plist_array_get_item(der, 0)));
    vt_plist_set_str(item, "CommonName", name);
    vt_plist_set_bool(item, "IsIdentity", identity);
    plist_free(der);
}

plist_t vtd_certs_list(const struct vtd *d, bool managed_only)
{
    plist_t list = plist_new_array(), records = vtd_store_all(d);
    plist_t enrolled = vtd_record_with_mdm(records);
    for (uint32_t i = 0; i < plist_array_get_size(records); i++) {
        plist_t record = plist_array_get_item(records, i);
        plist_t payloads = vtd_record_payloads(record);
        if (managed_only && record != enrolled && !vt_plist_bool(record, "Managed", false))
            continue;
        for (uint32_t k = 0; k < plist_array_get_size(payloads); k++) {
            plist_t payload = plist_array_get_item(payloads, k);
            X509 *cert = vtd_payload_certificate(payload);
            char *path = vtd_identity_path(d, vtd_record_identifier(record),
                                           vt_plist_str(payload, "PayloadUUID", ""));
            struct vt_buf pem = VT_BUF_INIT;
            bool identity = !cert && !vt_read_file(path, 1u << 20, &pem, NULL);
            if (identity)
                cert = read_certificate(pem.data, pem.len);
            if (cert)
                list_one(list, cert, identity);
            X509_free(cert);
            if (pem.data)
                OPENSSL_cleanse(pem.data, pem.len);
            vt_buf_free(&pem);
            vt_free(path);
        }
    }
    plist_free(records);
    return list;
}
