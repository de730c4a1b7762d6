/* The protocol of vmtest-vz (shim/vz/protocol.md), the client's side, as a dialect of monitors. An
 * event's data stands beside its name; a result is the whole reply; a refusal comes as the error
 * that vt_vz_fault() makes of it. A helper of another version of the protocol is VT_EPROTO. */
#ifndef VT_DRIVER_VZ_CLIENT_H
#define VT_DRIVER_VZ_CLIENT_H

#include "vm/monitor.h"

#define VT_VZ_PROTOCOL 1
#define VT_VZ_LINE_MAX ((size_t)1 << 20)

extern const struct vt_monitor_dialect vt_vz_client;

#endif
