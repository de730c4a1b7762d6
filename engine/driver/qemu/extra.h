/* The disks beside the image's own. What a VM writes to a disk NAME goes into layers (disk.h) of
 * the id "d-NAME", over the file or server it was given, or over an empty file of its own; a
 * read-only or direct disk is the one node "d-NAME". Its device is "d-NAME" as well. */
#ifndef VT_DRIVER_QEMU_EXTRA_H
#define VT_DRIVER_QEMU_EXTRA_H

#include "driver/qemu/instance.h"

/* Adds those that have layers to q->disks, which has room. VT_EINVAL for a URL that is none. */
enum vt_code vt_qemu_extra_init(struct vt_qemu *q, struct vt_error *err);

/* Removes what lies beneath the layers in scratch_dir. */
void vt_qemu_extra_remove(const struct vt_qemu *q);

/* A step of vt_qemu_prepare(): makes what is to lie beneath, and asks NBD servers. */
void vt_qemu_extra_prepare(struct vt_qemu *q, vt_qemu_step_fn done);

/* Name of the node that the device of this disk is on; false where there is no such disk. */
bool vt_qemu_extra_node(const struct vt_qemu *q, const char *name, char out[VT_QEMU_NODE_MAX]);

/* BlockdevOptions of the node `id` on this path or URL itself. A new reference. */
json_t *vt_qemu_extra_blockdev(const struct vt_disk *disk, const char *id);

/* Where a disk without layers, of this node, is; "a disk" for any other node. */
const char *vt_qemu_extra_path(const struct vt_qemu *q, const char *node);

/* QEMU's event: the guest was told of an I/O error. */
void vt_qemu_extra_error(struct vt_qemu *q, const json_t *event);

/* Adds "disks" to the facts. */
void vt_qemu_extra_info(const struct vt_qemu *q, json_t *facts);

/* resize.c; a forgotten one may still be done. NULL: whatever is under way. */
void vt_qemu_resize_disk(void *instance, const char *name, uint64_t size, struct vt_op *op);
void vt_qemu_resize_forget(struct vt_qemu *q, const struct vt_op *op);

#endif
