/* The vsock relay: each connection to one of CONFIG's Unix sockets becomes one to a port of the
 * guest. */
#ifndef VT_VZ_RELAY_H
#define VT_VZ_RELAY_H

#include <stdbool.h>

#include "vz/backend.h"

enum { VTZ_RELAYS_MAX = 128, VTZ_RELAY_BUFFER = 65536 };

/* Listens on all sockets of the configuration; on none where one fails (false, *failure set). The
 * configuration stays till vtz_relay_close(). */
bool vtz_relay_open(const struct vtz_config *config, const struct vtz_backend *backend,
                    struct vtz_failure *failure);

/* Ends all connections and removes the sockets. */
void vtz_relay_close(void);

#endif
