#include "vmtest/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

static const char *const code_names[VT_CODE_COUNT_] = {
    [VT_OK] = "ok",
    [VT_EINVAL] = "invalid",
    [VT_ENOTFOUND] = "not_found",
    [VT_ETIMEDOUT] = "timeout",
    [VT_ECANCELED] = "canceled",
    [VT_EUNSUPPORTED] = "unsupported",
    [VT_ESTATE] = "state",
    [VT_EIO] = "io",
    [VT_ENOSPC] = "no_space",
    [VT_EGUEST] = "guest",
    [VT_EAUTH] = "auth",
    [VT_EHOSTKEY] = "host_key",
    [VT_EHYPERVISOR] = "hypervisor",
    [VT_EIMAGE] = "image",
    [VT_EBUSY] = "busy",
    [VT_ELIMIT] = "limit",
    [VT_EPROTO] = "protocol",
    [VT_EINTERNAL] = "internal",
};

const char *vt_code_name(enum vt_code code)
{
    if ((unsigned)code >= VT_CODE_COUNT_)
        return "unknown";
    return code_names[code];
}

static void set(struct vt_error *err, enum vt_code code, int sys, const char *op)
{
    *err = (struct vt_error){.code = code, .sys = sys};
    snprintf(err->op, sizeof err->op, "%s", op ? op : "");
}

enum vt_code vt_fail(struct vt_error *err, enum vt_code code, const char *op, const char *fmt, ...)
{
    if (!err || err->code)
        return code;
    set(err, code, 0, op);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
    vt_text_printable(err->message);
    return code;
}

enum vt_code vt_fail_sys(struct vt_error *err, int sys, const char *op, const char *fmt, ...)
{
    enum vt_code code = VT_EIO;
    if (sys == ENOSPC || sys == EDQUOT)
        code = VT_ENOSPC;
    else if (sys == ENOENT)
        code = VT_ENOTFOUND;
    if (!err || err->code)
        return code;
    set(err, code, sys, op);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
    vt_text_printable(err->message);
    vt_error_append(err, ": %s", strerror(sys));
    if (code == VT_ENOSPC)
        vt_hint(err, "free some space there, or put VMTEST_HOME on a larger disk");
    return code;
}

void vt_hint(struct vt_error *err, const char *fmt, ...)
{
    if (!err || !err->code || err->hint[0])
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->hint, sizeof err->hint, fmt, ap);
    va_end(ap);
    vt_text_printable(err->hint);
}

void vt_error_append(struct vt_error *err, const char *fmt, ...)
{
    if (!err || !err->code)
        return;
    size_t used = strlen(err->message);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->message + used, sizeof err->message - used, fmt, ap);
    va_end(ap);
    vt_text_printable(err->message);
}

enum vt_code vt_error_copy(struct vt_error *to, const struct vt_error *from)
{
    if (to && !to->code)
        *to = *from;
    return from->code;
}
