/* Folders of the host for the guest behind the fake framework, each served by a virtiofsd, which
 * ends with its one connection. */
#ifndef VT_TESTS_SHIM_QEMU_SHARES_H
#define VT_TESTS_SHIM_QEMU_SHARES_H

#include "guest.h"

/* Serves one share on this abstract socket; the process's id, or -1 with why. */
int qemu_share_serve(const struct guest_share *share, const char *socket_name, char why[GUEST_WHY]);

#endif
