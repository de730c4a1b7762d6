/* NanoMDM: its API by HTTP, and its webhook, which is the one way results come. */
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "mdm/credentials.h"
#include "mdm/hooked.h"

#define OP "mdm.open"

static void close_nanomdm(struct vt_mdm *mdm)
{
    vt__hooked_clear((struct vt_hooked *)mdm);
    vt_free(mdm);
}

/* --- opening --- */

static enum vt_code judge(struct vt_remote *s, const struct vt_http_answer *a, struct vt_error *err)
{
    json_t *said = NULL; /* where it has no such certificate: that, as JSON */
    if (vt_json_parse(a->body, a->body_size, "its answer", &said, NULL))
        vt_fail(err, VT_EPROTO, OP, "what answers at %s, with status %d, is not NanoMDM's API",
                s->mdm.url, a->status);
    json_decref(said);
    return err->code;
}

static enum vt_code take_extra(struct vt_hooked *n, const json_t *extra, struct vt_error *err)
{
    const json_t *devices = json_object_get(extra, "devices"), *udid;
    json_t *others = json_deep_copy(extra);
    enum vt_code code = VT_OK;
    const char *key;
    json_t *value;
    size_t i;
    json_object_del(others, "devices");
    json_object_foreach(others, key, value) code = vt_fail(
        err, VT_EINVAL, OP, "nanomdm takes \"devices\", an array of UDIDs, and not \"%s\"", key);
    json_decref(others);
    if (!code && devices && !json_is_array(devices))
        code = vt_fail(err, VT_EINVAL, OP, "\"devices\" is to be an array of UDIDs");
    json_array_foreach(devices, i, udid)
    {
        if (code)
            break;
        if (json_is_string(udid))
            vt__hook_assume(&n->hook, json_string_value(udid), NULL,
                            "the option \"devices\" says so");
        else
            code = vt_fail(err, VT_EINVAL, OP, "\"devices\" is an array of UDIDs");
    }
    return code;
}

static enum vt_code set_up(struct vt_hooked *n, struct vt_loop *loop,
                           const struct vt_mdm_opts *opts, struct vt_error *err)
{
    struct vt_secret secrets[] = {
        {.name = "api_key", .env = "VMTEST_NANOMDM_API_KEY"},
        {.name = "webhook_hmac_key", .env = "VMTEST_NANOMDM_WEBHOOK_HMAC_KEY", .optional = true},
    };
    if (vt__hooked_init(n, &vt_mdm_nanomdm, "NanoMDM", loop, opts, err) ||
        take_extra(n, opts->extra, err) || vt__secrets_read(opts->credentials, secrets, 2, err))
        return err->code;
    n->remote.user = "nanomdm";
    n->remote.secret = secrets[0].value;
    n->hmac = secrets[1].value;
    n->known = "one that enrolled before vmtest listened is named in the option \"devices\"";
    return VT_OK;
}

static struct vt_op *open_nanomdm(struct vt_loop *loop, const struct vt_mdm_opts *opts,
                                  vt_op_fn done, void *user, struct vt_error *err)
{
    /* of all that the API has, this alone changes nothing, and needs the key */
    static const struct vt_remote_call first = {.path = "/v1/pushcert?topic=vmtest"};
    struct vt_error own = VT_ERROR_INIT;
    struct vt_hooked *n = vt_calloc(1, sizeof *n);
    if (set_up(n, loop, opts, &own)) {
        vt_mdm_close(&n->remote.mdm);
        vt_error_copy(err, &own);
        return NULL;
    }
    return vt__remote_open(&n->remote, &first, opts->timeout, judge, done, user, err);
}

static bool supports(const struct vt_mdm *mdm, enum vt_mdm_capability cap, struct vt_error *why)
{
    (void)mdm;
    if (cap == VT_MDM_COMMANDS || cap == VT_MDM_PUSH)
        return true;
    bool profile =
        cap == VT_MDM_PROFILE_PKCS12 || cap == VT_MDM_PROFILE_SCEP || cap == VT_MDM_PROFILE_BOTH;
    vt_fail(why, VT_EUNSUPPORTED, "mdm.supports", "NanoMDM has no API for \"%s\"",
            vt_mdm_capability_name(cap));
    vt_hint(why, "%s",
            profile ? "give the device a profile of your own, with an identity whose CA NanoMDM's "
                      "option -ca names"
                    : "use the lab server where a suite needs it");
    return false;
}

/* --- commands --- */

