/* Apple's MDM protocol, the server's side: a request's body and who it is from, verified, go in;
 * the reply comes out. It knows of no network: everything that a device can send can be tried on
 * it.
 *
 * Check-in messages (a MessageType in them) and reports of the command loop (a Status) may come to
 * one address: they are told apart by what is in them, not by Content-Type. Sources: Apple's
 * "MDM protocol" and "check-in" schema (github.com/apple/device-management, mdm/checkin).
 *
 * HTTP status of the replies: 200, also with nothing in it; 400 for what is malformed, or from a
 * certificate that is missing, unknown, expired or revoked, or from a device that is not enrolled
 * (never 401: a Mac takes that for the end of its enrollment); 500 for a certificate that is
 * another device's, as NanoMDM has it, and for a database that fails; 404 for a declaration that
 * is not there; 410 for UserAuthenticate: there are no user channels here. */
#ifndef VT_MDM_PROTOCOL_H
#define VT_MDM_PROTOCOL_H

#include "mdm/store.h"

/* Largest body that is looked at, bytes. */
#define VT_PROTOCOL_MAX ((size_t)8 << 20)

struct vt_protocol {
    struct vt_store *store;
    /* What happened (vmtest/mdm.h, events), once it is in the store; the event is the callee's. */
    void (*event)(json_t *event, void *user);
    void *user;
};

struct vt_protocol_request {
    const void *body;
    size_t size;
    const char *fingerprint; /* of the certificate that signed the body, or that the connection was
                                made with; NULL: none, or its signature was not good */
    const char *problem;     /* why there is none, for the event; or NULL */
};

struct vt_protocol_reply {
    int status;
    const char *type;   /* Content-Type */
    struct vt_buf body; /* vt_buf_free()d by the caller */
};

void vt_protocol_handle(struct vt_protocol *p, const struct vt_protocol_request *request,
                        struct vt_protocol_reply *reply);

/* The DeclarativeManagement command that tells a device of its declarations' present state. A new
 * dictionary, NULL with *err set on failure. */
json_t *vt_protocol_declare_command(struct vt_store *store, const char *udid, struct vt_error *err);

/* Queues a command: makes the body from the Command dictionary. `uuid` as in vt_mdm_command, but
 * not NULL. */
enum vt_code vt_protocol_enqueue(struct vt_store *store, const char *udid, const char *uuid,
                                 const json_t *command, struct vt_error *err);

/* Sets a declaration {"Type", "Identifier", "Payload"}; its ServerToken is made from it. */
enum vt_code vt_protocol_declare(struct vt_store *store, const char *udid,
                                 const json_t *declaration, struct vt_error *err);

/* A new event of the type, with its time; udid may be NULL. */
json_t *vt_protocol_event(const char *type, const char *udid);

#endif
