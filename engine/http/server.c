/* The server's life: listening, draining, closing. */
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "http/server_internal.h"
#include "vmtest/log.h"

#define OP "http.server"
#define CLOSING_ROUNDS 2
#define PEM_LIMIT ((size_t)1 << 20)
#define HEADER_LIMIT 16384
/* Read at once: more than a TLS record holds (2^14 bytes, RFC 8446 section 5.1). On a foreign loop
 * libwebsockets 4.1 does not come back for what is left of one: the request would stand still. */
#define READ_SIZE (32 << 10)
#define FDS_LIMIT (1 << 20)

static void log_line(int level, const char *line)
{
    (void)level;
    vt_log(VT_LOG_DEBUG, "http: %.*s", (int)strcspn(line, "\n"), line);
}

/* "ADDRESS:PORT" apart. */
static enum vt_code split(const char *listen, char *address, size_t size, int *port,
                          struct vt_error *err)
{
    const char *colon = listen ? strrchr(listen, ':') : NULL;
    unsigned char binary[16];
    char *end = NULL;
    long number = colon && colon[1] ? strtol(colon + 1, &end, 10) : -1;
    size_t n = colon ? (size_t)(colon - listen) : 0;
    bool six = n > 2 && listen[0] == '[' && listen[n - 1] == ']';
    if (number < 0 || number > 65535 || *end || n >= size || strspn(colon + 1, "0123456789") == 0)
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" is no ADDRESS:PORT to listen on",
                       listen ? listen : "");
    memcpy(address, listen + six, n - (six ? 2 : 0));
    address[n - (six ? 2 : 0)] = '\0';
    if (inet_pton(six ? AF_INET6 : AF_INET, address, binary) != 1)
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" is no numeric address to listen on", address);
    *port = (int)number;
    return VT_OK;
}

static enum vt_code read_key(const char *path, struct vt_buf *out, struct vt_error *err)
{
    struct stat st;
    if (stat(path, &st))
        return vt_fail_sys(err, errno, OP, "cannot read the key %s", path);
    if (st.st_uid != geteuid() || (st.st_mode & 077)) {
        vt_fail(err, VT_EAUTH, OP, "the key %s can be read by others", path);
        vt_hint(err, "chmod 600 %s", path);
        return VT_EAUTH;
    }
    return vt_read_file(path, PEM_LIMIT, out, err);
}

static enum vt_code take_tls(struct vt_http_server *s, const struct vt_http_server_opts *o,
                             struct vt_error *err)
{
    struct vt_buf cert = VT_BUF_INIT, key = VT_BUF_INIT;
    if (o->cert_file && vt_read_file(o->cert_file, PEM_LIMIT, &cert, err))
        return err ? err->code : VT_EIO;
    if (o->key_file && read_key(o->key_file, &key, err)) {
        vt_buf_free(&cert);
        return err ? err->code : VT_EIO;
    }
    s->cert_pem = o->cert_file ? vt_buf_steal(&cert) : vt_strdup(o->cert_pem);
    s->key_pem = o->key_file ? vt_buf_steal(&key) : vt_strdup(o->key_pem);
    s->client_ca_pem = vt_strdup(o->client_ca_pem);
    if (!s->cert_pem != !s->key_pem)
        return vt_fail(err, VT_EINVAL, OP, "a certificate and its key go together");
    if (o->client_cert && !s->cert_pem)
        return vt_fail(err, VT_EINVAL, OP, "client certificates need TLS");
    if (o->client_cert >= VT_HTTP_CERT_VERIFIED && !s->client_ca_pem)
        return vt_fail(err, VT_EINVAL, OP, "client certificates need a CA to be checked against");
    return VT_OK;
}

/* Keys do not stay in memory longer than they are needed. */
static void drop_tls(struct vt_http_server *s)
{
    if (s->key_pem)
        explicit_bzero(s->key_pem, strlen(s->key_pem));
    vt_free(s->cert_pem);
    vt_free(s->key_pem);
    vt_free(s->client_ca_pem);
    s->cert_pem = s->key_pem = s->client_ca_pem = NULL;
}

static void set_defaults(struct vt_http_server_opts *o)
{
    o->body_limit = o->body_limit ? o->body_limit : (size_t)1 << 20;
    o->max_connections = o->max_connections ? o->max_connections : 16384;
    o->request_timeout = o->request_timeout > 0 ? o->request_timeout : 30;
    o->idle_timeout = o->idle_timeout > 0 ? o->idle_timeout : 60;
}

