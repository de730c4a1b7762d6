/* What the lab does for each request of the interface. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "mdm/lab.h"
#include "plist/base64.h"
#include "vmtest/units.h"

static const char no_push[] =
    "the lab server has no certificate of Apple's push service: the device must be woken by other "
    "means, or asks by itself";

/* Each returns VT_OK with *out set, VT_ETIMEDOUT where it must wait, or fails. */
typedef enum vt_code (*look_fn)(struct vt_lab *lab, const json_t *args, json_t **out,
                                struct vt_error *err);

static const char *text_of(const json_t *args, const char *key)
{
    return vt_json_str(args, key, "");
}

/* --- devices --- */

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text)
        vt_json_set_text(object, key, text, strlen(text));
}

static json_t *device_json(const struct vt_mdm_device *d)
{
    json_t *o = json_pack(
        "{s:s, s:f, s:f, s:i, s:b, s:b, s:b}", "state", vt_mdm_state_name(d->state), "enrolled",
        d->enrolled, "last_seen", d->last_seen, "queued", (int)d->queued, "bootstrap_token",
        (int)d->bootstrap_token, "awaiting", (int)d->awaiting, "declarative", (int)d->declarative);
    set_text(o, "udid", d->udid);
    set_text(o, "reason", d->reason);
    set_text(o, "serial", d->serial);
    set_text(o, "name", d->name);
    set_text(o, "model", d->model);
    set_text(o, "os_version", d->os_version);
    set_text(o, "build_version", d->build_version);
    set_text(o, "product", d->product);
    set_text(o, "enrollment", d->enrollment);
    if (d->user_approved != VT_MDM_UNKNOWN)
        json_object_set_new(o, "user_approved", json_boolean(d->user_approved == VT_MDM_YES));
    return o;
}

static enum vt_code devices(struct vt_lab *lab, const json_t *args, json_t **out,
                            struct vt_error *err)
{
    struct vt_device_row *rows;
    size_t n;
    (void)args;
    enum vt_code code = vt_store_devices(lab->store, &rows, &n, err);
    if (code)
        return code;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, device_json(&rows[i].d));
    vt_device_rows_free(rows, n);
    *out = json_pack("{s:o}", "devices", list);
    return VT_OK;
}

static enum vt_code find(struct vt_lab *lab, const json_t *args, struct vt_device_row *row,
                         struct vt_error *err)
{
    const char *udid = vt_json_str(args, "udid", NULL);
    const char *serial = vt_json_str(args, "serial", NULL);
    return udid ? vt_store_device(lab->store, udid, row, err)
                : vt_store_find_device(lab->store, serial != NULL,
                                       serial ? serial : text_of(args, "enrollment"), row, err);
}

static enum vt_code wait_device(struct vt_lab *lab, const json_t *args, json_t **out,
                                struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct vt_device_row row;
    const char *wanted = text_of(args, "state");
    bool known = true;
    enum vt_code code = find(lab, args, &row, &own);
    if (code == VT_ENOTFOUND) { /* it may come yet; or that is what is waited for */
        known = false;
        row.d = (struct vt_mdm_device){.udid = vt_strdup(vt_json_str(args, "udid", "")),
                                       .reason = vt_strdup(own.message)};
        code = VT_OK;
    }
    if (!code) {
        bool seen =
            !vt_json_bool(args, "seen", false) || row.d.last_seen >= vt_json_num(args, "since", 0);
        if (seen && !strcmp(vt_mdm_state_name(row.d.state), wanted))
            *out = device_json(&row.d);
        else
            code = VT_ETIMEDOUT;
    }
    if (code == VT_ETIMEDOUT) {
        char ago[32] = "never";
        if (known && row.d.last_seen > 0)
            snprintf(ago, sizeof ago, "%.0f s ago", vt_wall() - row.d.last_seen);
        vt_fail(err, code, "mdm.wait_device",
                "the device is %s, not %s (%s); it was heard of last: %s",
                vt_mdm_state_name(row.d.state), wanted, row.d.reason, ago);
    } else if (code) {
        vt_error_copy(err, &own);
    }
    vt_device_row_clear(&row);
    return code;
}

/* --- commands --- */

static json_t *queued_json(const char *uuid)
{
    return json_pack("{s:s, s:b, s:s}", "uuid", uuid, "pushed", 0, "push_problem", no_push);
}

static enum vt_code enqueue(struct vt_lab *lab, const json_t *args, json_t **out,
                            struct vt_error *err)
{
    char made[37];
    const char *uuid = vt_json_str(args, "uuid", NULL);
    vt__uuid(made);
    if (!uuid)
        uuid = made;
    enum vt_code code = vt_protocol_enqueue(lab->store, text_of(args, "udid"), uuid,
                                            json_object_get(args, "command"), err);
    if (!code)
        *out = queued_json(uuid);
    return code;
}

static enum vt_code how_far(const struct vt_command_row *c, struct vt_error *err)
{
    char times[64] = "";
    if (c->not_now)
        snprintf(times, sizeof times, "; it said NotNow %u time%s", c->not_now,
                 c->not_now == 1 ? "" : "s");
    return vt_fail(err, VT_ETIMEDOUT, "mdm.wait_answer", "the command %s (%s) %s%s", c->uuid,
                   c->request_type,
                   !c->sent     ? "waits in the queue: the device has not asked for it"
                   : c->not_now ? "waits in the queue: the device is to ask for it again"
                                : "was given to the device, which has not answered",
                   times);
}

