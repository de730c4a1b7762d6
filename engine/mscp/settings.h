/* Settings of rules: from YAML to property lists, put together, and as Lua. */
#ifndef VT_MSCP_SETTINGS_H
#define VT_MSCP_SETTINGS_H

#include <plist/plist.h>

#include "core/buf.h"
#include "yaml/yaml.h"

/* Replaces each $ODV in text. vt_free() the result. odv NULL: nothing is replaced. */
char *vt_mscp_fill(const char *text, const char *odv);

/* A node as a property list, with $ODV replaced (a value that is $ODV alone takes the type of
 * `odv`; both NULL: none). VT_EINVAL for what a property list cannot hold (null), VT_ELIMIT for one
 * that is too large: aliases can make it endless. */
enum vt_code vt_mscp_convert(struct vt_yaml *yaml, const yaml_node_t *node, const yaml_node_t *odv,
                             const char *odv_text, plist_t *out, struct vt_error *err);

/* Called for what is not taken: `path` of the key. */
typedef void (*vt_mscp_conflict_fn)(const char *path, void *user);

/* Takes the members of `from` into `into`, both dictionaries. */
void vt_mscp_merge(plist_t into, plist_t from, const char *path, vt_mscp_conflict_fn conflict,
                   void *user);

/* Appends a value as a Lua expression. */
void vt_mscp_lua_value(struct vt_buf *out, plist_t value);

/* Appends text as a Lua string: a short one, or, of several lines, a long one. */
void vt_mscp_lua_text(struct vt_buf *out, const char *text);

#endif
