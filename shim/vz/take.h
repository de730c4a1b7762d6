/* Strict reading of a JSON object: every member is taken by name and type, and what is left over is
 * an error. The first failure wins, and names the place ("config.disks[1].path: …"); what is taken
 * after it is NULL, false or 0. */
#ifndef VT_VZ_TAKE_H
#define VT_VZ_TAKE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vz/failure.h"

enum { VTZ_TAKE_MEMBERS = 16, VTZ_PATH_MAX = 1023 };

struct vtz_take {
    json_t *object; /* NULL after a failure to begin */
    char place[160];
    const char *known[VTZ_TAKE_MEMBERS]; /* what was asked for */
    size_t count;
    struct vtz_failure *failure;
};

/* `fmt` is the place: "" at the top. */
void vtz_take_begin(struct vtz_take *take, json_t *value, struct vtz_failure *failure,
                    const char *fmt, ...) VT_PRINTF(4, 5);

enum vtz_need { VTZ_OPTIONAL, VTZ_REQUIRED };

/* Texts are borrowed from the object, and not empty. */
const char *vtz_take_text(struct vtz_take *take, const char *key, enum vtz_need need);
/* An absolute path of at most VTZ_PATH_MAX bytes. */
const char *vtz_take_path(struct vtz_take *take, const char *key, enum vtz_need need);
/* A path that a Unix socket can be bound to, also with `suffix` bytes more. */
const char *vtz_take_socket(struct vtz_take *take, const char *key, size_t suffix);
const char *vtz_take_base64(struct vtz_take *take, const char *key, enum vtz_need need);
bool vtz_take_bool(struct vtz_take *take, const char *key, bool fallback);
bool vtz_take_required_bool(struct vtz_take *take, const char *key);
uint64_t vtz_take_uint(struct vtz_take *take, const char *key, uint64_t min, uint64_t max);
/* As vtz_take_uint(), and the fallback where it is missing. */
uint64_t vtz_take_uint_or(struct vtz_take *take, const char *key, uint64_t min, uint64_t max,
                          uint64_t fallback);
/* The index of the text among `words` (count n), or `fallback` where it is missing; fallback -1:
 * it is required. */
int vtz_take_word(struct vtz_take *take, const char *key, const char *const *words, size_t n,
                  int fallback);
/* An array of at most `max` values, or NULL where it is missing or wrong. */
json_t *vtz_take_array(struct vtz_take *take, const char *key, size_t max);
json_t *vtz_take_value(struct vtz_take *take, const char *key, enum vtz_need need);

/* Fails with the member's place. */
void vtz_take_fail(struct vtz_take *take, const char *key, const char *fmt, ...) VT_PRINTF(3, 4);

/* Fails on members that were not asked for. */
void vtz_take_end(struct vtz_take *take);

#endif
