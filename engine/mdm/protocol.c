#include "mdm/protocol.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/sys.h"
#include "mdm/exchange.h"

json_t *vt_protocol_event(const char *type, const char *udid)
{
    char time[32];
    json_t *event =
        json_pack("{s:s, s:s}", "type", type, "time", vt_format_time(time, sizeof time, vt_wall()));
    if (udid)
        json_object_set_new(event, "udid", json_string(udid));
    return event;
}

void vt__happened(struct vt_exchange *x, json_t *event)
{
    json_array_append_new(x->events, event);
}

enum vt_code vt__refuse(struct vt_exchange *x, int status, const char *fmt, ...)
{
    struct vt_error why = VT_ERROR_INIT;
    va_list ap;
    char text[512];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    vt_fail(&why, VT_EAUTH, "mdm", "%s", text); /* makes it printable */
    json_t *event = vt_protocol_event("refused", x->udid[0] ? x->udid : NULL);
    json_object_set_new(event, "reason", json_string(why.message));
    json_object_set_new(event, "status", json_integer(status));
    vt__happened(x, event);
    x->reply->status = status;
    vt_buf_clear(&x->reply->body);
    return VT_OK;
}

/* A name that a device gave itself: bounded, and without blanks or anything else that would need
 * care further on. */
static bool take_id(struct vt_exchange *x)
{
    const char *id = vt_plist_str(x->body, "UDID", NULL);
    if (!id)
        id = vt_plist_str(x->body, "EnrollmentID", NULL);
    size_t n = id ? strlen(id) : 0;
    if (!n || n >= sizeof x->udid ||
        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:") != n)
        return false;
    memcpy(x->udid, id, n + 1);
    return true;
}

/* Whether the certificate may speak for the device. *refused: it may not, and the reply is made. */
static enum vt_code check_identity(struct vt_exchange *x, bool *refused, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    *refused = true;
    enum vt_code code = vt_store_cert(x->store, x->request->fingerprint, &x->cert, &own);
    if (code == VT_ENOTFOUND)
        return vt__refuse(x, 400, "%s", own.message);
    if (code)
        return vt_error_copy(err, &own);
    if (x->cert.revoked)
        return vt__refuse(x, 400, "its certificate is revoked: %s", x->cert.revoked);
    if (x->cert.expires < vt_wall())
        return vt__refuse(x, 400, "its certificate has expired");
    if (x->cert.udid && strcmp(x->cert.udid, x->udid) != 0)
        return vt__refuse(x, 500, "its certificate is that of the device %s", x->cert.udid);
    *refused = false;
    return VT_OK;
}

static enum vt_code dispatch(struct vt_exchange *x, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    bool refused;
    enum vt_code code = check_identity(x, &refused, err);
    if (code || refused)
        return code;
    code = vt_store_device(x->store, x->udid, &x->device, &own);
    if (code && code != VT_ENOTFOUND)
        return vt_error_copy(err, &own);
    x->user_channel = vt_plist_str(x->body, "UserID", NULL) != NULL ||
                      vt_plist_str(x->body, "EnrollmentUserID", NULL) != NULL;
    const char *type = vt_plist_str(x->body, "MessageType", NULL);
    const char *status = vt_plist_str(x->body, "Status", NULL);
    if (!type && !status)
        return vt__refuse(x, 400, "neither MessageType nor Status is in it");
    bool begins = type && !strcmp(type, "Authenticate");
    if (!begins && (!x->device.d.udid || !x->cert.udid))
        return vt__refuse(x, 400, "it has sent no Authenticate with this certificate");
    if (!begins && !x->user_channel && vt_store_seen(x->store, x->udid, err))
        return VT_EIO;
    return type ? vt__checkin(x, type, err) : vt__report(x, status, err);
}

/* Reads the body and, with what comes of it in one transaction, makes the reply. */
static void exchange(struct vt_exchange *x)
{
    struct vt_error err = VT_ERROR_INIT;
    if (!x->request->fingerprint) {
        vt__refuse(x, 400, "%s", x->request->problem ? x->request->problem : "it has no identity");
        return;
    }
    if (x->request->size > VT_PROTOCOL_MAX ||
        vt_plist_parse(x->request->body, x->request->size, "the message", &x->body, NULL, &err)) {
        vt__refuse(x, 400, "%s", err.code ? err.message : "the message is too long");
        return;
    }
    if (!vt_plist_is(x->body, PLIST_DICT) || !take_id(x)) {
        vt__refuse(x, 400, "no UDID that could be one is in the message");
        return;
    }
    enum vt_code code = vt_store_begin(x->store, &err);
    if (!code)
        code = vt_store_end(x->store, dispatch(x, &err), &err);
    if (code) { /* nothing of it has happened */
        json_array_clear(x->events);
        vt__refuse(x, 500, "%s", err.message);
    }
}

void vt_protocol_handle(struct vt_protocol *p, const struct vt_protocol_request *request,
                        struct vt_protocol_reply *reply)
{
    *reply = (struct vt_protocol_reply){.status = 200, .type = "application/xml"};
    struct vt_exchange x = {
        .store = p->store, .request = request, .reply = reply, .events = json_array()};
    exchange(&x);
    for (size_t i = 0; i < json_array_size(x.events); i++)
        p->event(json_incref(json_array_get(x.events, i)), p->user);
    json_decref(x.events);
    vt_cert_row_clear(&x.cert);
    vt_device_row_clear(&x.device);
    plist_free(x.body);
}
