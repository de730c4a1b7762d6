#include "vz/refuse.h"

void vtz_refuse_on(struct vtz_failure *failure, enum vt_apple_feature feature,
                   const struct vt_apple_place *host, const char *place)
{
    const struct vt_apple_feature_info *info = vt_apple_feature_info(feature);
    struct vt_error why = VT_ERROR_INIT;
    if (vt_apple_supports(feature, host, &why) == VT_OK)
        vt_fail(&why, VT_EUNSUPPORTED, "vm.supports",
                "%s needs a helper that was built with the SDK of macOS %s or later", info->what,
                info->host);
    vtz_fail(failure, VTZ_UNSUPPORTED, "%s%s%s", place ? place : "", place ? ": " : "",
             why.message);
}
