/* The strict reader of a driver's own table in a VM's configuration: "ssh", "tart", "vz". */
#ifndef VT_VM_OWN_OPTIONS_H
#define VT_VM_OWN_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmtest/error.h"

enum vt_own_kind {
    VT_OWN_TEXT,   /* char *: not empty */
    VT_OWN_PATH,   /* char *: absolute */
    VT_OWN_CHOICE, /* char *: one of `choices` */
    VT_OWN_USUAL,  /* char *: text, or true for `usual`; false leaves it NULL */
    VT_OWN_FLAG,   /* bool */
    VT_OWN_NUMBER, /* int from `min` to `max` */
    VT_OWN_GROUP,  /* bool, set where it is there: a table of `members`, of the same structure, or
                      text that `from_text` reads */
};

struct vt_own_option {
    const char *name; /* NULL ends a table */
    enum vt_own_kind kind;
    size_t offset;
    const char
        *wanted; /* of CHOICE, NUMBER, USUAL and GROUP, for the message: "a port, 1 to 65535" */
    const char *const *choices; /* NULL-terminated */
    const char *usual;
    int min, max;
    const struct vt_own_option *members;
    bool (*from_text)(const char *text, void *out); /* of GROUP; NULL: a table alone */
};

/* Reads `object`, the table called `table` of the VM called `vm`, into *out, whose members hold
 * their defaults. VT_EINVAL for a key that is unknown, with the nearest one as the hint, and for a
 * value that is not what it is to be. vt_own_options_clear() in any case. */
enum vt_code vt_own_options_read(const json_t *object, const char *table, const char *vm,
                                 const struct vt_own_option *options, void *out,
                                 struct vt_error *err);

/* Frees the texts and sets them to NULL. */
void vt_own_options_clear(const struct vt_own_option *options, void *out);

#endif
