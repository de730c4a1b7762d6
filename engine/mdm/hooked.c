#include "mdm/hooked.h"

#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/sys.h"
#include "core/text.h"
#include "mdm/lab.h"
#include "vmtest/log.h"
#include "vmtest/units.h"

#define CALL_LIMIT ((size_t)32 << 20)

static void on_call(struct vt_http_request *rq, void *user)
{
    struct vt_hooked *h = user;
    struct vt_error err = VT_ERROR_INIT;
    json_t *event = NULL;
    int status = 200;
    if (strcmp(rq->method, "POST") != 0)
        status = 405;
    else if (h->hmac && !vt__hook_signed(h->hmac, rq->body, rq->body_size,
                                         vt_http_field(rq, "X-Hmac-Signature")))
        status = 403;
    else if (vt__hook_take(&h->hook, rq->body, rq->body_size, &event, &err))
        status = 400;
    vt_http_reply(rq, status, NULL, NULL, 0);
    if (status == 200 && !event) {
        vt__mdm_changed(&h->remote.mdm);
        return;
    }
    if (status != 200) {
        const char *why = status == 403 ? "a webhook call without the right signature"
                          : err.code    ? err.message
                                        : "a webhook call that is no POST";
        vt_log(VT_LOG_INFO, "mdm: %s, from %s", why, rq->peer);
        event = json_pack("{s:s, s:s, s:i}", "type", "refused", "reason", why, "status", status);
    }
    vt__mdm_event(&h->remote.mdm, event);
}

enum vt_code vt__hooked_init(struct vt_hooked *h, const struct vt_mdm_class *cls,
                             const char *product, struct vt_loop *loop,
                             const struct vt_mdm_opts *opts, struct vt_error *err)
{
    vt__hook_init(&h->hook);
    if (vt__remote_init(&h->remote, cls, product, loop, opts, err))
        return err->code;
    const struct vt_http_server_opts listen = {
        .listen = opts->webhook_listen ? opts->webhook_listen : "127.0.0.1:0",
        .body_limit = CALL_LIMIT,
        .handle = on_call,
        .user = h,
    };
    h->listener = vt_http_server_new(loop, &listen, err);
    return h->listener ? VT_OK : err->code;
}

void vt__hooked_clear(struct vt_hooked *h)
{
    vt_http_server_close(h->listener);
    vt__remote_clear(&h->remote);
    vt__hook_free(&h->hook);
    vt__secret_drop(&h->hmac);
}

/* --- devices --- */

static unsigned pending(const struct vt_hook *hook, const char *udid)
{
    const char *key;
    json_t *command;
    unsigned count = 0;
    size_t n = strlen(udid);
    json_object_foreach(hook->commands, key, command)
    {
        const char *status = vt_json_str(command, "status", "");
        count += !strncmp(key, udid, n) && key[n] == ' ' && !json_object_get(command, "lost") &&
                 (!strcmp(status, "Pending") || !strcmp(status, "NotNow"));
    }
    return count;
}

static json_t *describe(const struct vt_hook *hook, const json_t *device)
{
    json_t *copy = json_deep_copy(device);
    json_object_del(copy, "at");
    json_object_set_new(copy, "queued",
                        json_integer(pending(hook, vt_json_str(device, "udid", ""))));
    return copy;
}

void vt__hooked_devices(struct vt_hooked *h, struct vt_mdm_request *r)
{
    const char *key;
    json_t *device, *list = json_array();
    json_object_foreach(h->hook.devices, key, device)
        json_array_append_new(list, describe(&h->hook, device));
    vt__mdm_succeed(r, json_pack("{s:o}", "devices", list));
}

static const json_t *find(const struct vt_hooked *h, const struct vt_mdm_request *r)
{
    const char *key, *serial = vt_json_str(r->args, "serial", NULL);
    json_t *device;
    if (!serial)
        return json_object_get(h->hook.devices, vt__remote_arg(r, "udid"));
    json_object_foreach(h->hook.devices, key, device) if (!strcmp(vt_json_str(device, "serial", ""),
                                                                  serial)) return device;
    return NULL;
}

void vt__hooked_wait_device(struct vt_hooked *h, struct vt_mdm_request *r)
{
    const json_t *device = find(h, r);
    bool fresh = !vt_json_bool(r->args, "seen", false) ||
                 vt_json_num(device, "last_seen", 0) >= vt_json_num(r->args, "since", 0);
    if (device && fresh && !strcmp(vt_json_str(device, "state", ""), vt__remote_arg(r, "state")))
        vt__mdm_succeed(r, describe(&h->hook, device));
}

