#include "device/profile.h"

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <string.h>

#include "plist/cms.h"
#include "plist/tree.h"

static void add_signers(plist_t signers, const void *data, size_t n)
{
    BIO *in = BIO_new_mem_buf(data, (int)n);
    CMS_ContentInfo *cms = in ? d2i_CMS_bio(in, NULL) : NULL;
    STACK_OF(X509) *certs = cms ? CMS_get1_certs(cms) : NULL;
    for (int i = 0; i < sk_X509_num(certs); i++) {
        unsigned char *der = NULL;
        int size = i2d_X509(sk_X509_value(certs, i), &der);
        if (size > 0)
            plist_array_append_item(signers, plist_new_data((const char *)der, (uint64_t)size));
        OPENSSL_free(der);
    }
    sk_X509_pop_free(certs, X509_free);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    ERR_clear_error();
}

static bool take_signature(const void *data, size_t n, struct vt_buf *content,
                           struct vtd_profile *out, struct vtd_chain *chain)
{
    struct vt_cms_signature signature = {.count = 0};
    struct vt_error err = VT_ERROR_INIT;
    bool good = false;
    if (vt_cms_unwrap(data, n, "profile", content, &signature, &err))
        vtd_fault(chain, vtd_profile_domain, 1000, "The profile is malformed: %s", err.message);
    else if (!signature.good)
        vtd_fault(chain, vtd_profile_domain, 1004, "The profile's signature is not good: %s",
                  signature.why);
    else
        good = true;
    vt_cms_signature_free(&signature);
    if (good)
        add_signers(out->signers, data, n);
    return good;
}

static bool has_text(plist_t dict, const char *key)
{
    const char *text = vt_plist_str(dict, key, NULL);
    return text && text[0];
}

static bool check_payload(plist_t payloads, uint32_t i, struct vtd_chain *chain)
{
    static const char *const needed[] = {"PayloadType", "PayloadIdentifier", "PayloadUUID"};
    plist_t payload = plist_array_get_item(payloads, i);
    if (!vt_plist_is(payload, PLIST_DICT))
        return vtd_fault(chain, vtd_payload_domain, 2000, "Payload %u is no dictionary", i + 1);
    for (size_t k = 0; k < sizeof needed / sizeof needed[0]; k++)
        if (!has_text(payload, needed[k]))
            return vtd_fault(chain, vtd_payload_domain, 2002,
                             "Payload %u lacks the required field %s", i + 1, needed[k]);
    if (vt_plist_int(payload, "PayloadVersion", 1) != 1)
        return vtd_fault(chain, vtd_payload_domain, 2001,
                         "Payload %u has a version that is not supported", i + 1);
    const char *uuid = vt_plist_str(payload, "PayloadUUID", "");
    if (vtd_payload_of_uuid(payloads, uuid) != payload)
        return vtd_fault(chain, vtd_profile_domain, 1007,
                         "The profile has two payloads with the UUID %s", uuid);
    return true;
}

static bool check_profile(struct vtd_profile *p, struct vtd_chain *chain)
{
    static const char *const needed[] = {"PayloadIdentifier", "PayloadUUID", "PayloadType"};
    if (!vt_plist_is(p->tree, PLIST_DICT))
        return vtd_fault(chain, vtd_profile_domain, 1000, "The profile is no dictionary");
    for (size_t k = 0; k < sizeof needed / sizeof needed[0]; k++)
        if (!has_text(p->tree, needed[k]))
            return vtd_fault(chain, vtd_profile_domain, 1002,
                             "The profile lacks the required field %s", needed[k]);
    if (strcmp(vt_plist_str(p->tree, "PayloadType", ""), "Configuration") != 0)
        return vtd_fault(chain, vtd_profile_domain, 1010,
                         "The profile's PayloadType is not Configuration");
    if (vt_plist_int(p->tree, "PayloadVersion", 1) != 1)
        return vtd_fault(chain, vtd_profile_domain, 1001,
                         "The profile's PayloadVersion is not supported");
    if (vt_plist_bool(p->tree, "IsEncrypted", false))
        return vtd_fault(chain, vtd_profile_domain, 1006, "The profile cannot be decrypted");
    p->payloads = vt_plist_array(p->tree, "PayloadContent");
    if (!p->payloads)
        return vtd_fault(chain, vtd_profile_domain, 1002,
                         "The profile lacks the required field PayloadContent");
    uint32_t count = plist_array_get_size(p->payloads);
    if (!count)
        return vtd_fault(chain, vtd_profile_domain, 1005, "The profile is empty");
    if (count > VTD_PROFILE_MAX_PAYLOADS)
        return vtd_fault(chain, vtd_profile_domain, 1010, "The profile has more than %d payloads",
                         VTD_PROFILE_MAX_PAYLOADS);
    for (uint32_t i = 0; i < count; i++)
        if (!check_payload(p->payloads, i, chain))
            return false;
    p->identifier = vt_plist_str(p->tree, "PayloadIdentifier", NULL);
    p->uuid = vt_plist_str(p->tree, "PayloadUUID", NULL);
    return true;
}

