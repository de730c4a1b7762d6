/* The files of a VM: copies, in its scratch_dir, of what it writes to. The framework knows no
 * overlays, so each disk is a whole file; where the file system can (APFS, XFS, btrfs), it shares
 * its blocks with what it was copied of. */
#ifndef VT_DRIVER_VZ_DISKS_H
#define VT_DRIVER_VZ_DISKS_H

#include "driver/vz/instance.h"

#define VT_VZ_STATE_FILE "state"
#define VT_VZ_VARIABLES_FILE "efi-variables"
#define VT_VZ_AUXILIARY_FILE "auxiliary"

/* Refuses what this driver cannot do with the VM's disks. */
enum vt_code vt_vz_disks_check(const struct vt_vm_config *config, struct vt_error *err);

/* The same of one disk. */
enum vt_code vt_vz_disk_check(const struct vt_vm_config *config, const struct vt_disk *disk,
                              const char *op, struct vt_error *err);

/* The name, in scratch_dir and in snapshots, of the file of this disk; NULL: the image's own.
 * vt_free() it. */
char *vt_vz_disk_file(const struct vt_disk *disk);

/* Whether the VM has a copy of this disk, or uses it where it is. */
bool vt_vz_disk_is_copied(const struct vt_disk *disk);

/* On a thread: makes the files that are not there yet. Result: NULL. */
struct vt_op *vt_vz_disks_prepare(struct vt_vz *vz, vt_op_fn done, void *user);

/* On a thread: makes the file `to`, whatever is there: a copy of `from`, or (NULL) an empty one of
 * this size. Result: NULL. */
struct vt_op *vt_vz_disks_make(struct vt_vz *vz, const char *from, const char *to, uint64_t size,
                               vt_op_fn done, void *user);

/* On a thread: copies the VM's files into `dir`, or, all of them or none, back from there: those
 * that `files` (NULL: all of the VM's) names. Result: NULL. */
struct vt_op *vt_vz_disks_save(struct vt_vz *vz, const char *dir, vt_op_fn done, void *user);
struct vt_op *vt_vz_disks_restore(struct vt_vz *vz, const char *dir, const json_t *files,
                                  vt_op_fn done, void *user);

/* {NAME: size} of the VM's files in this folder. A new reference. */
json_t *vt_vz_disks_facts(const struct vt_vz *vz, const char *dir);

/* Removes the VM's files. */
void vt_vz_disks_remove(const struct vt_vz *vz);

#endif
