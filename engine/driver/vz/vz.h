/* The vz driver: Apple's Virtualization framework, by the helper vmtest-vz (shim/vz). */
#ifndef VT_DRIVER_VZ_VZ_H
#define VT_DRIVER_VZ_VZ_H

struct vt_driver;

extern const struct vt_driver vt_vz_driver;

#endif
