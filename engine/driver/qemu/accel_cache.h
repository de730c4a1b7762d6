/* What probes found, in HOME/cache/accel.json. Missing, foreign or broken content is no error: it
 * only costs a probe. */
#ifndef VT_DRIVER_QEMU_ACCEL_CACHE_H
#define VT_DRIVER_QEMU_ACCEL_CACHE_H

#include <stdbool.h>

struct vt_accel_known {
    char *version; /* of this QEMU; NULL: not known yet */
    bool probed;   /* the two below are known */
    bool works;
    char *reason;
};

/* Looks up `accel` for the QEMU at this path. Stale entries (another boot of the host, another
 * file at this path, a failure older than an hour) count as unknown. */
void vt_accel_cache_get(const char *qemu, const char *accel, struct vt_accel_known *out);
void vt_accel_cache_put(const char *qemu, const char *accel, const struct vt_accel_known *known);
void vt_accel_known_clear(struct vt_accel_known *known);

#endif