enum vt_code vt__hooked_ready(const struct vt_hooked *h, const char *udid, struct vt_error *err)
{
    const json_t *device = json_object_get(h->hook.devices, udid);
    if (!device || !vt_is_plain_name(udid)) {
        vt_fail(err, VT_ENOTFOUND, "mdm.enqueue", "%s has told of no device %s", h->remote.product,
                udid);
        vt_hint(err, "%s", h->known);
        return VT_ENOTFOUND;
    }
    if (strcmp(vt_json_str(device, "state", ""), "enrolled") != 0)
        return vt_fail(err, VT_ESTATE, "mdm.enqueue", "the device %s takes no commands: %s", udid,
                       vt_json_str(device, "reason", ""));
    return VT_OK;
}

/* --- commands --- */

enum vt_code vt__hooked_command(struct vt_hooked *h, struct vt_mdm_request *r, struct vt_buf *body,
                                struct vt_error *err)
{
    const char *udid = vt__remote_arg(r, "udid"), *given = vt__remote_arg(r, "uuid");
    char uuid[37];
    if (!*given) {
        vt__uuid(uuid);
        json_object_set_new(r->args, "uuid", json_string(uuid));
    } else if (vt__hook_command(&h->hook, udid, given, false)) {
        return vt_fail(err, VT_EINVAL, "mdm.enqueue", "the CommandUUID %s was used before", given);
    }
    enum vt_code code = vt__hooked_ready(h, udid, err);
    return code ? code : vt__remote_command(r, body, err);
}

void vt__hooked_queued(struct vt_hooked *h, struct vt_mdm_request *r, const char *problem)
{
    const char *uuid = vt__remote_arg(r, "uuid");
    json_t *command = vt__hook_command(&h->hook, vt__remote_arg(r, "udid"), uuid, true);
    const char *type = vt_json_str(json_object_get(r->args, "command"), "RequestType", "");
    if (command)
        json_object_set_new(command, "request_type", json_string(type));
    vt__mdm_succeed(r, json_pack("{s:s, s:b, s:s*}", "uuid", uuid, "pushed", !problem,
                                 "push_problem", problem));
}

void vt__hooked_wait_answer(struct vt_hooked *h, struct vt_mdm_request *r)
{
    struct vt_error err = VT_ERROR_INIT;
    const char *udid = vt__remote_arg(r, "udid"), *uuid = vt__remote_arg(r, "uuid");
    json_t *command = vt__hook_command(&h->hook, udid, uuid, false);
    const char *lost = vt_json_str(command, "lost", NULL);
    const char *status = vt_json_str(command, "status", "");
    bool stop = vt_json_bool(r->args, "stop_at_not_now", false);
    if (!command)
        vt_fail(&err, VT_ENOTFOUND, "mdm.wait_answer", "no command %s was queued for %s", uuid,
                udid);
    else if (lost)
        vt_fail(&err, VT_EGUEST, "mdm.wait_answer", "the command will not be answered: %s", lost);
    else if (!strcmp(status, "Pending") || (!strcmp(status, "NotNow") && !stop))
        return;
    if (err.code) {
        vt__mdm_fail(r, &err);
        return;
    }
    json_t *result = json_copy(command);
    json_object_del(result, "queued");
    vt__mdm_succeed(r, result);
}

void vt__hooked_drop(struct vt_mdm *mdm, struct vt_mdm_request *r, struct vt_error *why)
{
    struct vt_hooked *h = (struct vt_hooked *)mdm;
    if (r->work)
        vt_op_forget(r->work);
    r->work = NULL;
    const json_t *device = find(h, r);
    char ago[32];
    if (r->verb == VT_MDM_DO_WAIT_DEVICE)
        vt_error_append(why, ": it is %s: %s", vt_json_str(device, "state", "not_enrolled"),
                        device ? vt_json_str(device, "reason", "")
                               : "the server has told of no such device");
    if (r->verb != VT_MDM_DO_WAIT_ANSWER)
        return;
    const json_t *command =
        vt__hook_command(&h->hook, vt__remote_arg(r, "udid"), vt__remote_arg(r, "uuid"), false);
    double seen = vt_json_num(device, "last_seen", 0);
    unsigned not_now = (unsigned)vt_json_int(command, "not_now", 0);
    if (not_now)
        vt_error_append(why, ": the device said NotNow %u times", not_now);
    else if (seen > vt_json_num(command, "queued", 0))
        vt_error_append(why,
                        ": the device was heard of %s ago, after the command was queued, but its "
                        "answer was not: the webhook's call may have been lost",
                        vt_format_duration(ago, sizeof ago, vt_wall() - seen));
    else
        vt_error_append(why, ": the device has not been heard of since the command was queued");
}
