#include "vmtest/log.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/buf.h"
#include "core/text.h"

static const char *const level_names[] = {
    [VT_LOG_ERROR] = "error",
    [VT_LOG_WARNING] = "warning",
    [VT_LOG_INFO] = "info",
    [VT_LOG_DEBUG] = "debug",
};

static vt_log_fn sink;
static void *sink_user;
static int max_level = -1;

void vt_log_set_sink(vt_log_fn fn, void *user)
{
    sink = fn;
    sink_user = user;
}

void vt_log_set_level(enum vt_log_level level)
{
    max_level = (int)level;
}

void vt_log(enum vt_log_level level, const char *fmt, ...)
{
    if (max_level < 0)
        max_level = getenv("VMTEST_DEBUG") ? VT_LOG_DEBUG : VT_LOG_WARNING;
    if ((int)level > max_level)
        return;
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    vt_text_printable(text);
    if (sink)
        sink(level, text, sink_user);
    else
        fprintf(stderr, "vmtest: %s: %s\n", level_names[level], text);
}
