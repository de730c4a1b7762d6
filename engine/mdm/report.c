/* The command loop: what a device reports, and what it gets next. */
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "mdm/convert.h"
#include "mdm/exchange.h"

#define OP "mdm.enqueue"
#define UUID_MAX 128

static const struct {
    const char *text;
    enum vt_mdm_status status;
} statuses[] = {
    {"Acknowledged", VT_MDM_ACKNOWLEDGED},
    {"Error", VT_MDM_ERROR},
    {"CommandFormatError", VT_MDM_FORMAT_ERROR},
    {"NotNow", VT_MDM_NOT_NOW},
};

static void told_answer(struct vt_exchange *x, const char *uuid, const char *request_type,
                        const char *status)
{
    json_t *event = vt_protocol_event("answer", x->udid);
    plist_t chain = vt_plist_array(x->body, "ErrorChain");
    json_t *json = chain ? vt_plist_to_json(chain) : NULL;
    struct vt_buf errors = VT_BUF_INIT;
    vt_error_chain_text(json, &errors);
    json_object_set_new(event, "uuid", json_string(uuid));
    json_object_set_new(event, "request_type", json_string(request_type));
    json_object_set_new(event, "status", json_string(status));
    vt_json_set_text(event, "errors", vt_buf_str(&errors), errors.len);
    vt_buf_free(&errors);
    json_decref(json);
    vt__happened(x, event);
}

/* SecurityInfo is the one place where a device says whether a person approved its enrollment. */
static enum vt_code note_approval(struct vt_exchange *x, struct vt_error *err)
{
    plist_t management = vt_plist_dict(vt_plist_dict(x->body, "SecurityInfo"), "ManagementStatus");
    plist_t approved =
        management ? plist_dict_get_item(management, "UserApprovedEnrollment") : NULL;
    if (!vt_plist_is(approved, PLIST_BOOLEAN))
        return VT_OK;
    return vt_store_set_approved(x->store, x->udid,
                                 vt_plist_true(approved) ? VT_MDM_YES : VT_MDM_NO, err);
}

static enum vt_code take_answer(struct vt_exchange *x, const char *uuid, const char *text,
                                enum vt_mdm_status status, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct vt_command_row command;
    struct vt_buf reply = VT_BUF_INIT;
    bool known = false;
    enum vt_code code = vt_store_command(x->store, x->udid, uuid, &command, &own);
    vt_buf_add(&reply, x->request->body, x->request->size);
    if (!code)
        code = vt_store_answer(x->store, x->udid, uuid, status, &reply, &known, &own);
    if (!code && known && status == VT_MDM_ACKNOWLEDGED &&
        !strcmp(command.request_type, "SecurityInfo"))
        code = note_approval(x, &own);
    if (!code && known)
        told_answer(x, uuid, command.request_type, text);
    if (code == VT_ENOTFOUND || (!code && !known)) {
        /* it comes twice, or to what was never asked: the loop goes on */
        json_t *event = vt_protocol_event("refused", x->udid);
        json_object_set_new(event, "status", json_integer(200));
        json_object_set_new(event, "reason", json_string("an answer that no command waits for"));
        json_object_set_new(event, "uuid", json_string(uuid));
        vt__happened(x, event);
        code = VT_OK;
    }
    vt_command_row_clear(&command);
    vt_buf_free(&reply);
    return code ? vt_error_copy(err, &own) : VT_OK;
}

static enum vt_code give_next(struct vt_exchange *x, bool idle, struct vt_error *err)
{
    struct vt_command_row command;
    enum vt_code code = vt_store_next(x->store, x->udid, idle, &command, err);
    if (!code && command.uuid) {
        vt_buf_add(&x->reply->body, command.body.data, command.body.len);
        json_t *event = vt_protocol_event("sent", x->udid);
        json_object_set_new(event, "uuid", json_string(command.uuid));
        json_object_set_new(event, "request_type", json_string(command.request_type));
        vt__happened(x, event);
    }
    vt_command_row_clear(&command);
    return code;
}

enum vt_code vt__report(struct vt_exchange *x, const char *text, struct vt_error *err)
{
    const char *uuid = vt_plist_str(x->body, "CommandUUID", NULL);
    enum vt_mdm_status status = VT_MDM_PENDING;
    bool idle = !strcmp(text, "Idle");
    if (x->user_channel)
        return VT_OK; /* nothing is ever queued for users */
    if (x->device.d.state != VT_MDM_ENROLLED)
        return vt__refuse(x, 400, "a report of a device that is not enrolled: %s",
                          x->device.d.reason);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (!strcmp(text, statuses[i].text))
            status = statuses[i].status;
    if (!idle && status == VT_MDM_PENDING)
        return vt__refuse(x, 400, "\"%s\" is no Status that is known", text);
    if (!idle && (!uuid || !*uuid || strlen(uuid) > UUID_MAX))
        return vt__refuse(x, 400, "a report without a CommandUUID that could be one");
    if (idle)
        vt__happened(x, vt_protocol_event("idle", x->udid));
    enum vt_code code = idle ? VT_OK : take_answer(x, uuid, text, status, err);
    return code ? code : give_next(x, idle, err);
}

enum vt_code vt_protocol_enqueue(struct vt_store *store, const char *udid, const char *uuid,
                                 const json_t *command, struct vt_error *err)
{
    const char *type = vt_json_str(command, "RequestType", NULL);
    plist_t inner;
    struct vt_buf body = VT_BUF_INIT;
    if (!type || !*type)
        return vt_fail(err, VT_EINVAL, OP, "a command needs a RequestType");
    if (!*uuid || strlen(uuid) > UUID_MAX)
        return vt_fail(err, VT_EINVAL, OP, "a CommandUUID has 1 to %d bytes", UUID_MAX);
    enum vt_code code = vt_plist_from_json(command, type, &inner, err);
    if (code)
        return code;
    plist_t whole = plist_new_dict();
    plist_dict_set_item(whole, "Command", inner);
    vt_plist_set_str(whole, "CommandUUID", uuid);
    code = vt_plist_write(whole, VT_PLIST_XML, &body, err);
    plist_free(whole);
    if (!code && body.len > VT_PROTOCOL_MAX)
        code = vt_fail(err, VT_ELIMIT, OP, "the command is larger than %zu bytes", VT_PROTOCOL_MAX);
    if (!code)
        code = vt_store_enqueue(store, udid, uuid, type, &body, err);
    vt_buf_free(&body);
    return code;
}
