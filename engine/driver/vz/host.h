/* What the helper tells of its host, and whether this VM can run there. */
#ifndef VT_DRIVER_VZ_HOST_H
#define VT_DRIVER_VZ_HOST_H

#include "driver/vz/instance.h"

/* Takes the reply to `host`. */
void vt_vz_host_take(struct vt_vz *vz, const json_t *reply);

/* VT_EUNSUPPORTED where no VM can run there, or not this one; VT_ENOTFOUND for a bridge that is not
 * there. */
enum vt_code vt_vz_host_check(const struct vt_vz *vz, struct vt_error *err);

/* "macOS 15.1", or "?" before it is known. */
const char *vt_vz_host_version(const struct vt_vz *vz);

/* A digest that tells this machine from others: a saved state can be used on its own alone. */
void vt_vz_host_id(char out[65]);

/* Compares versions as "15.1" and "26.0.1": less than, equal to or greater than 0. */
int vt_vz_compare_versions(const char *a, const char *b);

#endif
