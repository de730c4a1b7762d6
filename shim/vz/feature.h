/* What needs more than macOS 12: one table, so that every refusal has the same words and the
 * versions can be compared with Apple's and with vmtest's own catalogue. */
#ifndef VT_VZ_FEATURE_H
#define VT_VZ_FEATURE_H

#include <stdbool.h>

#include "vz/failure.h"

enum vtz_feature {
    VTZ_FEATURE_MACOS_GUEST,
    VTZ_FEATURE_EFI,
    VTZ_FEATURE_MACHINE_IDENTIFIER,
    VTZ_FEATURE_SCREEN,
    VTZ_FEATURE_DISK_ID,
    VTZ_FEATURE_USB_DISK,
    VTZ_FEATURE_NVME,
    VTZ_FEATURE_NBD,
    VTZ_FEATURE_AUTOMOUNT,
    VTZ_FEATURE_ROSETTA,
    VTZ_FEATURE_CLIPBOARD,
    VTZ_FEATURE_RECOVERY,
    VTZ_FEATURE_SAVE,
    VTZ_FEATURE_NESTED,
    VTZ_FEATURE_USB_HOTPLUG,
    VTZ_FEATURE_VMNET,
    VTZ_FEATURE_PROVISIONING,
    VTZ_FEATURES_
};

struct vtz_feature_info {
    const char *name;  /* stable, for catalogues: "nvme" */
    const char *words; /* in a sentence: "an NVMe disk" */
    int major, minor;  /* of macOS on the host */
    bool apple_silicon;
};

extern const struct vtz_feature_info vtz_features[VTZ_FEATURES_];

/* The failure of a host that lacks it; `place` ("config.disks[0].bus") may be NULL. */
void vtz_refuse(struct vtz_failure *failure, enum vtz_feature feature, const char *place);

#endif
