/* Disks that are plugged into a VM while it runs, and taken out again: on USB. An empty one, and
 * the copy of a file that is not `direct`, is a file in the folder "plugged" of scratch_dir, gone
 * with the disk. */
#ifndef VT_DRIVER_VZ_HOT_DISK_H
#define VT_DRIVER_VZ_HOT_DISK_H

#include "driver/vz/instance.h"

/* The driver's attach_disk and detach_disk. */
void vt_vz_attach_disk(void *instance, const struct vt_disk *disk, struct vt_op *op);
void vt_vz_detach_disk(void *instance, const char *name, struct vt_op *op);

/* Forgets this op, or any (NULL); what the helper was asked for goes on. */
void vt_vz_hot_disks_forget(struct vt_vz *vz, const struct vt_op *op);

/* The helper is gone, or left running: with it go the files, too, or none. */
void vt_vz_hot_disks_end(struct vt_vz *vz, bool leave_running);

/* The VM started again in its helper: plugs them in anew. */
void vt_vz_hot_disks_again(struct vt_vz *vz);

/* True, with the reason, where one stands against a snapshot. */
bool vt_vz_hot_disks_block_snapshot(const struct vt_vz *vz, struct vt_error *err);

/* Adds "disks" to the facts: the configuration's, and those that are "plugged"; and takes these up
 * from the facts that a process before this one wrote. */
void vt_vz_disks_info(const struct vt_vz *vz, json_t *facts);
void vt_vz_hot_disks_restore(struct vt_vz *vz);

#endif
