/* What is asked of Jamf Pro: GET /api/v2/computers-inventory, POST and GET /api/v2/mdm/commands,
 * POST /api/v2/mdm/blank-push (developer.jamf.com/jamf-pro/reference).
 *
 * It takes a few commands, by names and fields of its own, makes up their CommandUUIDs, and tells
 * the state of each, but not what the device reported. Devices are computers alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/text.h"
#include "mdm/convert.h"
#include "mdm/jamf.h"

#define FIELDS 5

/* The commands it takes, and their fields: Apple's name, its own. */
static const struct {
    const char *request, *type;
    const char *fields[FIELDS][2];
} commands[] = {
    {"RestartDevice",
     "RESTART_DEVICE",
     {{"NotifyUser", "notifyUser"},
      {"RebuildKernelCache", "rebuildKernelCache"},
      {"KextPaths", "kextPaths"}}},
    {"ShutDownDevice", "SHUT_DOWN_DEVICE", {{NULL}}},
    {"LogOutUser", "LOG_OUT_USER", {{NULL}}},
    {"EnableRemoteDesktop", "ENABLE_REMOTE_DESKTOP", {{NULL}}},
    {"DisableRemoteDesktop", "DISABLE_REMOTE_DESKTOP", {{NULL}}},
    {"ProfileList", "PROFILE_LIST", {{NULL}}},
    {"DeviceLock",
     "DEVICE_LOCK",
     {{"PIN", "pin"}, {"Message", "message"}, {"PhoneNumber", "phoneNumber"}}},
    {"EraseDevice",
     "ERASE_DEVICE",
     {{"PIN", "pin"},
      {"ObliterationBehavior", "obliterationBehavior"},
      {"PreserveDataPlan", "preserveDataPlan"},
      {"DisallowProximitySetup", "disallowProximitySetup"}}},
};
#define COMMANDS (sizeof commands / sizeof *commands)

/* The way round what it does not take. */
static const struct {
    const char *request, *hint;
} ways[] = {
    {"InstallProfile", "make a configuration profile whose scope is the device: POST "
                       "/JSSResource/osxconfigurationprofiles/id/0; Jamf Pro installs it"},
    {"RemoveProfile", "take the device out of the scope of its configuration profile, or delete "
                      "that: DELETE /JSSResource/osxconfigurationprofiles/id/ID"},
    {"InstallEnterpriseApplication", "upload the package, and install it by a policy"},
    {"DeclarativeManagement", "POST /api/v1/ddm/MANAGEMENT-ID/sync"},
};
#define WAYS (sizeof ways / sizeof *ways)

static struct vt_jamf *jamf(const struct vt_errand *e)
{
    return (struct vt_jamf *)e->r->mdm;
}

/* As vt__errand_send(), with a token that holds: else the step begins again when there is one. */
static void ask(struct vt_errand *e, const struct vt_remote_call *call, vt_errand_take take)
{
    if (vt__jamf_stale(jamf(e)) && !e->renewed)
        vt__jamf_renew(e);
    else
        vt__errand_send(e, call, take);
}

static void ask_json(struct vt_errand *e, const char *path, json_t *body, vt_errand_take take)
{
    char *text = json_dumps(body, JSON_COMPACT);
    const struct vt_remote_call call = {.method = "POST",
                                        .path = path,
                                        .type = "application/json",
                                        .body = text,
                                        .size = strlen(text)};
    ask(e, &call, take);
    free(text);
    json_decref(body);
}

/* --- computers --- */

