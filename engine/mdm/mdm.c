/* The interface: arguments are checked, requests begun, ended and looked at again. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "core/text.h"
#include "mdm/results.h"
#include "mdm/server.h"

#define DEFAULT_S 30
#define PACKAGE_S 300

static const struct vt_mdm_class *const classes[] = {&vt_mdm_lab, &vt_mdm_nanomdm, &vt_mdm_micromdm,
                                                     &vt_mdm_fleet, &vt_mdm_jamf};
#define CLASSES (sizeof classes / sizeof *classes)

const char *const *vt_mdm_kinds(void)
{
    static const char *names[CLASSES + 1];
    for (size_t i = 0; i < CLASSES; i++)
        names[i] = classes[i]->kind;
    return names;
}

/* --- requests --- */

static void unlink_request(struct vt_mdm_request *r)
{
    struct vt_mdm_request **at = &r->mdm->requests;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    r->mdm = NULL;
}

static void abort_request(struct vt_op *op, struct vt_error *why)
{
    struct vt_mdm_request *r = (struct vt_mdm_request *)op;
    if (!r->mdm)
        return;
    if (r->mdm->cls->drop)
        r->mdm->cls->drop(r->mdm, r, why);
    unlink_request(r);
}

static void free_request(struct vt_op *op)
{
    struct vt_mdm_request *r = (struct vt_mdm_request *)op;
    vt__mdm_untyped(r);
    json_decref(r->args);
    json_decref(r->result);
}

void vt__mdm_succeed(struct vt_mdm_request *r, json_t *result)
{
    struct vt_error err = VT_ERROR_INIT;
    if (!r->mdm) {
        json_decref(result);
        return;
    }
    unlink_request(r);
    r->result = result;
    if (vt__mdm_typed(r, &err))
        vt_op_fail(&r->op, &err);
    else
        vt_op_succeed(&r->op, r->typed);
}

void vt__mdm_fail(struct vt_mdm_request *r, const struct vt_error *why)
{
    if (!r->mdm)
        return;
    unlink_request(r);
    vt_op_fail(&r->op, why);
}

void vt__mdm_changed(struct vt_mdm *mdm)
{
    struct vt_mdm_request *next;
    for (struct vt_mdm_request *r = mdm->requests; r; r = next) {
        next = r->next; /* a look may end this one, and no other */
        if (!r->busy)
            mdm->cls->look(mdm, r);
    }
}

void vt__mdm_event(struct vt_mdm *mdm, json_t *event)
{
    if (mdm->on_event)
        mdm->on_event(event, mdm->user);
    json_decref(event);
    vt__mdm_changed(mdm);
}

static const struct vt_op_class request_classes[VT_MDM_VERB_COUNT_] = {
    [VT_MDM_DO_ENROLL] = {"mdm.enroll", abort_request, free_request},
    [VT_MDM_DO_DEVICES] = {"mdm.devices", abort_request, free_request},
    [VT_MDM_DO_WAIT_DEVICE] = {"mdm.wait_device", abort_request, free_request},
    [VT_MDM_DO_PUSH] = {"mdm.push", abort_request, free_request},
    [VT_MDM_DO_ENQUEUE] = {"mdm.enqueue", abort_request, free_request},
    [VT_MDM_DO_WAIT_ANSWER] = {"mdm.wait_answer", abort_request, free_request},
    [VT_MDM_DO_WITHDRAW] = {"mdm.withdraw", abort_request, free_request},
    [VT_MDM_DO_DECLARE] = {"mdm.declare", abort_request, free_request},
    [VT_MDM_DO_UNDECLARE] = {"mdm.undeclare", abort_request, free_request},
    [VT_MDM_DO_WAIT_DECLARED] = {"mdm.wait_declared", abort_request, free_request},
    [VT_MDM_DO_SERVE_PACKAGE] = {"mdm.serve_package", abort_request, free_request},
};

struct vt_op *vt__mdm_begin(struct vt_mdm *mdm, enum vt_mdm_verb verb, json_t *args, double timeout,
                            double standard, vt_op_fn done, void *user, struct vt_error *err)
{
    const char *name = request_classes[verb].name;
    if (timeout == 0)
        timeout = standard;
    if (!args)
        vt_fail(err, VT_EINVAL, name, "an argument is missing, or is not valid UTF-8");
    else if (!(timeout > 0) || isinf(timeout))
        vt_fail(err, VT_EINVAL, name, "a timeout is more than 0 seconds, not %g", timeout);
    if (!args || !(timeout > 0) || isinf(timeout)) {
        json_decref(args);
        return NULL;
    }
    struct vt_mdm_request *r =
        vt_op_new(sizeof *r, &request_classes[verb], mdm->loop, timeout, done, user);
    r->mdm = mdm;
    r->verb = verb;
    r->args = args;
    struct vt_mdm_request **at = &mdm->requests;
    while (*at)
        at = &(*at)->next;
    *at = r;
    mdm->cls->look(mdm, r);
    return &r->op;
}

