/* What a VM boots from beside a kernel: firmware, CDs, the disk with a guest's first settings. */
#ifndef VT_DRIVER_QEMU_FIRMWARE_H
#define VT_DRIVER_QEMU_FIRMWARE_H

#include <stdbool.h>

#include "core/args.h"
#include "vmtest/image.h"

struct vt_qemu_firmware {
    char *code; /* file with the firmware, or a name that QEMU itself looks up; NULL: QEMU's own */
    char *vars; /* file with its variables as they come; NULL: it has none of its own */
};

/* The firmware that boots the image; nothing where a kernel is given. VT_ENOTFOUND, with the
 * package in the hint, where an x86-64 host has none for EFI. vt_qemu_firmware_clear() in any case.
 */
enum vt_code vt_qemu_firmware_find(const struct vt_image *image, struct vt_qemu_firmware *out,
                                   struct vt_error *err);
void vt_qemu_firmware_clear(struct vt_qemu_firmware *firmware);

/* Gives the VM variables of its own: a copy in the file `path`, unless that is there already. */
enum vt_code vt_qemu_firmware_copy_vars(const struct vt_qemu_firmware *firmware, const char *path,
                                        struct vt_error *err);

/* Appends the options for the firmware (`vars`: the VM's own file) … */
void vt_qemu_argv_firmware(struct vt_args *args, const struct vt_qemu_firmware *firmware,
                           const char *vars);
/* … and for what is in the drive, and the seed. */
void vt_qemu_argv_media(struct vt_args *args, const struct vt_image *image);

#endif
