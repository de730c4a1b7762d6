/* The table of facts in memory, and its text.
 *
 * The text: lines of fields with a tab between; "#" begins a comment.
 *   name  NAME
 *   type  PAYLOADTYPE  ATTRIBUTE...          one for each file of the schema
 *   list                                     begins list 0, 1, …: the keys of one dictionary
 *   key   NAME  TYPE  PRESENCE  ATTRIBUTE... PRESENCE: required, optional or -
 * ATTRIBUTE: sub:LIST (its keys, or an array's values), in:, dep:, rm: (introduced, deprecated,
 * removed, of macOS), is:VALUE (one of a list), min:, max:, and y or n for multi: (several payloads
 * of the type), dev:, usr: (channels), uamdm: (needs user-approved MDM), sup: (needs supervision),
 * manual: (may be installed by hand). What is not said is inherited from above. A list may hold
 * itself: some payloads are recursive. */
#ifndef VT_PROFILE_FACTS_H
#define VT_PROFILE_FACTS_H

#include "core/buf.h"
#include "plist/tree.h"
#include "vmtest/profile.h"

enum vt_flag { VT_UNSAID, VT_FLAG_YES, VT_FLAG_NO };

struct vt_availability {
    const char *introduced, *deprecated, *removed; /* "15.0"; introduced also "n/a", "all"; NULL */
    enum vt_flag multiple, device, user, user_approved, supervised, manual;
};

enum vt_fact_kind {
    VT_KIND_ANY,
    VT_KIND_STRING,
    VT_KIND_INTEGER,
    VT_KIND_BOOLEAN,
    VT_KIND_REAL,
    VT_KIND_ARRAY,
    VT_KIND_DICTIONARY,
    VT_KIND_DATA,
    VT_KIND_DATE,
    VT_KIND_COUNT_
};
const char *vt_kind_name(enum vt_fact_kind kind);
bool vt_kind_fits(enum vt_fact_kind kind, plist_t value);

struct vt_fact {
    const char *name; /* "ANY": any key */
    enum vt_fact_kind kind;
    bool required;
    struct vt_availability availability;
    const char *min, *max; /* numbers, or NULL */
    const char **one_of;
    size_t n_one_of;
    int sub; /* list, or -1 */
};

struct vt_fact_list {
    struct vt_fact *keys;
    size_t n;
};

struct vt_fact_type {
    const char *name;
    struct vt_availability availability;
    int sub;
};

struct vt_facts {
    const char *name;
    char *text; /* that all strings lie in */
    struct vt_fact_type *types;
    size_t n_types;
    struct vt_fact_list *lists;
    size_t n_lists;
};

/* Takes over `text` (vt_free()d in any case). `what` names it in messages. */
enum vt_code vt_facts_parse(char *text, const char *what, struct vt_facts **out,
                            struct vt_error *err);

/* The i-th entry (from 0) of this payload type: there may be several; NULL beyond. */
const struct vt_fact_type *vt_facts_type(const struct vt_facts *f, const char *name, size_t i);

/* The key in a list, and the one for any key ("ANY"); NULL where there is none or list is -1. */
const struct vt_fact *vt_facts_key(const struct vt_facts *f, int list, const char *name);

/* <0, 0, >0: "10.15.4" against "11". */
int vt_version_compare(const char *a, const char *b);
bool vt_version_valid(const char *text);

#endif
