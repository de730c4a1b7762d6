/* Where things lie in the store, and the lock for whoever changes it. */
#ifndef VT_IMAGE_LAYOUT_H
#define VT_IMAGE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"

#define VT__STAGE_PREFIX ".stage-" /* a version in the making */
#define VT__GONE_PREFIX ".gone-"   /* a version being removed */
#define VT__LATEST "latest"

struct vt__names {
    char **v;
    size_t n;
};

/* HOME/images; NULL with *err set on failure. vt_free() it. */
char *vt__store_dir(struct vt_error *err);

/* The names of a folder's members that `wanted` takes, sorted by `compare`. A folder that is not
 * there has none. */
enum vt_code vt__list(const char *dir, bool (*wanted)(const char *dir, const char *name),
                      int (*compare)(const void *, const void *), struct vt__names *out,
                      struct vt_error *err);
void vt__names_add(struct vt__names *names, const char *name);
void vt__names_free(struct vt__names *names);

/* "20261122.7": eight digits of a day, a dot, a count from 1 to 999999. *key orders versions. */
bool vt__version_parse(const char *text, uint64_t *key);

/* An image's versions, the oldest first. */
enum vt_code vt__version_names(const char *image_dir, struct vt__names *out, struct vt_error *err);

/* The newest version that is not deprecated, or, where all are, the newest; NULL where there is
 * none. The link `latest` says the same but for the moment, or the kill, between the two steps of a
 * change. vt_free() it. */
char *vt__latest(const char *image_dir);

/* Splits "NAME" or "NAME@VERSION". *version is NULL without one. VT_EINVAL for a name that cannot
 * be. vt_free() both. */
enum vt_code vt__split_name(const char *text, char **name, char **version, struct vt_error *err);

struct vt__place {
    char *name, *version, *image_dir, *dir;
};

/* Where "NAME" (the latest) or "NAME@VERSION" lies; errors as of vt_image_open(). */
enum vt_code vt__find_version(const char *text, struct vt__place *place, struct vt_error *err);
void vt__place_free(struct vt__place *place);

/* Held by whoever adds, removes or marks versions, for moments only; waits. VT_EBUSY after 30 s.
 * close() *fd. */
enum vt_code vt__store_lock(int *fd, struct vt_error *err);

/* Opens a folder and takes its kernel lock, exclusive or shared, trying for a moment. VT_EBUSY
 * where another holds it; VT_ENOTFOUND where the folder is gone or was replaced meanwhile. */
enum vt_code vt__lock_dir(const char *dir, bool exclusive, int *fd, struct vt_error *err);

/* Flushes a folder's list of names to disk. */
enum vt_code vt__flush_dir(const char *dir, struct vt_error *err);

/* Points `latest` to where it belongs. To be called with the store's lock held. */
enum vt_code vt__relink(const char *image_dir, struct vt_error *err);

/* The errors for what is not there: with the names that are, and the nearest. */
enum vt_code vt__no_image(const char *name, const char *store, struct vt_error *err);
enum vt_code vt__no_version(const char *name, const char *version, const char *image_dir,
                            struct vt_error *err);

#endif
