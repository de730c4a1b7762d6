/* What a host lacks, refused in the words of vmtest's catalogue (vmtest/apple.h). */
#ifndef VT_VZ_REFUSE_H
#define VT_VZ_REFUSE_H

#include "vmtest/apple.h"
#include "vz/failure.h"

/* Sets a failure that says what the feature needs and what `host` has. A host that has what it
 * needs lacks it all the same where the helper was built with an older SDK: that is said then.
 * `place` ("config.disks[0]") may be NULL. */
void vtz_refuse_on(struct vtz_failure *failure, enum vt_apple_feature feature,
                   const struct vt_apple_place *host, const char *place);

#endif
