#include "mdm/remote.h"

#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "loop/op.h"
#include "plist/base64.h"

#define OPEN "mdm.open"
#define WORDS 300

void vt__secret_drop(char **secret)
{
    if (*secret)
        explicit_bzero(*secret, strlen(*secret));
    vt_free(*secret);
    *secret = NULL;
}

enum vt_code vt__remote_init(struct vt_remote *s, const struct vt_mdm_class *cls,
                             const char *product, struct vt_loop *loop,
                             const struct vt_mdm_opts *opts, struct vt_error *err)
{
    size_t length = opts->url ? strlen(opts->url) : 0;
    s->mdm = (struct vt_mdm){.cls = cls, .loop = loop};
    s->product = product;
    if (!length)
        return vt_fail(err, VT_EINVAL, OPEN, "%s needs the server's URL", cls->kind);
    s->mdm.url = vt_strndup(opts->url, length - (opts->url[length - 1] == '/'));
    s->ca_file = vt_strdup(opts->ca_file);
    s->client = vt_http_client_new(loop, err);
    return s->client ? VT_OK : err->code;
}

void vt__remote_clear(struct vt_remote *s)
{
    vt_http_client_free(s->client);
    vt__secret_drop(&s->secret);
    vt__secret_drop(&s->login);
    vt__secret_drop(&s->login_secret);
    vt_free(s->ca_file);
}

enum vt_code vt__remote_no_extra(const struct vt_remote *s, const json_t *extra,
                                 struct vt_error *err)
{
    json_t *options = json_deep_copy(extra);
    const char *first = json_object_iter_key(json_object_iter(options));
    if (first)
        vt_fail(err, VT_EINVAL, OPEN, "%s takes no extra option \"%s\"", s->mdm.cls->kind, first);
    bool none = !first;
    json_decref(options);
    return none ? VT_OK : VT_EINVAL;
}

struct vt_op *vt__remote_send(struct vt_remote *s, const struct vt_remote_call *call, vt_op_fn done,
                              void *user, struct vt_error *err)
{
    struct vt_buf url = VT_BUF_INIT, bearer = VT_BUF_INIT;
    struct vt_http_field fields[2];
    struct vt_http_opts opts = {
        .method = call->method,
        .fields = fields,
        .body = call->body,
        .body_size = call->size,
        .ca_file = s->ca_file,
        .limit = call->limit,
        .timeout = call->timeout > 0 ? call->timeout : VT_REMOTE_DAY,
    };
    vt_buf_printf(&url, "%s%s", s->mdm.url, call->path);
    opts.url = url.data;
    if (call->type)
        fields[opts.field_count++] = (struct vt_http_field){"Content-Type", call->type};
    if (call->login) {
        opts.user = s->login;
        opts.password = s->login_secret;
    } else if (!call->open && s->user) {
        opts.user = s->user;
        opts.password = s->secret;
    } else if (!call->open && s->secret) {
        vt_buf_printf(&bearer, "Bearer %s", s->secret);
        fields[opts.field_count++] = (struct vt_http_field){"Authorization", bearer.data};
    }
    struct vt_op *op = vt_http_send(s->client, &opts, done, user, err);
    if (bearer.data)
        explicit_bzero(bearer.data, bearer.len);
    vt_buf_free(&bearer);
    vt_buf_free(&url);
    return op;
}

void vt__remote_escape(struct vt_buf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++)
        if (strchr(plain, *text))
            vt_buf_putc(out, *text);
        else
            vt_buf_printf(out, "%%%02X", (unsigned char)*text);
}

/* --- opening --- */

struct opening {
    struct vt_op op;
    struct vt_remote *server;
    struct vt_op *first;
    vt_remote_judge judge;
};

static void abort_opening(struct vt_op *op, struct vt_error *why)
{
    struct opening *o = (struct opening *)op;
    (void)why;
    if (o->first)
        vt_op_forget(o->first);
    o->first = NULL;
    vt_mdm_close(&o->server->mdm);
}

static const struct vt_op_class opening_class = {OPEN, abort_opening, NULL};

static void on_first(struct vt_op *op, void *user)
{
    struct opening *o = user;
    struct vt_error err = VT_ERROR_INIT;
    const struct vt_http_answer *a = vt__remote_answer(o->server, op, OPEN, &err);
    o->first = NULL;
    if (!a || o->judge(o->server, a, &err)) {
        vt_mdm_close(&o->server->mdm);
        vt_op_fail(&o->op, &err);
    } else {
        vt_op_succeed(&o->op, o->server);
    }
}

