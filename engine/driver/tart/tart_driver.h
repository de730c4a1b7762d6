/* VMs of Tart, by its command line: macOS and Linux guests on Macs with Apple silicon.
 *
 * A VM is a clone that `tart run` runs, tied to its worker. Options, traps: docs/drivers.md. */
#ifndef VT_DRIVER_TART_DRIVER_H
#define VT_DRIVER_TART_DRIVER_H

#include "vm/driver.h"

extern const struct vt_driver vt_tart_driver;

#endif
