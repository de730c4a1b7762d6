/* What the two files of the kind "nanomdm" share. */
#ifndef VT_MDM_NANOMDM_H
#define VT_MDM_NANOMDM_H

#include "http/client.h"
#include "http/server.h"
#include "mdm/server.h"
#include "mdm/webhook.h"

struct vt_nanomdm {
    struct vt_mdm mdm;
    struct vt_http_client *client;
    struct vt_http_server *listener;
    struct vt_hook hook;
    char *key, *hmac, *ca_file;
};

/* Begins a request to the API; `path` begins with "/". */
struct vt_op *vt__nanomdm_send(struct vt_nanomdm *n, const char *method, const char *path,
                               const void *body, size_t size, double timeout, vt_op_fn done,
                               void *user, struct vt_error *err);

void vt__nanomdm_look(struct vt_mdm *mdm, struct vt_mdm_request *r);
void vt__nanomdm_drop(struct vt_mdm *mdm, struct vt_mdm_request *r, struct vt_error *why);

#endif
