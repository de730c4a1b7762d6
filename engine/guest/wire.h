/* The socket beneath a channel's protocol: what comes is read straight into the protocol's own
 * buffer, and what it may not send yet waits here. */
#ifndef VT_GUEST_WIRE_H
#define VT_GUEST_WIRE_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/buf.h"
#include "vmtest/loop.h"

/* There is room to send, or, where `readable`, something to receive. broken: NULL, or why the
 * socket is of no more use. From the loop; vt__wire_close() may be called. */
typedef void (*vt__wire_fn)(void *user, const char *broken, bool readable);

/* A part of the connection, which stays where it is. */
struct vt__wire {
    struct vt_buf out; /* what is to be sent is appended to this */
    size_t sent;       /* bytes at its beginning that are gone */
    int fd, events;    /* events: those that are watched for */
    struct uv_poll_s *poll;
    vt__wire_fn fn;
    void *user;
};

/* Takes over fd (connected, non-blocking), also where it fails: VT_EIO. */
enum vt_code vt__wire_open(struct vt__wire *w, struct vt_loop *loop, int fd, const char *op,
                           vt__wire_fn fn, void *user, struct vt_error *err);

/* No callback comes any more; what was not sent is dropped. */
void vt__wire_close(struct vt__wire *w);

/* Has fn called when what waits can be sent, and, where `reads`, when something has come. To be
 * said anew whenever one of these changes. */
void vt__wire_watch(struct vt__wire *w, bool reads);

/* Bytes that wait to be sent. */
size_t vt__wire_unsent(const struct vt__wire *w);

/* Sends what can be sent now. NULL, or why the socket is of no more use. */
const char *vt__wire_flush(struct vt__wire *w);

/* Receives up to `size` bytes: their number; 0: none for now; -1: *broken tells why the socket is
 * of no more use, or is NULL where the other side has closed it. */
ssize_t vt__wire_receive(struct vt__wire *w, void *data, size_t size, const char **broken);

#endif
