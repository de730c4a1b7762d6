/* Serves on a Unix socket till it is told to end. */
#ifndef VT_VZ_SERVE_H
#define VT_VZ_SERVE_H

#include "vz/backend.h"

struct vtz_serve {
    const char *socket;
    int tie; /* -1: none */
    const struct vtz_backend *backend;
};

/* The exit code; 1 with *failure set where it could not begin. */
int vtz_serve(const struct vtz_serve *options, struct vtz_failure *failure);

/* The reply of `host` on standard output, without a socket; the exit code. */
int vtz_check(const struct vtz_backend *backend, struct vtz_failure *failure);

#endif
