/* What a VM asks of the framework, held against the catalogue of its features (vmtest/apple.h). */
#ifndef VT_DRIVER_VZ_FEATURES_H
#define VT_DRIVER_VZ_FEATURES_H

#include "driver/vz/instance.h"

/* Refuses what the host or the guest's macOS is too old for, and what there is not for such guests:
 * VT_EUNSUPPORTED, with the version that has it. `host`: the helper's reply to `host`; NULL before
 * it is known, and then the guest alone is looked at. VT_EINVAL where a version cannot be read. */
enum vt_code vt_vz_features_check(const struct vt_vm_config *config,
                                  const struct vt_vz_options *options, const json_t *host,
                                  struct vt_error *err);

/* The same of disks that are plugged into a VM while it runs. */
enum vt_code vt_vz_hot_disk_check(const struct vt_vz *vz, struct vt_error *err);

#endif
