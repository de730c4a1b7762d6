/* Durations and sizes as users write them. */
#ifndef VMTEST_UNITS_H
#define VMTEST_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"

/* "1.5", "90s", "250ms", "5m", "2h", "1h30m" -> seconds. A bare number is seconds.
 * VT_EINVAL where the text is anything else, negative, or more than a year. */
enum vt_code vt_parse_duration(const char *text, double *seconds, struct vt_error *err);

/* "1073741824", "512M", "4G", "1.5G", "64KiB" -> bytes. K, M, G and T are powers of 1024, with
 * or without "B" or "iB" behind them. VT_EINVAL where the text is anything else. */
enum vt_code vt_parse_size(const char *text, uint64_t *bytes, struct vt_error *err);

/* Writes "3.2s", "1m05s", "450ms" to out (at least 16 bytes); returns out. */
const char *vt_format_duration(char *out, size_t size, double seconds);

/* Writes "512 B", "1.5 GiB" to out (at least 16 bytes); returns out. */
const char *vt_format_size(char *out, size_t size, uint64_t bytes);

#endif
