/* NanoMDM: its API by HTTP, and its webhook, which is the one way results come. */
#include "mdm/nanomdm.h"

#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "loop/op.h"
#include "mdm/credentials.h"
#include "vmtest/log.h"

#define OP "mdm.open"
#define CALL_LIMIT ((size_t)32 << 20)

struct opening {
    struct vt_op op;
    struct vt_nanomdm *n;
    struct vt_op *probe;
};

static void close_nanomdm(struct vt_mdm *mdm)
{
    struct vt_nanomdm *n = (struct vt_nanomdm *)mdm;
    vt_http_server_close(n->listener);
    vt_http_client_free(n->client);
    vt__hook_free(&n->hook);
    char *secrets[] = {n->key, n->hmac};
    for (size_t i = 0; i < 2; i++) {
        if (secrets[i])
            explicit_bzero(secrets[i], strlen(secrets[i]));
        vt_free(secrets[i]);
    }
    vt_free(n->ca_file);
    vt_free(n);
}

static void discard(struct vt_nanomdm *n)
{
    vt_free(n->mdm.url);
    close_nanomdm(&n->mdm);
}

static void abort_opening(struct vt_op *op, struct vt_error *why)
{
    struct opening *o = (struct opening *)op;
    (void)why;
    if (o->probe)
        vt_op_forget(o->probe);
    o->probe = NULL;
    discard(o->n);
}

static const struct vt_op_class opening_class = {OP, abort_opening, NULL};

static void on_call(struct vt_http_request *rq, void *user)
{
    struct vt_nanomdm *n = user;
    struct vt_error err = VT_ERROR_INIT;
    json_t *event = NULL;
    int status = 200;
    if (strcmp(rq->method, "POST") != 0)
        status = 405;
    else if (n->hmac && !vt__hook_signed(n->hmac, rq->body, rq->body_size,
                                         vt_http_field(rq, "X-Hmac-Signature")))
        status = 403;
    else if (vt__hook_take(&n->hook, rq->body, rq->body_size, &event, &err))
        status = 400;
    vt_http_reply(rq, status, NULL, NULL, 0);
    if (status == 200 && !event) {
        vt__mdm_changed(&n->mdm);
        return;
    }
    if (status != 200) {
        const char *why = status == 403 ? "a webhook call without the right signature"
                          : err.code    ? err.message
                                        : "a webhook call that is no POST";
        vt_log(VT_LOG_INFO, "mdm: %s, from %s", why, rq->peer);
        event = json_pack("{s:s, s:s, s:i}", "type", "refused", "reason", why, "status", status);
    }
    vt__mdm_event(&n->mdm, event);
}

struct vt_op *vt__nanomdm_send(struct vt_nanomdm *n, const char *method, const char *path,
                               const void *body, size_t size, double timeout, vt_op_fn done,
                               void *user, struct vt_error *err)
{
    struct vt_buf url = VT_BUF_INIT;
    vt_buf_printf(&url, "%s%s", n->mdm.url, path);
    struct vt_http_opts opts = {
        .method = method,
        .url = url.data,
        .body = body,
        .body_size = size,
        .user = "nanomdm",
        .password = n->key,
        .ca_file = n->ca_file,
        .timeout = timeout,
    };
    struct vt_op *op = vt_http_send(n->client, &opts, done, user, err);
    vt_buf_free(&url);
    return op;
}

static void on_probed(struct vt_op *op, void *user)
{
    struct opening *o = user;
    const struct vt_error *why = vt_op_error(op);
    struct vt_http_answer *answer = vt_op_result(op);
    struct vt_error err = VT_ERROR_INIT;
    json_t *said = NULL; /* where it has no such certificate: that, as JSON */
    o->probe = NULL;
    if (why) {
        vt_error_copy(&err, why);
    } else if (answer->status == 401) {
        vt_fail(&err, VT_EAUTH, OP, "NanoMDM at %s refused the API key", o->n->mdm.url);
        vt_hint(&err, "it is what its option -api was given");
    } else if (vt_json_parse(answer->body, answer->body_size, "its answer", &said, NULL)) {
        vt_fail(&err, VT_EPROTO, OP, "what answers at %s, with status %d, is not NanoMDM's API",
                o->n->mdm.url, answer->status);
    }
    json_decref(said);
    if (err.code) {
        discard(o->n);
        vt_op_fail(&o->op, &err);
    } else {
        vt_op_succeed(&o->op, o->n);
    }
}

static enum vt_code take_extra(struct vt_nanomdm *n, const json_t *extra, struct vt_error *err)
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
            vt__hook_assume(&n->hook, json_string_value(udid));
        else
            code = vt_fail(err, VT_EINVAL, OP, "\"devices\" is an array of UDIDs");
    }
    return code;
}

static enum vt_code set_up(struct vt_nanomdm *n, const struct vt_mdm_opts *opts,
                           struct vt_error *err)
{
    struct vt_secret secrets[] = {
        {.name = "api_key", .env = "VMTEST_NANOMDM_API_KEY"},
        {.name = "webhook_hmac_key", .env = "VMTEST_NANOMDM_WEBHOOK_HMAC_KEY", .optional = true},
    };
    if (take_extra(n, opts->extra, err) || vt__secrets_read(opts->credentials, secrets, 2, err))
        return err->code;
    n->key = secrets[0].value;
    n->hmac = secrets[1].value;
    struct vt_http_server_opts listen = {
        .listen = opts->webhook_listen ? opts->webhook_listen : "127.0.0.1:0",
        .body_limit = CALL_LIMIT,
        .handle = on_call,
        .user = n,
    };
    n->client = vt_http_client_new(n->mdm.loop, err);
    n->listener = n->client ? vt_http_server_new(n->mdm.loop, &listen, err) : NULL;
    return n->listener ? VT_OK : err->code;
}

static struct vt_op *open_nanomdm(struct vt_loop *loop, const struct vt_mdm_opts *opts,
                                  vt_op_fn done, void *user, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    double timeout = opts->timeout > 0 ? opts->timeout : 30;
    size_t length = opts->url ? strlen(opts->url) : 0;
    if (!length) {
        vt_fail(err, VT_EINVAL, OP, "nanomdm needs the server's URL");
        return NULL;
    }
    struct vt_nanomdm *n = vt_calloc(1, sizeof *n);
    n->mdm = (struct vt_mdm){.cls = &vt_mdm_nanomdm, .loop = loop};
    n->mdm.url = vt_strndup(opts->url, length - (opts->url[length - 1] == '/'));
    n->ca_file = vt_strdup(opts->ca_file);
    vt__hook_init(&n->hook);
    if (set_up(n, opts, &own)) {
        discard(n);
        vt_error_copy(err, &own);
        return NULL;
    }
    struct opening *o = vt_op_new(sizeof *o, &opening_class, loop, timeout, done, user);
    o->n = n;
    /* of all that the API has, this alone changes nothing, and needs the key */
    o->probe = vt__nanomdm_send(n, "GET", "/v1/pushcert?topic=vmtest", NULL, 0, timeout + 1,
                                on_probed, o, &own);
    if (!o->probe) {
        vt_op_forget(&o->op);
        vt_error_copy(err, &own);
        return NULL;
    }
    return &o->op;
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

const struct vt_mdm_class vt_mdm_nanomdm = {
    .kind = "nanomdm",
    .open = open_nanomdm,
    .close = close_nanomdm,
    .supports = supports,
    .look = vt__nanomdm_look,
    .drop = vt__nanomdm_drop,
};
