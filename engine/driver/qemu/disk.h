/* A disk that a VM writes to: what lies beneath is only read; what the VM writes goes into layers
 * (qcow2 files in its scratch_dir), each over the one before, the last of which is written to. A
 * snapshot freezes them and adds one. QEMU gets each as a node of its own, with its backing node
 * named: what a file's header says of a backing file counts for nothing. */
#ifndef VT_DRIVER_QEMU_DISK_H
#define VT_DRIVER_QEMU_DISK_H

#include <jansson.h>
#include <stdbool.h>

#include "core/args.h"
#include "vmtest/error.h"

#define VT_QEMU_NODE_MAX 32 /* bytes of a node's name, NUL included */

struct vt_qemu_disk {
    char *id; /* "disk0": its device; its nodes are "disk0-base", "disk0-1", … */
    char *base_path, *base_format; /* what lies beneath; NULL: nothing */
    json_t *base_file;  /* where that is not read from base_path itself, which then is a file of the
                           same size: its BlockdevOptions, e.g. of an NBD server; else NULL */
    bool detect_zeroes; /* zeros that the guest writes take no room */
    char **layers;      /* absolute paths, the lowest first */
    size_t count;
    unsigned made; /* number of the layer that was made last */
};

void vt_qemu_disk_init(struct vt_qemu_disk *disk, const char *id, const char *base_path,
                       const char *base_format);
void vt_qemu_disk_clear(struct vt_qemu_disk *disk);

/* Adds an empty layer FOLDER/ID-N.qcow2. */
enum vt_code vt_qemu_disk_push(struct vt_qemu_disk *disk, const char *folder, struct vt_error *err);

/* Adds the layer FOLDER/NAME that is there already. */
void vt_qemu_disk_take_up(struct vt_qemu_disk *disk, const char *folder, const char *name);

/* Takes the last layer off and removes its file: what was pushed last was not used. */
void vt_qemu_disk_pop(struct vt_qemu_disk *disk);

/* Removes the files of all layers; the disk has none afterwards. */
void vt_qemu_disk_drop_layers(struct vt_qemu_disk *disk);

/* Its layers in place of those it has, whose files are NOT removed: `layers` is taken over. */
void vt_qemu_disk_replace(struct vt_qemu_disk *disk, struct vt_args *layers);

/* The path of a layer yet to be made, FOLDER/ID-N.qcow2. vt_free() it. */
char *vt_qemu_disk_next(struct vt_qemu_disk *disk, const char *folder);

/* Name of the node of the last layer. */
void vt_qemu_disk_top(const struct vt_qemu_disk *disk, char out[VT_QEMU_NODE_MAX]);

/* Makes the file of layer i, empty, for a layer that was named before it is there. */
enum vt_code vt_qemu_disk_make_layer(const struct vt_qemu_disk *disk, size_t i,
                                     struct vt_error *err);

/* Options of what lies beneath, and of layer i (0: the lowest), for blockdev-add. A new reference.
 */
json_t *vt_qemu_disk_base(const struct vt_qemu_disk *disk);
json_t *vt_qemu_disk_layer(const struct vt_qemu_disk *disk, size_t i);

/* Appends -blockdev for everything of it. */
void vt_qemu_disk_argv(struct vt_args *args, const struct vt_qemu_disk *disk);

/* The same disk for a QEMU whose guest never runs: of the same size, without any file. */
void vt_qemu_disk_argv_dry(struct vt_args *args, const struct vt_qemu_disk *disk);

/* Makes `to` the file `from`: a hard link, or, where that cannot be, a copy that shares its blocks
 * or leaves out its holes. VT_EIO, VT_ENOSPC. Blocks. */
enum vt_code vt_qemu_link_or_copy(const char *from, const char *to, struct vt_error *err);

#endif
