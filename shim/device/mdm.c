#include "device/mdm.h"

#include <string.h>

#include "core/mem.h"
#include "device/certs.h"
#include "device/effects.h"
#include "device/facts.h"
#include "device/http.h"
#include "device/identity.h"
#include "device/profile.h"
#include "device/store.h"
#include "plist/tree.h"

static const char state_file[] = "mdm.plist";
static const char check_in_type[] = "application/x-apple-aspen-mdm-checkin";
static const char report_type[] = "application/x-apple-aspen-mdm";

bool vtd_mdm_load(const struct vtd *d, struct vtd_mdm *mdm)
{
    *mdm = (struct vtd_mdm){.records = vtd_store_all(d)};
    mdm->record = vtd_record_with_mdm(mdm->records);
    if (!mdm->record)
        return false;
    mdm->payload = vtd_payload_of_type(vtd_record_payloads(mdm->record), "com.apple.mdm");
    mdm->state = vtd_state_load(d, state_file);
    if (!vt_plist_is(mdm->state, PLIST_DICT)) {
        plist_free(mdm->state);
        mdm->state = plist_new_dict();
    }
    mdm->identity = vtd_identity_path(d, vtd_record_identifier(mdm->record),
                                      vt_plist_str(mdm->payload, "IdentityCertificateUUID", ""));
    return true;
}

void vtd_mdm_free(struct vtd_mdm *mdm)
{
    plist_free(mdm->records);
    plist_free(mdm->state);
    vt_free(mdm->identity);
    *mdm = (struct vtd_mdm){.records = NULL};
}

enum vt_code vtd_mdm_save(const struct vtd *d, const struct vtd_mdm *mdm, struct vt_error *err)
{
    return vtd_state_save(d, state_file, mdm->state, err);
}

static enum vt_code judge(long status, const struct vt_buf *reply, const char *url,
                          struct vt_error *err)
{
    char shown[300];
    if (status == 200)
        return VT_OK;
    vtd_url_shown(url, shown, sizeof shown);
    bool unknown = status == 403 && strstr(vt_buf_str(reply), "com.apple.unrecognized.device");
    if (status == 401 || unknown)
        return vt_fail(err, VT_EAUTH, "mdm", "%s does not know this device (HTTP %ld)", shown,
                       status);
    return vt_fail(err, VT_EPROTO, "mdm", "%s answered HTTP %ld: %.200s", shown, status,
                   vt_buf_str(reply));
}

enum vt_code vtd_mdm_send(const struct vtd *d, const struct vtd_mdm *mdm, plist_t message,
                          bool check_in, long *status, struct vt_buf *reply, struct vt_error *err)
{
    struct vt_buf body = VT_BUF_INIT, header = VT_BUF_INIT;
    const char *server = vt_plist_str(mdm->payload, "ServerURL", "");
    const char *url = check_in ? vt_plist_str(mdm->payload, "CheckInURL", server) : server;
    plist_t pinned = vtd_certs_pinned(mdm->payload, vtd_record_payloads(mdm->record),
                                      check_in ? "CheckInURLPinningCertificateUUIDs"
                                               : "ServerURLPinningCertificateUUIDs");
    vt_plist_set_str(message, "UDID", vt_plist_str(d->self, "UDID", ""));
    if (check_in)
        vt_plist_set_str(message, "Topic", vt_plist_str(mdm->payload, "Topic", ""));
    enum vt_code code = vt_plist_write(message, VT_PLIST_XML, &body, err);
    if (!code && vt_plist_bool(mdm->payload, "SignMessage", false)) {
        vt_buf_puts(&header, "Mdm-Signature: ");
        code = vtd_identity_sign(mdm->identity, body.data, body.len, &header, err);
    }
    struct vtd_http request = {.url = url,
                               .method = "PUT",
                               .content_type = check_in ? check_in_type : report_type,
                               .header = header.data,
                               .body = body.data,
                               .n = body.len,
                               .identity = mdm->identity,
                               .pinned = pinned,
                               .limit = VTD_REPLY_MAX};
    if (!code)
        code = vtd_http(d, &request, status, reply, err);
    if (!code)
        code = judge(*status, reply, url, err);
    plist_free(pinned);
    vt_buf_free(&body);
    vt_buf_free(&header);
    return code;
}

