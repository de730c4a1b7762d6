/* A lab server that runs in another process of this user: see control.h. */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/paths.h"
#include "http/client.h"
#include "mdm/control.h"

#define OP "mdm.open"
#define LATE_S 5.0 /* the server's own words on a time-out are waited for */
#define REPLY_MAX ((size_t)64 << 20)

struct client {
    struct vt_mdm mdm;
    struct vt_http_client *http;
    char *control; /* URL */
    char *authorization;
};

/* --- requests --- */

static enum vt_code code_of(const char *name)
{
    for (int i = 1; i < VT_CODE_COUNT_; i++)
        if (!strcmp(name, vt_code_name((enum vt_code)i)))
            return (enum vt_code)i;
    return VT_EPROTO;
}

static void read_error(const json_t *e, struct vt_error *err)
{
    vt_fail(err, code_of(vt_json_str(e, "code", "")), vt_json_str(e, "op", OP), "%s",
            vt_json_str(e, "message", "the server gave no reason"));
    if (*vt_json_str(e, "hint", ""))
        vt_hint(err, "%s", vt_json_str(e, "hint", ""));
}

/* The result in a reply, a new reference; NULL with *err set. */
static json_t *read_reply(const struct vt_http_answer *answer, struct vt_error *err)
{
    json_t *reply = NULL, *result = NULL;
    if (answer->status != 200)
        vt_fail(err, answer->status == 401 ? VT_EAUTH : VT_EPROTO, OP,
                "the lab server answered with HTTP status %d", answer->status);
    else
        vt_json_parse(answer->body, answer->body_size, "the lab server's answer", &reply, err);
    const json_t *error = json_object_get(reply, "error");
    if (error)
        read_error(error, err);
    else if (reply && !(result = json_incref(json_object_get(reply, "result"))))
        vt_fail(err, VT_EPROTO, OP, "the lab server's answer has no result");
    json_decref(reply);
    return result;
}

static void answered(struct vt_op *op, void *user)
{
    struct vt_mdm_request *r = user;
    struct vt_error err = VT_ERROR_INIT;
    json_t *result = NULL;
    r->work = NULL;
    if (vt_op_error(op))
        vt_error_copy(&err, vt_op_error(op));
    else
        result = read_reply(vt_op_result(op), &err);
    if (result)
        vt__mdm_succeed(r, result);
    else
        vt__mdm_fail(r, &err);
}

static struct vt_op *send(struct client *c, const char *verb, const json_t *args, double timeout,
                          vt_op_fn done, void *user, struct vt_error *err)
{
    struct vt_buf url = VT_BUF_INIT;
    const struct vt_http_field fields[] = {{"Authorization", c->authorization},
                                           {"Content-Type", "application/json"}};
    char *body = json_dumps(args, JSON_COMPACT);
    vt_buf_printf(&url, "%s/v1/%s?timeout=%.3f", c->control, verb, timeout);
    const struct vt_http_opts opts = {.method = "POST",
                                      .url = url.data,
                                      .fields = fields,
                                      .field_count = 2,
                                      .body = body,
                                      .body_size = strlen(body),
                                      .limit = REPLY_MAX,
                                      .timeout = timeout + LATE_S};
    struct vt_op *op = vt_http_send(c->http, &opts, done, user, err);
    vt_buf_free(&url);
    free(body);
    return op;
}

static void look(struct vt_mdm *mdm, struct vt_mdm_request *r)
{
    struct vt_error err = VT_ERROR_INIT;
    double timeout = r->op.timeout;
    vt_op_set_deadline(&r->op, timeout + 2 * LATE_S);
    r->busy = true;
    r->work =
        send((struct client *)mdm, vt__mdm_verb_name(r->verb), r->args, timeout, answered, r, &err);
    if (!r->work)
        vt__mdm_fail(r, &err);
}

static void drop(struct vt_mdm *mdm, struct vt_mdm_request *r, struct vt_error *why)
{
    (void)mdm;
    (void)why;
    if (r->work)
        vt_op_forget(r->work);
    r->work = NULL;
}

static bool supports(const struct vt_mdm *mdm, enum vt_mdm_capability cap, struct vt_error *why)
{
    return vt_mdm_lab.supports(mdm, cap, why);
}

static void close_client(struct vt_mdm *mdm)
{
    struct client *c = (struct client *)mdm;
    vt_http_client_free(c->http);
    if (c->authorization)
        OPENSSL_cleanse(c->authorization, strlen(c->authorization));
    vt_free(c->authorization);
    vt_free(c->control);
    vt_free(c);
}

/* --- opening --- */

