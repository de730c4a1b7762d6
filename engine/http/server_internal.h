/* What the server's files share. libwebsockets calls vt__http_serve() for all that happens to a
 * connection; a `struct exchange` is one request on it and its reply. */
#ifndef VT_HTTP_SERVER_INTERNAL_H
#define VT_HTTP_SERVER_INTERNAL_H

#include <libwebsockets.h>
#include <uv.h>

#include "core/buf.h"
#include "http/server.h"
#include "loop/timer.h"

struct vt_http_server {
    struct vt_loop *loop;
    struct vt_http_server_opts opts; /* its texts are not used after vt_http_server_new() */
    struct lws_context *context;     /* libwebsockets sets it to NULL when it has let go */
    struct lws_vhost *vhost;
    struct lws_protocols protocols[2];
    void *loops[1];
    uv_idle_t closing;
    unsigned sockets; /* what listens, and connections, till their handles are closed */
    unsigned rounds;  /* of the loop since there are none */
    bool draining;
    char *cert_pem, *key_pem, *client_ca_pem; /* until the vhost is there */
    struct vt_error *err;                     /* vt_http_server_new()'s, during it */
};

enum exchange_state {
    VT__RECEIVING, /* the request's body */
    VT__HANDLED,   /* the handler has it */
    VT__REPLYING,  /* a whole reply, on its way */
    VT__STREAMING, /* the handler adds to it */
    VT__LINGERING, /* refused before its body was read: what comes is dropped, then it is closed */
};

struct field {
    struct field *next;
    char *value;
    char name[];
};

/* libwebsockets does not read while a reply is due, and so does not see that the client has gone.
 */
struct hangup {
    uv_poll_t poll;
    struct exchange *x; /* NULL: it is over */
    int fd;             /* a duplicate: libuv watches a descriptor once */
};

struct exchange {
    struct vt_http_request request; /* what the handler sees */
    struct vt_http_server *server;
    struct lws *wsi;
    enum exchange_state state;
    bool in_handler;
    bool drained;             /* its body has come to its end, whether it was wanted or not */
    bool head;                /* HEAD: a reply without its body */
    bool close;               /* the connection ends with this reply */
    bool chunked;             /* else a stream ends with its connection */
    bool ended;               /* the handler adds no more */
    bool refused;             /* before its body was read */
    bool late;                /* it did not arrive in time */
    size_t expected;          /* of the body */
    struct hangup *hangup;    /* of a reply that is not made at once */
    struct vt_timer deadline; /* of the request's arrival, then of a reply's next step */
    struct vt_buf body;
    struct field *fields; /* those the handler asked for */
    struct vt_buf reply_fields;
    struct vt_buf out; /* LWS_PRE bytes, then what is to be written */
    size_t out_at;     /* the first byte of it that was not written */
    int file;          /* -1: none */
    uint64_t file_left;
    char *method, *path, *query, *cert;
    char peer[64];
};

int vt__http_serve(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len);

/* The connection is closed unless something happens in that time. */
void vt__http_deadline(struct exchange *x, double seconds);

/* Writes what is there; -1: the connection is to be closed. */
int vt__http_write(struct exchange *x);

/* The status and fields of a reply, ready for its body. size: bytes of the body, or UINT64_MAX for
 * a stream. */
void vt__http_head(struct exchange *x, int status, const char *type, uint64_t size);

/* Sets certificates, key and rules. 0, or -1 with server->err set. */
int vt__http_tls(struct vt_http_server *server, struct ssl_ctx_st *ssl);

/* The client's certificate as DER; NULL: none. vt_free() it. */
char *vt__http_peer_cert(struct lws *wsi, size_t *size);

#endif
