/* HTTP requests as operations: libcurl on the project's loop.
 *
 * A client keeps connections open for its next requests. Only http and https are spoken, HTTP/1.1;
 * redirects are replies like others, not followed. */
#ifndef VT_HTTP_CLIENT_H
#define VT_HTTP_CLIENT_H

#include <stddef.h>

#include "vmtest/loop.h"

struct vt_http_client;

/* NULL with *err set on failure. vt_http_client_free() cancels what is under way (callbacks come).
 * Free it before the loop. NULL: nothing. */
struct vt_http_client *vt_http_client_new(struct vt_loop *loop, struct vt_error *err);
void vt_http_client_free(struct vt_http_client *client);

struct vt_http_field {
    const char *name, *value;
};

/* Everything is copied where it must outlive the call. */
struct vt_http_opts {
    const char *method; /* NULL: "GET" */
    const char *url;    /* without user and password in it */
    const struct vt_http_field *fields;
    size_t field_count;
    const void *body; /* NULL: none */
    size_t body_size;
    const char *user, *password;  /* Basic; NULL: none. Never shown in an error */
    const char *ca_file, *ca_pem; /* what the server is checked against; both NULL: the system's */
    const char *cert_pem, *key_pem; /* own certificate (chain) and key; NULL: none */
    size_t limit;                   /* bytes of the reply's body; more is VT_ELIMIT. 0: 16 MiB */
    double timeout;                 /* seconds, more than 0 */

    /* Where set, the body of a reply with a status from 200 to 299 goes here piece by piece and is
     * not kept, nor counted against `limit`. False ends the operation (VT_ECANCELED); it must not
     * cancel it, nor free the client, by itself. */
    bool (*on_data)(const void *data, size_t n, void *data_user);
    void *data_user;
};

struct vt_http_answer {
    int status;
    const char *body; /* NUL-terminated behind its end */
    size_t body_size;
    const char *fields; /* "Name: value\r\n" each, of the last answer */
};

/* Result: struct vt_http_answer, whatever its status. VT_EIO: not reached, or broken off; a TLS
 * certificate that cannot be trusted is VT_EHOSTKEY; VT_EPROTO: no HTTP. */
struct vt_op *vt_http_send(struct vt_http_client *client, const struct vt_http_opts *opts,
                           vt_op_fn done, void *user, struct vt_error *err);

/* A field's value (names differ not by case), copied to out and cut to its size; false where there
 * is none. */
bool vt_http_answer_field(const struct vt_http_answer *answer, const char *name, char *out,
                          size_t size);

#endif
