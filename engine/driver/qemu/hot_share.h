/* Shares that are given to a VM while it runs, and taken away again: in its slots (slots.h).
 *
 * By virtiofs, where that can be served and the VM's memory is its own, else by 9p. QEMU can add no
 * 9p file system later, but it opens the path only when the device is added: so each slot has two
 * (read-write, read-only) whose path is a name in state_dir, a link to the folder for that moment.
 */
#ifndef VT_DRIVER_QEMU_HOT_SHARE_H
#define VT_DRIVER_QEMU_HOT_SHARE_H

#include "driver/qemu/argv.h"
#include "driver/qemu/instance.h"

/* The driver's share and unshare. */
void vt_qemu_share(void *instance, const struct vt_share *share, struct vt_op *op);
void vt_qemu_unshare(void *instance, const char *name, struct vt_op *op);

/* The two file systems of slot i. */
void vt_qemu_argv_hot_share(struct vt_args *args, const struct vt_qemu_machine *m, size_t i);

/* Adds them to the facts' "shares", each with its "slot"; and takes them up from there, in a
 * process that goes on with the VM. */
void vt_qemu_hot_shares_info(const struct vt_qemu *q, json_t *facts);
void vt_qemu_hot_shares_restore(struct vt_qemu *q, const json_t *facts);

#endif
