/* The command line of the QEMU behind the fake framework. */
#ifndef VT_TESTS_SHIM_QEMU_ARGV_H
#define VT_TESTS_SHIM_QEMU_ARGV_H

#include "core/args.h"
#include "guest.h"

/* `share_sockets`: the abstract socket where each share is served. */
void qemu_argv(struct vt_args *args, const struct guest_config *config, char **share_sockets);

#endif
