/* Servers that tell what happens by a webhook of NanoMDM's form: the listener in this process, and
 * the requests that are answered from what it was told. */
#ifndef VT_MDM_HOOKED_H
#define VT_MDM_HOOKED_H

#include "http/server.h"
#include "mdm/remote.h"
#include "mdm/webhook.h"

/* The first member of such a driver's own struct. */
struct vt_hooked {
    struct vt_remote remote;
    struct vt_http_server *listener;
    struct vt_hook hook;
    char *hmac;        /* what calls are signed with; NULL: every call is believed */
    const char *known; /* how a device that enrolled before becomes known: a hint */
};

/* As vt__remote_init() and vt__remote_clear(); listens. */
enum vt_code vt__hooked_init(struct vt_hooked *h, const struct vt_mdm_class *cls,
                             const char *product, struct vt_loop *loop,
                             const struct vt_mdm_opts *opts, struct vt_error *err);
void vt__hooked_clear(struct vt_hooked *h);

/* "devices", "wait_device" and "wait_answer". */
void vt__hooked_devices(struct vt_hooked *h, struct vt_mdm_request *r);
void vt__hooked_wait_device(struct vt_hooked *h, struct vt_mdm_request *r);
void vt__hooked_wait_answer(struct vt_hooked *h, struct vt_mdm_request *r);

/* VT_OK where commands can be queued for the device. */
enum vt_code vt__hooked_ready(const struct vt_hooked *h, const char *udid, struct vt_error *err);

/* Begins "enqueue": makes a CommandUUID up, or sees that the given one is new, and the body. */
enum vt_code vt__hooked_command(struct vt_hooked *h, struct vt_mdm_request *r, struct vt_buf *body,
                                struct vt_error *err);

/* Ends it: the server has the command. problem NULL: it was pushed. */
void vt__hooked_queued(struct vt_hooked *h, struct vt_mdm_request *r, const char *problem);

/* The class's `drop`. */
void vt__hooked_drop(struct vt_mdm *mdm, struct vt_mdm_request *r, struct vt_error *why);

#endif
