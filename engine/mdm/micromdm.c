/* MicroMDM: its API by HTTP, and its webhook, which is the one way results come.
 *
 * The API: POST /v1/devices, PUT /v1/commands/UDID with a property list, POST /v1/push/UDID; HTTP
 * Basic "micromdm" with the API key (platform/command/server.go, platform/device, platform/apns of
 * github.com/micromdm/micromdm). */
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "mdm/credentials.h"
#include "mdm/hooked.h"

#define OP "mdm.open"
#define ENQUEUE "mdm.enqueue"

static void close_micromdm(struct vt_mdm *mdm)
{
    vt__hooked_clear((struct vt_hooked *)mdm);
    vt_free(mdm);
}

/* --- opening --- */

/* The first answer lists the devices, of which the webhook has not told. */
static enum vt_code judge(struct vt_remote *s, const struct vt_http_answer *a, struct vt_error *err)
{
    struct vt_hooked *m = (struct vt_hooked *)s;
    json_t *said = a->status == 200 ? vt__remote_json(s, a, OP, err) : NULL;
    const json_t *devices = json_object_get(said, "devices"), *device;
    size_t i;
    if (!err->code && !devices)
        vt_fail(err, VT_EPROTO, OP, "what answers at %s, with status %d, is not MicroMDM's API",
                s->mdm.url, a->status);
    json_array_foreach(devices, i, device)
    {
        const char *udid = vt_json_str(device, "udid", "");
        if (*udid && vt_json_bool(device, "enrollment_status", false))
            vt__hook_assume(&m->hook, udid, vt_json_str(device, "serial_number", NULL),
                            "MicroMDM lists it as enrolled");
    }
    json_decref(said);
    return err->code;
}

static enum vt_code set_up(struct vt_hooked *m, struct vt_loop *loop,
                           const struct vt_mdm_opts *opts, struct vt_error *err)
{
    struct vt_secret key = {.name = "api_key", .env = "VMTEST_MICROMDM_API_KEY"};
    if (vt__hooked_init(m, &vt_mdm_micromdm, "MicroMDM", loop, opts, err) ||
        vt__remote_no_extra(&m->remote, opts->extra, err) ||
        vt__secrets_read(opts->credentials, &key, 1, err))
        return err->code;
    m->remote.user = "micromdm";
    m->remote.secret = key.value;
    m->known = "its webhook (-command-webhook-url) is to be what vmtest listens on";
    return VT_OK;
}

static struct vt_op *open_micromdm(struct vt_loop *loop, const struct vt_mdm_opts *opts,
                                   vt_op_fn done, void *user, struct vt_error *err)
{
    static const struct vt_remote_call first = {
        .method = "POST",
        .path = "/v1/devices",
        .type = "application/json",
        .body = "{}",
        .size = 2,
    };
    struct vt_error own = VT_ERROR_INIT;
    struct vt_hooked *m = vt_calloc(1, sizeof *m);
    if (set_up(m, loop, opts, &own)) {
        vt_mdm_close(&m->remote.mdm);
        vt_error_copy(err, &own);
        return NULL;
    }
    return vt__remote_open(&m->remote, &first, opts->timeout, judge, done, user, err);
}

static bool supports(const struct vt_mdm *mdm, enum vt_mdm_capability cap, struct vt_error *why)
{
    (void)mdm;
    if (cap == VT_MDM_COMMANDS || cap == VT_MDM_PUSH || cap == VT_MDM_PROFILE_SCEP)
        return true;
    vt_fail(why, VT_EUNSUPPORTED, "mdm.supports", "MicroMDM has no API for \"%s\"",
            vt_mdm_capability_name(cap));
    if (cap == VT_MDM_PROFILE_PKCS12 || cap == VT_MDM_PROFILE_BOTH)
        vt_hint(why, "enroll by SCEP: method = \"scep\"");
    else if (cap == VT_MDM_WITHDRAW)
        vt_hint(why, "it can only empty a device's whole queue: DELETE /v1/commands/UDID");
    else
        vt_hint(why, "use the lab server where a suite needs it");
    return false;
}

/* --- commands --- */

/* What became of a push: NULL where it was taken, else the reason, in *words. *err is set where it
 * was no answer of MicroMDM's to that. */
static const char *push_problem(const struct vt_hooked *m, struct vt_op *op, struct vt_buf *words,
                                struct vt_error *err)
{
    const struct vt_http_answer *a = vt__remote_answer(&m->remote, op, "mdm.push", err);
    json_t *said = a ? vt__remote_json(&m->remote, a, "mdm.push", err) : NULL;
    bool taken = a && a->status == 200 && !strcmp(vt_json_str(said, "status", ""), "success");
    if (said && !taken)
        vt__remote_words(&m->remote, a, words);
    json_decref(said);
    return words->len ? words->data : NULL;
}

static struct vt_op *send_push(struct vt_hooked *m, struct vt_mdm_request *r, vt_op_fn done,
                               struct vt_error *err)
{
    struct vt_buf path = VT_BUF_INIT;
    vt_buf_printf(&path, "/v1/push/%s", vt__remote_arg(r, "udid"));
    const struct vt_remote_call call = {.method = "POST", .path = path.data};
    struct vt_op *op = vt__remote_send(&m->remote, &call, done, r, err);
    vt_buf_free(&path);
    return op;
}