static json_t *describe(const struct vt_jamf *j, const json_t *computer)
{
    const json_t *general = json_object_get(computer, "general");
    const json_t *hardware = json_object_get(computer, "hardware");
    const json_t *os = json_object_get(computer, "operatingSystem");
    const char *udid = vt_json_str(computer, "udid", "");
    bool managed = vt_json_bool(json_object_get(general, "remoteManagement"), "managed", false);
    bool capable = vt_json_bool(json_object_get(general, "mdmCapable"), "capable", false);
    json_t *device = json_pack(
        "{s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s*, s:f, s:f, s:i, s:b, s:b, s:b}", "udid", udid,
        "state", vt_mdm_state_name(managed && capable ? VT_MDM_ENROLLED : VT_MDM_NOT_ENROLLED),
        "reason",
        !managed  ? "Jamf Pro does not have it as managed"
        : capable ? "Jamf Pro has it as managed"
                  : "Jamf Pro has it as managed, but without MDM",
        "serial", vt_json_str(hardware, "serialNumber", NULL), "name",
        vt_json_str(general, "name", NULL), "model", vt_json_str(hardware, "modelIdentifier", NULL),
        "os_version", vt_json_str(os, "version", NULL), "build_version",
        vt_json_str(os, "build", NULL), "enrolled",
        vt_time_read(vt_json_str(general, "lastEnrolledDate", "")), "last_seen",
        vt_time_read(vt_json_str(general, "lastContactTime", "")), "queued",
        (int)vt__polled_pending(&j->polled, udid), "bootstrap_token", 0, "awaiting", 0,
        "declarative", (int)vt_json_bool(general, "declarativeDeviceManagementEnabled", false));
    const json_t *approved = json_object_get(general, "userApprovedMdm");
    if (device && json_is_boolean(approved))
        json_object_set_new(device, "user_approved", json_boolean(json_is_true(approved)));
    return device;
}

/* filter: RSQL; NULL: all. */
static void ask_inventory(struct vt_errand *e, const char *filter, vt_errand_take take)
{
    struct vt_buf path = VT_BUF_INIT;
    vt_buf_printf(&path,
                  "/api/v%d/computers-inventory?section=GENERAL&section=HARDWARE"
                  "&section=OPERATING_SYSTEM&page=%d&page-size=%d&sort=id:asc",
                  jamf(e)->old_inventory ? 1 : 2, (int)vt_json_int(e->notes, "page", 0),
                  VT_ERRAND_PAGE);
    if (filter) {
        vt_buf_puts(&path, "&filter=");
        vt__remote_escape(&path, filter);
    }
    ask(e, &(struct vt_remote_call){.path = path.data}, take);
    vt_buf_free(&path);
}

/* The answer's object, or NULL where the errand has gone on, or failed. A server that has only the
 * first version of the API says 404. */
static json_t *read_inventory(struct vt_errand *e, const struct vt_http_answer *a)
{
    if (a->status == 404 && !jamf(e)->old_inventory) {
        jamf(e)->old_inventory = true;
        vt__errand_next(e, e->step);
        return NULL;
    }
    if (a->status == 200)
        return vt__errand_json(e, a);
    vt__errand_refused(e, a, VT_EPROTO, NULL);
    return NULL;
}

static void ask_page(struct vt_errand *e);

static json_t *describe_listed(const struct vt_errand *e, const json_t *computer)
{
    return describe(jamf(e), computer);
}

static void take_page(struct vt_errand *e, const struct vt_http_answer *a)
{
    json_t *said = read_inventory(e, a);
    if (said)
        vt__errand_page(e, json_object_get(said, "results"), describe_listed, ask_page);
    json_decref(said);
}

static void ask_page(struct vt_errand *e)
{
    ask_inventory(e, NULL, take_page);
}

/* The one computer that the request names, by its UDID or its serial number. */
static void ask_computer(struct vt_errand *e, vt_errand_take take)
{
    const char *serial = vt_json_str(e->r->args, "serial", NULL);
    char filter[128];
    snprintf(filter, sizeof filter, "%s==\"%.64s\"", serial ? "hardware.serialNumber" : "udid",
             serial ? serial : vt__errand_arg(e, "udid"));
    ask_inventory(e, filter, take);
}

