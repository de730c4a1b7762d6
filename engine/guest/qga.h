/* The channel by the QEMU guest agent (its own protocol: JSON lines, docs/interop/qemu-ga.rst of
 * QEMU), for images that have it instead of vmtest's own. */
#ifndef VT_GUEST_QGA_H
#define VT_GUEST_QGA_H

#include "guest/channel.h"

struct vt_qga_config {
    const char *socket_path; /* the host's end of the port org.qemu.guest_agent.0 */
};

/* Copies the configuration. VT_EINVAL with *err set (and NULL) where it is incomplete. */
struct vt_channel *vt_qga_new(struct vt_loop *loop, const struct vt_qga_config *config,
                              struct vt_error *err);

#endif
