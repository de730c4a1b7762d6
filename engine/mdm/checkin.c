/* The check-in messages. */
#include <string.h>

#include "core/mem.h"
#include "mdm/exchange.h"

#define TEXT_MAX 256 /* of what a device tells about itself */

static enum vt_code told(struct vt_exchange *x, const char *message, enum vt_mdm_state state,
                         const char *reason)
{
    json_t *event = vt_protocol_event("device", x->udid);
    json_object_set_new(event, "message", json_string(message));
    json_object_set_new(event, "state", json_string(vt_mdm_state_name(state)));
    json_object_set_new(event, "reason", json_string(reason));
    if (x->cert.enrollment)
        json_object_set_new(event, "enrollment", json_string(x->cert.enrollment));
    vt__happened(x, event);
    return VT_OK;
}

static bool has_topic(struct vt_exchange *x)
{
    return !strcmp(vt_plist_str(x->body, "Topic", ""), x->cert.topic);
}

static enum vt_code wrong_topic(struct vt_exchange *x)
{
    return vt__refuse(x, 400, "its Topic is \"%s\", and that of its enrollment is \"%s\"",
                      vt_plist_str(x->body, "Topic", ""), x->cert.topic);
}

/* What a device says of itself, as far as it is of sensible length. */
static const char *fact(struct vt_exchange *x, const char *key)
{
    const char *text = vt_plist_str(x->body, key, NULL);
    return text && strlen(text) <= TEXT_MAX ? text : NULL;
}

static enum vt_code authenticate(struct vt_exchange *x, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    if (!has_topic(x))
        return wrong_topic(x);
    const struct vt_authenticate a = {
        .udid = x->udid,
        .cert = x->request->fingerprint,
        .serial = fact(x, "SerialNumber"),
        .name = fact(x, "DeviceName"),
        .model = fact(x, "Model"),
        .os_version = fact(x, "OSVersion"),
        .build_version = fact(x, "BuildVersion"),
        .product = fact(x, "ProductName"),
    };
    enum vt_code code = vt_store_authenticate(x->store, &a, &own);
    if (code == VT_ELIMIT)
        return vt__refuse(x, 500, "%s", own.message);
    return code ? vt_error_copy(err, &own)
                : told(x, "Authenticate", VT_MDM_ENROLLING, "it sent Authenticate");
}

static void take(struct vt_exchange *x, const char *key, struct vt_buf *out)
{
    size_t n = 0;
    const void *data = vt_plist_data(x->body, key, &n);
    if (data)
        vt_buf_add(out, data, n);
}

static enum vt_code token_update(struct vt_exchange *x, struct vt_error *err)
{
    struct vt_buf token = VT_BUF_INIT, unlock = VT_BUF_INIT;
    const char *magic = vt_plist_str(x->body, "PushMagic", NULL);
    size_t n;
    if (x->user_channel)
        return VT_OK; /* taken note of by nobody: see docs/limits.md */
    if (!has_topic(x))
        return wrong_topic(x);
    if (!magic || !vt_plist_data(x->body, "Token", &n))
        return vt__refuse(x, 400, "a TokenUpdate without Token or PushMagic");
    take(x, "Token", &token);
    take(x, "UnlockToken", &unlock);
    enum vt_code code = vt_store_token(x->store, x->udid, &token, magic, &unlock,
                                       vt_plist_bool(x->body, "AwaitingConfiguration", false), err);
    vt_buf_free(&token);
    vt_buf_free(&unlock);
    return code ? code : told(x, "TokenUpdate", VT_MDM_ENROLLED, "it sent its TokenUpdate");
}

static enum vt_code check_out(struct vt_exchange *x, struct vt_error *err)
{
    enum vt_code code =
        vt_store_check_out(x->store, x->udid, "it checked out: its MDM profile was removed", err);
    return code ? code : told(x, "CheckOut", VT_MDM_NOT_ENROLLED, "it checked out");
}

static void told_bootstrap(struct vt_exchange *x, const char *action)
{
    json_t *event = vt_protocol_event("bootstrap_token", x->udid);
    json_object_set_new(event, "action", json_string(action));
    vt__happened(x, event);
}

static enum vt_code set_bootstrap(struct vt_exchange *x, struct vt_error *err)
{
    struct vt_buf token = VT_BUF_INIT;
    take(x, "BootstrapToken", &token);
    enum vt_code code = vt_store_set_bootstrap(x->store, x->udid, &token, err);
    if (!code)
        told_bootstrap(x, token.len ? "set" : "removed");
    vt_buf_free(&token);
    return code;
}

static enum vt_code get_bootstrap(struct vt_exchange *x, struct vt_error *err)
{
    struct vt_buf token = VT_BUF_INIT;
    enum vt_code code = vt_store_bootstrap(x->store, x->udid, &token, err);
    if (!code && token.len) {
        plist_t dict = plist_new_dict();
        vt_plist_set_data(dict, "BootstrapToken", token.data, token.len);
        code = vt_plist_write(dict, VT_PLIST_XML, &x->reply->body, err);
        plist_free(dict);
    }
    if (!code)
        told_bootstrap(x, "fetched");
    vt_buf_free(&token);
    return code;
}

enum vt_code vt__checkin(struct vt_exchange *x, const char *type, struct vt_error *err)
{
    static const struct {
        const char *type;
        enum vt_code (*handle)(struct vt_exchange *x, struct vt_error *err);
        bool enrolled; /* only of a device that is */
    } messages[] = {
        {"Authenticate", authenticate, false},
        {"TokenUpdate", token_update, false},
        {"CheckOut", check_out, false},
        {"SetBootstrapToken", set_bootstrap, true},
        {"GetBootstrapToken", get_bootstrap, true},
        {"DeclarativeManagement", vt__declarative, true},
    };
    if (!strcmp(type, "UserAuthenticate"))
        return vt__refuse(x, 410, "there is no user channel here");
    if (!strcmp(type, "GetToken"))
        return vt__refuse(x, 404, "there are no tokens of the service \"%s\" here",
                          vt_plist_str(x->body, "TokenServiceType", ""));
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        if (strcmp(type, messages[i].type) != 0)
            continue;
        if (messages[i].enrolled && x->device.d.state != VT_MDM_ENROLLED)
            return vt__refuse(x, 400, "%s of a device that is not enrolled: %s", type,
                              x->device.d.reason);
        if (x->user_channel && strcmp(type, "TokenUpdate") != 0)
            return vt__refuse(x, 400, "%s on a user channel", type);
        return messages[i].handle(x, err);
    }
    return vt__refuse(x, 400, "\"%s\" is no MessageType that is known", type);
}
