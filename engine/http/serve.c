/* What happens to a connection: requests come in, and are handed on whole. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/mem.h"
#include "http/server_internal.h"

static void free_hangup(uv_handle_t *handle)
{
    struct hangup *h = handle->data;
    close(h->fd);
    vt_free(h);
}

static void on_hangup(uv_poll_t *poll, int status, int events)
{
    struct hangup *h = poll->data;
    (void)status;
    (void)events;
    uv_poll_stop(poll);
    if (h->x)
        lws_set_timeout(h->x->wsi, (enum pending_timeout)1, LWS_TO_KILL_ASYNC);
}

static void watch_hangup(struct exchange *x)
{
    struct hangup *h = vt_calloc(1, sizeof *h);
    h->fd = fcntl(lws_get_socket_fd(x->wsi), F_DUPFD_CLOEXEC, 0);
    if (h->fd < 0 || uv_poll_init(vt_loop_uv(x->server->loop), &h->poll, h->fd)) {
        if (h->fd >= 0)
            close(h->fd);
        vt_free(h);
        return; /* keep-alive, or the reply, will find out */
    }
    h->x = x;
    h->poll.data = h;
    x->hangup = h;
    uv_poll_start(&h->poll, UV_DISCONNECT, on_hangup);
}

static void free_exchange(struct exchange *x)
{
    if (x->hangup) {
        x->hangup->x = NULL;
        uv_close((uv_handle_t *)&x->hangup->poll, free_hangup);
    }
    vt_timer_clear(&x->deadline);
    lws_set_opaque_user_data(x->wsi, NULL);
    while (x->fields) {
        struct field *next = x->fields->next;
        vt_free(x->fields->value);
        vt_free(x->fields);
        x->fields = next;
    }
    if (x->file >= 0)
        close(x->file);
    vt_buf_free(&x->body);
    vt_buf_free(&x->reply_fields);
    vt_buf_free(&x->out);
    vt_free(x->method);
    vt_free(x->path);
    vt_free(x->query);
    vt_free(x->cert);
    vt_free(x);
}

/* The request is over, its connection may live on. */
static void over(struct lws *wsi)
{
    struct exchange *x = lws_get_opaque_user_data(wsi);
    if (!x)
        return;
    if ((x->state == VT__HANDLED || (x->state == VT__STREAMING && !x->ended)) &&
        x->server->opts.gone)
        x->server->opts.gone(&x->request, x->server->opts.user);
    free_exchange(x);
}

static void on_deadline(struct vt_timer *timer)
{
    struct exchange *x = timer->user;
    if (x->state == VT__LINGERING) {
        lws_callback_on_writable(x->wsi);
        return;
    }
    x->late = true; /* bytes that come now would take the timeout back */
    lws_set_timeout(x->wsi, (enum pending_timeout)1, LWS_TO_KILL_ASYNC);
}

void vt__http_deadline(struct exchange *x, double seconds)
{
    vt_timer_set(&x->deadline, x->server->loop, seconds, on_deadline, x);
}

/* A field by its libwebsockets token or, of one it does not know, by its name. */
static char *copy_field(struct lws *wsi, const char *name)
{
    size_t n = strlen(name);
    struct vt_buf key = VT_BUF_INIT;
    for (size_t i = 0; i < n; i++)
        vt_buf_putc(&key, (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]));
    vt_buf_putc(&key, ':');
    char *value = NULL;
    int token, length = -1;
    for (token = 0; token < WSI_TOKEN_COUNT; token++) {
        const unsigned char *known = lws_token_to_string((enum lws_token_indexes)token);
        if (known && !strcmp((const char *)known, key.data))
            break;
    }
    if (token < WSI_TOKEN_COUNT) {
        length = lws_hdr_total_length(wsi, (enum lws_token_indexes)token);
        if (length > 0) {
            value = vt_calloc(1, (size_t)length + 1);
            lws_hdr_copy(wsi, value, length + 1, (enum lws_token_indexes)token);
        }
    } else if ((length = lws_hdr_custom_length(wsi, key.data, (int)key.len)) >= 0) {
        value = vt_calloc(1, (size_t)length + 1);
        if (length)
            lws_hdr_custom_copy(wsi, value, length + 1, key.data, (int)key.len);
    }
    vt_buf_free(&key);
    return value;
}

const char *vt_http_field(struct vt_http_request *request, const char *name)
{
    struct exchange *x = (struct exchange *)request;
    struct field *f;
    for (f = x->fields; f; f = f->next)
        if (!strcasecmp(f->name, name))
            return f->value;
    char *value = x->in_handler ? copy_field(x->wsi, name) : NULL;
    if (!value)
        return NULL;
    f = vt_malloc(sizeof *f + strlen(name) + 1);
    memcpy(f->name, name, strlen(name) + 1);
    f->value = value;
    f->next = x->fields;
    x->fields = f;
    return value;
}

