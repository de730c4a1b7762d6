/* Enrollment profiles. Keys of the payloads: Apple's schema, mdm/profiles/com.apple.mdm.yaml,
 * com.apple.security.{root,pkcs12,scep}.yaml. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "mdm/lab.h"
#include "plist/tree.h"

#define OP "mdm.enroll"
#define YEAR_S (365.0 * 24 * 3600)
#define CHALLENGE_S (7.0 * 24 * 3600) /* a profile that waits for a person's click */
#define RIGHTS_ALL 8191

struct enrollment {
    struct vt_lab *lab;
    const char *topic, *name;
    char id[33], challenge[33], *url;
    int rights;
    double valid;
    bool pkcs12, scep, rsa, keep_on_remove;
    plist_t root, payloads;
    char identity[37]; /* PayloadUUID of the identity that the MDM payload uses */
};

void vt__uuid(char out[37])
{
    char hex[33];
    vt_random_hex(hex, 32);
    hex[12] = '4';
    hex[16] = "89AB"[hex[16] & 3];
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    for (char *c = out; *c; c++)
        if (*c >= 'a' && *c <= 'f')
            *c = (char)(*c - 'a' + 'A');
}

static plist_t add_payload(struct enrollment *e, const char *type, const char *part,
                           const char *name, char uuid[37])
{
    char identifier[128];
    plist_t payload = vt_plist_add_dict(e->payloads);
    snprintf(identifier, sizeof identifier, "org.vmtest.lab.enrollment.%s", part);
    vt__uuid(uuid);
    vt_plist_set_str(payload, "PayloadType", type);
    vt_plist_set_int(payload, "PayloadVersion", 1);
    vt_plist_set_str(payload, "PayloadIdentifier", identifier);
    vt_plist_set_str(payload, "PayloadUUID", uuid);
    vt_plist_set_str(payload, "PayloadDisplayName", name);
    return payload;
}

static void add_trust(struct enrollment *e)
{
    char uuid[37];
    struct vt_buf der = VT_BUF_INIT;
    plist_t payload =
        add_payload(e, "com.apple.security.root", "ca", "The lab's certificate authority", uuid);
    vt_cert_der(e->lab->ca->cert, &der);
    vt_plist_set_data(payload, "PayloadContent", der.data, der.len);
    vt_buf_free(&der);
}

/* An identity of its own, known to the store before anybody has it. */
static enum vt_code add_pkcs12(struct enrollment *e, struct vt_error *err)
{
    char password[33], fingerprint[VT_FINGERPRINT_SIZE], name[64];
    struct vt_buf p12 = VT_BUF_INIT;
    EVP_PKEY *key = vt_key_new(e->rsa, err);
    snprintf(name, sizeof name, "vmtest device %s", e->id);
    X509 *cert = key ? vt_ca_issue(e->lab->ca, key, NULL, name, e->valid, err) : NULL;
    enum vt_code code = cert ? VT_OK : VT_EINTERNAL;
    vt_random_hex(password, 32);
    if (!code)
        code = vt_pkcs12(cert, key, e->lab->ca, password, &p12, err);
    if (!code) {
        vt_fingerprint(cert, fingerprint);
        code = vt_store_add_cert(e->lab->store, fingerprint, e->id, vt_cert_expires(cert), err);
    }
    if (!code) {
        plist_t payload =
            add_payload(e, "com.apple.security.pkcs12", "pkcs12", "Identity", e->identity);
        vt_plist_set_data(payload, "PayloadContent", p12.data, p12.len);
        vt_plist_set_str(payload, "Password", password);
        vt_plist_set_str(payload, "PayloadCertificateFileName", "identity.p12");
    }
    if (p12.data)
        OPENSSL_cleanse(p12.data, p12.len);
    OPENSSL_cleanse(password, sizeof password);
    vt_buf_free(&p12);
    X509_free(cert);
    EVP_PKEY_free(key);
    return code;
}

static void add_name(plist_t subject, const char *kind, const char *value)
{
    plist_t rdn = plist_new_array(), pair = plist_new_array();
    vt_plist_add_str(pair, kind);
    vt_plist_add_str(pair, value);
    plist_array_append_item(rdn, pair);
    plist_array_append_item(subject, rdn);
}

static void add_scep(struct enrollment *e)
{
    char text[160];
    plist_t payload = add_payload(e, "com.apple.security.scep", "scep", "Identity", e->identity);
    plist_t content = vt_plist_set_dict(payload, "PayloadContent");
    snprintf(text, sizeof text, "%s/scep", e->url);
    vt_plist_set_str(content, "URL", text);
    vt_plist_set_str(content, "Name", "vmtest");
    vt_plist_set_str(content, "Challenge", e->challenge);
    vt_plist_set_int(content, "Keysize", 2048);
    vt_plist_set_str(content, "Key Type", "RSA");
    vt_plist_set_int(content, "Key Usage", 5); /* signing and encryption */
    vt_plist_set_int(content, "Retries", 3);
    vt_plist_set_int(content, "RetryDelay", 1);
    snprintf(text, sizeof text, "vmtest device %s", e->id);
    plist_t subject = vt_plist_set_array(content, "Subject");
    add_name(subject, "O", "vmtest");
    add_name(subject, "CN", text);
}