static enum vt_code open_context(struct vt_http_server *s, const char *address, int port,
                                 struct vt_error *err)
{
    struct lws_context_creation_info info;
    struct rlimit files;
    memset(&info, 0, sizeof info);
    s->protocols[0] = (struct lws_protocols){.name = "http", .callback = vt__http_serve};
    s->loops[0] = vt_loop_uv(s->loop);
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_NO_LWS_SYSTEM_STATES;
    info.foreign_loops = s->loops;
    info.pcontext = &s->context;
    info.max_http_header_data = HEADER_LIMIT;
    info.pt_serv_buf_size = READ_SIZE;
    info.timeout_secs = (unsigned)(s->opts.request_timeout + 0.999);
    info.timeout_secs_ah_idle = info.timeout_secs;
    info.ka_time = 60;
    info.ka_probes = 3;
    info.ka_interval = 10;
    info.user = s;
    if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur > FDS_LIMIT)
        info.fd_limit_per_thread = FDS_LIMIT; /* it has a table with an entry for each */
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    s->context = lws_create_context(&info);
    if (!s->context) {
        vt_fail(err, VT_EIO, OP, "libwebsockets cannot start");
        vt_hint(err, "is its libuv plugin installed (package libwebsockets-evlib-uv)?");
        return VT_EIO;
    }
    info.options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND;
    if (!strchr(address, ':'))
        info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    if (s->cert_pem)
        info.options |=
            LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
    info.pcontext = NULL;
    info.vhost_name = "vmtest";
    info.iface = address;
    info.port = port;
    info.protocols = s->protocols;
    info.keepalive_timeout = (int)(s->opts.idle_timeout + 0.999);
    info.alpn = "http/1.1";
    s->err = err;
    s->vhost = lws_create_vhost(s->context, &info);
    s->err = NULL;
    if (s->vhost) {
        s->sockets++;
        return VT_OK;
    }
    if (err && err->code)
        return err->code;
    return vt_fail(err, VT_EBUSY, OP, "cannot listen on %s:%d: is another program there?", address,
                   port);
}

struct vt_http_server *vt_http_server_new(struct vt_loop *loop,
                                          const struct vt_http_server_opts *opts,
                                          struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    char address[64];
    int port = 0;
    if (!opts->handle || split(opts->listen, address, sizeof address, &port, &own)) {
        vt_fail(&own, VT_EINVAL, OP, "a server needs a function that handles requests");
        vt_error_copy(err, &own);
        return NULL;
    }
    struct vt_http_server *s = vt_calloc(1, sizeof *s);
    s->loop = loop;
    s->opts = *opts;
    set_defaults(&s->opts);
    vt_loop_hold(loop);
    if (take_tls(s, opts, &own) || open_context(s, address, port, &own)) {
        vt_error_copy(err, &own);
        vt_http_server_close(s);
        return NULL;
    }
    drop_tls(s);
    return s;
}

static void free_server(uv_handle_t *handle)
{
    vt_free(handle->data);
}

/* On a loop that is not its own, libwebsockets ends in steps: it closes its handles; when their
 * callbacks have come, in the loop's next rounds, it is to be asked again, twice. */
static void on_closing(uv_idle_t *idle)
{
    struct vt_http_server *s = idle->data;
    if (s->context && !s->sockets && ++s->rounds > CLOSING_ROUNDS)
        lws_context_destroy(s->context);
    if (!s->context)
        uv_close((uv_handle_t *)idle, free_server);
}

void vt_http_server_close(struct vt_http_server *s)
{
    if (!s)
        return;
    drop_tls(s);
    vt_loop_release(s->loop);
    uv_idle_init(vt_loop_uv(s->loop), &s->closing);
    s->closing.data = s;
    uv_idle_start(&s->closing, on_closing);
    s->draining = true;
    if (s->context)
        lws_context_destroy(s->context);
}

void vt_http_server_drain(struct vt_http_server *s)
{
    s->draining = true;
}

unsigned vt_http_server_port(const struct vt_http_server *s)
{
    return (unsigned)lws_get_vhost_listen_port(s->vhost);
}

unsigned vt_http_server_connections(const struct vt_http_server *s)
{
    return s->sockets - 1;
}
