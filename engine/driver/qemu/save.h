/* Snapshots of the QEMU driver: a folder with
 *   memory         the guest's RAM, sparse
 *   state          its devices, as QEMU's migration writes them, without the RAM
 *   disk0-1.qcow2  …: the layers of its disks; "qemu" in the facts says in which order
 * Without memory and state where the VM did not run. */
#ifndef VT_DRIVER_QEMU_SAVE_H
#define VT_DRIVER_QEMU_SAVE_H

#include "driver/qemu/instance.h"

#define VT_QEMU_MEMORY_FILE "memory"
#define VT_QEMU_STATE_FILE "state"

void vt_qemu_snapshot(void *instance, const char *dir, json_t *facts, struct vt_op *op);
enum vt_code vt_qemu_snapshot_check(void *instance, struct vt_error *err);

/* Gives up the snapshot under way that ends `op` (NULL: any), without ending it; the guest goes on.
 */
void vt_qemu_save_forget(struct vt_qemu *q, const struct vt_op *op);

/* QEMU's migration has this status now. */
void vt_qemu_save_event(struct vt_qemu_save *save, const char *status);

void vt_qemu_restore(void *instance, const char *dir, const json_t *facts, struct vt_op *op);
enum vt_code vt_qemu_restore_check(void *instance, const char *dir, const json_t *facts,
                                   struct vt_error *err);
void vt_qemu_back_forget(struct vt_qemu *q, const struct vt_op *op);
void vt_qemu_back_event(struct vt_qemu_back *back, const char *status);

/* Its process ended: false where the restore fails with that, as any start would; true where the
 * restore had asked for it, and goes on. */
bool vt_qemu_back_ended(struct vt_qemu_back *back);

/* The restore failed: its op fails and nothing of it runs. */
void vt_qemu_back_fail(struct vt_qemu *q, const struct vt_error *why);

#endif
