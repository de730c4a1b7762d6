/* Runs a program to its end: bytes in, output back, within bounds. */
#ifndef VT_DEVICE_RUN_H
#define VT_DEVICE_RUN_H

#include "core/buf.h"
#include "vmtest/error.h"

#define VTD_RUN_MAX (1u << 20) /* bytes kept of each output; what is more is read and dropped */

struct vtd_run {
    int status; /* exit status, 128 + signal, or -1 where the deadline ended it (VT_ETIMEDOUT) */
    struct vt_buf out, err;
};

/* argv[0] is a path. env: "NAME=VALUE"…, NULL-terminated, beside this process's own. The program
 * and what it started are killed at the deadline. vtd_run_free() in every case. */
enum vt_code vtd_run(const char *const *argv, const char *const *env, const void *in, size_t n,
                     double seconds, struct vtd_run *run, struct vt_error *error);
void vtd_run_free(struct vtd_run *run);

#endif