static enum vt_code wait_answer(struct vt_lab *lab, const json_t *args, json_t **out,
                                struct vt_error *err)
{
    struct vt_command_row c;
    enum vt_code code =
        vt_store_command(lab->store, text_of(args, "udid"), text_of(args, "uuid"), &c, err);
    if (!code && c.gone) {
        code = vt_fail(err, VT_EGUEST, "mdm.wait_answer",
                       "the device enrolled anew or checked out: its command %s (%s) was given up",
                       c.uuid, c.request_type);
    } else if (!code) {
        bool not_now =
            c.status == VT_MDM_PENDING && c.not_now && vt_json_bool(args, "stop_at_not_now", false);
        if (c.status == VT_MDM_PENDING && !not_now) {
            code = how_far(&c, err);
        } else {
            struct vt_buf raw = VT_BUF_INIT;
            vt_base64_encode(&raw, vt_buf_str(&c.reply), c.reply.len);
            *out = json_pack("{s:s, s:s, s:s, s:i, s:{s:s}}", "uuid", c.uuid, "request_type",
                             c.request_type, "status",
                             vt_mdm_status_name(not_now ? VT_MDM_NOT_NOW : c.status), "not_now",
                             (int)c.not_now, "raw", "$data", vt_buf_str(&raw));
            vt_buf_free(&raw);
        }
    }
    vt_command_row_clear(&c);
    return code;
}

static enum vt_code withdraw(struct vt_lab *lab, const json_t *args, json_t **out,
                             struct vt_error *err)
{
    enum vt_code code =
        vt_store_withdraw(lab->store, text_of(args, "udid"), text_of(args, "uuid"), err);
    if (!code)
        *out = json_object();
    return code;
}

/* --- declarations --- */

/* What is changed is changed only where the device can be told. */
static enum vt_code change(struct vt_lab *lab, const json_t *args, json_t **out,
                           struct vt_error *err)
{
    char uuid[37];
    const char *udid = text_of(args, "udid");
    const json_t *declaration = json_object_get(args, "declaration");
    json_t *command = NULL;
    vt__uuid(uuid);
    enum vt_code code = vt_store_begin(lab->store, err);
    if (code)
        return code;
    code = declaration ? vt_protocol_declare(lab->store, udid, declaration, err)
                       : vt_store_undeclare(lab->store, udid, text_of(args, "identifier"), err);
    if (!code)
        command = vt_protocol_declare_command(lab->store, udid, err);
    if (!code)
        code = command ? vt_protocol_enqueue(lab->store, udid, uuid, command, err) : VT_EIO;
    json_decref(command);
    code = vt_store_end(lab->store, code, err);
    if (!code)
        *out = queued_json(uuid);
    return code;
}

static enum vt_code wait_declared(struct vt_lab *lab, const json_t *args, json_t **out,
                                  struct vt_error *err)
{
    struct vt_declaration_row row;
    const char *identifier = text_of(args, "identifier");
    enum vt_code code =
        vt_store_declaration(lab->store, text_of(args, "udid"), identifier, &row, err);
    if (!code && row.status_token && !strcmp(row.status_token, row.token)) {
        json_t *status = json_loads(row.status, 0, NULL);
        *out = json_pack("{s:s, s:o}", "server_token", row.token, "status",
                         status ? status : json_object());
    } else if (!code) {
        code = vt_fail(
            err, VT_ETIMEDOUT, "mdm.wait_declared", "the device has %s on the declaration \"%s\"",
            row.status_token ? "only reported on what it was before" : "not reported anything",
            identifier);
    }
    vt_declaration_row_clear(&row);
    return code;
}

/* --- all of them --- */

static const look_fn looks[VT_MDM_VERB_COUNT_] = {
    [VT_MDM_DO_ENROLL] = vt__lab_enroll,
    [VT_MDM_DO_DEVICES] = devices,
    [VT_MDM_DO_WAIT_DEVICE] = wait_device,
    [VT_MDM_DO_ENQUEUE] = enqueue,
    [VT_MDM_DO_WAIT_ANSWER] = wait_answer,
    [VT_MDM_DO_WITHDRAW] = withdraw,
    [VT_MDM_DO_DECLARE] = change,
    [VT_MDM_DO_UNDECLARE] = change,
    [VT_MDM_DO_WAIT_DECLARED] = wait_declared,
};

void vt__lab_look(struct vt_mdm *mdm, struct vt_mdm_request *r)
{
    struct vt_lab *lab = (struct vt_lab *)mdm;
    struct vt_error err = VT_ERROR_INIT;
    json_t *result = NULL;
    if (r->verb == VT_MDM_DO_SERVE_PACKAGE) {
        vt__lab_serve_package(lab, r);
        return;
    }
    enum vt_code code = looks[r->verb]
                            ? looks[r->verb](lab, r->args, &result, &err)
                            : vt_fail(&err, VT_EUNSUPPORTED, r->op.cls->name, "%s", no_push);
    if (!code)
        vt__mdm_succeed(r, result);
    else if (code != VT_ETIMEDOUT)
        vt__mdm_fail(r, &err);
}

/* Looks once more, for how far it came. */
void vt__lab_drop(struct vt_mdm *mdm, struct vt_mdm_request *r, struct vt_error *why)
{
    struct vt_error far = VT_ERROR_INIT;
    json_t *result = NULL;
    if (r->work) {
        vt_op_forget(r->work);
        r->work = NULL;
    } else if (why->code == VT_ETIMEDOUT && looks[r->verb] &&
               looks[r->verb]((struct vt_lab *)mdm, r->args, &result, &far) == VT_ETIMEDOUT) {
        vt_error_append(why, ": %s", far.message);
    }
    json_decref(result);
}
