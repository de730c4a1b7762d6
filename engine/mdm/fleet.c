/* Fleet: its REST API alone; results are polled, for it calls no webhook with them.
 *
 * The API: a bearer token; POST /api/v1/fleet/commands/run, GET …/commands/results, GET …/hosts,
 * GET …/hosts/identifier/ID, GET …/enrollment_profiles/manual (docs/REST API/rest-api.md of
 * github.com/fleetdm/fleet; what is said where a push failed: enqueueAppleMDMCommand() in
 * server/service/mdm.go). A host's UUID is the device's UDID. */
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "mdm/convert.h"
#include "mdm/credentials.h"
#include "mdm/lab.h"
#include "mdm/polled.h"
#include "plist/base64.h"

#define OP "mdm.open"
#define API "/api/v1/fleet"

static struct vt_polled *fleet(const struct vt_errand *e)
{
    return (struct vt_polled *)e->r->mdm;
}

static void close_fleet(struct vt_mdm *mdm)
{
    vt__polled_clear((struct vt_polled *)mdm);
    vt_free(mdm);
}

/* --- opening --- */

static enum vt_code judge(struct vt_remote *s, const struct vt_http_answer *a, struct vt_error *err)
{
    json_t *said = a->status == 200 ? vt__remote_json(s, a, OP, err) : NULL;
    if (!err->code && !vt_json_str(said, "version", NULL))
        vt_fail(err, VT_EPROTO, OP, "what answers at %s, with status %d, is not Fleet's API",
                s->mdm.url, a->status);
    json_decref(said);
    return err->code;
}

static enum vt_code set_up(struct vt_polled *f, struct vt_loop *loop,
                           const struct vt_mdm_opts *opts, struct vt_error *err)
{
    struct vt_secret token = {.name = "api_token", .env = "VMTEST_FLEET_API_TOKEN"};
    vt__polled_init(f);
    if (vt__remote_init(&f->remote, &vt_mdm_fleet, "Fleet", loop, opts, err) ||
        vt__remote_no_extra(&f->remote, opts->extra, err) ||
        vt__secrets_read(opts->credentials, &token, 1, err))
        return err->code;
    f->remote.secret = token.value;
    return VT_OK;
}

static struct vt_op *open_fleet(struct vt_loop *loop, const struct vt_mdm_opts *opts, vt_op_fn done,
                                void *user, struct vt_error *err)
{
    static const struct vt_remote_call first = {.path = API "/version"};
    struct vt_error own = VT_ERROR_INIT;
    struct vt_polled *f = vt_calloc(1, sizeof *f);
    if (set_up(f, loop, opts, &own)) {
        vt_mdm_close(&f->remote.mdm);
        vt_error_copy(err, &own);
        return NULL;
    }
    return vt__remote_open(&f->remote, &first, opts->timeout, judge, done, user, err);
}

static bool supports(const struct vt_mdm *mdm, enum vt_mdm_capability cap, struct vt_error *why)
{
    (void)mdm;
    if (cap == VT_MDM_COMMANDS || cap == VT_MDM_PROFILE_SCEP)
        return true;
    vt_fail(why, VT_EUNSUPPORTED, "mdm.supports", "Fleet has no API for \"%s\"",
            vt_mdm_capability_name(cap));
    if (cap == VT_MDM_PROFILE_PKCS12 || cap == VT_MDM_PROFILE_BOTH)
        vt_hint(why, "enroll by SCEP: method = \"scep\"");
    else if (cap == VT_MDM_PUSH)
        vt_hint(why, "it pushes by itself whenever a command is queued");
    else if (cap == VT_MDM_DECLARATIONS)
        vt_hint(why, "Fleet makes them of the profiles of a team: add one there");
    else
        vt_hint(why, "use the lab server where a suite needs it");
    return false;
}

/* --- devices --- */

