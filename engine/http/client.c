#include "http/client.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/mem.h"
#include "http/client_internal.h"
#include "loop/op.h"
#include "loop/timer.h"

#define OP "http.send"
#define BODY_LIMIT ((size_t)16 << 20)
#define FIELDS_LIMIT ((size_t)256 << 10)

struct vt_http_send {
    struct vt_op op;
    struct vt_http_client *client; /* NULL once it has ended */
    struct vt_http_send *next;
    CURL *easy;
    struct curl_slist *fields;
    struct vt_buf body, reply_fields;
    size_t limit;
    bool (*on_data)(const void *data, size_t n, void *user);
    void *data_user;
    struct vt_error why; /* what a callback of ours ended it for */
    char text[CURL_ERROR_SIZE];
    struct vt_http_answer answer;
};

struct vt_http_client *vt_http_client_new(struct vt_loop *loop, struct vt_error *err)
{
    struct vt_http_client *client = vt_calloc(1, sizeof *client);
    client->loop = loop;
    if (vt__http_multi_open(client, err)) {
        vt_free(client);
        return NULL;
    }
    return client;
}

void vt_http_client_free(struct vt_http_client *client)
{
    if (!client)
        return;
    while (client->sends)
        vt_op_cancel(&client->sends->op);
    vt__http_multi_close(client);
}

/* Lets go of the transfer; what was received stays. */
static void let_go(struct vt_http_send *s)
{
    if (!s->client)
        return;
    struct vt_http_send **at = &s->client->sends;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    curl_multi_remove_handle(s->client->multi, s->easy);
    curl_easy_cleanup(s->easy);
    curl_slist_free_all(s->fields);
    vt_loop_release(s->client->loop);
    s->client = NULL;
}

static void abort_send(struct vt_op *op, struct vt_error *why)
{
    (void)why;
    let_go((struct vt_http_send *)op);
}

static void free_send(struct vt_op *op)
{
    struct vt_http_send *s = (struct vt_http_send *)op;
    vt_buf_free(&s->body);
    vt_buf_free(&s->reply_fields);
}

static const struct vt_op_class send_class = {OP, abort_send, free_send};

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct vt_http_send *s = user;
    long status = 0;
    n *= size;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    if (s->on_data && status >= 200 && status < 300) {
        if (s->on_data(data, n, s->data_user))
            return n;
        vt_fail(&s->why, VT_ECANCELED, OP, "cancelled by whom the data was for");
        return 0;
    }
    if (n > s->limit - s->body.len) {
        vt_fail(&s->why, VT_ELIMIT, OP, "the reply is larger than %zu bytes", s->limit);
        return 0;
    }
    vt_buf_add(&s->body, data, n);
    return n;
}

static size_t on_field(char *data, size_t size, size_t n, void *user)
{
    struct vt_http_send *s = user;
    n *= size;
    if (n > 5 && !memcmp(data, "HTTP/", 5)) { /* of a reply after "100 Continue" */
        vt_buf_clear(&s->reply_fields);
        return n;
    }
    if (n > FIELDS_LIMIT - s->reply_fields.len) {
        vt_fail(&s->why, VT_ELIMIT, OP, "the reply's header is larger than %zu bytes",
                FIELDS_LIMIT);
        return 0;
    }
    vt_buf_add(&s->reply_fields, data, n);
    return n;
}

static void failed(struct vt_http_send *s, CURLcode code)
{
    char *url = NULL;
    curl_easy_getinfo(s->easy, CURLINFO_EFFECTIVE_URL, &url);
    enum vt_code kind = VT_EIO;
    const char *hint = "";
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        kind = VT_EHOSTKEY;
        hint = "name the CA that signed the server's certificate";
        break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
        kind = VT_EPROTO;
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        hint = "is the server running, and is this its address?";
        break;
    default:
        break;
    }
    vt_fail(&s->why, kind, OP, "%s: %s", url ? url : "?",
            s->text[0] ? s->text : curl_easy_strerror(code));
    if (*hint)
        vt_hint(&s->why, "%s", hint);
}

void vt__http_ended(CURL *easy, CURLcode code)
{
    struct vt_http_send *s = NULL;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &s);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (code)
        failed(s, code);
    let_go(s);
    if (s->why.code) {
        vt_op_fail(&s->op, &s->why);
        return;
    }
    s->answer = (struct vt_http_answer){
        .status = (int)status,
        .body = vt_buf_str(&s->body),
        .body_size = s->body.len,
        .fields = vt_buf_str(&s->reply_fields),
    };
    vt_op_succeed(&s->op, &s->answer);
}

