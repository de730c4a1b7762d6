/* Removing versions, for rm and gc. Both are called with the store's lock held. */
#ifndef VT_IMAGE_REMOVE_H
#define VT_IMAGE_REMOVE_H

#include "image/users.h"
#include "image/version.h"

/* Takes the version for its removal: *lock, to be closed after it. VT_EBUSY says who needs it. */
enum vt_code vt__remove_claim(const char *dir, const char *name, const char *version,
                              const struct vt__users *users, int *lock, struct vt_error *err);

/* Removes a claimed version, or any folder of an image's, in one step for all who look. What a full
 * disk or a crash leaves of it is for gc. *freed grows. */
enum vt_code vt__remove_dir(const char *image_dir, const char *dir, uint64_t *freed,
                            struct vt_error *err);

#endif
