/* What is asked of NanoMDM, one request at a time. */
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "core/text.h"
#include "mdm/convert.h"
#include "mdm/lab.h"
#include "mdm/nanomdm.h"
#include "vmtest/units.h"

#define WHOLE_DAY 86400 /* the request's own deadline is the one that counts */

static const char *arg(const struct vt_mdm_request *r, const char *name)
{
    return vt_json_str(r->args, name, "");
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

static void look_devices(struct vt_nanomdm *n, struct vt_mdm_request *r)
{
    const char *key;
    json_t *device, *list = json_array();
    json_object_foreach(n->hook.devices, key, device)
        json_array_append_new(list, describe(&n->hook, device));
    vt__mdm_succeed(r, json_pack("{s:o}", "devices", list));
}

static const json_t *find(struct vt_nanomdm *n, const struct vt_mdm_request *r)
{
    const char *key, *serial = vt_json_str(r->args, "serial", NULL);
    json_t *device;
    if (!serial)
        return json_object_get(n->hook.devices, arg(r, "udid"));
    json_object_foreach(n->hook.devices, key, device) if (!strcmp(vt_json_str(device, "serial", ""),
                                                                  serial)) return device;
    return NULL;
}

static void look_wait_device(struct vt_nanomdm *n, struct vt_mdm_request *r)
{
    const json_t *device = find(n, r);
    bool fresh = !vt_json_bool(r->args, "seen", false) ||
                 vt_json_num(device, "last_seen", 0) >= vt_json_num(r->args, "since", 0);
    if (device && fresh && !strcmp(vt_json_str(device, "state", ""), arg(r, "state")))
        vt__mdm_succeed(r, describe(&n->hook, device));
}

/* VT_OK where commands can be queued for it. */
static enum vt_code ready(struct vt_nanomdm *n, const char *udid, struct vt_error *err)
{
    const json_t *device = json_object_get(n->hook.devices, udid);
    if (!device || !vt_is_plain_name(udid)) {
        vt_fail(err, VT_ENOTFOUND, "mdm.enqueue", "NanoMDM has told of no device %s", udid);
        vt_hint(err, "one that enrolled before vmtest listened is named in the option \"devices\"");
        return VT_ENOTFOUND;
    }
    if (strcmp(vt_json_str(device, "state", ""), "enrolled") != 0)
        return vt_fail(err, VT_ESTATE, "mdm.enqueue", "the device %s takes no commands: %s", udid,
                       vt_json_str(device, "reason", ""));
    return VT_OK;
}

/* --- the API's answers --- */

/* Parses one; its errors, of queueing or of pushing, are texts in it. */
static json_t *read_answer(struct vt_op *op, struct vt_error *err)
{
    const struct vt_error *why = vt_op_error(op);
    struct vt_http_answer *a = vt_op_result(op);
    json_t *answer = NULL;
    if (why)
        vt_error_copy(err, why);
    else if (a->status == 401)
        vt_fail(err, VT_EAUTH, "mdm.enqueue", "NanoMDM refused the API key");
    else if (a->status != 200 && a->status != 207 && a->status != 500)
        vt_fail(err, VT_EPROTO, "mdm.enqueue", "NanoMDM answered with status %d: %.200s", a->status,
                a->body);
    else
        vt_json_parse(a->body, a->body_size, "NanoMDM's answer", &answer, err);
    return answer;
}

static const char *problem(const json_t *answer, const char *udid, const char *key)
{
    const json_t *own = json_object_get(json_object_get(answer, "status"), udid);
    return vt_json_str(own, key, vt_json_str(answer, key, NULL));
}

static void on_pushed(struct vt_op *op, void *user)
{
    struct vt_mdm_request *r = user;
    struct vt_error err = VT_ERROR_INIT;
    json_t *answer = read_answer(op, &err);
    const char *why = problem(answer, arg(r, "udid"), "push_error");
    r->busy = false;
    r->work = NULL;
    if (why)
        vt_fail(&err, VT_EIO, "mdm.push", "NanoMDM could not push: %s", why);
    if (err.code)
        vt__mdm_fail(r, &err);
    else
        vt__mdm_succeed(r, json_object());
    json_decref(answer);
}

static void on_queued(struct vt_op *op, void *user)
{
    struct vt_mdm_request *r = user;
    struct vt_nanomdm *n = (struct vt_nanomdm *)r->mdm;
    struct vt_error err = VT_ERROR_INIT;
    json_t *answer = read_answer(op, &err);
    const char *udid = arg(r, "udid"), *uuid = arg(r, "uuid");
    const char *refused = problem(answer, udid, "command_error");
    const char *unpushed = problem(answer, udid, "push_error");
    bool told = !strcmp(vt_json_str(answer, "command_uuid", ""), uuid);
    r->busy = false;
    r->work = NULL;
    if (refused)
        vt_fail(&err, VT_EPROTO, "mdm.enqueue", "NanoMDM did not queue the command: %s", refused);
    else if (!err.code && !told)
        vt_fail(&err, VT_EPROTO, "mdm.enqueue", "NanoMDM does not say that it queued the command");
    if (err.code) {
        vt__mdm_fail(r, &err);
    } else {
        json_t *command = vt__hook_command(&n->hook, udid, uuid, true);
        const char *type = vt_json_str(json_object_get(r->args, "command"), "RequestType", "");
        if (command)
            json_object_set_new(command, "request_type", json_string(type));
        bool silent = vt_json_bool(answer, "no_push", false); /* it says so itself */
        vt__mdm_succeed(r,
                        json_pack("{s:s, s:b, s:s*}", "uuid", uuid, "pushed", !silent && !unpushed,
                                  "push_problem", silent ? "it was not asked for" : unpushed));
    }
    json_decref(answer);
}

/* --- requests to the API --- */

static void begun(struct vt_mdm_request *r, struct vt_op *op, const struct vt_error *err)
{
    r->work = op;
    r->busy = op != NULL;
    if (!op)
        vt__mdm_fail(r, err);
}

static void look_push(struct vt_nanomdm *n, struct vt_mdm_request *r)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf path = VT_BUF_INIT;
    struct vt_op *op = NULL;
    if (!ready(n, arg(r, "udid"), &err)) {
        vt_buf_printf(&path, "/v1/push/%s", arg(r, "udid"));
        op = vt__nanomdm_send(n, "GET", path.data, NULL, 0, WHOLE_DAY, on_pushed, r, &err);
    }
    begun(r, op, &err);
    vt_buf_free(&path);
}

