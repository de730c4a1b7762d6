/* The macOS Security Compliance Project (mSCP, NIST; CC BY 4.0): its baselines as suites.
 *
 * A checkout has baselines/NAME.yaml, which lists rules by their ids, and rules/SECTION/ID.yaml.
 * Of a rule are used: `check` (shell) and `result` (what that prints), `fix` (shell, within
 * AsciiDoc), `mobileconfig_info` (payload type → settings), and `odv`, the organization-defined
 * value that replaces $ODV in all of them. */
#ifndef VT_MSCP_MSCP_H
#define VT_MSCP_MSCP_H

#include <plist/plist.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "vmtest/error.h"

/* Its settings are those of domains, one level deeper than those of other payload types. */
#define VT_MSCP_PREFERENCES "com.apple.ManagedClient.preferences"

struct vt_mscp_rule {
    char *id, *title, *section, *severity; /* severity NULL: the rule has none */
    char *check, *expected;                /* NULL: there is no check, a person is to look */
    char *fix;                             /* shell; NULL: by a profile, or by a person */
    plist_t settings;                      /* payload type → its keys; NULL: no profile. of
                                              VT_MSCP_PREFERENCES: domain → its keys */
    char *odv;                             /* the value that was put in; NULL: it has none */
};

/* A rule that no test can be made of, and why. */
struct vt_mscp_left {
    char *id, *why;
};

struct vt_mscp_baseline {
    char *name, *title, *version; /* version: of VERSION.yaml, "" where it is not there */
    struct vt_mscp_rule *rules;   /* in the baseline's order */
    size_t count;
    struct vt_mscp_left *left;
    size_t left_count;
};

/* The value of a rule's $ODV, instead of the baseline's own. */
struct vt_mscp_odv {
    const char *rule, *value;
};

/* Reads baselines/NAME.yaml of a checkout and its rules. VT_ENOTFOUND where DIR is no checkout, or
 * for a baseline that it does not have (the nearest name as a hint); VT_EINVAL for a broken file,
 * and for an odv whose rule is not in the baseline or has none. *out is vt_mscp_free()d. */
enum vt_code vt_mscp_load(const char *dir, const char *name, const struct vt_mscp_odv *odv,
                          size_t odv_count, struct vt_mscp_baseline **out, struct vt_error *err);
void vt_mscp_free(struct vt_mscp_baseline *baseline);

/* One configuration profile for each payload type: the settings of all rules together. Lists are
 * joined; of two values for one key the first counts. */
struct vt_mscp_profile {
    char *type;       /* payload type */
    char *identifier; /* PayloadIdentifier of the profile */
    plist_t settings; /* as in a rule */
    struct vt_buf mobileconfig;
};

struct vt_mscp_profiles {
    struct vt_mscp_profile *v;
    size_t count;
    char **conflicts; /* what was not taken: a line each */
    size_t conflict_count;
};

/* The same baseline gives the same bytes: UUIDs are made from identifiers. */
enum vt_code vt_mscp_make_profiles(const struct vt_mscp_baseline *baseline,
                                   struct vt_mscp_profiles *out, struct vt_error *err);
void vt_mscp_profiles_free(struct vt_mscp_profiles *profiles);

/* Appends the suite: Lua that installs the profiles (profiles/TYPE.mobileconfig beside it), runs
 * the fixes, and has a test for each rule. `image` is what its VMs are made of. */
void vt_mscp_write_suite(const struct vt_mscp_baseline *baseline,
                         const struct vt_mscp_profiles *profiles, const char *image,
                         struct vt_buf *out);

#endif
