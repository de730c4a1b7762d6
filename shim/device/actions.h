/* What the device does to its system by a program in usr/lib/vmtest-device/actions (handlers.md),
 * so that nothing here is of one distribution. */
#ifndef VT_DEVICE_ACTIONS_H
#define VT_DEVICE_ACTIONS_H

#include "core/buf.h"
#include "device/chain.h"
#include "device/device.h"

#define VTD_ACTION_SECONDS 600.0

/* Runs the action with one argument (or NULL); its standard output is appended to out (or NULL). A
 * missing action is a fault, as is one that fails. */
bool vtd_action(const struct vtd *d, const char *name, const char *argument, struct vt_buf *out,
                struct vtd_chain *chain);

#endif
