/* Descriptors and Unix sockets. */
#ifndef VT_VZ_SOCKETS_H
#define VT_VZ_SOCKETS_H

#include <stdbool.h>

#include "vz/failure.h"

/* Both flags that every descriptor of the loop has: it does not block, and programs do not inherit
 * it. */
void vtz_nonblocking(int fd);

/* A pipe whose ends programs do not inherit. */
bool vtz_pipe(int ends[2]);

/* A listening Unix socket of mode 0600 at a path that does not exist; -1 with *failure set. */
int vtz_listen(const char *path, struct vtz_failure *failure);

/* The next connection, ready for the loop; -1: none. */
int vtz_accept(int listener);

#endif
