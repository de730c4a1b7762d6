/* Stream sockets that have a path (unix sockets). */
#ifndef VT_CORE_SOCKET_H
#define VT_CORE_SOCKET_H

#include <stdbool.h>

#include "vmtest/error.h"

/* False where a socket's address cannot hold this path: about 100 bytes. */
bool vt_socket_path_fits(const char *path);

/* A socket that listens at `path`, in place of whatever was there; so many connections may wait.
 * A descriptor (close-on-exec), or -1 with *err set: VT_EINVAL where the path does not fit. */
int vt_socket_listen(const char *path, int waiting, const char *op, struct vt_error *err);

/* A connection to one, made at once or not at all: VT_EBUSY where too many wait already. A
 * descriptor (close-on-exec, non-blocking), or -1 with *err set. */
int vt_socket_connect(const char *path, const char *op, struct vt_error *err);

#endif
