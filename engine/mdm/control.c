#include "mdm/control.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"

#define TOKEN_SIZE 64
#define BODY_MAX ((size_t)16 << 20)
#define TIMEOUT_MAX (24.0 * 3600)

struct vt_control {
    struct vt_lab *lab;
    struct vt_http_server *server;
    char token[TOKEN_SIZE + 1];
    char *path; /* of control.json; NULL: not written */
};

static void reply_json(struct vt_http_request *request, int status, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    vt_http_reply(request, status, "application/json", text, strlen(text));
    free(text);
    json_decref(value);
}

static void reply_error(struct vt_http_request *request, const struct vt_error *err)
{
    reply_json(request, 200,
               json_pack("{s:{s:s, s:s, s:s, s:s}}", "error", "code", vt_code_name(err->code), "op",
                         err->op, "message", err->message, "hint", err->hint));
}

static void ended(struct vt_op *op, void *user)
{
    struct vt_http_request *request = user;
    request->data = NULL;
    if (vt_op_error(op))
        reply_error(request, vt_op_error(op));
    else
        reply_json(request, 200,
                   json_pack("{s:O}", "result", ((struct vt_mdm_request *)op)->result));
}

static bool has_token(struct vt_control *control, struct vt_http_request *request)
{
    const char *field = vt_http_field(request, "Authorization");
    return field && !strncmp(field, "Bearer ", 7) && strlen(field + 7) == TOKEN_SIZE &&
           !CRYPTO_memcmp(field + 7, control->token, TOKEN_SIZE);
}

static void handle(struct vt_http_request *request, void *user)
{
    struct vt_control *control = user;
    struct vt_error err = VT_ERROR_INIT;
    json_t *args = NULL;
    const char *name = !strncmp(request->path, "/v1/", 4) ? request->path + 4 : "";
    enum vt_mdm_verb verb = vt__mdm_verb_parse(name);
    if (!has_token(control, request)) {
        vt_http_reply(request, 401, NULL, NULL, 0);
        return;
    }
    if (verb == VT_MDM_VERB_COUNT_ || strcmp(request->method, "POST") != 0) {
        vt_http_reply(request, 404, NULL, NULL, 0);
        return;
    }
    if (vt_json_parse(request->body, request->body_size, "the request", &args, &err)) {
        vt_http_reply(request, 400, "text/plain", err.message, strlen(err.message));
        return;
    }
    double timeout = !strncmp(request->query, "timeout=", 8) ? strtod(request->query + 8, NULL) : 0;
    if (!(timeout < TIMEOUT_MAX))
        timeout = TIMEOUT_MAX;
    struct vt_op *op =
        vt__mdm_begin(&control->lab->mdm, verb, args, timeout, 0, ended, request, &err);
    if (op)
        request->data = op;
    else
        reply_error(request, &err);
}

static void gone(struct vt_http_request *request, void *user)
{
    (void)user;
    if (request->data)
        vt_op_forget(request->data);
    request->data = NULL;
}

static enum vt_code tell(struct vt_control *control, struct vt_error *err)
{
    struct vt_lab *lab = control->lab;
    char url[64];
    char *devices = vt__lab_url(lab, NULL, err);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", vt_http_server_port(control->server));
    json_t *facts = json_pack("{s:s, s:s, s:I, s:s, s:s}", "url", url, "token", control->token,
                              "pid", (json_int_t)getpid(), "devices", devices, "ca", lab->ca->pem);
    control->path = vt_path_join(lab->state_dir, VT_CONTROL_FILE);
    enum vt_code code = vt_json_save_unflushed(control->path, facts, 0600, err);
    json_decref(facts);
    vt_free(devices);
    return code;
}

enum vt_code vt_control_open(struct vt_lab *lab, struct vt_control **out, struct vt_error *err)
{
    struct vt_control *control = vt_calloc(1, sizeof *control);
    const struct vt_http_server_opts opts = {.listen = "127.0.0.1:0",
                                             .body_limit = BODY_MAX,
                                             .max_connections = 256,
                                             .handle = handle,
                                             .gone = gone,
                                             .user = control};
    control->lab = lab;
    vt_random_hex(control->token, TOKEN_SIZE);
    control->server = vt_http_server_new(lab->mdm.loop, &opts, err);
    enum vt_code code = control->server ? tell(control, err) : VT_EIO;
    if (code) {
        vt_control_close(control);
        control = NULL;
    }
    *out = control;
    return code;
}

void vt_control_close(struct vt_control *control)
{
    if (!control)
        return;
    if (control->path)
        unlink(control->path);
    vt_http_server_close(control->server);
    vt_free(control->path);
    OPENSSL_cleanse(control->token, sizeof control->token);
    vt_free(control);
}