static void take_device(struct vt_errand *e, const struct vt_http_answer *a)
{
    json_t *said = read_inventory(e, a);
    const json_t *computer = json_array_get(json_object_get(said, "results"), 0);
    if (!said)
        return;
    json_t *device = computer
                         ? describe(jamf(e), computer)
                         : json_pack("{s:s, s:s, s:s}", "udid", vt__errand_arg(e, "udid"), "state",
                                     "not_enrolled", "reason", "Jamf Pro knows no such computer");
    json_decref(said);
    vt__errand_device(e, device);
}

static void ask_device(struct vt_errand *e)
{
    ask_computer(e, take_device);
}

/* Notes the computer's management id, for the step that follows; false where the errand ended. */
static bool note_id(struct vt_errand *e, const struct vt_http_answer *a)
{
    struct vt_error err = VT_ERROR_INIT;
    json_t *said = read_inventory(e, a);
    const json_t *computer = json_array_get(json_object_get(said, "results"), 0);
    const char *id = vt_json_str(json_object_get(computer, "general"), "managementId", "");
    const char *udid = vt__errand_arg(e, "udid"), *what = e->r->op.cls->name;
    if (!said)
        return false;
    json_t *device = describe(jamf(e), computer);
    if (!computer)
        vt_fail(&err, VT_ENOTFOUND, what, "Jamf Pro knows no computer with the UDID %s", udid);
    else if (strcmp(vt_json_str(device, "state", ""), "enrolled") != 0)
        vt_fail(&err, VT_ESTATE, what, "the device %s takes no commands: %s", udid,
                vt_json_str(device, "reason", ""));
    else if (!*id)
        vt_fail(&err, VT_EPROTO, what, "Jamf Pro tells no management id of %s", udid);
    json_object_set_new(e->notes, "id", json_string(id));
    json_decref(device);
    json_decref(said);
    if (err.code)
        vt__errand_fail(e, &err);
    return !err.code;
}

/* --- push --- */

static void send_push(struct vt_errand *e, vt_errand_take take)
{
    ask_json(e, "/api/v2/mdm/blank-push",
             json_pack("{s:[O]}", "clientManagementIds", json_object_get(e->notes, "id")), take);
}

/* Why the device was not woken, in *words; NULL where it was. */
static const char *push_problem(const struct vt_errand *e, const struct vt_http_answer *a,
                                struct vt_buf *words)
{
    json_t *said = NULL;
    if (!a) {
        vt_buf_puts(words, e->trouble.message);
    } else if (a->status != 200) {
        vt__remote_words(&jamf(e)->polled.remote, a, words);
    } else if (vt_json_parse(a->body, a->body_size, "it", &said, NULL) ||
               json_array_size(json_object_get(said, "errorUuids"))) {
        vt_buf_puts(words, "the push service did not take it");
    }
    json_decref(said);
    return words->len ? words->data : NULL;
}

static void take_pushed(struct vt_errand *e, const struct vt_http_answer *a)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf words = VT_BUF_INIT;
    const char *problem = push_problem(e, a, &words);
    if (problem) {
        vt_fail(&err, VT_EIO, "mdm.push", "Jamf Pro could not push: %s", problem);
        vt__errand_fail(e, &err);
    } else {
        vt__errand_succeed(e, json_object());
    }
    vt_buf_free(&words);
}

static void ask_push(struct vt_errand *e)
{
    send_push(e, take_pushed);
}

static void take_id_to_push(struct vt_errand *e, const struct vt_http_answer *a)
{
    if (note_id(e, a))
        vt__errand_next(e, ask_push);
}

static void ask_id_to_push(struct vt_errand *e)
{
    ask_computer(e, take_id_to_push);
}

/* --- commands --- */