static char *copy_query(struct lws *wsi)
{
    struct vt_buf query = VT_BUF_INIT;
    char part[1024];
    for (int i = 0;; i++) {
        int n = lws_hdr_copy_fragment(wsi, part, sizeof part, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            break;
        if (i)
            vt_buf_putc(&query, '&');
        vt_buf_add(&query, part, (size_t)n);
    }
    return vt_buf_steal(&query);
}

static void hand_over(struct exchange *x)
{
    struct vt_http_server *s = x->server;
    vt_timer_clear(&x->deadline);
    lws_set_timeout(x->wsi, NO_PENDING_TIMEOUT, 0); /* a reply may take as long as it takes */
    x->request.body = vt_buf_str(&x->body);
    x->request.body_size = x->body.len;
    x->state = VT__HANDLED;
    x->in_handler = true;
    s->opts.handle(&x->request, s->opts.user);
    x->in_handler = false;
    if (!x->ended)
        watch_hangup(x);
}

/* Answers before the body is read, and closes. */
static void refuse(struct exchange *x, int status)
{
    x->close = true;
    x->state = VT__HANDLED;
    x->refused = true;
    vt_http_reply(&x->request, status, NULL, NULL, 0);
}

static const struct {
    enum lws_token_indexes token;
    const char *name;
} methods[] = {
    {WSI_TOKEN_GET_URI, "GET"},         {WSI_TOKEN_POST_URI, "POST"},
    {WSI_TOKEN_PUT_URI, "PUT"},         {WSI_TOKEN_DELETE_URI, "DELETE"},
    {WSI_TOKEN_PATCH_URI, "PATCH"},     {WSI_TOKEN_HEAD_URI, "HEAD"},
    {WSI_TOKEN_OPTIONS_URI, "OPTIONS"},
};

static int begin(struct vt_http_server *s, struct lws *wsi, const char *path, size_t path_size)
{
    struct exchange *x = vt_calloc(1, sizeof *x);
    const char *method = "";
    char text[32] = "";
    over(wsi); /* nothing of the last one stays */
    x->server = s;
    x->wsi = wsi;
    x->file = -1;
    lws_set_opaque_user_data(wsi, x);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (lws_hdr_total_length(wsi, methods[i].token) > 0)
            method = methods[i].name;
    x->request.method = x->method = vt_strdup(method);
    x->request.path = x->path = vt_strndup(path, path_size);
    x->request.query = x->query = copy_query(wsi);
    x->request.peer = lws_get_peer_simple(wsi, x->peer, sizeof x->peer) ? x->peer : "";
    x->request.cert = x->cert = vt__http_peer_cert(wsi, &x->request.cert_size);
    x->head = !strcmp(method, "HEAD");
    if (lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP) <= 0)
        text[0] = '\0';
    x->chunked = !strcmp(text, "HTTP/1.1");
    x->close = true; /* libwebsockets 4.1 can spin on a body that comes on a connection in reuse */
    vt__http_deadline(x, s->opts.request_timeout);
    if (!*method) {
        refuse(x, 405);
        return 0;
    }
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
        refuse(x, 411);
        return 0;
    }
    int n = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    if (n > 0) {
        bool fits = n < 16 && lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP_CONTENT_LENGTH);
        if (!fits || strspn(text, "0123456789") != strlen(text)) {
            refuse(x, fits ? 400 : 413);
            return 0;
        }
        x->expected = strtoull(text, NULL, 10);
    }
    if (x->expected > s->opts.body_limit)
        refuse(x, 413);
    else if (!x->expected)
        hand_over(x);
    return 0;
}

/* A piece of the body, or (n 0) its end. */
static int take_body(struct exchange *x, const void *data, size_t n)
{
    if (!x || x->late)
        return -1;
    if (x->state != VT__RECEIVING)
        return 0; /* refused already: dropped */
    if (n > x->expected - x->body.len)
        return -1;
    vt_buf_add(&x->body, data, n);
    return 0;
}

static int end_body(struct exchange *x)
{
    if (!x)
        return -1;
    x->drained = true;
    if (x->state == VT__LINGERING)
        return -1;
    if (x->state == VT__RECEIVING) {
        if (x->body.len != x->expected)
            return -1;
        hand_over(x);
    }
    return 0;
}

/* libwebsockets' own limits know too many exceptions. */
static void expect_request(struct lws *wsi, double seconds)
{
    lws_set_timer_usecs(wsi, (lws_usec_t)(seconds * 1e6));
}

static struct vt_http_server *server_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

int vt__http_serve(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len)
{
    struct vt_http_server *s;
    switch (reason) {
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        s = server_of(wsi);
        return s->cert_pem ? vt__http_tls(s, user) : 0;
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        s = server_of(wsi);
        return s->draining || s->sockets > s->opts.max_connections;
    case LWS_CALLBACK_WSI_CREATE:
        server_of(wsi)->sockets++;
        return 0;
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        expect_request(wsi, server_of(wsi)->opts.request_timeout);
        return 0;
    case LWS_CALLBACK_TIMER: /* no request has come */
        return lws_get_opaque_user_data(wsi) ? 0 : -1;
    case LWS_CALLBACK_WSI_DESTROY:
        s = server_of(wsi);
        if (s->sockets) /* none was counted where the address was in use */
            s->sockets--;
        over(wsi);
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: /* neither WebSocket nor HTTP/2 */
        return -1;
    case LWS_CALLBACK_HTTP:
        return begin(server_of(wsi), wsi, in, len);
    case LWS_CALLBACK_HTTP_BODY:
        return take_body(lws_get_opaque_user_data(wsi), in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return end_body(lws_get_opaque_user_data(wsi));
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return lws_get_opaque_user_data(wsi) ? vt__http_write(lws_get_opaque_user_data(wsi)) : 0;
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        s = server_of(wsi);
        expect_request(wsi, s->opts.idle_timeout + s->opts.request_timeout);
        over(wsi);
        return 0;
    case LWS_CALLBACK_CLOSED_HTTP:
        over(wsi);
        return 0;
    default:
        return 0;
    }
}
