/* image.json into a struct vt_image. */
#ifndef VT_IMAGE_DESCRIBE_H
#define VT_IMAGE_DESCRIBE_H

#include <jansson.h>

#include "vmtest/image.h"

/* Fills `image`, whose name and dir are set, from its image.json, and checks every file it
 * names. VT_EIMAGE names the file and the key. The caller frees the image in any case. */
enum vt_code vt__image_describe(struct vt_image *image, struct vt_error *err);

/* The same from a parsed description, without looking at any file. */
enum vt_code vt__image_from_json(struct vt_image *image, const json_t *description,
                                 struct vt_error *err);

/* Checks that a file is what its key says: the kernel of a guest of this architecture (bzImage,
 * ELF, arm64 Image), a disk of this format, or, with NULL for both, a file that is not empty. */
enum vt_code vt__image_check_kernel(const char *path, const char *arch, struct vt_error *err);
enum vt_code vt__image_check_disk(const char *path, const char *format, struct vt_error *err);
enum vt_code vt__image_check_file(const char *path, const char *key, struct vt_error *err);

#endif