static json_t *describe(const struct vt_polled *f, const json_t *host)
{
    const json_t *mdm = json_object_get(host, "mdm"),
                 *own = json_object_get(mdm, "connected_to_fleet");
    const char *udid = vt_json_str(host, "uuid", ""), *os = vt_json_str(host, "os_version", "");
    const char *status = vt_json_str(mdm, "enrollment_status", "Off"), *version = strrchr(os, ' ');
    bool enrolled = json_is_boolean(own) ? json_is_true(own) : !strncmp(status, "On", 2);
    char reason[160];
    snprintf(reason, sizeof reason, "Fleet has its MDM as \"%.100s\"%s", status,
             !enrolled && !strncmp(status, "On", 2) ? ", at another server" : "");
    return json_pack(
        "{s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s*, s:f, s:f, s:i, s:b, s:b, s:b}", "udid", udid,
        "state", vt_mdm_state_name(enrolled ? VT_MDM_ENROLLED : VT_MDM_NOT_ENROLLED), "reason",
        reason, "serial", vt_json_str(host, "hardware_serial", NULL), "name",
        vt_json_str(host, "computer_name", NULL), "model",
        vt_json_str(host, "hardware_model", NULL), "os_version", version ? version + 1 : NULL,
        "build_version", vt_json_str(host, "build", NULL), "enrolled",
        vt_time_read(vt_json_str(host, "last_mdm_enrolled_at", "")), "last_seen",
        vt_time_read(vt_json_str(host, "last_mdm_checked_in_at", "")), "queued",
        (int)vt__polled_pending(f, udid), "bootstrap_token", 0, "awaiting", 0, "declarative", 0);
}

static bool is_apples(const json_t *host)
{
    const char *platform = vt_json_str(host, "platform", "darwin");
    return !strcmp(platform, "darwin") || !strcmp(platform, "ios") || !strcmp(platform, "ipados");
}

static void ask_page(struct vt_errand *e);

static json_t *describe_listed(const struct vt_errand *e, const json_t *host)
{
    return is_apples(host) ? describe(fleet(e), host) : NULL;
}

static void take_page(struct vt_errand *e, const struct vt_http_answer *a)
{
    if (a->status != 200) {
        vt__errand_refused(e, a, VT_EPROTO, NULL);
        return;
    }
    json_t *said = vt__errand_json(e, a);
    if (said)
        vt__errand_page(e, json_object_get(said, "hosts"), describe_listed, ask_page);
    json_decref(said);
}

static void ask_page(struct vt_errand *e)
{
    struct vt_buf path = VT_BUF_INIT;
    vt_buf_printf(&path, API "/hosts?page=%d&per_page=%d&order_key=id",
                  (int)vt_json_int(e->notes, "page", 0), VT_ERRAND_PAGE);
    vt__errand_send(e, &(struct vt_remote_call){.path = path.data}, take_page);
    vt_buf_free(&path);
}

static void take_host(struct vt_errand *e, const struct vt_http_answer *a)
{
    json_t *said, *device;
    if (a->status == 404) {
        vt__errand_device(e,
                          json_pack("{s:s, s:s, s:s}", "udid", vt__errand_arg(e, "udid"), "state",
                                    "not_enrolled", "reason", "Fleet knows no such host"));
        return;
    }
    if (a->status != 200) {
        vt__errand_refused(e, a, VT_EPROTO, NULL);
        return;
    }
    if (!(said = vt__errand_json(e, a)))
        return;
    device = describe(fleet(e), json_object_get(said, "host"));
    json_decref(said);
    vt__errand_device(e, device);
}

static void ask_host(struct vt_errand *e)
{
    struct vt_buf path = VT_BUF_INIT;
    const char *serial = vt_json_str(e->r->args, "serial", NULL);
    vt_buf_puts(&path, API "/hosts/identifier/");
    vt__remote_escape(&path, serial ? serial : vt__errand_arg(e, "udid"));
    vt__errand_send(e, &(struct vt_remote_call){.path = path.data}, take_host);
    vt_buf_free(&path);
}

/* --- commands --- */