/* --- the server --- */

struct vt_op *vt_mdm_open(struct vt_loop *loop, const struct vt_mdm_opts *opts, vt_op_fn done,
                          void *user, struct vt_error *err)
{
    const char *kind = opts->kind ? opts->kind : "";
    for (size_t i = 0; i < CLASSES; i++)
        if (!strcmp(kind, classes[i]->kind))
            return (opts->url && classes[i] == &vt_mdm_lab ? &vt_mdm_lab_client : classes[i])
                ->open(loop, opts, done, user, err);
    vt_fail(err, VT_EINVAL, "mdm.open", "there is no MDM server of the kind \"%s\"", kind);
    const char *near = vt_nearest(kind, vt_mdm_kinds(), CLASSES);
    vt_hint(err, "%s%s", near ? "did you mean " : "see docs/mdm.md", near ? near : "");
    return NULL;
}

void vt_mdm_close(struct vt_mdm *mdm)
{
    if (!mdm)
        return;
    while (mdm->requests)
        vt_op_cancel(&mdm->requests->op);
    char *owned[] = {mdm->url, mdm->ca_pem};
    mdm->cls->close(mdm);
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        vt_free(owned[i]);
}

const char *vt_mdm_kind(const struct vt_mdm *mdm)
{
    return mdm->cls->kind;
}

const char *vt_mdm_url(const struct vt_mdm *mdm)
{
    return mdm->url;
}

const char *vt_mdm_ca_pem(const struct vt_mdm *mdm)
{
    return mdm->ca_pem;
}

void vt_mdm_on_event(struct vt_mdm *mdm, vt_mdm_event_fn fn, void *user)
{
    mdm->on_event = fn;
    mdm->user = user;
}

/* --- what can be asked of it --- */

struct vt_op *vt_mdm_enroll(struct vt_mdm *mdm, const struct vt_mdm_enrollment_opts *opts,
                            vt_op_fn done, void *user, struct vt_error *err)
{
    static const enum vt_mdm_capability caps[] = {VT_MDM_PROFILE_PKCS12, VT_MDM_PROFILE_SCEP,
                                                  VT_MDM_PROFILE_BOTH};
    enum vt_mdm_capability cap = caps[opts->method];
    if (!vt_mdm_supports(mdm, cap, err))
        return NULL;
    json_t *args = json_pack("{s:s, s:s*, s:s*, s:i, s:b, s:f, s:b, s:s*}", "method",
                             vt_mdm_capability_name(cap), "address", opts->address, "topic",
                             opts->topic, "access_rights", (int)opts->access_rights, "rsa",
                             (int)opts->rsa, "valid", opts->valid, "keep_on_remove",
                             (int)opts->keep_on_remove, "display_name", opts->display_name);
    return vt__mdm_begin(mdm, VT_MDM_DO_ENROLL, args, opts->timeout, DEFAULT_S, done, user, err);
}

struct vt_op *vt_mdm_devices(struct vt_mdm *mdm, double timeout, vt_op_fn done, void *user,
                             struct vt_error *err)
{
    return vt__mdm_begin(mdm, VT_MDM_DO_DEVICES, json_object(), timeout, DEFAULT_S, done, user,
                         err);
}

struct vt_op *vt_mdm_wait_device(struct vt_mdm *mdm, const struct vt_mdm_wait_opts *opts,
                                 vt_op_fn done, void *user, struct vt_error *err)
{
    if (!opts->udid + !opts->serial + !opts->enrollment != 2) {
        vt_fail(err, VT_EINVAL, "mdm.wait_device",
                "a device is named by one of its UDID, its serial number and its enrollment");
        return NULL;
    }
    json_t *args =
        json_pack("{s:s*, s:s*, s:s*, s:s, s:b, s:f}", "udid", opts->udid, "serial", opts->serial,
                  "enrollment", opts->enrollment, "state", vt_mdm_state_name(opts->state), "seen",
                  (int)opts->seen, "since", vt_wall());
    return vt__mdm_begin(mdm, VT_MDM_DO_WAIT_DEVICE, args, opts->timeout, 0, done, user, err);
}

struct vt_op *vt_mdm_push(struct vt_mdm *mdm, const char *udid, double timeout, vt_op_fn done,
                          void *user, struct vt_error *err)
{
    if (!vt_mdm_supports(mdm, VT_MDM_PUSH, err))
        return NULL;
    return vt__mdm_begin(mdm, VT_MDM_DO_PUSH, json_pack("{s:s}", "udid", udid), timeout, DEFAULT_S,
                         done, user, err);
}

