/* Machine code of the probe guests; sources in probe/. */
#ifndef VT_DRIVER_QEMU_PROBE_CODE_H
#define VT_DRIVER_QEMU_PROBE_CODE_H

#include <stddef.h>

extern const unsigned char vt_probe_x86_64[]; /* at f000:0000, entered there in real mode */
extern const size_t vt_probe_x86_64_size;
extern const unsigned char vt_probe_aarch64[]; /* at 0, entered there */
extern const size_t vt_probe_aarch64_size;

#endif
