/* The serial console: the helper appends what the guest says to a file, state_dir/console.log (a
 * link to the configured one, if any), and listens on console.log.in for what it is to read. */
#ifndef VT_DRIVER_VZ_CONSOLE_H
#define VT_DRIVER_VZ_CONSOLE_H

#include "driver/vz/instance.h"

/* Makes vz->console where it is not there. */
enum vt_code vt_vz_console_prepare(struct vt_vz *vz, struct vt_error *err);

/* Tells vm what comes from now on. */
struct vt_vz_console *vt_vz_console_open(struct vt_vz *vz);

/* Tells the last of it. NULL is fine. */
void vt_vz_console_close(struct vt_vz_console *console);

enum vt_code vt_vz_console_write(void *instance, const void *data, size_t n, struct vt_error *err);

#endif