struct vt_op *vt_mdm_enqueue(struct vt_mdm *mdm, const struct vt_mdm_command *c, vt_op_fn done,
                             void *user, struct vt_error *err)
{
    const char *type = vt_json_str(c->command, "RequestType", NULL);
    if (!type || !*type) {
        vt_fail(err, VT_EINVAL, "mdm.enqueue", "a command needs a RequestType, a text");
        return NULL;
    }
    enum vt_mdm_capability needs = vt_mdm_request_needs(type);
    if (!c->force && needs != VT_MDM_CAPABILITY_COUNT_ && vt__mdm_never(needs, err)) {
        if (err && err->op[0])
            vt_error_append(err, " (the command %s)", type);
        return NULL;
    }
    json_t *args = json_pack("{s:s, s:O, s:s*, s:b}", "udid", c->udid, "command", c->command,
                             "uuid", c->uuid, "no_push", (int)c->no_push);
    return vt__mdm_begin(mdm, VT_MDM_DO_ENQUEUE, args, c->timeout, DEFAULT_S, done, user, err);
}

struct vt_op *vt_mdm_wait_answer(struct vt_mdm *mdm, const struct vt_mdm_answer_opts *opts,
                                 vt_op_fn done, void *user, struct vt_error *err)
{
    json_t *args = json_pack("{s:s, s:s, s:b}", "udid", opts->udid, "uuid", opts->uuid,
                             "stop_at_not_now", (int)opts->stop_at_not_now);
    return vt__mdm_begin(mdm, VT_MDM_DO_WAIT_ANSWER, args, opts->timeout, 0, done, user, err);
}

struct vt_op *vt_mdm_withdraw(struct vt_mdm *mdm, const char *udid, const char *uuid,
                              double timeout, vt_op_fn done, void *user, struct vt_error *err)
{
    if (!vt_mdm_supports(mdm, VT_MDM_WITHDRAW, err))
        return NULL;
    return vt__mdm_begin(mdm, VT_MDM_DO_WITHDRAW,
                         json_pack("{s:s, s:s}", "udid", udid, "uuid", uuid), timeout, DEFAULT_S,
                         done, user, err);
}

struct vt_op *vt_mdm_declare(struct vt_mdm *mdm, const char *udid, const json_t *declaration,
                             double timeout, vt_op_fn done, void *user, struct vt_error *err)
{
    if (!vt_mdm_supports(mdm, VT_MDM_DECLARATIONS, err))
        return NULL;
    return vt__mdm_begin(mdm, VT_MDM_DO_DECLARE,
                         json_pack("{s:s, s:O}", "udid", udid, "declaration", declaration), timeout,
                         DEFAULT_S, done, user, err);
}

struct vt_op *vt_mdm_undeclare(struct vt_mdm *mdm, const char *udid, const char *identifier,
                               double timeout, vt_op_fn done, void *user, struct vt_error *err)
{
    if (!vt_mdm_supports(mdm, VT_MDM_DECLARATIONS, err))
        return NULL;
    return vt__mdm_begin(mdm, VT_MDM_DO_UNDECLARE,
                         json_pack("{s:s, s:s}", "udid", udid, "identifier", identifier), timeout,
                         DEFAULT_S, done, user, err);
}

struct vt_op *vt_mdm_wait_declared(struct vt_mdm *mdm, const char *udid, const char *identifier,
                                   double timeout, vt_op_fn done, void *user, struct vt_error *err)
{
    if (!vt_mdm_supports(mdm, VT_MDM_DECLARATIONS, err))
        return NULL;
    return vt__mdm_begin(mdm, VT_MDM_DO_WAIT_DECLARED,
                         json_pack("{s:s, s:s}", "udid", udid, "identifier", identifier), timeout,
                         0, done, user, err);
}

struct vt_op *vt_mdm_serve_package(struct vt_mdm *mdm, const struct vt_mdm_package_opts *opts,
                                   vt_op_fn done, void *user, struct vt_error *err)
{
    if (!vt_mdm_supports(mdm, VT_MDM_PACKAGES, err))
        return NULL;
    char *path = opts->path ? realpath(opts->path, NULL) : NULL; /* another process may read it */
    if (!path) {
        vt_fail_sys(err, opts->path ? errno : EINVAL, "mdm.serve_package", "cannot read %s",
                    opts->path ? opts->path : "no file");
        return NULL;
    }
    json_t *args =
        json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "path", path, "bundle_id", opts->bundle_id,
                  "version", opts->version, "title", opts->title, "address", opts->address);
    free(path);
    return vt__mdm_begin(mdm, VT_MDM_DO_SERVE_PACKAGE, args, opts->timeout, PACKAGE_S, done, user,
                         err);
}
