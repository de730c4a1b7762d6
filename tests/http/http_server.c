/* A server with one path for each thing the room "http" can do, for torture.py. Listens as told by
 * its arguments (KEY=VALUE), writes its port to standard output, and ends with its standard input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "core/buf.h"
#include "core/mem.h"
#include "http/server.h"
#include "loop/timer.h"

static struct vt_loop *loop;
static struct vt_http_server *server;
static bool over;
static unsigned gone;

struct later {
    struct vt_timer timer;
    struct vt_http_request *request;
    int left;
};

static void on_later(struct vt_timer *timer)
{
    struct later *l = timer->user;
    l->request->data = NULL;
    vt_http_reply(l->request, 200, "text/plain", "later", 5);
    vt_free(l);
}

static void on_tick(struct vt_timer *timer)
{
    struct later *l = timer->user;
    char line[32];
    int n = snprintf(line, sizeof line, "event %d\n", l->left);
    vt_http_stream_write(l->request, line, (size_t)n);
    if (--l->left) {
        vt_timer_set(&l->timer, loop, 0.05, on_tick, l);
        return;
    }
    l->request->data = NULL;
    vt_http_stream_end(l->request);
    vt_free(l);
}

static void begin_later(struct vt_http_request *rq, void (*fire)(struct vt_timer *), int left)
{
    struct later *l = vt_calloc(1, sizeof *l);
    l->request = rq;
    l->left = left;
    rq->data = l;
    vt_timer_set(&l->timer, loop, left > 100 ? 0.001 : 0.1, fire, l);
}

static void describe(struct vt_http_request *rq)
{
    struct vt_buf out = VT_BUF_INIT;
    const char *agent = vt_http_field(rq, "USER-agent"), *own = vt_http_field(rq, "mdm-SIGNATURE");
    vt_buf_printf(&out, "%s|%s|%s|%s|%s|%s|%zu|", rq->method, rq->path, rq->query, rq->peer,
                  agent ? agent : "-", own ? own : "-", rq->cert_size);
    vt_buf_add(&out, rq->body, rq->body_size);
    vt_http_add_field(rq, "X-Own", "yes");
    vt_http_add_field(rq, "X-Bad", "a\r\nSet-Cookie: b");
    vt_http_reply(rq, 200, "text/plain", out.data, out.len);
    vt_buf_free(&out);
}

static void handle(struct vt_http_request *rq, void *user)
{
    (void)user;
    if (!strcmp(rq->path, "/later")) {
        begin_later(rq, on_later, 1);
    } else if (!strcmp(rq->path, "/stream")) {
        vt_http_stream(rq, 200, "text/event-stream");
        begin_later(rq, on_tick, 5);
    } else if (!strcmp(rq->path, "/endless")) {
        vt_http_stream(rq, 200, "text/event-stream");
        begin_later(rq, on_tick, 1 << 30);
    } else if (!strcmp(rq->path, "/never")) {
        rq->data = NULL;
    } else if (!strcmp(rq->path, "/gone")) {
        char text[32];
        int n = snprintf(text, sizeof text, "%u %u", gone, vt_http_server_connections(server));
        vt_http_reply(rq, 200, NULL, text, (size_t)n);
    } else if (!strcmp(rq->path, "/file")) {
        struct vt_error err = VT_ERROR_INIT;
        if (vt_http_reply_file(rq, rq->query, "application/octet-stream", &err))
            vt_http_reply(rq, 404, "text/plain", err.message, strlen(err.message));
    } else if (!strcmp(rq->path, "/big")) {
        char *big = vt_calloc(1, (size_t)8 << 20);
        vt_http_reply(rq, 200, NULL, big, (size_t)8 << 20);
        vt_free(big);
    } else if (!strcmp(rq->path, "/drain")) {
        vt_http_server_drain(server);
        vt_http_reply(rq, 204, NULL, NULL, 0);
    } else {
        describe(rq);
    }
}

static void on_gone(struct vt_http_request *rq, void *user)
{
    struct later *l = rq->data;
    (void)user;
    gone++;
    if (l) {
        vt_timer_clear(&l->timer);
        vt_free(l);
    }
}

static void on_stdin(uv_poll_t *poll, int status, int events)
{
    char c;
    (void)status;
    (void)events;
    if (read(0, &c, 1) <= 0) {
        over = true;
        uv_close((uv_handle_t *)poll, NULL);
    }
}

static void set(struct vt_http_server_opts *o, const char *word)
{
    const char *value = strchr(word, '=');
    if (!value++)
        exit(2);
    if (!strncmp(word, "listen=", 7))
        o->listen = value;
    else if (!strncmp(word, "cert=", 5))
        o->cert_file = value;
    else if (!strncmp(word, "key=", 4))
        o->key_file = value;
    else if (!strncmp(word, "ca=", 3))
        o->client_ca_pem = value;
    else if (!strncmp(word, "clients=", 8))
        o->client_cert = (enum vt_http_client_cert)atoi(value);
    else if (!strncmp(word, "body=", 5))
        o->body_limit = (size_t)atoi(value);
    else if (!strncmp(word, "timeout=", 8))
        o->request_timeout = atof(value);
    else if (!strncmp(word, "most=", 5))
        o->max_connections = (unsigned)atoi(value);
    else
        exit(2);
}

int main(int argc, char **argv)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_http_server_opts opts = {
        .listen = "127.0.0.1:0", .handle = handle, .gone = on_gone, .request_timeout = 5};
    for (int i = 1; i < argc; i++)
        set(&opts, argv[i]);
    loop = vt_loop_new(&err);
    server = loop ? vt_http_server_new(loop, &opts, &err) : NULL;
    if (!server) {
        fprintf(stderr, "%s: %s (%s)\n", vt_code_name(err.code), err.message, err.hint);
        vt_loop_free(loop);
        return 1;
    }
    printf("%u\n", vt_http_server_port(server));
    fflush(stdout);
    uv_poll_t input;
    uv_poll_init(vt_loop_uv(loop), &input, 0);
    uv_poll_start(&input, UV_READABLE | UV_DISCONNECT, on_stdin);
    while (!over)
        vt_loop_run_once(loop, true);
    vt_http_server_close(server);
    vt_loop_free(loop);
    return 0;
}