static void ask_results(struct vt_errand *e, vt_errand_take take)
{
    struct vt_buf path = VT_BUF_INIT;
    vt_buf_puts(&path, API "/commands/results?command_uuid=");
    vt__remote_escape(&path, vt__errand_arg(e, "uuid"));
    vt__errand_send(e, &(struct vt_remote_call){.path = path.data}, take);
    vt_buf_free(&path);
}

static void end_queued(struct vt_errand *e, const char *problem)
{
    const char *udid = vt__errand_arg(e, "udid"), *uuid = vt__errand_arg(e, "uuid");
    const json_t *command = json_object_get(e->r->args, "command");
    vt__polled_command(fleet(e), udid, uuid, vt_json_str(command, "RequestType", ""));
    vt__errand_succeed(e, json_pack("{s:s, s:b, s:s*}", "uuid", uuid, "pushed", !problem,
                                    "push_problem", problem));
}

/* After a status 502: does it have the command? Then only the push failed. */
static void take_check(struct vt_errand *e, const struct vt_http_answer *a)
{
    struct vt_error err = VT_ERROR_INIT;
    const char *problem = vt_json_str(e->notes, "problem", "");
    if (a->status == 200) {
        end_queued(e, problem);
        return;
    }
    vt_fail(&err, VT_EIO, "mdm.enqueue", "Fleet did not queue the command: %s", problem);
    vt__errand_fail(e, &err);
}

static void ask_check(struct vt_errand *e)
{
    ask_results(e, take_check);
}

static void judge_refusal(struct vt_errand *e, const struct vt_http_answer *a)
{
    struct vt_buf words = VT_BUF_INIT;
    vt__remote_words(&fleet(e)->remote, a, &words);
    bool stranger = a->status == 409 || (words.len && strstr(words.data, "not enrolled"));
    if (a->status == 502) {
        vt_json_set_text(e->notes, "problem", vt_buf_str(&words), words.len);
        vt__errand_next(e, ask_check);
    } else if (a->status == 404) {
        vt__errand_refused(e, a, VT_ENOTFOUND,
                           "devices are named by their UDID, Fleet's host UUID");
    } else if (stranger) {
        vt__errand_refused(e, a, VT_ESTATE, "enroll it in Fleet's MDM first");
    } else if (a->status == 402) {
        vt__errand_refused(e, a, VT_EUNSUPPORTED, "this command needs Fleet Premium");
    } else {
        vt__errand_refused(e, a, VT_EPROTO, NULL);
    }
    vt_buf_free(&words);
}

static void take_queued(struct vt_errand *e, const struct vt_http_answer *a)
{
    struct vt_error err = VT_ERROR_INIT;
    json_t *said;
    if (a->status != 200) {
        judge_refusal(e, a);
        return;
    }
    if (!(said = vt__errand_json(e, a)))
        return;
    bool told = !strcmp(vt_json_str(said, "command_uuid", ""), vt__errand_arg(e, "uuid"));
    bool unpushed = json_array_size(json_object_get(said, "failed_uuids")) > 0;
    json_decref(said);
    if (told) {
        end_queued(e, unpushed ? "Fleet could not push" : NULL);
        return;
    }
    vt_fail(&err, VT_EPROTO, "mdm.enqueue", "Fleet does not say that it queued the command");
    vt__errand_fail(e, &err);
}

static void ask_queue(struct vt_errand *e)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf plist = VT_BUF_INIT, text = VT_BUF_INIT;
    if (vt__remote_command(e->r, &plist, &err)) {
        vt_buf_free(&plist);
        vt__errand_fail(e, &err);
        return;
    }
    vt_base64_encode(&text, plist.data, plist.len);
    json_t *body =
        json_pack("{s:s, s:[s]}", "command", text.data, "host_uuids", vt__errand_arg(e, "udid"));
    char *dump = json_dumps(body, JSON_COMPACT);
    const struct vt_remote_call call = {.method = "POST",
                                        .path = API "/commands/run",
                                        .type = "application/json",
                                        .body = dump,
                                        .size = strlen(dump)};
    vt__errand_send(e, &call, take_queued);
    free(dump);
    json_decref(body);
    vt_buf_free(&text);
    vt_buf_free(&plist);
}