static bool plain(const char *text)
{
    return text && !strpbrk(text, "\r\n");
}

static enum vt_code check(const struct vt_http_opts *o, struct vt_error *err)
{
    if (!o->url || (strncmp(o->url, "http://", 7) != 0 && strncmp(o->url, "https://", 8) != 0))
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" is no http or https URL", o->url ? o->url : "");
    const char *host = strstr(o->url, "//") + 2;
    if (memchr(host, '@', strcspn(host, "/?#")))
        return vt_fail(err, VT_EINVAL, OP, "a URL must not hold a user name or a password");
    if (!(o->timeout > 0) || isinf(o->timeout))
        return vt_fail(err, VT_EINVAL, OP, "a request cannot wait %g seconds", o->timeout);
    if (o->method &&
        (!*o->method || strspn(o->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(o->method)))
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" is no HTTP method", o->method);
    for (size_t i = 0; i < o->field_count; i++)
        if (!plain(o->fields[i].name) || !plain(o->fields[i].value) || !*o->fields[i].name)
            return vt_fail(err, VT_EINVAL, OP, "a header field holds a line break, or no name");
    if (!o->cert_pem != !o->key_pem)
        return vt_fail(err, VT_EINVAL, OP, "a client certificate and its key go together");
    return VT_OK;
}

static void set_blob(CURL *easy, CURLoption option, const char *pem)
{
    struct curl_blob blob = {.flags = CURL_BLOB_COPY, .len = strlen(pem)};
    memcpy(&blob.data, &pem, sizeof pem); /* libcurl copies it; its field is not const */
    curl_easy_setopt(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct vt_http_opts *o)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (o->ca_file || o->ca_pem) { /* that CA and no other */
        curl_easy_setopt(easy, CURLOPT_CAINFO, o->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (o->ca_pem)
        set_blob(easy, CURLOPT_CAINFO_BLOB, o->ca_pem);
    if (o->cert_pem) {
        set_blob(easy, CURLOPT_SSLCERT_BLOB, o->cert_pem);
        set_blob(easy, CURLOPT_SSLKEY_BLOB, o->key_pem);
    }
}

static void set_request(struct vt_http_send *s, const struct vt_http_opts *o)
{
    CURL *easy = s->easy;
    const char *method = o->method ? o->method : "GET";
    if (o->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body_size);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, o->body);
        s->fields = curl_slist_append(s->fields, "Expect:");
    } else if (!strcmp(method, "HEAD")) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    struct vt_buf line = VT_BUF_INIT;
    for (size_t i = 0; i < o->field_count; i++) {
        vt_buf_clear(&line);
        vt_buf_printf(&line, "%s: %s", o->fields[i].name, o->fields[i].value);
        s->fields = curl_slist_append(s->fields, line.data);
    }
    vt_buf_free(&line);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, s->fields);
    if (o->user) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, o->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, o->password ? o->password : "");
    }
}

struct vt_op *vt_http_send(struct vt_http_client *client, const struct vt_http_opts *opts,
                           vt_op_fn done, void *user, struct vt_error *err)
{
    if (check(opts, err))
        return NULL;
    CURL *easy = curl_easy_init();
    if (!easy) {
        vt_fail(err, VT_EIO, OP, "libcurl cannot begin a request");
        return NULL;
    }
    struct vt_http_send *s =
        vt_op_new(sizeof *s, &send_class, client->loop, opts->timeout, done, user);
    s->client = client;
    s->easy = easy;
    s->next = client->sends;
    client->sends = s;
    s->limit = opts->limit ? opts->limit : BODY_LIMIT;
    s->on_data = opts->on_data;
    s->data_user = opts->data_user;
    curl_easy_setopt(easy, CURLOPT_URL, opts->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, s);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, s->text);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "vmtest");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_field);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, s);
    set_tls(easy, opts);
    set_request(s, opts);
    vt_loop_hold(client->loop);
    curl_multi_add_handle(client->multi, easy);
    return &s->op;
}

bool vt_http_answer_field(const struct vt_http_answer *answer, const char *name, char *out,
                          size_t size)
{
    size_t n = strlen(name);
    for (const char *line = answer->fields; *line;) {
        size_t length = strcspn(line, "\r\n");
        if (length > n && line[n] == ':' && !strncasecmp(line, name, n)) {
            const char *value = line + n + 1;
            value += strspn(value, " \t");
            size_t have = (size_t)(line + length - value);
            if (value > line + length)
                have = 0;
            if (have >= size)
                have = size - 1;
            memcpy(out, value, have);
            out[have] = '\0';
            return true;
        }
        line += length;
        line += strspn(line, "\r\n");
    }
    return false;
}
