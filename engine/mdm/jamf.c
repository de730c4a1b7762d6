/* Jamf Pro: opening, tokens, what it can do.
 *
 * A token is got by POST /api/oauth/token with an API client's credentials, or by POST
 * /api/v1/auth/token with a user's name and password (HTTP Basic), and holds for minutes: it is
 * renewed before it ends, and once when a request is refused for it. */
#include "mdm/jamf.h"

#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "mdm/convert.h"
#include "mdm/credentials.h"

#define OP "mdm.open"

static void close_jamf(struct vt_mdm *mdm)
{
    vt__polled_clear((struct vt_polled *)mdm);
    vt_free(mdm);
}

/* --- tokens --- */

bool vt__jamf_stale(const struct vt_jamf *j)
{
    return vt_loop_now(j->polled.remote.mdm.loop) >= j->until;
}

/* The request for one; *body is freed by vt__secret_drop(). */
static struct vt_remote_call token_call(const struct vt_jamf *j, char **body)
{
    const struct vt_remote *s = &j->polled.remote;
    struct vt_buf form = VT_BUF_INIT;
    if (!j->by_client)
        return (struct vt_remote_call){
            .method = "POST", .path = "/api/v1/auth/token", .login = true};
    vt_buf_puts(&form, "grant_type=client_credentials&client_id=");
    vt__remote_escape(&form, s->login);
    vt_buf_puts(&form, "&client_secret=");
    vt__remote_escape(&form, s->login_secret);
    *body = vt_buf_steal(&form);
    return (struct vt_remote_call){.method = "POST",
                                   .path = "/api/oauth/token",
                                   .type = "application/x-www-form-urlencoded",
                                   .body = *body,
                                   .size = strlen(*body),
                                   .open = true};
}

/* Keeps the token of an answer; used for 19/20 of its time. */
static enum vt_code keep_token(struct vt_jamf *j, const struct vt_http_answer *a, const char *what,
                               struct vt_error *err)
{
    struct vt_remote *s = &j->polled.remote;
    if (a->status != 200)
        return vt__remote_refused(s, a, a->status == 400 ? VT_EAUTH : VT_EPROTO, what, err);
    json_t *said = vt__remote_json(s, a, what, err);
    const char *token = vt_json_str(said, "access_token", vt_json_str(said, "token", ""));
    double left =
        vt_json_num(said, "expires_in", vt_time_read(vt_json_str(said, "expires", "")) - vt_wall());
    if (said && (!*token || strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                          "0123456789-._~+/=") != strlen(token))) {
        vt_fail(err, VT_EPROTO, what, "what answers at %s is not Jamf Pro: it gave no token",
                s->mdm.url);
    } else if (said) {
        vt__secret_drop(&s->secret);
        s->secret = vt_strdup(token);
        j->until = vt_loop_now(s->mdm.loop) + left * 0.95;
    }
    json_decref(said);
    return err->code;
}

static void take_token(struct vt_errand *e, const struct vt_http_answer *a)
{
    struct vt_error err = VT_ERROR_INIT;
    if (keep_token((struct vt_jamf *)e->r->mdm, a, e->r->op.cls->name, &err)) {
        vt__errand_fail(e, &err);
        return;
    }
    e->renewed = true;
    e->step(e);
}

void vt__jamf_renew(struct vt_errand *e)
{
    char *body = NULL;
    const struct vt_remote_call call = token_call((struct vt_jamf *)e->r->mdm, &body);
    e->renewed = true;
    e->forgiving = false;
    vt__errand_send(e, &call, take_token);
    vt__secret_drop(&body);
}

/* --- opening --- */

static enum vt_code judge(struct vt_remote *s, const struct vt_http_answer *a, struct vt_error *err)
{
    return keep_token((struct vt_jamf *)s, a, OP, err);
}

/* An API client's, or a user's. */
static enum vt_code read_login(struct vt_jamf *j, const char *path, struct vt_error *err)
{
    struct vt_secret secrets[] = {
        {.name = "client_id", .env = "VMTEST_JAMF_CLIENT_ID", .optional = true},
        {.name = "client_secret", .env = "VMTEST_JAMF_CLIENT_SECRET", .optional = true},
        {.name = "user", .env = "VMTEST_JAMF_USER", .optional = true},
        {.name = "password", .env = "VMTEST_JAMF_PASSWORD", .optional = true},
    };
    if (vt__secrets_read(path, secrets, 4, err))
        return err->code;
    j->by_client = secrets[0].value && secrets[1].value;
    struct vt_secret *pair = secrets + (j->by_client ? 0 : 2);
    if (pair[0].value && pair[1].value) {
        j->polled.remote.login = pair[0].value;
        j->polled.remote.login_secret = pair[1].value;
        pair[0].value = pair[1].value = NULL;
    } else {
        vt_fail(err, VT_EAUTH, OP, "the credentials of Jamf Pro are missing");
        if (path)
            vt_hint(err, "set client_id and client_secret, or user and password, in %s", path);
        else
            vt_hint(err, "set VMTEST_JAMF_CLIENT_ID and VMTEST_JAMF_CLIENT_SECRET, or "
                         "VMTEST_JAMF_USER and VMTEST_JAMF_PASSWORD");
    }
    vt__secrets_free(secrets, 4);
    return err->code;
}

static struct vt_op *open_jamf(struct vt_loop *loop, const struct vt_mdm_opts *opts, vt_op_fn done,
                               void *user, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct vt_jamf *j = vt_calloc(1, sizeof *j);
    struct vt_remote *s = &j->polled.remote;
    char *body = NULL;
    vt__polled_init(&j->polled);
    j->polled.renew = vt__jamf_renew;
    if (vt__remote_init(s, &vt_mdm_jamf, "Jamf Pro", loop, opts, &own) ||
        vt__remote_no_extra(s, opts->extra, &own) || read_login(j, opts->credentials, &own)) {
        vt_mdm_close(&s->mdm);
        vt_error_copy(err, &own);
        return NULL;
    }
    const struct vt_remote_call first = token_call(j, &body);
    struct vt_op *op = vt__remote_open(s, &first, opts->timeout, judge, done, user, err);
    vt__secret_drop(&body);
    return op;
}

static bool supports(const struct vt_mdm *mdm, enum vt_mdm_capability cap, struct vt_error *why)
{
    (void)mdm;
    if (cap == VT_MDM_COMMANDS || cap == VT_MDM_PUSH)
        return true;
    vt_fail(why, VT_EUNSUPPORTED, "mdm.supports", "Jamf Pro has no API for \"%s\"",
            vt_mdm_capability_name(cap));
    if (cap == VT_MDM_PROFILE_PKCS12 || cap == VT_MDM_PROFILE_SCEP || cap == VT_MDM_PROFILE_BOTH)
        vt_hint(why, "enroll the device by Jamf Pro's own page: URL/enroll");
    else if (cap == VT_MDM_WITHDRAW)
        vt_hint(why, "it can only flush all commands of a device, by its page Management");
    else if (cap == VT_MDM_DECLARATIONS)
        vt_hint(why, "Jamf Pro makes them of blueprints: make one there");
    else if (cap == VT_MDM_PACKAGES)
        vt_hint(why, "upload the package to Jamf Pro, and install it by a policy");
    else
        vt_hint(why, "use the lab server where a suite needs it");
    return false;
}

const struct vt_mdm_class vt_mdm_jamf = {
    .kind = "jamf",
    .open = open_jamf,
    .close = close_jamf,
    .supports = supports,
    .look = vt__jamf_look,
    .drop = vt__polled_drop,
};