static enum vt_code make_body(struct vt_mdm_request *r, struct vt_buf *body, struct vt_error *err)
{
    plist_t command = NULL, whole = plist_new_dict();
    enum vt_code code =
        vt_plist_from_json(json_object_get(r->args, "command"), "the command", &command, err);
    if (!code) {
        plist_dict_set_item(whole, "Command", command); /* takes it over */
        vt_plist_set_str(whole, "CommandUUID", arg(r, "uuid"));
        code = vt_plist_write(whole, VT_PLIST_XML, body, err);
    }
    plist_free(whole);
    return code;
}

static void look_enqueue(struct vt_nanomdm *n, struct vt_mdm_request *r)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf path = VT_BUF_INIT, body = VT_BUF_INIT;
    struct vt_op *op = NULL;
    const char *udid = arg(r, "udid");
    char uuid[37];
    if (!*arg(r, "uuid")) {
        vt__uuid(uuid);
        json_object_set_new(r->args, "uuid", json_string(uuid));
    } else if (vt__hook_command(&n->hook, udid, arg(r, "uuid"), false)) {
        vt_fail(&err, VT_EINVAL, "mdm.enqueue", "the CommandUUID %s was used before",
                arg(r, "uuid"));
    }
    if (!err.code && !ready(n, udid, &err) && !make_body(r, &body, &err)) {
        vt_buf_printf(&path, "/v1/enqueue/%s%s", udid,
                      vt_json_bool(r->args, "no_push", false) ? "?nopush=1" : "");
        op = vt__nanomdm_send(n, "PUT", path.data, body.data, body.len, WHOLE_DAY, on_queued, r,
                              &err);
    }
    begun(r, op, &err);
    vt_buf_free(&path);
    vt_buf_free(&body);
}

static void look_wait_answer(struct vt_nanomdm *n, struct vt_mdm_request *r)
{
    struct vt_error err = VT_ERROR_INIT;
    json_t *command = vt__hook_command(&n->hook, arg(r, "udid"), arg(r, "uuid"), false);
    const char *lost = vt_json_str(command, "lost", NULL);
    const char *status = vt_json_str(command, "status", "");
    bool stop = vt_json_bool(r->args, "stop_at_not_now", false);
    if (!command)
        vt_fail(&err, VT_ENOTFOUND, "mdm.wait_answer", "no command %s was queued for %s",
                arg(r, "uuid"), arg(r, "udid"));
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

void vt__nanomdm_look(struct vt_mdm *mdm, struct vt_mdm_request *r)
{
    static void (*const looks[VT_MDM_VERB_COUNT_])(struct vt_nanomdm *, struct vt_mdm_request *) = {
        [VT_MDM_DO_DEVICES] = look_devices,
        [VT_MDM_DO_WAIT_DEVICE] = look_wait_device,
        [VT_MDM_DO_PUSH] = look_push,
        [VT_MDM_DO_ENQUEUE] = look_enqueue,
        [VT_MDM_DO_WAIT_ANSWER] = look_wait_answer,
    };
    struct vt_error err = VT_ERROR_INIT;
    if (looks[r->verb]) {
        looks[r->verb]((struct vt_nanomdm *)mdm, r);
        return;
    }
    vt_fail(&err, VT_EUNSUPPORTED, "mdm", "NanoMDM has no API for it");
    vt__mdm_fail(r, &err);
}

void vt__nanomdm_drop(struct vt_mdm *mdm, struct vt_mdm_request *r, struct vt_error *why)
{
    struct vt_nanomdm *n = (struct vt_nanomdm *)mdm;
    if (r->work)
        vt_op_forget(r->work);
    r->work = NULL;
    const char *udid = arg(r, "udid");
    const json_t *device = find(n, r);
    char ago[32];
    if (r->verb == VT_MDM_DO_WAIT_DEVICE)
        vt_error_append(why, ": it is %s: %s", vt_json_str(device, "state", "not_enrolled"),
                        vt_json_str(device, "reason", "NanoMDM has told of no such device"));
    if (r->verb != VT_MDM_DO_WAIT_ANSWER)
        return;
    const json_t *command = vt__hook_command(&n->hook, udid, arg(r, "uuid"), false);
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
