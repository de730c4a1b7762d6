#include "mdm/results.h"

#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "mdm/convert.h"
#include "plist/base64.h"

#define OP "mdm.result"

static const char *need(const json_t *object, const char *key, struct vt_error *err)
{
    const char *text = vt_json_str(object, key, NULL);
    if (!text)
        vt_fail(err, VT_EPROTO, OP, "the server's answer has no \"%s\"", key);
    return text ? text : "";
}

static enum vt_mdm_state state_of(const char *name)
{
    for (unsigned i = 0; i <= VT_MDM_ENROLLED; i++)
        if (!strcmp(name, vt_mdm_state_name((enum vt_mdm_state)i)))
            return (enum vt_mdm_state)i;
    return VT_MDM_NOT_ENROLLED;
}

static enum vt_mdm_status status_of(const char *name)
{
    for (unsigned i = 0; i <= VT_MDM_NOT_NOW; i++)
        if (!strcmp(name, vt_mdm_status_name((enum vt_mdm_status)i)))
            return (enum vt_mdm_status)i;
    return VT_MDM_PENDING;
}

static void read_device(const json_t *j, struct vt_mdm_device *d, struct vt_error *err)
{
    const json_t *approved = json_object_get(j, "user_approved");
    *d = (struct vt_mdm_device){
        .udid = need(j, "udid", err),
        .state = state_of(need(j, "state", err)),
        .reason = need(j, "reason", err),
        .serial = vt_json_str(j, "serial", NULL),
        .name = vt_json_str(j, "name", NULL),
        .model = vt_json_str(j, "model", NULL),
        .os_version = vt_json_str(j, "os_version", NULL),
        .build_version = vt_json_str(j, "build_version", NULL),
        .product = vt_json_str(j, "product", NULL),
        .enrollment = vt_json_str(j, "enrollment", NULL),
        .enrolled = vt_json_num(j, "enrolled", 0),
        .last_seen = vt_json_num(j, "last_seen", 0),
        .queued = (unsigned)vt_json_int(j, "queued", 0),
        .bootstrap_token = vt_json_bool(j, "bootstrap_token", false),
        .awaiting = vt_json_bool(j, "awaiting", false),
        .declarative = vt_json_bool(j, "declarative", false),
        .user_approved = !json_is_boolean(approved) ? VT_MDM_UNKNOWN
                         : json_is_true(approved)   ? VT_MDM_YES
                                                    : VT_MDM_NO,
    };
}

static void *device(struct vt_mdm_request *r, struct vt_error *err)
{
    struct vt_mdm_device *d = vt_calloc(1, sizeof *d);
    read_device(r->result, d, err);
    return d;
}

static void *devices(struct vt_mdm_request *r, struct vt_error *err)
{
    const json_t *list = json_object_get(r->result, "devices");
    struct vt_mdm_devices *all = vt_calloc(1, sizeof *all);
    all->n = json_array_size(list);
    r->owned = all->v = vt_calloc(all->n ? all->n : 1, sizeof *all->v);
    for (size_t i = 0; i < all->n; i++)
        read_device(json_array_get(list, i), &all->v[i], err);
    return all;
}

static void *enrollment(struct vt_mdm_request *r, struct vt_error *err)
{
    struct vt_mdm_enrollment *e = vt_calloc(1, sizeof *e);
    e->profile = need(r->result, "profile", err);
    e->profile_size = strlen(e->profile);
    e->ca_pem = vt_json_str(r->result, "ca", NULL);
    e->id = vt_json_str(r->result, "id", NULL);
    return e;
}

static void *queued(struct vt_mdm_request *r, struct vt_error *err)
{
    struct vt_mdm_queued *q = vt_calloc(1, sizeof *q);
    q->uuid = need(r->result, "uuid", err);
    q->pushed = vt_json_bool(r->result, "pushed", false);
    q->push_problem = vt_json_str(r->result, "push_problem", NULL);
    return q;
}

/* The report as the device sent it, and what can be read from it. */
static void *answer(struct vt_mdm_request *r, struct vt_error *err)
{
    struct vt_mdm_answer *a = vt_calloc(1, sizeof *a);
    const char *raw = need(json_object_get(r->result, "raw"), "$data", err);
    struct vt_buf bytes = VT_BUF_INIT, errors = VT_BUF_INIT;
    plist_t report = NULL;
    if (!vt_base64_decode(&bytes, raw, strlen(raw)) ||
        (bytes.len && vt_plist_parse(bytes.data, bytes.len, "it", &report, NULL, NULL)))
        vt_fail(err, VT_EPROTO, OP, "the server's answer holds no property list");
    json_t *reply = report ? vt_plist_to_json(report) : json_object();
    json_object_set_new(r->result, "reply", reply);
    vt_error_chain_text(json_object_get(reply, "ErrorChain"), &errors);
    vt_json_set_text(r->result, "errors", vt_buf_str(&errors), errors.len);
    *a = (struct vt_mdm_answer){
        .uuid = need(r->result, "uuid", err),
        .request_type = vt_json_str(r->result, "request_type", NULL),
        .status = status_of(need(r->result, "status", err)),
        .error_chain = json_object_get(reply, "ErrorChain"),
        .errors = vt_json_str(r->result, "errors", ""),
        .reply = reply,
        .raw_size = bytes.len,
        .not_now = (unsigned)vt_json_int(r->result, "not_now", 0),
    };
    a->raw = r->owned = vt_buf_steal(&bytes);
    plist_free(report);
    vt_buf_free(&errors);
    return a;
}

static void *declared(struct vt_mdm_request *r, struct vt_error *err)
{
    const json_t *status = json_object_get(r->result, "status");
    struct vt_mdm_declared *d = vt_calloc(1, sizeof *d);
    *d = (struct vt_mdm_declared){
        .identifier = vt_json_str(r->args, "identifier", ""),
        .server_token = need(r->result, "server_token", err),
        .active = vt_json_bool(status, "active", false),
        .valid = vt_json_str(status, "valid", "unknown"),
        .status = status,
    };
    return d;
}

static void *package(struct vt_mdm_request *r, struct vt_error *err)
{
    struct vt_mdm_package *p = vt_calloc(1, sizeof *p);
    *p = (struct vt_mdm_package){
        .manifest_url = need(r->result, "manifest_url", err),
        .manifest = json_object_get(r->result, "manifest"),
        .sha256 = need(r->result, "sha256", err),
        .size = (uint64_t)vt_json_int(r->result, "size", 0),
    };
    return p;
}

enum vt_code vt__mdm_typed(struct vt_mdm_request *r, struct vt_error *err)
{
    static void *(*const make[VT_MDM_VERB_COUNT_])(struct vt_mdm_request *, struct vt_error *) = {
        [VT_MDM_DO_ENROLL] = enrollment,     [VT_MDM_DO_DEVICES] = devices,
        [VT_MDM_DO_WAIT_DEVICE] = device,    [VT_MDM_DO_ENQUEUE] = queued,
        [VT_MDM_DO_WAIT_ANSWER] = answer,    [VT_MDM_DO_DECLARE] = queued,
        [VT_MDM_DO_UNDECLARE] = queued,      [VT_MDM_DO_WAIT_DECLARED] = declared,
        [VT_MDM_DO_SERVE_PACKAGE] = package,
    };
    struct vt_error own = VT_ERROR_INIT;
    if (make[r->verb])
        r->typed = make[r->verb](r, &own);
    return vt_error_copy(err, &own);
}

void vt__mdm_untyped(struct vt_mdm_request *r)
{
    vt_free(r->typed);
    vt_free(r->owned);
    r->typed = r->owned = NULL;
}