bool vtd_profile_read(const void *data, size_t n, struct vtd_profile *out, struct vtd_chain *chain)
{
    struct vt_buf content = VT_BUF_INIT;
    struct vt_error err = VT_ERROR_INIT;
    bool good = true;
    *out = (struct vtd_profile){.signers = plist_new_array()};
    if (vt_cms_is_signed(data, n)) {
        good = take_signature(data, n, &content, out, chain);
        data = content.data;
        n = content.len;
    }
    if (good && vt_plist_parse(data, n, "profile", &out->tree, NULL, &err))
        good =
            vtd_fault(chain, vtd_profile_domain, 1000, "The profile is malformed: %s", err.message);
    good = good && check_profile(out, chain);
    vt_buf_free(&content);
    return good;
}

void vtd_profile_free(struct vtd_profile *profile)
{
    plist_free(profile->tree);
    plist_free(profile->signers);
    *profile = (struct vtd_profile){.tree = NULL};
}

static plist_t payload_with(plist_t payloads, const char *key, const char *value)
{
    for (uint32_t i = 0; vt_plist_is(payloads, PLIST_ARRAY) && i < plist_array_get_size(payloads);
         i++) {
        plist_t payload = plist_array_get_item(payloads, i);
        if (!strcmp(vt_plist_str(payload, key, ""), value))
            return payload;
    }
    return NULL;
}

plist_t vtd_payload_of_type(plist_t payloads, const char *type)
{
    return payload_with(payloads, "PayloadType", type);
}

plist_t vtd_payload_of_uuid(plist_t payloads, const char *uuid)
{
    return payload_with(payloads, "PayloadUUID", uuid);
}

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

bool vtd_url_allowed(const char *url, bool plain_http)
{
    static const char *const own[] = {"127.0.0.1", "localhost", "[::1]"};
    if (!url || strchr(url, '@')) /* a name before it is not the host's */
        return false;
    if (starts(url, "https://"))
        return true;
    if (!starts(url, "http://"))
        return false;
    const char *host = url + strlen("http://");
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        char next = starts(host, own[i]) ? host[strlen(own[i])] : 'x';
        if (next == ':' || next == '/' || next == '\0')
            return true;
    }
    return plain_http;
}

bool vtd_mdm_check(plist_t mdm, plist_t payloads, bool plain_http, struct vtd_chain *chain)
{
    static const char *const needed[] = {"ServerURL", "Topic", "IdentityCertificateUUID"};
    static const char *const urls[] = {"ServerURL", "CheckInURL"};
    for (size_t k = 0; k < sizeof needed / sizeof needed[0]; k++)
        if (!has_text(mdm, needed[k]))
            return vtd_fault(chain, vtd_payload_domain, 2002,
                             "The MDM payload lacks the required field %s", needed[k]);
    for (size_t k = 0; k < sizeof urls / sizeof urls[0]; k++) {
        const char *url = vt_plist_str(mdm, urls[k], NULL);
        if (url && !vtd_url_allowed(url, plain_http))
            return vtd_fault(chain, vtd_mdm_domain, 12011, "The MDM payload's %s is not https",
                             urls[k]);
    }
    if (!starts(vt_plist_str(mdm, "Topic", ""), "com.apple.mgmt."))
        return vtd_fault(chain, vtd_mdm_domain, 12022,
                         "The MDM payload's Topic does not begin with com.apple.mgmt.");
    int64_t rights = vt_plist_int(mdm, "AccessRights", 8191);
    if (rights <= 0 || rights > 8191 || ((rights & 2) && !(rights & 1)) ||
        ((rights & 128) && !(rights & 64)))
        return vtd_fault(chain, vtd_mdm_domain, 12000,
                         "The MDM payload's AccessRights are invalid");
    plist_t identity =
        vtd_payload_of_uuid(payloads, vt_plist_str(mdm, "IdentityCertificateUUID", ""));
    const char *type = vt_plist_str(identity, "PayloadType", "");
    if (strcmp(type, "com.apple.security.pkcs12") != 0 &&
        strcmp(type, "com.apple.security.scep") != 0)
        return vtd_fault(chain, vtd_mdm_domain, 12005,
                         "IdentityCertificateUUID is of no PKCS#12 or SCEP payload here");
    return true;
}
