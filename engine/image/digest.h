/* Digests of a version's files. */
#ifndef VT_IMAGE_DIGEST_H
#define VT_IMAGE_DIGEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmtest/error.h"

#define VT__HEX_SIZE 65 /* of a SHA-256 digest, with its NUL */
#define VT__FILES_MAX 64

/* SHA-256 of a file's content, in lowercase hexadecimal; holes count as the zeros they are. */
enum vt_code vt__digest_file(const char *path, char hex[VT__HEX_SIZE], struct vt_error *err);

/* [{"name", "size", "mode", "sha256"}] of all files in a folder but version.json, sorted by name;
 * each is flushed to disk. VT_EIMAGE for what is no plain file. */
enum vt_code vt__digest_dir(const char *dir, json_t **files, struct vt_error *err);

/* Over such a list: SHA-256 of "DIGEST SIZE NAME\n" for each. */
void vt__digest_list(const json_t *files, char hex[VT__HEX_SIZE]);

/* Bytes that a folder's files take on disk. `alone`: without files that have another name elsewhere
 * (versions may share them), so that it is what removing the folder frees. */
uint64_t vt__disk_usage(const char *dir, bool alone);

#endif
