/* Stages with a name of their own, which can be taken up again. */
#ifndef VT_IMAGE_STAGE_H
#define VT_IMAGE_STAGE_H

#include "vmtest/store.h"

#define VT__IMPORT_PREFIX ".import-"

/* As vt_image_stage_begin(), in the folder `folder` of the image's (NULL: a new one). One that a
 * dead process left is taken up with what is in it; VT_EBUSY where its maker lives. */
enum vt_code vt__stage_begin(const char *name, const char *folder, struct vt_image_stage **stage,
                             struct vt_error *err);

/* Leaves it for another to take up. */
void vt__stage_leave(struct vt_image_stage *stage);

#endif
