/* The agent channel: shim/agent in the guest, over a virtio-serial port (or vsock) that the
 * hypervisor offers as a unix socket. Protocol: shim/agent/protocol.md. */
#ifndef VT_GUEST_AGENT_H
#define VT_GUEST_AGENT_H

#include "guest/channel.h"

struct vt_agent_config {
    const char *socket_path; /* the host's end: a listening unix socket */
};

/* Copies the configuration. VT_EINVAL with *err set (and NULL) where it is incomplete. */
struct vt_channel *vt_agent_new(struct vt_loop *loop, const struct vt_agent_config *config,
                                struct vt_error *err);

#endif
