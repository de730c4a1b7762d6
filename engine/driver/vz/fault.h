/* What vmtest-vz and Apple's framework call an error, as one of ours. */
#ifndef VT_DRIVER_VZ_FAULT_H
#define VT_DRIVER_VZ_FAULT_H

#include <jansson.h>

#include "vmtest/error.h"

/* Makes an error of the `error` member of a refusal to `op` (ERROR in shim/vz/protocol.md), with
 * what to do about it where that is known. NULL, or what is no such object, is VT_EHYPERVISOR. */
enum vt_code vt_vz_fault(const json_t *error, const char *op, struct vt_error *err);

#endif
