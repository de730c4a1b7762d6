/* What the drivers of foreign servers have in common: requests with credentials, opening by a first
 * request that proves server and credentials, answers and their errors, commands as property lists.
 *
 * No credential is ever shown: what a server says is quoted without it, also where the server
 * sends it back. Redirects are not followed, so that it goes nowhere else. */
#ifndef VT_MDM_REMOTE_H
#define VT_MDM_REMOTE_H

#include "core/buf.h"
#include "http/client.h"
#include "mdm/server.h"

#define VT_REMOTE_DAY 86400 /* of a request whose owner has the deadline that counts */

/* The first member of each driver's own struct. */
struct vt_remote {
    struct vt_mdm mdm;
    const char *product;        /* "NanoMDM": its name in messages */
    const char *user;           /* of HTTP Basic; NULL: `secret` is a bearer token */
    char *secret;               /* NULL: none yet */
    char *login, *login_secret; /* what a bearer token is got with; NULL: it is not got */
    char *ca_file;
    struct vt_http_client *client;
};

/* Fills a zeroed one; VT_EINVAL without a URL. On failure, too, vt__remote_clear() frees what it
 * holds (but for mdm.url, which is vt_mdm_close()'s). */
enum vt_code vt__remote_init(struct vt_remote *s, const struct vt_mdm_class *cls,
                             const char *product, struct vt_loop *loop,
                             const struct vt_mdm_opts *opts, struct vt_error *err);
void vt__remote_clear(struct vt_remote *s);

/* Wipes and frees; NULL: nothing. */
void vt__secret_drop(char **secret);

/* VT_EINVAL where `extra` has a member; NULL: none. */
enum vt_code vt__remote_no_extra(const struct vt_remote *s, const json_t *extra,
                                 struct vt_error *err);

struct vt_remote_call {
    const char *method; /* NULL: "GET" */
    const char *path;   /* begins with "/" */
    const char *type;   /* of the body; NULL: none is told */
    const void *body;
    size_t size;
    size_t limit;   /* of the answer; 0: 16 MiB */
    double timeout; /* seconds; 0: VT_REMOTE_DAY */
    bool login;     /* with login and login_secret by HTTP Basic instead of `secret` */
    bool open;      /* without credentials: they are in the body */
};

struct vt_op *vt__remote_send(struct vt_remote *s, const struct vt_remote_call *call, vt_op_fn done,
                              void *user, struct vt_error *err);

/* Appends text with everything but letters, digits and "-._~" as %XX. */
void vt__remote_escape(struct vt_buf *out, const char *text);

/* --- opening --- */

/* Judges the answer to the first request, whose status is not 401. */
typedef enum vt_code (*vt_remote_judge)(struct vt_remote *s, const struct vt_http_answer *a,
                                        struct vt_error *err);

/* Sends the first request and completes with the server. Takes `s` over: where it fails, at once
 * or later, it is closed. */
struct vt_op *vt__remote_open(struct vt_remote *s, const struct vt_remote_call *first,
                              double timeout, vt_remote_judge judge, vt_op_fn done, void *user,
                              struct vt_error *err);

/* --- answers --- */

/* The answer of a request that has ended; NULL with *err set where it did not come, or the server
 * refused the credentials (VT_EAUTH). Any other status is the caller's to judge. */
const struct vt_http_answer *vt__remote_answer(const struct vt_remote *s, struct vt_op *op,
                                               const char *what, struct vt_error *err);

/* … whose body is one JSON object; NULL with *err set where it is none. A new reference. */
json_t *vt__remote_json(const struct vt_remote *s, const struct vt_http_answer *a, const char *what,
                        struct vt_error *err);

/* The server's own words in an answer of refusal: the members "error", "message" and the reasons in
 * "errors" of a JSON object, else the beginning of the body; cut, and without credentials. */
void vt__remote_words(const struct vt_remote *s, const struct vt_http_answer *a,
                      struct vt_buf *out);

/* Fails with the status and the server's words: "Fleet answered with status 500: …". */
enum vt_code vt__remote_refused(const struct vt_remote *s, const struct vt_http_answer *a,
                                enum vt_code code, const char *what, struct vt_error *err);

/* `text` without credentials, cut to 300 bytes, as valid UTF-8. */
void vt__remote_quote(const struct vt_remote *s, const char *text, size_t n, struct vt_buf *out);

/* --- requests of the interface --- */

/* An argument's text; "" where there is none. */
const char *vt__remote_arg(const struct vt_mdm_request *r, const char *name);

/* Notes what is under way for `r`; NULL: it ends with *err. */
void vt__remote_begun(struct vt_mdm_request *r, struct vt_op *op, const struct vt_error *err);

/* For the callback of what was: lets go of it. */
void vt__remote_ended(struct vt_mdm_request *r);

/* Ends a request for which the server has no API. */
void vt__remote_cannot(struct vt_mdm_request *r, const char *why, const char *hint);

/* The request "enroll" at a server whose enrollment profile is got by GET of `path`: by SCEP, with
 * the server's own options. */
void vt__remote_enroll(struct vt_mdm_request *r, const char *path);

/* The command of "enqueue" as the property list {Command, CommandUUID}. */
enum vt_code vt__remote_command(const struct vt_mdm_request *r, struct vt_buf *out,
                                struct vt_error *err);

#endif
