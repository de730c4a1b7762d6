/* An HTTP/1.1 server on the project's loop: libwebsockets, TLS by OpenSSL.
 *
 * One function gets every request, whole, and replies at once or later. Whatever a client sends, it
 * gets a reply with a 4xx status or its connection is closed; nothing else happens. A request body
 * has a Content-Length; one sent in chunks is answered with 411. */
#ifndef VT_HTTP_SERVER_H
#define VT_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "vmtest/loop.h"

struct vt_http_server;

/* Read it, but for `data`. It is the handler's from the call on until it has been replied to, its
 * stream has been ended, or `gone` was called with it. */
struct vt_http_request {
    const char *method; /* "GET" */
    const char *path;   /* "/a/b", decoded; never has "..": that is resolved */
    const char *query;  /* decoded, "a=1&b=2"; "" where there is none */
    const char *peer;   /* the client's address */
    const void *body;
    size_t body_size;
    const void *cert; /* the client's certificate, DER; NULL: none was shown */
    size_t cert_size;
    void *data; /* the handler's own */
};

enum vt_http_client_cert {
    VT_HTTP_CERT_NONE,     /* not asked for */
    VT_HTTP_CERT_ASK,      /* any certificate, or none: the handler judges it. That the client has
                              its key is certain */
    VT_HTTP_CERT_VERIFIED, /* none, or one that client_ca_pem signed; others fail the handshake */
    VT_HTTP_CERT_REQUIRED, /* one that client_ca_pem signed */
};

struct vt_http_server_opts {
    const char *listen;               /* "ADDRESS:PORT", "[ADDRESS]:PORT"; port 0: a free one */
    const char *cert_pem, *key_pem;   /* TLS: certificate, with its chain behind it, and key */
    const char *cert_file, *key_file; /* or files of them; the key's is this user's, mode 0600 */
    enum vt_http_client_cert client_cert;
    const char *client_ca_pem;
    size_t body_limit;        /* bytes of a request's body; 0: 1 MiB */
    unsigned max_connections; /* more are closed at once; 0: 16384 */
    double request_timeout;   /* seconds for a request to arrive, and for a reply to move on;
                                 0: 30 */
    double idle_timeout;      /* seconds a connection may wait for its next request; 0: 60 */

    /* Called from the loop with each request. */
    void (*handle)(struct vt_http_request *request, void *user);
    /* The client has gone before it had its whole reply, or the server closes. May be NULL. */
    void (*gone)(struct vt_http_request *request, void *user);
    void *user;
};

/* Listens. Everything is copied. VT_EINVAL (an option), VT_EAUTH (a key that others can read),
 * VT_EBUSY (address in use), VT_EIO. NULL on failure. */
struct vt_http_server *vt_http_server_new(struct vt_loop *loop,
                                          const struct vt_http_server_opts *opts,
                                          struct vt_error *err);

/* Closes everything: `gone` is called for what is open, then `handle` and `gone` never again. Not
 * to be called from either. The loop lets go of the rest in its next rounds. NULL: nothing. */
void vt_http_server_close(struct vt_http_server *server);

/* Takes no new connections, and closes each when its reply is whole. */
void vt_http_server_drain(struct vt_http_server *server);

unsigned vt_http_server_port(const struct vt_http_server *server);
unsigned vt_http_server_connections(const struct vt_http_server *server);

/* A header field's value (names differ not by case), NULL where there is none. In the call of
 * `handle` alone; the value lives as long as the request. */
const char *vt_http_field(struct vt_http_request *request, const char *name);

/* A field for the reply, before it. Neither may hold a line break: such a field is left out. */
void vt_http_add_field(struct vt_http_request *request, const char *name, const char *value);

/* Replies, with a body of n bytes (copied). type NULL: no Content-Type. */
void vt_http_reply(struct vt_http_request *request, int status, const char *type, const void *body,
                   size_t n);

/* Replies with a file, with status 200, read as the client takes it. On failure nothing was
 * replied: VT_ENOTFOUND, VT_EIO, VT_EINVAL (no plain file). */
enum vt_code vt_http_reply_file(struct vt_http_request *request, const char *path, const char *type,
                                struct vt_error *err);

/* Replies piece by piece, for as long as it takes. vt_http_stream_write() returns false, and drops
 * the data, where the client is more than 4 MiB behind. */
void vt_http_stream(struct vt_http_request *request, int status, const char *type);
bool vt_http_stream_write(struct vt_http_request *request, const void *data, size_t n);
void vt_http_stream_end(struct vt_http_request *request);

#endif
