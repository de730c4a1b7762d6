/* Typed access to JSON objects (jansson) with errors that name the place. */
#ifndef VT_CORE_JSON_H
#define VT_CORE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmtest/error.h"

/* Reads a JSON object from a file of at most 16 MiB. *out is a new reference. */
enum vt_code vt_json_load(const char *path, json_t **out, struct vt_error *err);

/* Parses one JSON object from text (not NUL-terminated). *out is a new reference. `what` names
 * the source in messages. */
enum vt_code vt_json_parse(const char *text, size_t n, const char *what, json_t **out,
                           struct vt_error *err);

/* Writes compactly, atomically (vt_write_file), with the given mode. */
enum vt_code vt_json_save(const char *path, const json_t *value, unsigned mode,
                          struct vt_error *err);

/* The same, not flushed to disk (vt_write_file_unflushed). */
enum vt_code vt_json_save_unflushed(const char *path, const json_t *value, unsigned mode,
                                    struct vt_error *err);

/* A member's value, or the fallback where it is missing or of another type. */
const char *vt_json_str(const json_t *object, const char *key, const char *fallback);
int64_t vt_json_int(const json_t *object, const char *key, int64_t fallback);
double vt_json_num(const json_t *object, const char *key, double fallback);
bool vt_json_bool(const json_t *object, const char *key, bool fallback);

/* Sets a string member from bytes that may not be UTF-8 (invalid ones become U+FFFD). */
void vt_json_set_text(json_t *object, const char *key, const char *text, size_t n);

#endif
