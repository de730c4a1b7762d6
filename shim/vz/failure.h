/* ERROR of protocol.md. */
#ifndef VT_VZ_FAILURE_H
#define VT_VZ_FAILURE_H

#include <stdint.h>

#include "vmtest/error.h"

#define VTZ_DOMAIN "vmtest" /* ours; the others are Apple's */

enum vtz_code { /* of our domain; their names are in protocol.md */
                VTZ_BAD_REQUEST = 1,
                VTZ_WRONG_STATE,
                VTZ_UNSUPPORTED,
                VTZ_FILE,
                VTZ_BUSY,
                VTZ_INTERNAL
};

enum { VTZ_UNDERLYING_MAX = 4 };

/* All texts are its own. message NULL: no failure. */
struct vtz_failure {
    char *domain;
    int64_t code;
    char *message;
    char *reason, *recovery;        /* may be NULL */
    struct vtz_failure *underlying; /* may be NULL */
};

#define VTZ_FAILURE_INIT                                                                           \
    {                                                                                              \
        .message = NULL                                                                            \
    }

/* Sets a failure of our domain, unless it is set; the first one wins. */
void vtz_fail(struct vtz_failure *failure, enum vtz_code code, const char *fmt, ...)
    VT_PRINTF(3, 4);

void vtz_failure_clear(struct vtz_failure *failure);

#endif
