/* vmtest doctor: a Mac's own virtualization. */
#include "cli/doctor.h"

void vt_doctor_apple(struct vt_doctor *r, const struct vt_apple_place *host)
{
    struct vt_error broken = VT_ERROR_INIT;
    unsigned can = 0;
    for (enum vt_apple_feature f = 0; f < VT_APPLE_FEATURE_COUNT_; f++) {
        enum vt_code code = vt_apple_supports(f, host, NULL);
        can += code == VT_OK;
        if (code != VT_OK && code != VT_EUNSUPPORTED)
            vt_apple_supports(f, host, &broken); /* the first such error stays */
    }
    if (broken.code) {
        vt_doctor_tell_error(r, VT_DOCTOR_WARNING, "macOS", &broken);
        return;
    }
    vt_doctor_tell(r, VT_DOCTOR_OK, "macOS", NULL,
                   "macOS %s on %s: %u of %d features of Apple's virtualization (vmtest features)",
                   host->host_version, host->chip ? host->chip : host->arch, can,
                   (int)VT_APPLE_FEATURE_COUNT_);
    for (enum vt_apple_feature f = 0; f < VT_APPLE_FEATURE_COUNT_; f++) {
        struct vt_error why = VT_ERROR_INIT;
        if (vt_apple_supports(f, host, &why))
            vt_doctor_tell(r, VT_DOCTOR_OK, vt_apple_feature_info(f)->name, NULL, "not here: %s",
                           why.message);
    }
}
