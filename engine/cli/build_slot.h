/* The slot of a recipe that starts a macOS guest by itself (`# needs: macos_guest`): one of the few
 * that this host has for them, which it would else take without vmtest's other processes knowing.
 */
#ifndef VT_CLI_BUILD_SLOT_H
#define VT_CLI_BUILD_SLOT_H

#include "vm/lease.h"

/* Takes it for a build of the image `name`, waiting up to `wait` seconds: told on standard error.
 * Fails as vt_lease_take() does, and with VT_ECANCELED where a signal comes that the caller holds
 * back (vt_signals_hold()). The caller owns *lease. */
enum vt_code vt_build_slot_take(const char *name, double wait, struct vt_lease **lease,
                                struct vt_error *err);

#endif