/* Jamf Pro's own form of the command; NULL with *err set for one it does not take. */
static json_t *translate(const json_t *command, struct vt_error *err)
{
    const char *request = vt_json_str(command, "RequestType", ""), *key;
    json_t *own = NULL, *value, *copy;
    size_t c = 0, f;
    while (c < COMMANDS && strcmp(commands[c].request, request) != 0)
        c++;
    if (c == COMMANDS) {
        vt_fail(err, VT_EUNSUPPORTED, "mdm.enqueue", "Jamf Pro's API takes no command %s", request);
        for (size_t i = 0; i < WAYS; i++)
            if (!strcmp(ways[i].request, request))
                vt_hint(err, "%s", ways[i].hint);
        vt_hint(err, "what it knows of a device is in its inventory; other commands need another "
                     "server");
        return NULL;
    }
    own = json_pack("{s:s}", "commandType", commands[c].type);
    copy = json_deep_copy(command);
    json_object_foreach(copy, key, value)
    {
        for (f = 0; f < FIELDS && commands[c].fields[f][0]; f++)
            if (!strcmp(commands[c].fields[f][0], key))
                break;
        if (f < FIELDS && commands[c].fields[f][0])
            json_object_set(own, commands[c].fields[f][1], value);
        else if (strcmp(key, "RequestType") != 0)
            vt_fail(err, VT_EUNSUPPORTED, "mdm.enqueue",
                    "Jamf Pro's API takes no field %s of the command %s", key, request);
    }
    json_decref(copy);
    if (err->code) {
        json_decref(own);
        own = NULL;
    }
    return own;
}

static void end_queued(struct vt_errand *e, const char *problem)
{
    const char *uuid = vt_json_str(e->notes, "uuid", "");
    const json_t *command = json_object_get(e->r->args, "command");
    vt__polled_command(&jamf(e)->polled, vt__errand_arg(e, "udid"), uuid,
                       vt_json_str(command, "RequestType", ""));
    vt__errand_succeed(e, json_pack("{s:s, s:b, s:s*}", "uuid", uuid, "pushed", !problem,
                                    "push_problem", problem));
}

/* The command is queued, whatever became of the push. */
static void take_queued_pushed(struct vt_errand *e, const struct vt_http_answer *a)
{
    struct vt_buf words = VT_BUF_INIT;
    end_queued(e, push_problem(e, a, &words));
    vt_buf_free(&words);
}

static void ask_queued_push(struct vt_errand *e)
{
    e->forgiving = true;
    send_push(e, take_queued_pushed);
}

static void take_queued(struct vt_errand *e, const struct vt_http_answer *a)
{
    struct vt_error err = VT_ERROR_INIT;
    if (a->status != 201 && a->status != 200) {
        vt__errand_refused(e, a, VT_EPROTO, "this Jamf Pro may be too old for the command");
        return;
    }
    json_t *said = json_loadb(a->body, a->body_size, 0, NULL); /* one for each device */
    const char *uuid = vt_json_str(json_array_get(said, 0), "id", NULL);
    if (uuid)
        json_object_set_new(e->notes, "uuid", json_string(uuid));
    else
        vt_fail(&err, VT_EPROTO, "mdm.enqueue", "Jamf Pro does not say that it queued the command");
    json_decref(said);
    if (err.code)
        vt__errand_fail(e, &err);
    else if (vt_json_bool(e->r->args, "no_push", false))
        end_queued(e, "it was not asked for");
    else
        vt__errand_next(e, ask_queued_push);
}

static void ask_queue(struct vt_errand *e)
{
    ask_json(e, "/api/v2/mdm/commands",
             json_pack("{s:[{s:O}], s:O}", "clientData", "managementId",
                       json_object_get(e->notes, "id"), "commandData",
                       json_object_get(e->notes, "command")),
             take_queued);
}

static void take_id_to_queue(struct vt_errand *e, const struct vt_http_answer *a)
{
    if (note_id(e, a))
        vt__errand_next(e, ask_queue);
}

static void ask_id_to_queue(struct vt_errand *e)
{
    struct vt_error err = VT_ERROR_INIT;
    json_t *command = translate(json_object_get(e->r->args, "command"), &err);
    if (!err.code && *vt__errand_arg(e, "uuid"))
        vt_fail(&err, VT_EUNSUPPORTED, "mdm.enqueue", "Jamf Pro makes CommandUUIDs up itself");
    if (err.code) {
        json_decref(command);
        vt__errand_fail(e, &err);
        return;
    }
    json_object_set_new(e->notes, "command", command);
    ask_computer(e, take_id_to_queue);
}

