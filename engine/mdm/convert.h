/* Property lists as JSON and back, in the form that vmtest/mdm.h describes. */
#ifndef VT_MDM_CONVERT_H
#define VT_MDM_CONVERT_H

#include <jansson.h>

#include "plist/tree.h"

/* A new value. Text that is not UTF-8 gets U+FFFD; what JSON has no word for (a UID) is its number.
 */
json_t *vt_plist_to_json(plist_t node);

/* VT_EINVAL names the place of what no property list can hold (null), or what is no base64 and no
 * date. *out is plist_free()d by the caller; NULL on failure. */
enum vt_code vt_plist_from_json(const json_t *value, const char *what, plist_t *out,
                                struct vt_error *err);

/* An ErrorChain (JSON) in words, a line each: "MCInstallationErrorDomain 4001: …". Appends nothing
 * where it is none. */
void vt_error_chain_text(const json_t *chain, struct vt_buf *out);

/* Seconds since 1970 of an RFC 3339 time ("2026-01-31T12:00:00.5+02:00"); 0 where it is none. */
double vt_time_read(const char *text);

#endif
