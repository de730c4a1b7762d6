#ifndef VT_DRIVER_SIM_H
#define VT_DRIVER_SIM_H

#include "vm/driver.h"

extern const struct vt_driver vt_sim_driver;

#endif
