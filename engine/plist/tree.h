/* Property lists: read within bounds, with the place and the reason of what is wrong; typed access;
 * building and writing.
 *
 * The tree is libplist's (`plist_t`, freed by plist_free()), so that its own functions may be used
 * on it. XML is read by expat, not by libplist, whose reader is lenient and tells no places. Binary
 * lists (bplist00) are checked by binary.h before libplist sees them.
 *
 * XML may be UTF-8, UTF-16 or Latin-1, with a byte order mark and blanks before `<?xml`; strings
 * in the tree are UTF-8. A date beyond 2068 or before 1933 is held as the nearest one libplist can
 * hold. Not read: OpenStep and JSON lists, entities of the document's own. */
#ifndef VT_PLIST_TREE_H
#define VT_PLIST_TREE_H

#include <plist/plist.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "vmtest/error.h"

#define VT_PLIST_MAX_BYTES (16u << 20) /* of a file */
#define VT_PLIST_MAX_DEPTH 128
#define VT_PLIST_MAX_NODES 500000u

/* Where in an XML file each value (and its key) stands. */
struct vt_plist_places;

enum vt_plist_form { VT_PLIST_XML, VT_PLIST_BINARY };

struct vt_plist_info {
    enum vt_plist_form form;
    bool blanks_first;              /* blanks stood before `<?xml` */
    struct vt_plist_places *places; /* NULL for a binary list; vt_plist_places_free() */
};

/* Reads n bytes, XML or binary. `what` names the source in messages ("wifi.mobileconfig"):
 * "wifi.mobileconfig:12:5: mismatched tag". *info (may be NULL) is filled on success. VT_EINVAL for
 * what is no property list, VT_ELIMIT beyond a bound. *out is NULL on failure. */
enum vt_code vt_plist_parse(const void *data, size_t n, const char *what, plist_t *out,
                            struct vt_plist_info *info, struct vt_error *err);

/* The place of a value that vt_plist_parse() returned: of its key in a dictionary, else its own.
 * Lines and columns count from 1; false where it is not known. places may be NULL. */
bool vt_plist_place(const struct vt_plist_places *places, plist_t node, unsigned *line,
                    unsigned *column);

/* The i-th key (from 0) that a dictionary held twice, of which the last counts; NULL beyond. */
const char *vt_plist_duplicate(const struct vt_plist_places *places, size_t i, unsigned *line,
                               unsigned *column);

void vt_plist_places_free(struct vt_plist_places *places);

/* --- reading: what is missing or of another type gives the fallback; dict may be NULL --- */

bool vt_plist_is(plist_t node, plist_type type); /* false for NULL */
const char *vt_plist_type_name(plist_t node);    /* "string", "integer", "dictionary", … */

const char *vt_plist_str(plist_t dict, const char *key, const char *fallback);
int64_t vt_plist_int(plist_t dict, const char *key, int64_t fallback);
bool vt_plist_bool(plist_t dict, const char *key, bool fallback);
plist_t vt_plist_dict(plist_t dict, const char *key);                /* NULL where there is none */
plist_t vt_plist_array(plist_t dict, const char *key);               /* NULL where there is none */
const void *vt_plist_data(plist_t dict, const char *key, size_t *n); /* NULL; points into it */

/* The same of a value at hand. */
const char *vt_plist_text(plist_t node); /* of a string; NULL for others. Points into the tree */
int64_t vt_plist_integer(plist_t node);  /* 0 for others; beyond INT64_MAX: negative */
double vt_plist_number(plist_t node);    /* of an integer or a real; 0 for others */
bool vt_plist_true(plist_t node);

/* Walks a dictionary in its order: for (it = vt_plist_walk(d); vt_plist_next(&it);) …
 * key and value are valid till the next step. A walk left early needs vt_plist_walk_end(). */
struct vt_plist_walk {
    plist_t dict;
    void *iter; /* libplist's */
    char *key;
    plist_t value;
};
struct vt_plist_walk vt_plist_walk(plist_t dict);
bool vt_plist_next(struct vt_plist_walk *walk);
void vt_plist_walk_end(struct vt_plist_walk *walk);

/* --- building --- */

plist_t vt_plist_new_int(int64_t value);
void vt_plist_set_str(plist_t dict, const char *key, const char *value); /* NULL: nothing is set */
void vt_plist_set_int(plist_t dict, const char *key, int64_t value);
void vt_plist_set_bool(plist_t dict, const char *key, bool value);
void vt_plist_set_data(plist_t dict, const char *key, const void *data, size_t n);
plist_t vt_plist_set_dict(plist_t dict, const char *key);  /* a new, empty one; owned by dict */
plist_t vt_plist_set_array(plist_t dict, const char *key); /* the same */
plist_t vt_plist_add_dict(plist_t array);                  /* appended; owned by array */
void vt_plist_add_str(plist_t array, const char *value);

/* Appends the list to `out`, as XML (UTF-8, with Apple's DOCTYPE) or binary (bplist00). */
enum vt_code vt_plist_write(plist_t node, enum vt_plist_form form, struct vt_buf *out,
                            struct vt_error *err);

#endif
