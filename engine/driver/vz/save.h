/* Snapshots of the vz driver: a folder with
 *   state          the VM as the framework saves it: memory and devices, encrypted to its host
 *   disk0.raw …    copies of the VM's files (disks.h), sharing blocks where the file system can
 * "vz" in the facts holds the rest: the files' sizes, the machine's identity, the digest of its
 * configuration, and the host. Without state where the VM did not run. */
#ifndef VT_DRIVER_VZ_SAVE_H
#define VT_DRIVER_VZ_SAVE_H

#include "driver/vz/instance.h"

#define VT_VZ_FACTS "vz"

void vt_vz_snapshot(void *instance, const char *dir, json_t *facts, struct vt_op *op);
enum vt_code vt_vz_snapshot_check(void *instance, struct vt_error *err);

/* Gives up the snapshot under way that ends `op` (NULL: any), without ending it; the guest goes on.
 */
void vt_vz_save_forget(struct vt_vz *vz, const struct vt_op *op);

enum vt_code vt_vz_restore_check(void *instance, const char *dir, const json_t *facts,
                                 struct vt_error *err);

#endif
