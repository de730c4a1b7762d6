/* Requests of the interface, as the drivers of foreign servers begin and end them. */
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/text.h"
#include "mdm/convert.h"
#include "mdm/remote.h"

const char *vt__remote_arg(const struct vt_mdm_request *r, const char *name)
{
    return vt_json_str(r->args, name, "");
}

void vt__remote_begun(struct vt_mdm_request *r, struct vt_op *op, const struct vt_error *err)
{
    r->work = op;
    r->busy = op != NULL;
    if (!op)
        vt__mdm_fail(r, err);
}

void vt__remote_ended(struct vt_mdm_request *r)
{
    r->busy = false;
    r->work = NULL;
}

void vt__remote_cannot(struct vt_mdm_request *r, const char *why, const char *hint)
{
    const struct vt_remote *s = (const struct vt_remote *)r->mdm;
    struct vt_error err = VT_ERROR_INIT;
    vt_fail(&err, VT_EUNSUPPORTED, r->op.cls->name, "%s %s", s->product, why);
    if (hint)
        vt_hint(&err, "%s", hint);
    vt__mdm_fail(r, &err);
}

/* --- enrollment --- */

static void on_profile(struct vt_op *op, void *user)
{
    static const char what[] = "mdm.enroll";
    struct vt_mdm_request *r = user;
    struct vt_remote *s = (struct vt_remote *)r->mdm;
    struct vt_error err = VT_ERROR_INIT;
    const struct vt_http_answer *a = vt__remote_answer(s, op, what, &err);
    vt__remote_ended(r);
    json_t *text = NULL;
    if (a && a->status == 402)
        vt__remote_refused(s, a, VT_EUNSUPPORTED, what, &err);
    else if (a && a->status != 200)
        vt__remote_refused(s, a, VT_EPROTO, what, &err);
    else if (a && !(text = json_stringn(a->body, a->body_size)))
        vt_fail(&err, VT_EUNSUPPORTED, what, "the enrollment profile of %s is signed", s->product);
    else if (a && !strstr(a->body, "com.apple.mdm"))
        vt_fail(&err, VT_EPROTO, what, "what %s gave is no enrollment profile", s->product);
    if (err.code)
        vt__mdm_fail(r, &err);
    else
        vt__mdm_succeed(r, json_pack("{s:O}", "profile", text));
    json_decref(text);
}

/* What a profile that the server makes for all cannot have. */
static const char *beyond(const struct vt_mdm_request *r)
{
    const char *address = vt__remote_arg(r, "address");
    const char *host = strstr(r->mdm->url, "://");
    size_t n = strlen(address);
    if (*address && (!host || strncmp(host + 3, address, n) != 0 ||
                     (host[3 + n] && host[3 + n] != ':' && host[3 + n] != '/')))
        return "address";
    if (*vt__remote_arg(r, "topic"))
        return "topic";
    if (vt_json_int(r->args, "access_rights", 0))
        return "access_rights";
    if (vt_json_num(r->args, "valid", 0) > 0)
        return "valid";
    if (vt_json_bool(r->args, "keep_on_remove", false))
        return "keep_on_remove";
    return *vt__remote_arg(r, "display_name") ? "display_name" : NULL;
}

void vt__remote_enroll(struct vt_mdm_request *r, const char *path)
{
    struct vt_remote *s = (struct vt_remote *)r->mdm;
    struct vt_error err = VT_ERROR_INIT;
    const char *option = beyond(r);
    if (option) {
        vt_fail(&err, VT_EUNSUPPORTED, "mdm.enroll",
                "%s makes its enrollment profile by itself: the option \"%s\" cannot be set",
                s->product, option);
        vt_hint(&err, "set it at the server, or use the lab server");
        vt__mdm_fail(r, &err);
        return;
    }
    const struct vt_remote_call call = {.path = path};
    vt__remote_begun(r, vt__remote_send(s, &call, on_profile, r, &err), &err);
}

/* --- commands --- */

enum vt_code vt__remote_command(const struct vt_mdm_request *r, struct vt_buf *out,
                                struct vt_error *err)
{
    plist_t command = NULL, whole = plist_new_dict();
    enum vt_code code =
        vt_plist_from_json(json_object_get(r->args, "command"), "the command", &command, err);
    if (!code) {
        plist_dict_set_item(whole, "Command", command); /* takes it over */
        vt_plist_set_str(whole, "CommandUUID", vt__remote_arg(r, "uuid"));
        code = vt_plist_write(whole, VT_PLIST_XML, out, err);
    }
    plist_free(whole);
    return code;
}
