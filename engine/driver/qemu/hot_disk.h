/* Disks that are plugged into a VM while it runs, and taken out again: in its slots (slots.h), as
 * virtio disks. An empty one is a file in scratch_dir; what the VM writes to a file that it was
 * given, and that is not `direct`, goes into an overlay there. Both are gone with the disk. */
#ifndef VT_DRIVER_QEMU_HOT_DISK_H
#define VT_DRIVER_QEMU_HOT_DISK_H

#include "driver/qemu/instance.h"

/* The driver's attach_disk and detach_disk. */
void vt_qemu_attach_disk(void *instance, const struct vt_disk *disk, struct vt_op *op);
void vt_qemu_detach_disk(void *instance, const char *name, struct vt_op *op);

/* Adds them to the facts' "disks", each with its "slot"; and takes them up from there, in a process
 * that goes on with the VM. */
void vt_qemu_hot_disks_info(const struct vt_qemu *q, json_t *facts);
void vt_qemu_hot_disks_restore(struct vt_qemu *q, const json_t *facts);

#endif
