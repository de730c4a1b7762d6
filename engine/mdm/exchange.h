/* One request and its reply, as the files of the protocol hand them on. */
#ifndef VT_MDM_EXCHANGE_H
#define VT_MDM_EXCHANGE_H

#include "mdm/protocol.h"
#include "plist/tree.h"

struct vt_exchange {
    struct vt_store *store;
    const struct vt_protocol_request *request;
    struct vt_protocol_reply *reply;
    plist_t body; /* a dictionary */
    char udid[130];
    struct vt_cert_row cert;     /* known, valid, and not another device's */
    struct vt_device_row device; /* d.udid NULL: the server knows no such device */
    bool user_channel;
    json_t *events; /* told once all is in the store */
};

/* Each returns VT_OK where the reply is made, refusals included; else *err is set, nothing of it
 * is kept, and the device gets a 500. */
enum vt_code vt__checkin(struct vt_exchange *x, const char *type, struct vt_error *err);
enum vt_code vt__report(struct vt_exchange *x, const char *status, struct vt_error *err);
enum vt_code vt__declarative(struct vt_exchange *x, struct vt_error *err);

/* Refuses: nothing but the status goes to the device, the reason into the event. */
enum vt_code vt__refuse(struct vt_exchange *x, int status, const char *fmt, ...) VT_PRINTF(3, 4);

/* Remembers an event (and takes it over). */
void vt__happened(struct vt_exchange *x, json_t *event);

#endif
