#ifndef VT_DRIVER_QEMU_H
#define VT_DRIVER_QEMU_H

#include "vm/driver.h"

extern const struct vt_driver vt_qemu_driver;

#endif
