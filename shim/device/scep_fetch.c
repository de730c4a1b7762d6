#include <stdio.h>
#include <string.h>
#include <time.h>

#include "device/http.h"
#include "device/identity.h"
#include "device/scep.h"
#include "plist/tree.h"

#define REPLY_MAX (256u << 10)

/* [[["O", "Example"]], [["CN", "…"]]]: short names or OIDs. */
static X509_NAME *make_subject(plist_t subject, const char *fallback)
{
    X509_NAME *name = X509_NAME_new();
    for (uint32_t i = 0; subject && i < plist_array_get_size(subject); i++) {
        plist_t set = plist_array_get_item(subject, i);
        for (uint32_t k = 0; vt_plist_is(set, PLIST_ARRAY) && k < plist_array_get_size(set); k++) {
            plist_t pair = plist_array_get_item(set, k);
            if (!vt_plist_is(pair, PLIST_ARRAY) || plist_array_get_size(pair) != 2)
                continue;
            const char *type = vt_plist_text(plist_array_get_item(pair, 0));
            const char *value = vt_plist_text(plist_array_get_item(pair, 1));
            if (type && value)
                X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8, (const unsigned char *)value,
                                           -1, -1, k ? -1 : 0);
        }
    }
    if (!X509_NAME_entry_count(name))
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)fallback, -1,
                                   -1, 0);
    return name;
}

static enum vt_code ask(const struct vtd *d, const char *url, const char *query, const char *type,
                        const struct vt_buf *body, struct vt_buf *reply, struct vt_error *err)
{
    struct vt_buf full = VT_BUF_INIT;
    long status = 0;
    vt_buf_printf(&full, "%s%c%s", url, strchr(url, '?') ? '&' : '?', query);
    struct vtd_http request = {.url = full.data,
                               .limit = REPLY_MAX,
                               .content_type = type,
                               .body = body ? body->data : NULL,
                               .n = body ? body->len : 0};
    enum vt_code code = vtd_http(d, &request, &status, reply, err);
    if (!code && status != 200)
        code = vt_fail(err, VT_EPROTO, "scep", "%s was answered by HTTP %ld", query, status);
    vt_buf_free(&full);
    return code;
}

static enum vt_code fetch_ca(const struct vtd *d, plist_t content, const char *url,
                             struct vtd_scep *scep, struct vt_error *err)
{
    struct vt_buf reply = VT_BUF_INIT;
    size_t n;
    const void *print = vt_plist_data(content, "CAFingerprint", &n);
    enum vt_code code = ask(d, url, "operation=GetCACert", NULL, NULL, &reply, err);
    if (!code)
        code = vtd_scep_take_ca(scep, reply.data, reply.len, err);
    if (!code && print && !vtd_scep_fingerprint(scep, print, n))
        code =
            vt_fail(err, VT_EAUTH, "scep", "the CA is not the one of the profile's CAFingerprint");
    vt_buf_free(&reply);
    return code;
}

/* Sends the request, and again while it is pending, as often as the payload says. */
static enum vt_code enroll(const struct vtd *d, plist_t content, const char *url,
                           struct vtd_scep *scep, const struct vt_buf *request, X509 **cert,
                           struct vt_error *err)
{
    int64_t retries = vt_plist_int(content, "Retries", 3);
    int64_t delay = vt_plist_int(content, "RetryDelay", 10);
    enum vt_code code = VT_EBUSY;
    retries = retries < 0 || retries > 100 ? 3 : retries;
    delay = delay < 0 || delay > 60 ? 10 : delay;
    for (int64_t i = 0; code == VT_EBUSY && i <= retries; i++) {
        struct vt_buf reply = VT_BUF_INIT;
        struct vt_error e = VT_ERROR_INIT;
        if (i > 1) /* the first retry is at once */
            nanosleep(&(struct timespec){.tv_sec = (time_t)delay}, NULL);
        code =
            ask(d, url, "operation=PKIOperation", "application/x-pki-message", request, &reply, &e);
        if (!code)
            code = vtd_scep_reply(scep, reply.data, reply.len, cert, &e);
        if (code != VT_EBUSY || i == retries)
            vt_error_copy(err, &e);
        vt_buf_free(&reply);
    }
    return code;
}

bool vtd_identity_scep(const struct vtd *d, plist_t payload, const char *path,
                       struct vtd_chain *chain)
{
    plist_t content = vt_plist_dict(payload, "PayloadContent");
    const char *url = vt_plist_str(content, "URL", NULL);
    struct vtd_scep scep = {.key = NULL};
    struct vt_buf request = VT_BUF_INIT;
    struct vt_error err = VT_ERROR_INIT;
    X509 *cert = NULL;
    if (!url)
        return vtd_fault(chain, vtd_payload_domain, 2002, "The SCEP payload has no URL");
    vtd_load_old_ciphers();
    X509_NAME *subject =
        make_subject(vt_plist_array(content, "Subject"), vt_plist_str(d->self, "UDID", "device"));
    enum vt_code code = fetch_ca(d, content, url, &scep, &err);
    if (!code)
        code = vtd_scep_request(&scep, subject, (int)vt_plist_int(content, "Keysize", 2048),
                                vt_plist_str(content, "Challenge", NULL), &request, &err);
    if (!code)
        code = enroll(d, content, url, &scep, &request, &cert, &err);
    if (!code)
        code = vtd_identity_write(path, scep.key, cert, NULL, &err);
    if (code)
        vtd_fault(chain, "MCSCEPErrorDomain", 22000, "The SCEP server did not give an identity: %s",
                  err.message);
    X509_NAME_free(subject);
    X509_free(cert);
    vtd_scep_clear(&scep);
    vt_buf_free(&request);
    return code == VT_OK;
}
