/* A machine that exists already and is reached by ssh alone: a physical test Mac, a cloud host.
 *
 * vmtest runs commands and moves files there, and nothing else: it is never powered off, reset or
 * put back, and what a suite does to it stays. Options: docs/drivers.md. */
#ifndef VT_DRIVER_SSH_DRIVER_H
#define VT_DRIVER_SSH_DRIVER_H

#include "vm/driver.h"

extern const struct vt_driver vt_ssh_driver;

#endif
