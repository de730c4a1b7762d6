/* Where an NBD disk is: the URLs of the NBD project (doc/uri.md there), without TLS. */
#ifndef VT_DRIVER_QEMU_NBD_H
#define VT_DRIVER_QEMU_NBD_H

#include <jansson.h>

#include "vmtest/error.h"

#define VT_NBD_PORT "10809"

struct vt_nbd {
    char *host, *port; /* of TCP; port never NULL there */
    char *socket;      /* of a unix socket; then host is NULL */
    char *export;      /* "" for the default one */
};

/* Reads "nbd://host[:port][/export]" or "nbd+unix:///[export]?socket=PATH", with %XX decoded.
 * VT_EINVAL says what is wrong. vt_nbd_clear() frees it. */
enum vt_code vt_nbd_parse(const char *url, struct vt_nbd *out, struct vt_error *err);
void vt_nbd_clear(struct vt_nbd *nbd);

/* QEMU's BlockdevOptions for it, without a node name. A new reference. */
json_t *vt_nbd_blockdev(const struct vt_nbd *nbd);

#endif