/* Its errors, of queueing or of pushing, are texts in the answer, whose status is 500 then. */
static json_t *read_answer(const struct vt_hooked *n, struct vt_op *op, struct vt_error *err)
{
    static const char what[] = "mdm.enqueue";
    const struct vt_http_answer *a = vt__remote_answer(&n->remote, op, what, err);
    if (a && a->status != 200 && a->status != 207 && a->status != 500)
        vt__remote_refused(&n->remote, a, VT_EPROTO, what, err);
    return err->code ? NULL : vt__remote_json(&n->remote, a, what, err);
}

/* A text of it, without credentials; *words is filled and freed by the caller. */
static const char *problem(const struct vt_hooked *n, const json_t *answer, const char *udid,
                           const char *key, struct vt_buf *words)
{
    const json_t *own = json_object_get(json_object_get(answer, "status"), udid);
    const char *text = vt_json_str(own, key, vt_json_str(answer, key, NULL));
    if (!text)
        return NULL;
    vt__remote_quote(&n->remote, text, strlen(text), words);
    return vt_buf_str(words);
}

static void on_pushed(struct vt_op *op, void *user)
{
    struct vt_mdm_request *r = user;
    struct vt_hooked *n = (struct vt_hooked *)r->mdm;
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf words = VT_BUF_INIT;
    json_t *answer = read_answer(n, op, &err);
    const char *why = problem(n, answer, vt__remote_arg(r, "udid"), "push_error", &words);
    vt__remote_ended(r);
    if (why)
        vt_fail(&err, VT_EIO, "mdm.push", "NanoMDM could not push: %s", why);
    if (err.code)
        vt__mdm_fail(r, &err);
    else
        vt__mdm_succeed(r, json_object());
    vt_buf_free(&words);
    json_decref(answer);
}

static void push(struct vt_hooked *n, struct vt_mdm_request *r)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf path = VT_BUF_INIT;
    struct vt_op *op = NULL;
    if (!vt__hooked_ready(n, vt__remote_arg(r, "udid"), &err)) {
        vt_buf_printf(&path, "/v1/push/%s", vt__remote_arg(r, "udid"));
        const struct vt_remote_call call = {.path = path.data};
        op = vt__remote_send(&n->remote, &call, on_pushed, r, &err);
    }
    vt__remote_begun(r, op, &err);
    vt_buf_free(&path);
}

static void on_queued(struct vt_op *op, void *user)
{
    struct vt_mdm_request *r = user;
    struct vt_hooked *n = (struct vt_hooked *)r->mdm;
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf words = VT_BUF_INIT, more = VT_BUF_INIT;
    json_t *answer = read_answer(n, op, &err);
    const char *udid = vt__remote_arg(r, "udid");
    const char *refused = problem(n, answer, udid, "command_error", &words);
    const char *unpushed = problem(n, answer, udid, "push_error", &more);
    bool told = !strcmp(vt_json_str(answer, "command_uuid", ""), vt__remote_arg(r, "uuid"));
    vt__remote_ended(r);
    if (refused)
        vt_fail(&err, VT_EPROTO, "mdm.enqueue", "NanoMDM did not queue the command: %s", refused);
    else if (!err.code && !told)
        vt_fail(&err, VT_EPROTO, "mdm.enqueue", "NanoMDM does not say that it queued the command");
    if (err.code)
        vt__mdm_fail(r, &err);
    else if (vt_json_bool(answer, "no_push", false)) /* it says so itself */
        vt__hooked_queued(n, r, "it was not asked for");
    else
        vt__hooked_queued(n, r, unpushed);
    vt_buf_free(&words);
    vt_buf_free(&more);
    json_decref(answer);
}

static void enqueue(struct vt_hooked *n, struct vt_mdm_request *r)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf path = VT_BUF_INIT, body = VT_BUF_INIT;
    struct vt_op *op = NULL;
    if (!vt__hooked_command(n, r, &body, &err)) {
        vt_buf_printf(&path, "/v1/enqueue/%s%s", vt__remote_arg(r, "udid"),
                      vt_json_bool(r->args, "no_push", false) ? "?nopush=1" : "");
        const struct vt_remote_call call = {
            .method = "PUT", .path = path.data, .body = body.data, .size = body.len};
        op = vt__remote_send(&n->remote, &call, on_queued, r, &err);
    }
    vt__remote_begun(r, op, &err);
    vt_buf_free(&path);
    vt_buf_free(&body);
}

static void look(struct vt_mdm *mdm, struct vt_mdm_request *r)
{
    static void (*const looks[VT_MDM_VERB_COUNT_])(struct vt_hooked *, struct vt_mdm_request *) = {
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

const struct vt_mdm_class vt_mdm_nanomdm = {
    .kind = "nanomdm",
    .open = open_nanomdm,
    .close = close_nanomdm,
    .supports = supports,
    .look = look,
    .drop = vt__hooked_drop,
};