static void on_pushed(struct vt_op *op, void *user)
{
    struct vt_mdm_request *r = user;
    struct vt_hooked *m = (struct vt_hooked *)r->mdm;
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf words = VT_BUF_INIT;
    const char *why = push_problem(m, op, &words, &err);
    vt__remote_ended(r);
    if (why)
        vt_fail(&err, VT_EIO, "mdm.push", "MicroMDM could not push: %s", why);
    if (err.code)
        vt__mdm_fail(r, &err);
    else
        vt__mdm_succeed(r, json_object());
    vt_buf_free(&words);
}

static void push(struct vt_hooked *m, struct vt_mdm_request *r)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_op *op = NULL;
    if (!vt__hooked_ready(m, vt__remote_arg(r, "udid"), &err))
        op = send_push(m, r, on_pushed, &err);
    vt__remote_begun(r, op, &err);
}

/* The command is queued, whatever became of the push. */
static void on_queued_pushed(struct vt_op *op, void *user)
{
    struct vt_mdm_request *r = user;
    struct vt_hooked *m = (struct vt_hooked *)r->mdm;
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf words = VT_BUF_INIT;
    const char *why = push_problem(m, op, &words, &err);
    vt__remote_ended(r);
    vt__hooked_queued(m, r, err.code ? err.message : why);
    vt_buf_free(&words);
}

static enum vt_code check_queued(const struct vt_hooked *m, const struct vt_mdm_request *r,
                                 struct vt_op *op, struct vt_error *err)
{
    const struct vt_http_answer *a = vt__remote_answer(&m->remote, op, ENQUEUE, err);
    if (a && (a->status == 404 || a->status == 405)) {
        vt__remote_refused(&m->remote, a, VT_EUNSUPPORTED, ENQUEUE, err);
        vt_hint(err, "a newer MicroMDM is needed: one whose API takes commands as property lists");
    } else if (a && a->status != 201 && a->status != 200) {
        vt__remote_refused(&m->remote, a, VT_EPROTO, ENQUEUE, err);
    }
    json_t *said = err->code ? NULL : vt__remote_json(&m->remote, a, ENQUEUE, err);
    const json_t *payload = json_object_get(said, "payload");
    if (said && strcmp(vt_json_str(payload, "command_uuid", ""), vt__remote_arg(r, "uuid")) != 0)
        vt_fail(err, VT_EPROTO, ENQUEUE, "MicroMDM does not say that it queued the command");
    json_decref(said);
    return err->code;
}

static void on_queued(struct vt_op *op, void *user)
{
    struct vt_mdm_request *r = user;
    struct vt_hooked *m = (struct vt_hooked *)r->mdm;
    struct vt_error err = VT_ERROR_INIT;
    vt__remote_ended(r);
    if (check_queued(m, r, op, &err)) {
        vt__mdm_fail(r, &err);
        return;
    }
    if (vt_json_bool(r->args, "no_push", false)) {
        vt__hooked_queued(m, r, "it was not asked for");
        return;
    }
    /* it pushes by itself, too, but tells its log alone what became of that */
    r->work = send_push(m, r, on_queued_pushed, &err);
    r->busy = r->work != NULL;
    if (!r->work)
        vt__hooked_queued(m, r, err.message);
}

static void enqueue(struct vt_hooked *m, struct vt_mdm_request *r)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf path = VT_BUF_INIT, body = VT_BUF_INIT;
    struct vt_op *op = NULL;
    if (!vt__hooked_command(m, r, &body, &err)) {
        vt_buf_printf(&path, "/v1/commands/%s", vt__remote_arg(r, "udid"));
        const struct vt_remote_call call = {.method = "PUT",
                                            .path = path.data,
                                            .type = "application/xml",
                                            .body = body.data,
                                            .size = body.len};
        op = vt__remote_send(&m->remote, &call, on_queued, r, &err);
    }
    vt__remote_begun(r, op, &err);
    vt_buf_free(&path);
    vt_buf_free(&body);
}

static void enroll(struct vt_hooked *m, struct vt_mdm_request *r)
{
    (void)m;
    vt__remote_enroll(r, "/mdm/enroll");
}

static void look(struct vt_mdm *mdm, struct vt_mdm_request *r)
{
    static void (*const looks[VT_MDM_VERB_COUNT_])(struct vt_hooked *, struct vt_mdm_request *) = {
        [VT_MDM_DO_ENROLL] = enroll,
        [VT_MDM_DO_DEVICES] = vt__hooked_devices,
        [VT_MDM_DO_WAIT_DEVICE] = vt__hooked_wait_device,
        [VT_MDM_DO_PUSH] = push,
        [VT_MDM_DO_ENQUEUE] = enqueue,
        [VT_MDM_DO_WAIT_ANSWER] = vt__hooked_wait_answer,
    };
    if (looks[r->verb])
        looks[r->verb]((struct vt_hooked *)mdm, r);
    else
        vt__remote_cannot(r, "has no API for it", NULL);
}

const struct vt_mdm_class vt_mdm_micromdm = {
    .kind = "micromdm",
    .open = open_micromdm,
    .close = close_micromdm,
    .supports = supports,
    .look = look,
    .drop = vt__hooked_drop,
};