/* Apple's word for one of its states, whichever way it is written: "NOT_NOW", "NotNow". */
static const char *status_word(const char *state)
{
    static const char *const words[][2] = {{"ACKNOWLEDGED", "Acknowledged"},
                                           {"ERROR", "Error"},
                                           {"NOT_NOW", "NotNow"},
                                           {"NotNow", "NotNow"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(state, words[i][0]))
            return words[i][1];
    return "Pending";
}

static void take_answer(struct vt_errand *e, const struct vt_http_answer *a)
{
    const char *udid = vt__errand_arg(e, "udid"), *uuid = vt__errand_arg(e, "uuid");
    struct vt_error err = VT_ERROR_INIT;
    if (a->status != 200) {
        vt__errand_refused(e, a, VT_EPROTO, NULL);
        return;
    }
    json_t *said = vt__errand_json(e, a);
    const json_t *command = json_array_get(json_object_get(said, "results"), 0);
    if (!said)
        return;
    if (command || vt__polled_command(&jamf(e)->polled, udid, uuid, NULL)) {
        /* no time of a NotNow is told: all of them count as one */
        vt__errand_status(e, status_word(vt_json_str(command, "commandState", "")), NULL, "", "1");
    } else {
        vt_fail(&err, VT_ENOTFOUND, "mdm.wait_answer", "Jamf Pro knows no command %s", uuid);
        vt__errand_fail(e, &err);
    }
    json_decref(said);
}

static void ask_answer(struct vt_errand *e)
{
    struct vt_buf path = VT_BUF_INIT;
    char filter[96];
    snprintf(filter, sizeof filter, "uuid==\"%.64s\"", vt__errand_arg(e, "uuid"));
    vt_buf_puts(&path, "/api/v2/mdm/commands?page=0&page-size=1&filter=");
    vt__remote_escape(&path, filter);
    ask(e, &(struct vt_remote_call){.path = path.data}, take_answer);
    vt_buf_free(&path);
}

/* --- requests --- */

/* The names go into a filter, which has a syntax of its own. */
static bool names_are_plain(const struct vt_mdm_request *r)
{
    static const char *const names[] = {"udid", "serial", "uuid"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (*vt__remote_arg(r, names[i]) && !vt_is_plain_name(vt__remote_arg(r, names[i])))
            return false;
    return true;
}

void vt__jamf_look(struct vt_mdm *mdm, struct vt_mdm_request *r)
{
    static const vt_errand_step steps[VT_MDM_VERB_COUNT_] = {
        [VT_MDM_DO_DEVICES] = ask_page,       [VT_MDM_DO_WAIT_DEVICE] = ask_device,
        [VT_MDM_DO_PUSH] = ask_id_to_push,    [VT_MDM_DO_ENQUEUE] = ask_id_to_queue,
        [VT_MDM_DO_WAIT_ANSWER] = ask_answer,
    };
    (void)mdm;
    struct vt_error err = VT_ERROR_INIT;
    if (!names_are_plain(r)) {
        vt_fail(&err, VT_ENOTFOUND, r->op.cls->name,
                "Jamf Pro knows nothing of a name like that: letters, digits, \".\", \"_\", \"-\"");
        vt__mdm_fail(r, &err);
    } else if (r->verb == VT_MDM_DO_WAIT_DEVICE && *vt__remote_arg(r, "enrollment")) {
        vt__remote_cannot(r, "cannot tie a device to its enrollment",
                          "name it by its UDID or its serial number");
    } else if (steps[r->verb]) {
        vt__errand_begin(r, steps[r->verb]);
    } else {
        vt__remote_cannot(r, "has no API for it", NULL);
    }
}