static const json_t *own_result(const json_t *said, const char *udid)
{
    const json_t *result;
    size_t i;
    json_array_foreach(
        json_object_get(said, "results"), i,
        result) if (!strcmp(vt_json_str(result, "host_uuid", ""), udid)) return result;
    return NULL;
}

static void take_results(struct vt_errand *e, const struct vt_http_answer *a)
{
    const char *udid = vt__errand_arg(e, "udid"), *uuid = vt__errand_arg(e, "uuid");
    struct vt_error err = VT_ERROR_INIT;
    json_t *said;
    if (a->status == 404 && vt__polled_command(fleet(e), udid, uuid, NULL)) {
        vt__errand_again(e); /* a replica of its database may be behind */
        return;
    }
    if (a->status == 404) {
        vt_fail(&err, VT_ENOTFOUND, "mdm.wait_answer", "Fleet knows no command %s", uuid);
        vt__errand_fail(e, &err);
        return;
    }
    if (a->status != 200) {
        vt__errand_refused(e, a, VT_EPROTO, NULL);
        return;
    }
    if (!(said = vt__errand_json(e, a)))
        return;
    const json_t *result = own_result(said, udid);
    vt__errand_status(e, vt_json_str(result, "status", "Pending"),
                      vt_json_str(result, "request_type", NULL), vt_json_str(result, "result", ""),
                      vt_json_str(result, "updated_at", "?"));
    json_decref(said);
}

static void ask_answer(struct vt_errand *e)
{
    ask_results(e, take_results);
}

/* --- requests --- */

static void enqueue(struct vt_mdm_request *r)
{
    struct vt_polled *f = (struct vt_polled *)r->mdm;
    struct vt_error err = VT_ERROR_INIT;
    const char *given = vt__remote_arg(r, "uuid");
    char uuid[37];
    if (!*given) {
        vt__uuid(uuid);
        json_object_set_new(r->args, "uuid", json_string(uuid));
    } else if (vt__polled_command(f, vt__remote_arg(r, "udid"), given, NULL)) {
        vt_fail(&err, VT_EINVAL, "mdm.enqueue", "the CommandUUID %s was used before", given);
        vt__mdm_fail(r, &err);
        return;
    }
    vt__errand_begin(r, ask_queue);
}

static void look(struct vt_mdm *mdm, struct vt_mdm_request *r)
{
    static const vt_errand_step steps[VT_MDM_VERB_COUNT_] = {
        [VT_MDM_DO_DEVICES] = ask_page,
        [VT_MDM_DO_WAIT_DEVICE] = ask_host,
        [VT_MDM_DO_WAIT_ANSWER] = ask_answer,
    };
    (void)mdm;
    if (r->verb == VT_MDM_DO_ENQUEUE)
        enqueue(r);
    else if (r->verb == VT_MDM_DO_ENROLL)
        vt__remote_enroll(r, API "/enrollment_profiles/manual");
    else if (r->verb == VT_MDM_DO_WAIT_DEVICE && *vt__remote_arg(r, "enrollment"))
        vt__remote_cannot(r, "cannot tie a device to its enrollment",
                          "name it by its UDID or its serial number");
    else if (steps[r->verb])
        vt__errand_begin(r, steps[r->verb]);
    else
        vt__remote_cannot(r, "has no API for it", NULL);
}

static void drop(struct vt_mdm *mdm, struct vt_mdm_request *r, struct vt_error *why)
{
    if (r->verb != VT_MDM_DO_ENROLL)
        vt__polled_drop(mdm, r, why);
    else if (r->work)
        vt_op_forget(r->work);
}

const struct vt_mdm_class vt_mdm_fleet = {
    .kind = "fleet",
    .open = open_fleet,
    .close = close_fleet,
    .supports = supports,
    .look = look,
    .drop = drop,
};
