/* The protocol of vmtest-vz (shim/vz/protocol.md), the client's side: one JSON object per line, a
 * greeting, then requests with replies, in any order, and events at any time. This is the protocol
 * alone: bytes come by vt_vz_client_feed() and go by the `write` callback. */
#ifndef VT_DRIVER_VZ_CLIENT_H
#define VT_DRIVER_VZ_CLIENT_H

#include <jansson.h>
#include <stddef.h>

#include "vmtest/error.h"

#define VT_VZ_PROTOCOL 1
#define VT_VZ_LINE_MAX ((size_t)1 << 20) /* a longer line ends the session with VT_EPROTO */

struct vt_vz_client;

struct vt_vz_client_handler {
    void (*write)(const char *data, size_t n, void *user);
    /* It greeted, in the version that is spoken here. Called once, before anything else. */
    void (*hello)(const json_t *hello, void *user);
    void (*event)(const char *name, const json_t *event, void *user);
    /* The helper broke the protocol, or speaks another version; every later byte is ignored. Called
     * once at most. */
    void (*broken)(const struct vt_error *why, void *user);
    void *user;
};

/* One of reply and why is NULL. Both belong to the session and are gone on return. */
typedef void (*vt_vz_reply_fn)(const json_t *reply, const struct vt_error *why, void *user);

/* Copies the handler. */
struct vt_vz_client *vt_vz_client_new(const struct vt_vz_client_handler *handler);

/* Drops every request under way, without a reply. Also from within a callback of this session. */
void vt_vz_client_free(struct vt_vz_client *client);

/* Sends a request. Takes over `members` (may be NULL). fn may be NULL. A refusal comes as the error
 * that vt_vz_fault() makes of it. */
void vt_vz_client_request(struct vt_vz_client *client, const char *op, json_t *members,
                          vt_vz_reply_fn fn, void *user);

/* Replies for this `user` are dropped from now on. */
void vt_vz_client_forget(struct vt_vz_client *client, const void *user);

/* Fails every request under way with `why`: the connection is gone. */
void vt_vz_client_fail(struct vt_vz_client *client, const struct vt_error *why);

void vt_vz_client_feed(struct vt_vz_client *client, const char *data, size_t n);

#endif
