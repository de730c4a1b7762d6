/* Compiles Apple's schema (YAML, read by libyaml) to the text of a table of facts (facts.h). Only
 * facts are taken: names, types, presence, ranges, versions and flags of macOS; no description. */
#ifndef VT_PROFILE_SCHEMA_H
#define VT_PROFILE_SCHEMA_H

#include "core/buf.h"
#include "vmtest/error.h"

/* One file's text, appended: its type line to `types`, its lists to `lists`, of which *count were
 * there before. `what` names the file in messages. */
enum vt_code vt_schema_compile(const void *yaml, size_t n, const char *what, struct vt_buf *types,
                               struct vt_buf *lists, int *count, struct vt_error *err);

#endif
