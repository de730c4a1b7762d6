/* SHA-256 of what is in memory. */
#ifndef VT_DRIVER_VZ_DIGEST_H
#define VT_DRIVER_VZ_DIGEST_H

#include <stddef.h>

/* In lowercase hexadecimal. */
void vt_vz_digest(const void *data, size_t n, char out[65]);

#endif
