/* Diagnostics of the process itself (never data, never a test's result). */
#ifndef VMTEST_LOG_H
#define VMTEST_LOG_H

#include "vmtest/error.h"

enum vt_log_level { VT_LOG_ERROR, VT_LOG_WARNING, VT_LOG_INFO, VT_LOG_DEBUG };

/* `text` is one message without a newline, valid during the call. */
typedef void (*vt_log_fn)(enum vt_log_level level, const char *text, void *user);

/* Where messages go; NULL restores the default: "vmtest: warning: ..." on stderr. */
void vt_log_set_sink(vt_log_fn fn, void *user);

/* What is printed at most; default VT_LOG_WARNING, or VT_LOG_DEBUG where VMTEST_DEBUG is set. */
void vt_log_set_level(enum vt_log_level level);

void vt_log(enum vt_log_level level, const char *fmt, ...) VT_PRINTF(2, 3);

#endif