/* Sends a check-in whose answer has nothing in it that matters; frees the message. */
static enum vt_code check_in(const struct vtd *d, const struct vtd_mdm *mdm, plist_t message,
                             struct vt_error *err)
{
    struct vt_buf reply = VT_BUF_INIT;
    long status;
    enum vt_code code = vtd_mdm_send(d, mdm, message, true, &status, &reply, err);
    vt_buf_free(&reply);
    plist_free(message);
    return code;
}

static plist_t new_message(const char *type)
{
    plist_t message = plist_new_dict();
    vt_plist_set_str(message, "MessageType", type);
    return message;
}

enum vt_code vtd_mdm_authenticate(const struct vtd *d, const struct vtd_mdm *mdm,
                                  struct vt_error *err)
{
    static const char *const told[] = {"DeviceName",   "Model",       "ModelName",   "OSVersion",
                                       "BuildVersion", "ProductName", "SerialNumber"};
    plist_t message = new_message("Authenticate"), facts = vtd_facts(d, NULL);
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        vt_plist_set_str(message, told[i], vt_plist_str(facts, told[i], ""));
    plist_free(facts);
    return check_in(d, mdm, message, err);
}

enum vt_code vtd_mdm_token_update(const struct vtd *d, const struct vtd_mdm *mdm,
                                  struct vt_error *err)
{
    plist_t message = new_message("TokenUpdate");
    size_t n;
    const void *token = vt_plist_data(mdm->state, "Token", &n);
    vt_plist_set_data(message, "Token", token, n);
    vt_plist_set_str(message, "PushMagic", vt_plist_str(mdm->state, "PushMagic", ""));
    vt_plist_set_bool(message, "NotOnConsole", false);
    vt_plist_set_bool(message, "AwaitingConfiguration", false);
    return check_in(d, mdm, message, err);
}

enum vt_code vtd_mdm_check_out(const struct vtd *d, const struct vtd_mdm *mdm, struct vt_error *err)
{
    return check_in(d, mdm, new_message("CheckOut"), err);
}

static bool has_capability(const struct vtd_mdm *mdm, const char *name)
{
    plist_t list = vt_plist_array(mdm->payload, "ServerCapabilities");
    for (uint32_t i = 0; list && i < plist_array_get_size(list); i++) {
        const char *text = vt_plist_text(plist_array_get_item(list, i));
        if (text && !strcmp(text, name))
            return true;
    }
    return false;
}

enum vt_code vtd_mdm_set_bootstrap(const struct vtd *d, const struct vtd_mdm *mdm,
                                   struct vt_error *err)
{
    size_t n;
    const void *token = vt_plist_data(mdm->state, "BootstrapToken", &n);
    if (!token || !has_capability(mdm, "com.apple.mdm.bootstraptoken"))
        return VT_OK;
    plist_t message = new_message("SetBootstrapToken");
    vt_plist_set_data(message, "BootstrapToken", token, n);
    vt_plist_set_bool(message, "AwaitingConfiguration", false);
    return check_in(d, mdm, message, err);
}

enum vt_code vtd_mdm_get_bootstrap(const struct vtd *d, const struct vtd_mdm *mdm,
                                   struct vt_buf *token, struct vt_error *err)
{
    struct vt_buf reply = VT_BUF_INIT;
    plist_t message = new_message("GetBootstrapToken"), answer = NULL;
    long status;
    size_t n = 0;
    if (!has_capability(mdm, "com.apple.mdm.bootstraptoken")) {
        plist_free(message);
        return vt_fail(err, VT_EUNSUPPORTED, "mdm",
                       "the server lacks the capability com.apple.mdm.bootstraptoken");
    }
    enum vt_code code = vtd_mdm_send(d, mdm, message, true, &status, &reply, err);
    if (!code && reply.len)
        code =
            vt_plist_parse(reply.data, reply.len, "GetBootstrapToken's answer", &answer, NULL, err);
    const void *data = vt_plist_data(answer, "BootstrapToken", &n);
    if (data)
        vt_buf_add(token, data, n);
    plist_free(answer);
    plist_free(message);
    vt_buf_free(&reply);
    return code;
}
