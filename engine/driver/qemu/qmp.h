/* The QEMU machine protocol (docs/interop/qmp-spec.txt of QEMU): one JSON object per line, a
 * greeting, then commands with replies, and events at any time. This is the protocol alone: bytes
 * come by vt_qmp_feed() and go by the `write` callback. */
#ifndef VT_DRIVER_QEMU_QMP_H
#define VT_DRIVER_QEMU_QMP_H

#include <jansson.h>
#include <stddef.h>

#include "vmtest/error.h"

#define VT_QMP_LINE_MAX ((size_t)4 << 20) /* a longer line ends the session with VT_EPROTO */

struct vt_qmp;

struct vt_qmp_handler {
    void (*write)(const char *data, size_t n, void *user);
    void (*event)(const char *name, const json_t *data, void *user); /* data is never NULL */
    /* The peer broke the protocol; every later byte is ignored. Called once at most. */
    void (*broken)(const struct vt_error *why, void *user);
    void *user;
};

/* One of result and why is NULL. Both belong to the session and are gone on return. */
typedef void (*vt_qmp_reply_fn)(const json_t *result, const struct vt_error *why, void *user);

/* Copies the handler. */
struct vt_qmp *vt_qmp_new(const struct vt_qmp_handler *handler);

/* Drops every command under way, without a reply. Also from within a callback of this session. */
void vt_qmp_free(struct vt_qmp *qmp);

/* Sends a command. Takes over `arguments` (may be NULL). fn may be NULL. An error of QEMU comes as
 * VT_EHYPERVISOR with its own text. */
void vt_qmp_command(struct vt_qmp *qmp, const char *name, json_t *arguments, vt_qmp_reply_fn fn,
                    void *user);

/* Replies for this `user` are dropped from now on. */
void vt_qmp_forget(struct vt_qmp *qmp, const void *user);

/* Fails every command under way with `why`: the connection is gone. */
void vt_qmp_fail(struct vt_qmp *qmp, const struct vt_error *why);

void vt_qmp_feed(struct vt_qmp *qmp, const char *data, size_t n);

/* QEMU's version of the greeting, "7.2.22", or "" before it. */
const char *vt_qmp_version(const struct vt_qmp *qmp);

#endif