static void add_mdm(struct enrollment *e)
{
    char uuid[37], text[160];
    plist_t payload = add_payload(e, "com.apple.mdm", "mdm", e->name, uuid);
    vt_plist_set_str(payload, "IdentityCertificateUUID", e->identity);
    vt_plist_set_str(payload, "Topic", e->topic);
    snprintf(text, sizeof text, "%s/mdm", e->url);
    vt_plist_set_str(payload, "ServerURL", text);
    snprintf(text, sizeof text, "%s/checkin", e->url);
    vt_plist_set_str(payload, "CheckInURL", text);
    vt_plist_set_bool(payload, "SignMessage", true);
    vt_plist_set_bool(payload, "CheckOutWhenRemoved", !e->keep_on_remove);
    vt_plist_set_int(payload, "AccessRights", e->rights);
    vt_plist_add_str(vt_plist_set_array(payload, "ServerCapabilities"),
                     "com.apple.mdm.bootstraptoken");
}

static enum vt_code build(struct enrollment *e, struct vt_buf *out, struct vt_error *err)
{
    char uuid[37];
    enum vt_code code = VT_OK;
    vt__uuid(uuid);
    e->root = plist_new_dict();
    vt_plist_set_str(e->root, "PayloadType", "Configuration");
    vt_plist_set_int(e->root, "PayloadVersion", 1);
    vt_plist_set_str(e->root, "PayloadIdentifier", "org.vmtest.lab.enrollment");
    vt_plist_set_str(e->root, "PayloadUUID", uuid);
    vt_plist_set_str(e->root, "PayloadDisplayName", e->name);
    vt_plist_set_str(e->root, "PayloadOrganization", "vmtest");
    vt_plist_set_str(e->root, "PayloadScope", "System");
    e->payloads = vt_plist_set_array(e->root, "PayloadContent");
    add_trust(e);
    if (e->pkcs12)
        code = add_pkcs12(e, err);
    if (!code && e->scep)
        add_scep(e); /* last: of two identities, the one that the MDM payload uses */
    if (!code) {
        add_mdm(e);
        code = vt_plist_write(e->root, VT_PLIST_XML, out, err);
    }
    plist_free(e->root);
    return code;
}

static enum vt_code check_rights(int rights, struct vt_error *err)
{
    if (rights < 1 || rights > RIGHTS_ALL || ((rights & 2) && !(rights & 1)) ||
        ((rights & 128) && !(rights & 64))) {
        vt_fail(err, VT_EINVAL, OP, "AccessRights cannot be %d", rights);
        vt_hint(err, "a sum of powers of two up to %d; 2 needs 1, and 128 needs 64", RIGHTS_ALL);
        return VT_EINVAL;
    }
    return VT_OK;
}

static enum vt_code check_topic(const char *topic, struct vt_error *err)
{
    if (!strncmp(topic, "com.apple.mgmt.", 15) && topic[15] && strlen(topic) < 200)
        return VT_OK;
    vt_fail(err, VT_EINVAL, OP, "a topic begins with com.apple.mgmt., not \"%s\"", topic);
    return VT_EINVAL;
}

static enum vt_code make(struct enrollment *e, struct vt_buf *profile, struct vt_error *err)
{
    const struct vt_enrollment_row row = {
        .id = e->id,
        .method = e->pkcs12 && e->scep ? VT_MDM_BOTH
                  : e->scep            ? VT_MDM_SCEP
                                       : VT_MDM_PKCS12,
        .topic = e->topic,
        .challenge = e->scep ? e->challenge : NULL,
        .valid = e->valid,
        .expires = vt_wall() + CHALLENGE_S,
    };
    enum vt_code code = vt_store_begin(e->lab->store, err);
    if (code)
        return code;
    code = vt_store_add_enrollment(e->lab->store, &row, err);
    if (!code)
        code = build(e, profile, err);
    return vt_store_end(e->lab->store, code, err);
}

enum vt_code vt__lab_enroll(struct vt_lab *lab, const json_t *args, json_t **out,
                            struct vt_error *err)
{
    const char *method = vt_json_str(args, "method", "");
    struct enrollment e = {
        .lab = lab,
        .topic = vt_json_str(args, "topic", VT_LAB_TOPIC),
        .name = vt_json_str(args, "display_name", "vmtest lab"),
        .rights = (int)vt_json_int(args, "access_rights", 0),
        .valid = vt_json_num(args, "valid", 0),
        .pkcs12 = strcmp(method, "scep") != 0,
        .scep = strcmp(method, "pkcs12") != 0,
        .rsa = vt_json_bool(args, "rsa", false),
        .keep_on_remove = vt_json_bool(args, "keep_on_remove", false),
    };
    if (e.rights == 0)
        e.rights = RIGHTS_ALL;
    if (!(e.valid > 0))
        e.valid = YEAR_S;
    enum vt_code code = check_rights(e.rights, err);
    if (!code)
        code = check_topic(e.topic, err);
    e.url = code ? NULL : vt__lab_url(lab, vt_json_str(args, "address", NULL), err);
    if (!e.url)
        return VT_EINVAL;
    vt_random_hex(e.id, 32);
    vt_random_hex(e.challenge, 32);
    struct vt_buf profile = VT_BUF_INIT;
    code = make(&e, &profile, err);
    if (!code)
        *out =
            json_pack("{s:s, s:s, s:s}", "profile", profile.data, "ca", lab->ca->pem, "id", e.id);
    if (profile.data)
        OPENSSL_cleanse(profile.data, profile.len);
    vt_buf_free(&profile);
    vt_free(e.url);
    return code;
}
