#include "vz/feature.h"

#include <stdio.h>

const struct vtz_feature_info vtz_features[VTZ_FEATURES_] = {
    [VTZ_FEATURE_MACOS_GUEST] = {"macos_guest", "a macOS guest", 13, 0, true},
    [VTZ_FEATURE_EFI] = {"efi", "a guest that boots by EFI", 13, 0, false},
    [VTZ_FEATURE_MACHINE_IDENTIFIER] = {"machine_identifier", "a machine identifier", 13, 0, false},
    [VTZ_FEATURE_SCREEN] = {"screen", "a screen of a Linux guest", 13, 0, false},
    [VTZ_FEATURE_DISK_ID] = {"disk_id", "a disk's id", 12, 3, false},
    [VTZ_FEATURE_USB_DISK] = {"usb_disk", "a USB disk", 13, 0, false},
    [VTZ_FEATURE_NVME] = {"nvme", "an NVMe disk", 14, 0, false},
    [VTZ_FEATURE_NBD] = {"nbd", "a disk from an NBD server", 14, 0, false},
    [VTZ_FEATURE_AUTOMOUNT] = {"automount", "a share that macOS guests mount by themselves", 13, 0,
                               false},
    [VTZ_FEATURE_ROSETTA] = {"rosetta", "Rosetta in Linux guests", 13, 0, true},
    [VTZ_FEATURE_CLIPBOARD] = {"clipboard", "a shared clipboard", 13, 0, false},
    [VTZ_FEATURE_RECOVERY] = {"recovery", "a start into recovery", 13, 0, true},
    [VTZ_FEATURE_SAVE] = {"save", "saving and restoring a VM", 14, 0, true},
    [VTZ_FEATURE_NESTED] = {"nested", "virtualization in the guest", 15, 0, true},
    [VTZ_FEATURE_USB_HOTPLUG] = {"usb_hotplug", "plugging USB disks into a running guest", 15, 0,
                                 false},
    [VTZ_FEATURE_VMNET] = {"vmnet", "a network of vmnet", 26, 0, false},
    [VTZ_FEATURE_PROVISIONING] = {"provisioning", "provisioning a macOS guest", 27, 0, true},
};

void vtz_refuse(struct vtz_failure *failure, enum vtz_feature feature, const char *place)
{
    const struct vtz_feature_info *info = &vtz_features[feature];
    char minor[16] = "";
    if (info->minor)
        snprintf(minor, sizeof minor, ".%d", info->minor);
    vtz_fail(failure, VTZ_UNSUPPORTED, "%s%s%s needs macOS %d%s%s on the host", place ? place : "",
             place ? ": " : "", info->words, info->major, minor,
             info->apple_silicon ? " and Apple silicon" : "");
}
