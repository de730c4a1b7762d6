/* QEMU's command line. Nothing a user names can become an option of its own: each value is a word
 * of its own, or has its commas doubled where QEMU splits at them. */
#ifndef VT_DRIVER_QEMU_ARGV_H
#define VT_DRIVER_QEMU_ARGV_H

#include "core/args.h"
#include "core/buf.h"
#include "vmtest/vm.h"

/* Descriptors that QEMU finds open. */
enum { VT_QEMU_FD_QMP = 3, VT_QEMU_FD_CONSOLE = 4 };

struct vt_qemu_machine {
    const char *program;               /* path of qemu-system-* */
    const char *accel;                 /* "kvm", "hvf", "tcg" */
    const struct vt_vm_config *config; /* with image, memory and cpus set */
    const char *overlay;               /* qcow2 over the image's disk, or NULL without a disk */
    const char *firmware;              /* -bios, or NULL: QEMU's own */
};

/* Appends the whole argv of one VM. It starts stopped (-S): forwards are added over QMP. */
void vt_qemu_argv(struct vt_args *args, const struct vt_qemu_machine *m);

/* "-accel", "-cpu" and "-machine" for this architecture: what the probe and VMs share. */
void vt_qemu_argv_machine(struct vt_args *args, const char *arch, const char *accel);

/* Appends `text` as a value inside a comma separated option. */
void vt_qemu_escape(struct vt_buf *out, const char *text);

#endif