static enum vt_code no_server(const char *path, struct vt_error *err)
{
    vt_fail(err, VT_EIO, OP, "no lab server runs here: there is no live %s", path);
    vt_hint(err, "start one: vmtest mdm serve");
    return VT_EIO;
}

static enum vt_code read_control(struct client *c, const char *path, struct vt_error *err)
{
    struct stat st;
    json_t *facts;
    if (stat(path, &st))
        return errno == ENOENT ? no_server(path, err)
                               : vt_fail_sys(err, errno, OP, "cannot read %s", path);
    if (st.st_uid != geteuid() || (st.st_mode & 077)) {
        vt_fail(err, VT_EAUTH, OP, "%s holds a secret, and others can read it", path);
        vt_hint(err, "chmod 600 %s, and start the server anew", path);
        return VT_EAUTH;
    }
    enum vt_code code = vt_json_load(path, &facts, err);
    if (code)
        return code;
    const char *url = vt_json_str(facts, "url", NULL), *token = vt_json_str(facts, "token", NULL);
    const char *devices = vt_json_str(facts, "devices", NULL), *ca = vt_json_str(facts, "ca", NULL);
    if (url && token && devices && ca) {
        struct vt_buf text = VT_BUF_INIT;
        vt_buf_printf(&text, "Bearer %s", token);
        c->authorization = vt_buf_steal(&text);
        c->control = vt_strdup(url);
        c->mdm.url = vt_strdup(devices);
        c->mdm.ca_pem = vt_strdup(ca);
    } else {
        code = vt_fail(err, VT_EINVAL, OP, "%s is none that a lab server wrote", path);
    }
    json_decref(facts);
    return code;
}

struct open_op {
    struct vt_op op;
    struct vt_mdm *mdm;
    struct vt_op *inner;
    char *path;
};

static void abort_open(struct vt_op *op, struct vt_error *why)
{
    struct open_op *o = (struct open_op *)op;
    (void)why;
    if (o->inner)
        vt_op_forget(o->inner);
    o->inner = NULL;
}

static void free_open(struct vt_op *op)
{
    struct open_op *o = (struct open_op *)op;
    if (!op->done || op->error.code) /* nobody was told of it */
        vt_mdm_close(o->mdm);
    vt_free(o->path);
}

static const struct vt_op_class open_class = {OP, abort_open, free_open};

/* It lives where it answers, whatever that is. */
static void opened(struct vt_op *op, void *user)
{
    struct open_op *o = user;
    struct vt_error err = VT_ERROR_INIT;
    o->inner = NULL;
    json_t *result = NULL;
    if (vt_op_error(op))
        no_server(o->path, &err);
    else
        result = read_reply(vt_op_result(op), &err);
    json_decref(result);
    if (err.code)
        vt_op_fail(&o->op, &err);
    else
        vt_op_succeed(&o->op, o->mdm);
}

static struct vt_op *open_client(struct vt_loop *loop, const struct vt_mdm_opts *opts,
                                 vt_op_fn done, void *user, struct vt_error *err)
{
    double timeout = opts->timeout > 0 ? opts->timeout : 30;
    struct client *c = vt_calloc(1, sizeof *c);
    c->mdm = (struct vt_mdm){.cls = &vt_mdm_lab_client, .loop = loop};
    char *dir = opts->credentials ? NULL : vt_home_dir("mdm/server", err);
    char *path = opts->credentials ? vt_strdup(opts->credentials)
                 : dir             ? vt_path_join(dir, VT_CONTROL_FILE)
                                   : NULL;
    vt_free(dir);
    if (strcmp(opts->url, "running") != 0)
        vt_fail(err, VT_EINVAL, OP, "a lab server's url is \"running\", not \"%s\"", opts->url);
    else if (path && !read_control(c, path, err))
        c->http = vt_http_client_new(loop, err);
    if (!c->http) {
        vt_mdm_close(&c->mdm);
        vt_free(path);
        return NULL;
    }
    struct open_op *o = vt_op_new(sizeof *o, &open_class, loop, timeout, done, user);
    struct vt_error own = VT_ERROR_INIT;
    json_t *args = json_pack("{s:s, s:s}", "udid", "", "state", "not_enrolled"); /* true at once */
    o->mdm = &c->mdm;
    o->path = path;
    o->inner = send(c, "wait_device", args, timeout, opened, o, &own);
    json_decref(args);
    if (!o->inner)
        vt_op_fail(&o->op, &own);
    return &o->op;
}

const struct vt_mdm_class vt_mdm_lab_client = {
    .kind = "lab",
    .open = open_client,
    .close = close_client,
    .supports = supports,
    .look = look,
    .drop = drop,
};
