/* From what the user named to suite files. */
#ifndef VT_RUN_PLAN_H
#define VT_RUN_PLAN_H

#include <stddef.h>

#include "vmtest/error.h"

struct vt_suite {
    char *path; /* absolute */
    char *name; /* as the user named it; below a folder, with the folder's name before it */
};

/* Expands files and folders. A folder stands for every *.lua file in it and below, sorted, but
 * for names that begin with "." or "_" and folders named "lib": these hold modules. The same file
 * named twice is one suite. VT_ENOTFOUND for what does not exist, with the nearest name beside
 * it; VT_EINVAL for a folder without any suite. */
enum vt_code vt__plan(const char *const *names, struct vt_suite **suites, size_t *count,
                      struct vt_error *err);
void vt__plan_free(struct vt_suite *suites, size_t count);

#endif
