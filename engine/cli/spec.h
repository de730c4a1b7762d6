/* "size=1G,bus=nvme,read-only": a part of a VM's configuration as an option's value. */
#ifndef VT_CLI_SPEC_H
#define VT_CLI_SPEC_H

#include <jansson.h>
#include <stddef.h>

#include "vmtest/error.h"

/* Reads words between commas, each KEY=VALUE, or KEY alone for one that is true; a comma within a
 * value is doubled, '-' in a key is '_'. `flags` (NULL-terminated) are the keys that take yes, no,
 * true, false, on, off, or nothing. *out is a new object of texts and booleans. VT_EINVAL. */
enum vt_code vt_spec_parse(const char *text, const char *const *flags, json_t **out,
                           struct vt_error *err);

/* "8080:80" (port of the host, port of the guest) or "80" (a free port of the host). */
enum vt_code vt_spec_forward(const char *text, json_t **out, struct vt_error *err);

#endif
