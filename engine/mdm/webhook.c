#include "mdm/webhook.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "mdm/convert.h"
#include "plist/base64.h"
#include "vmtest/mdm.h"

#define OP "mdm.webhook"
#define MOST 20000 /* devices, and commands: a stranger who may call must not fill the memory */

void vt__hook_init(struct vt_hook *hook)
{
    *hook = (struct vt_hook){
        .devices = json_object(), .commands = json_object(), .seen = json_object()};
}

void vt__hook_free(struct vt_hook *hook)
{
    json_decref(hook->devices);
    json_decref(hook->commands);
    json_decref(hook->seen);
    for (size_t i = 0; i < VT_HOOK_SEEN; i++)
        vt_free(hook->order[i]);
}

bool vt__hook_signed(const char *key, const void *body, size_t n, const char *signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    struct vt_buf text = VT_BUF_INIT;
    HMAC(EVP_sha256(), key, (int)strlen(key), body, n, mac, &size);
    vt_base64_encode(&text, mac, size);
    bool same = signature && strlen(signature) == text.len &&
                !CRYPTO_memcmp(signature, text.data, text.len);
    vt_buf_free(&text);
    return same;
}

static bool seen_before(struct vt_hook *hook, const char *id)
{
    if (json_object_get(hook->seen, id))
        return true;
    if (hook->order[hook->next])
        json_object_del(hook->seen, hook->order[hook->next]);
    vt_free(hook->order[hook->next]);
    hook->order[hook->next] = vt_strdup(id);
    hook->next = (hook->next + 1) % VT_HOOK_SEEN;
    json_object_set_new(hook->seen, id, json_true());
    return false;
}

static void set_state(json_t *device, enum vt_mdm_state state, const char *reason)
{
    json_object_set_new(device, "state", json_string(vt_mdm_state_name(state)));
    json_object_set_new(device, "reason", json_string(reason));
}

static json_t *device_of(struct vt_hook *hook, const char *udid)
{
    json_t *device = json_object_get(hook->devices, udid);
    if (device || json_object_size(hook->devices) >= MOST)
        return device;
    device = json_pack("{s:s, s:f, s:f, s:i, s:b, s:b, s:b, s:f}", "udid", udid, "enrolled", 0.0,
                       "last_seen", 0.0, "queued", 0, "bootstrap_token", 0, "awaiting", 0,
                       "declarative", 0, "at", 0.0);
    set_state(device, VT_MDM_NOT_ENROLLED, "no check-in of it has been told");
    json_object_set_new(hook->devices, udid, device);
    return device;
}

void vt__hook_assume(struct vt_hook *hook, const char *udid, const char *serial, const char *reason)
{
    json_t *device = device_of(hook, udid);
    if (!device)
        return;
    set_state(device, VT_MDM_ENROLLED, reason);
    if (serial)
        json_object_set_new(device, "serial", json_string(serial));
}

json_t *vt__hook_command(struct vt_hook *hook, const char *udid, const char *uuid, bool make)
{
    struct vt_buf key = VT_BUF_INIT;
    vt_buf_printf(&key, "%s %s", udid, uuid);
    json_t *command = json_object_get(hook->commands, key.data);
    if (!command && make && json_object_size(hook->commands) < MOST) {
        command = json_pack("{s:s, s:s, s:i, s:f}", "uuid", uuid, "status", "Pending", "not_now", 0,
                            "queued", vt_wall());
        json_object_set_new(hook->commands, key.data, command);
    }
    vt_buf_free(&key);
    return command;
}

static bool waits(const json_t *command)
{
    const char *status = vt_json_str(command, "status", "");
    return !strcmp(status, "Pending") || !strcmp(status, "NotNow");
}

/* What its Authenticate, or its CheckOut, did to the commands that wait. */
static void lose_commands(struct vt_hook *hook, const char *udid, const char *why)
{
    const char *key;
    json_t *command;
    size_t n = strlen(udid);
    json_object_foreach(hook->commands, key,
                        command) if (!strncmp(key, udid, n) && key[n] == ' ' && waits(command))
        json_object_set_new(command, "lost", json_string(why));
}

