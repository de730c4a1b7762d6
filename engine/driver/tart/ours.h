/* Which of tart's VMs are ours, so that those left behind can be removed, and no other ever is.
 *
 * Before a clone is made, a record HOME/tart/NAME.json is written: {"owner": DIR, "lineage": …,
 * "kept": true or false}. The clone is in use for as long as DIR/tart.json, or, of one that is kept
 * for a snapshot, some DIR/SNAPSHOT/tart.json, has its name. A VM without a record is never
 * touched.
 *
 * HOME/tart/LINEAGE.lock is held by the process of the one VM that runs of all that are clones of
 * one another with their saved state: those have one MAC address, and tart throws the saved state
 * of a VM away when another with its address runs. */
#ifndef VT_DRIVER_TART_OURS_H
#define VT_DRIVER_TART_OURS_H

#include <stdbool.h>
#include <stddef.h>

#include "vmtest/error.h"

#define VT_TART_NAME_SIZE 64

/* "vmtest-web-1a2b3c4d5e6f" of the name "web", new every time. */
void vt_tart_new_name(const char *vm, char out[VT_TART_NAME_SIZE]);

/* Whether it has the form of those. */
bool vt_tart_is_our_name(const char *name);

/* Writes the record of a clone that is about to be made, and DIR/tart.json. `dir`: the VM's folder
 * of disks, or of a snapshot in the making, which will be renamed beside where it is. */
enum vt_code vt_tart_own(const char *name, const char *lineage, const char *dir, bool kept,
                         struct vt_error *err);

/* What DIR/tart.json says; false where there is none. Both of VT_TART_NAME_SIZE. */
bool vt_tart_owned(const char *dir, char *name, char *lineage);

/* Deletes the clone, then its record and DIR/tart.json (dir may be NULL). */
enum vt_code vt_tart_disown(const char *name, const char *dir, struct vt_error *err);

/* Deletes the clones that nobody owns any more. Asks tart for nothing where there is none. */
void vt_tart_sweep(void);

/* *fd holds the lock till it is closed, also in a process that inherits it. VT_EBUSY where another
 * VM of the lineage runs. */
enum vt_code vt_tart_lineage_lock(const char *lineage, const char *vm, const char *op, int *fd,
                                  struct vt_error *err);

#endif
