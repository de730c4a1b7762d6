/* version.json: what the store knows of one version (format: docs/images.md). */
#ifndef VT_IMAGE_VERSION_H
#define VT_IMAGE_VERSION_H

#include "vmtest/store.h"

#define VT__VERSION_FILE "version.json"

/* Reads DIR/version.json, strictly; DIR is .../NAME/VERSION. `latest` is left alone.
 * VT_EIMAGE says what is wrong. Free by vt__version_clear() in any case. */
enum vt_code vt__version_load(const char *dir, struct vt_image_version *version,
                              struct vt_error *err);
enum vt_code vt__version_save(const char *dir, const struct vt_image_version *version,
                              struct vt_error *err);
void vt__version_clear(struct vt_image_version *version);

/* Both ways without a file; a name that is no image's, a digest that is none, a file's name that
 * leads elsewhere are refused. */
enum vt_code vt__version_from_json(const json_t *object, const char *where,
                                   struct vt_image_version *version, struct vt_error *err);
json_t *vt__version_to_json(const struct vt_image_version *version);

/* Takes `role` away from every version of an image but `keeper`. With the store's lock held. */
enum vt_code vt__role_unique(const char *image_dir, const char *keeper, enum vt_image_role role,
                             struct vt_error *err);

#endif
