/* A backend of the vz helper in plain C: a VM that is nothing but a state. It answers from a thread
 * of its own, in order, each call after `vz_backend_delay` milliseconds where it is one that takes
 * time. */
#ifndef VT_TESTS_VZ_BACKEND_H
#define VT_TESTS_VZ_BACKEND_H

#include "vz/backend.h"

extern const struct vtz_backend vz_test_backend;
extern unsigned vz_backend_delay;

#endif
