/* YAML files, read within bounds. The tree is libyaml's, so that its own functions may be used on
 * it. An alias is the node it names, not a copy: a document may be small and yet endless to walk.
 */
#ifndef VT_YAML_YAML_H
#define VT_YAML_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "vmtest/error.h"

#define VT_YAML_MAX_BYTES ((size_t)4 << 20)

struct vt_yaml {
    yaml_document_t document;
    char *what; /* names the source in messages */
};

/* Reads the first document of n bytes. VT_EINVAL tells the line and the reason; VT_ELIMIT beyond
 * VT_YAML_MAX_BYTES. vt_yaml_free() it. */
enum vt_code vt_yaml_parse(const void *data, size_t n, const char *what, struct vt_yaml **out,
                           struct vt_error *err);

/* The same of a file. */
enum vt_code vt_yaml_load(const char *path, struct vt_yaml **out, struct vt_error *err);

void vt_yaml_free(struct vt_yaml *yaml);

/* NULL for an empty document. */
yaml_node_t *vt_yaml_root(struct vt_yaml *yaml);

/* Of a mapping, by its key; NULL where there is none, or where `map` is no mapping (or NULL). */
yaml_node_t *vt_yaml_member(struct vt_yaml *yaml, const yaml_node_t *map, const char *key);

/* The i-th pair of a mapping, from 0; false beyond, or where it is none. */
bool vt_yaml_pair(struct vt_yaml *yaml, const yaml_node_t *map, size_t i, yaml_node_t **key,
                  yaml_node_t **value);

/* The i-th node of a sequence, from 0; NULL beyond, or where it is none. */
yaml_node_t *vt_yaml_item(struct vt_yaml *yaml, const yaml_node_t *sequence, size_t i);

/* The text of a scalar; NULL for others (and NULL), and for one that holds a NUL. */
const char *vt_yaml_text(const yaml_node_t *node);

/* What a scalar stands for by YAML 1.1 (yaml.org/type), as far as files are written by hand: quoted
 * ones are strings; plain ones may be null, booleans (also yes, no, on, off), decimal integers of
 * 64 bits and reals. */
enum vt_yaml_kind {
    VT_YAML_STRING,
    VT_YAML_NULL,
    VT_YAML_BOOLEAN,
    VT_YAML_INTEGER,
    VT_YAML_REAL,
    VT_YAML_SEQUENCE,
    VT_YAML_MAPPING,
};

struct vt_yaml_value {
    enum vt_yaml_kind kind;
    bool boolean;
    long long integer;
    double real;
};

struct vt_yaml_value vt_yaml_value(const yaml_node_t *node);

#endif
