/* Shares that are given to a VM while it runs, and taken away again.
 *
 * Every VM has some free PCI Express ports for them, each with two 9p file systems of QEMU's whose
 * path is a name in state_dir (QEMU can add no file system later, but it opens the path only when
 * the device is added): the name is a link to the folder for that moment. By virtiofs, where that
 * can be served and the VM's memory is its own, else by 9p. They are no part of the configuration
 * and end with QEMU's process. */
#ifndef VT_DRIVER_QEMU_SLOTS_H
#define VT_DRIVER_QEMU_SLOTS_H

#include "driver/qemu/instance.h"

#define VT_QEMU_SLOTS 4

void vt_qemu_slots_init(struct vt_qemu *q);
void vt_qemu_slots_free(struct vt_qemu *q);

/* QEMU's process is gone: ends what serves them. */
void vt_qemu_slots_end(struct vt_qemu *q);

/* The driver's share and unshare. */
void vt_qemu_share(void *instance, const struct vt_share *share, struct vt_op *op);
void vt_qemu_unshare(void *instance, const char *name, struct vt_op *op);

/* Forgets this op, or any (NULL), while what it began goes on. */
void vt_qemu_slots_forget(struct vt_qemu *q, const struct vt_op *op);

/* QEMU's event DEVICE_DELETED. */
void vt_qemu_slots_deleted(struct vt_qemu *q, const json_t *data);

/* True, with the reason, where one stands against a snapshot: a restored QEMU would not have it. */
bool vt_qemu_slots_block_snapshot(const struct vt_qemu *q, struct vt_error *err);

/* Adds them to the facts' "shares", each with its "slot"; and takes them up from there, in a
 * process that goes on with the VM. */
void vt_qemu_slots_info(const struct vt_qemu *q, json_t *facts);
void vt_qemu_slots_restore(struct vt_qemu *q, const json_t *facts);

#endif