static void take_facts(json_t *device, plist_t body)
{
    static const char *const names[][2] = {{"serial", "SerialNumber"},
                                           {"name", "DeviceName"},
                                           {"model", "Model"},
                                           {"os_version", "OSVersion"},
                                           {"build_version", "BuildVersion"},
                                           {"product", "ProductName"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = vt_plist_str(body, names[i][1], NULL);
        if (text)
            vt_json_set_text(device, names[i][0], text, strlen(text));
    }
    if (!strcmp(vt_plist_str(body, "MessageType", ""), "TokenUpdate"))
        json_object_set_new(device, "awaiting",
                            json_boolean(vt_plist_bool(body, "AwaitingConfiguration", false)));
}

static json_t *take_checkin(struct vt_hook *hook, json_t *device, const char *message, double at,
                            plist_t body)
{
    const char *udid = vt_json_str(device, "udid", "");
    take_facts(device, body);
    if (at < vt_json_num(device, "at", 0))
        return NULL; /* it was overtaken */
    if (!strcmp(message, "Authenticate")) {
        set_state(device, VT_MDM_ENROLLING, "it sent Authenticate, but no TokenUpdate yet");
        lose_commands(hook, udid, "the device enrolled anew, which empties its queue");
    } else if (!strcmp(message, "TokenUpdate")) {
        set_state(device, VT_MDM_ENROLLED, "it sent TokenUpdate");
        json_object_set_new(device, "enrolled", json_real(at));
    } else if (!strcmp(message, "CheckOut")) {
        set_state(device, VT_MDM_NOT_ENROLLED, "it checked out");
        lose_commands(hook, udid, "the device checked out");
    } else {
        return NULL;
    }
    json_object_set_new(device, "at", json_real(at));
    return json_pack("{s:s, s:f, s:s, s:O, s:O, s:s}", "type", "device", "time", vt_wall(), "udid",
                     udid, "state", json_object_get(device, "state"), "reason",
                     json_object_get(device, "reason"), "message", message);
}

static json_t *take_report(struct vt_hook *hook, json_t *device, const json_t *report,
                           const char *raw, plist_t body)
{
    const char *udid = vt_json_str(device, "udid", ""), *status = vt_json_str(report, "status", "");
    const char *uuid = vt_json_str(report, "command_uuid", NULL);
    if (!uuid || !strcmp(status, "Idle"))
        return json_pack("{s:s, s:f, s:s}", "type", "idle", "time", vt_wall(), "udid", udid);
    json_t *command = vt__hook_command(hook, udid, uuid, true);
    if (!command || !waits(command))
        return NULL; /* an answer that is final stays */
    if (!strcmp(status, "NotNow"))
        json_object_set_new(command, "not_now",
                            json_integer(vt_json_int(command, "not_now", 0) + 1));
    json_object_set_new(command, "status", json_string(status));
    json_object_set_new(command, "raw", json_pack("{s:s}", "$data", raw));
    json_object_del(command, "lost");
    struct vt_buf errors = VT_BUF_INIT;
    json_t *chain = vt_plist_array(body, "ErrorChain")
                        ? vt_plist_to_json(vt_plist_array(body, "ErrorChain"))
                        : NULL;
    vt_error_chain_text(chain, &errors);
    json_t *event =
        json_pack("{s:s, s:f, s:s, s:s, s:s, s:s, s:s*}", "type", "answer", "time", vt_wall(),
                  "udid", udid, "uuid", uuid, "status", status, "errors", vt_buf_str(&errors),
                  "request_type", vt_json_str(command, "request_type", NULL));
    json_decref(chain);
    vt_buf_free(&errors);
    return event;
}

/* A user's channel of the device, told by the message itself: MicroMDM's calls say nothing else. */
static bool of_user(const json_t *about, plist_t body)
{
    const char *kind = vt_json_str(json_object_get(about, "ids"), "type", "");
    return !strcmp(kind, "User") || vt_plist_str(body, "UserID", NULL) ||
           vt_plist_str(body, "EnrollmentUserID", NULL);
}

enum vt_code vt__hook_take(struct vt_hook *hook, const void *body, size_t n, json_t **event,
                           struct vt_error *err)
{
    json_t *call = NULL;
    struct vt_buf raw = VT_BUF_INIT;
    plist_t payload = NULL;
    *event = NULL;
    if (vt_json_parse(body, n, "the webhook's call", &call, err))
        return VT_EPROTO;
    const char *topic = vt_json_str(call, "topic", ""), *id = vt_json_str(call, "event_id", NULL);
    const json_t *report = json_object_get(call, "acknowledge_event");
    const json_t *about = report ? report : json_object_get(call, "checkin_event");
    const char *udid = vt_json_str(about, "udid", vt_json_str(about, "enrollment_id", NULL));
    const char *text = vt_json_str(about, "raw_payload", NULL);
    double at = vt_time_read(vt_json_str(call, "created_at", ""));
    enum vt_code code = VT_OK;
    if (strncmp(topic, "mdm.", 4) != 0 || !udid || !text ||
        !vt_base64_decode(&raw, text, strlen(text)))
        code = vt_fail(err, VT_EPROTO, OP, "a call that is no event of NanoMDM's form");
    else if (vt_plist_parse(raw.data, raw.len, "raw_payload", &payload, NULL, err))
        code = VT_EPROTO;
    else if (of_user(about, payload) || (id && seen_before(hook, id)))
        code = VT_OK;
    else {
        json_t *device = device_of(hook, udid);
        if (device)
            json_object_set_new(device, "last_seen", json_real(vt_wall()));
        if (device)
            *event = report ? take_report(hook, device, report, text, payload)
                            : take_checkin(hook, device, topic + 4, at, payload);
    }
    plist_free(payload);
    vt_buf_free(&raw);
    json_decref(call);
    return code;
}
