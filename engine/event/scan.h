/* Plain JSON without a tree: one pass over a text gives a list of nodes that point into it.
 *
 * It takes less than a JSON parser must, and only what jansson takes too, with the same values:
 * strings without escapes, numbers that a double holds exactly as they are written, and no more
 * depth, members or nodes than events need. Whatever else stands in a text is jansson's to judge.
 */
#ifndef VT_EVENT_SCAN_H
#define VT_EVENT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vt__kind {
    VT__OBJECT,
    VT__ARRAY,
    VT__STRING,
    VT__INTEGER,
    VT__REAL,
    VT__TRUE,
    VT__FALSE,
    VT__NULL,
};

/* A value. What is in an object or array follows it in the list, up to `end`. */
struct vt__node {
    enum vt__kind kind;
    uint32_t end;    /* index of the first node behind this value */
    const char *key; /* of a member of an object: between its quotes */
    uint32_t key_size;
    uint32_t size;
    union {
        const char *text; /* a string: between its quotes; object and array: with its brackets */
        int64_t integer;
        double real;
    };
};

struct vt__nodes { /* {0} is empty */
    struct vt__node *list;
    size_t count, room;
};

/* Reads `text` (not NUL-terminated, less than 4 GiB) as one object, nodes->list[0]. False where
 * that is for jansson to say. The list is good till the next call, or till the text goes. */
bool vt__scan(struct vt__nodes *nodes, const char *text, size_t n);
void vt__nodes_free(struct vt__nodes *nodes);

/* The index of an object's member, or 0 where it has none of that name. */
size_t vt__member(const struct vt__node *list, size_t object, const char *key, size_t key_size);

#endif
