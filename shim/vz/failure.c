#include "vz/failure.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/mem.h"
#include "core/text.h"

void vtz_fail(struct vtz_failure *failure, enum vtz_code code, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    if (failure->message)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    vt_text_printable(text);
    failure->domain = vt_strdup(VTZ_DOMAIN);
    failure->code = code;
    failure->message = vt_strdup(text);
}

void vtz_failure_clear(struct vtz_failure *failure)
{
    struct vtz_failure *below = failure->underlying;
    vt_free(failure->domain);
    vt_free(failure->message);
    vt_free(failure->reason);
    vt_free(failure->recovery);
    *failure = (struct vtz_failure)VTZ_FAILURE_INIT;
    if (below) {
        vtz_failure_clear(below); /* at most VTZ_UNDERLYING_MAX deep */
        vt_free(below);
    }
}
