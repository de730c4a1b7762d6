/* Making findings. */
#ifndef VT_PROFILE_FINDINGS_H
#define VT_PROFILE_FINDINGS_H

#include "profile/doc.h"

/* The rules: their ids, severities and texts are in rules.c alone. */
enum vt_rule_id {
    VT_RULE_UNREADABLE,
    VT_RULE_NOT_A_PROFILE,
    VT_RULE_BLANKS_FIRST,
    VT_RULE_DUPLICATE_KEY,
    VT_RULE_MISSING_KEY,
    VT_RULE_MISSING_VERSION,
    VT_RULE_INVALID_UUID,
    VT_RULE_DUPLICATE_UUID,
    VT_RULE_DUPLICATE_IDENTIFIER,
    VT_RULE_UNKNOWN_TYPE,
    VT_RULE_UNKNOWN_KEY,
    VT_RULE_WRONG_TYPE,
    VT_RULE_NOT_IN_LIST,
    VT_RULE_OUT_OF_RANGE,
    VT_RULE_INTRODUCED_LATER,
    VT_RULE_DEPRECATED,
    VT_RULE_REMOVED,
    VT_RULE_NOT_ON_MACOS,
    VT_RULE_WRONG_CHANNEL,
    VT_RULE_SINGLE_INSTANCE,
    VT_RULE_USER_APPROVED,
    VT_RULE_SUPERVISED,
    VT_RULE_NEEDS_MDM,
    VT_RULE_NOT_IN_VM,
    VT_RULE_BAD_SIGNATURE,
    VT_RULE_ENCRYPTED,
    VT_RULE_CONFLICT,
    VT_RULE_SAME_IDENTIFIER,
    VT_RULE_SAME_UUID,
    VT_RULE_SINGLE_INSTANCE_TWICE,
    VT_RULE_MOST_RESTRICTIVE,
    VT_RULE_FORECAST_GONE,
    VT_RULE_FORECAST_REMOVED,
    VT_RULE_FORECAST_DEPRECATED,
    VT_RULE_FORECAST_CHANGED,
    VT_RULE_FORECAST_ADDED,
    VT_RULE_COUNT_
};

/* Adds one, of the profile p at `path`, with the place of `node` (NULL: none). The finding it
 * returns may be completed; it is valid till the next is added. */
struct vt_finding *vt_find(struct vt_findings *f, enum vt_rule_id rule, const struct vt_profile *p,
                           const char *path, plist_t node, const char *fmt, ...) VT_PRINTF(6, 7);
void vt_find_hint(struct vt_finding *finding, const char *fmt, ...) VT_PRINTF(2, 3);

/* Drops those from the n-th on. */
void vt_findings_cut(struct vt_findings *f, size_t n);

#endif
