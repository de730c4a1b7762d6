/* What the files of lint share. */
#ifndef VT_PROFILE_LINT_H
#define VT_PROFILE_LINT_H

#include "profile/doc.h"
#include "profile/facts.h"
#include "profile/findings.h"

#define VT_LINT_MAX_OS 16
#define VT_LINT_MAX_LISTS 16 /* entries of one payload type */

struct vt_lint {
    const struct vt_profile *profile;
    const struct vt_facts *facts;
    struct vt_findings *out;
    char *versions; /* that os points into */
    const char *os[VT_LINT_MAX_OS];
    size_t n_os;
    const char *type;   /* of the payload at hand */
    struct vt_buf path; /* of what is at hand */
};

/* Goes into a key or an index; the result goes to vt_lint_leave(). */
size_t vt_lint_enter(struct vt_lint *l, const char *key);
size_t vt_lint_enter_index(struct vt_lint *l, size_t i);
void vt_lint_leave(struct vt_lint *l, size_t mark);

/* Says where `what` (a noun: "the key") cannot be used, by its own availability. */
void vt_lint_available(struct vt_lint *l, const struct vt_availability *a, plist_t node,
                       const char *what);

/* True where it is there in at least one of the versions asked for. */
bool vt_lint_applies(const struct vt_lint *l, const struct vt_availability *a);

/* Checks a dictionary against the keys of these lists (any of them may have a key; only what all of
 * them require is required). `payload`: the keys common to payloads are known, too. */
void vt_lint_dict(struct vt_lint *l, const int *lists, size_t n, plist_t dict, bool payload);

#endif
