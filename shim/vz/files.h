/* The files that a request names are looked at before the framework is asked, since its own errors
 * do not say which one they are about. */
#ifndef VT_VZ_FILES_H
#define VT_VZ_FILES_H

#include "vz/backend.h"

/* All set a failure of VTZ_FILE that names the place and the file. */
void vtz_check_config_files(const struct vtz_config *config, struct vtz_failure *failure);
void vtz_check_call_files(const struct vtz_call *call, struct vtz_failure *failure);

#endif