struct vt_op *vt__remote_open(struct vt_remote *s, const struct vt_remote_call *first,
                              double timeout, vt_remote_judge judge, vt_op_fn done, void *user,
                              struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    if (timeout == 0)
        timeout = 30;
    struct opening *o = vt_op_new(sizeof *o, &opening_class, s->mdm.loop, timeout, done, user);
    o->server = s;
    o->judge = judge;
    o->first = vt__remote_send(s, first, on_first, o, &own);
    if (o->first)
        return &o->op;
    vt_op_forget(&o->op); /* closes the server */
    vt_error_copy(err, &own);
    return NULL;
}

/* --- answers --- */

const struct vt_http_answer *vt__remote_answer(const struct vt_remote *s, struct vt_op *op,
                                               const char *what, struct vt_error *err)
{
    const struct vt_error *why = vt_op_error(op);
    const struct vt_http_answer *a = why ? NULL : vt_op_result(op);
    if (why) {
        vt_error_copy(err, why);
    } else if (a->status == 401) {
        vt_fail(err, VT_EAUTH, what, "%s at %s refused the credentials", s->product, s->mdm.url);
        vt_hint(err, "what they are, and where they are read: docs/mdm-servers.md");
        return NULL;
    }
    return a;
}

json_t *vt__remote_json(const struct vt_remote *s, const struct vt_http_answer *a, const char *what,
                        struct vt_error *err)
{
    json_t *said = NULL;
    if (vt_json_parse(a->body, a->body_size, "its answer", &said, NULL))
        vt_fail(err, VT_EPROTO, what, "%s at %s answered with status %d and no JSON object",
                s->product, s->mdm.url, a->status);
    return said;
}

static void hide(struct vt_buf *text, const char *word, size_t n)
{
    static const char stars[] = "***";
    struct vt_buf clean = VT_BUF_INIT;
    const char *from = vt_buf_str(text), *at;
    if (n < 4 || !strstr(from, word))
        return; /* too short to be told from other text */
    while ((at = strstr(from, word))) {
        vt_buf_add(&clean, from, (size_t)(at - from));
        vt_buf_puts(&clean, stars);
        from = at + n;
    }
    vt_buf_puts(&clean, from);
    vt_buf_free(text);
    *text = clean;
}

/* The secret, and what HTTP Basic makes of it. */
static void hide_secret(struct vt_buf *text, const char *user, const char *secret)
{
    struct vt_buf pair = VT_BUF_INIT, basic = VT_BUF_INIT;
    if (!secret)
        return;
    vt_buf_printf(&pair, "%s:%s", user ? user : "", secret);
    vt_base64_encode(&basic, pair.data, pair.len);
    hide(text, secret, strlen(secret));
    hide(text, basic.data, basic.len);
    explicit_bzero(pair.data, pair.len);
    explicit_bzero(basic.data, basic.len);
    vt_buf_free(&pair);
    vt_buf_free(&basic);
}

void vt__remote_quote(const struct vt_remote *s, const char *text, size_t n, struct vt_buf *out)
{
    struct vt_buf all = VT_BUF_INIT;
    vt_buf_add(&all, text, n);
    hide_secret(&all, s->user, s->secret);
    hide_secret(&all, s->login, s->login_secret);
    vt_utf8_append(out, vt_buf_str(&all), all.len > WORDS ? WORDS : all.len);
    vt_buf_free(&all);
}

static void add_text(struct vt_buf *out, const char *text)
{
    if (text && *text)
        vt_buf_printf(out, "%s%s", out->len ? ": " : "", text);
}

void vt__remote_words(const struct vt_remote *s, const struct vt_http_answer *a, struct vt_buf *out)
{
    struct vt_buf words = VT_BUF_INIT;
    json_t *said = NULL, *one;
    size_t i;
    if (!vt_json_parse(a->body, a->body_size, "it", &said, NULL)) {
        add_text(&words, vt_json_str(said, "error", NULL));
        add_text(&words, vt_json_str(said, "message", NULL));
        json_array_foreach(json_object_get(said, "errors"), i, one)
        {
            add_text(&words, vt_json_str(one, "reason", NULL));
            add_text(&words, vt_json_str(one, "description", NULL));
        }
    }
    if (!words.len)
        vt_buf_add(&words, a->body, strnlen(a->body, a->body_size));
    vt__remote_quote(s, vt_buf_str(&words), words.len, out);
    json_decref(said);
    vt_buf_free(&words);
}

enum vt_code vt__remote_refused(const struct vt_remote *s, const struct vt_http_answer *a,
                                enum vt_code code, const char *what, struct vt_error *err)
{
    struct vt_buf words = VT_BUF_INIT;
    vt__remote_words(s, a, &words);
    vt_fail(err, code, what, "%s answered with status %d%s%s", s->product, a->status,
            words.len ? ": " : "", vt_buf_str(&words));
    vt_buf_free(&words);
    return code;
}
