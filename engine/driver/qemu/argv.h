/* QEMU's command line. Nothing a user names can become an option of its own: each value is a word
 * of its own, or has its commas doubled where QEMU splits at them. */
#ifndef VT_DRIVER_QEMU_ARGV_H
#define VT_DRIVER_QEMU_ARGV_H

#include "core/args.h"
#include "core/buf.h"
#include "driver/qemu/disk.h"
#include "driver/qemu/firmware.h"
#include "driver/qemu/memory.h"
#include "vmtest/vm.h"

/* Descriptors that QEMU finds open: two listening sockets, then those of the process's options. */
enum { VT_QEMU_FD_QMP = 3, VT_QEMU_FD_CONSOLE, VT_QEMU_FD_FIRST };

/* What differs between the machines that QEMU emulates. */
struct vt_qemu_arch {
    const char *name;
    const char *machine;
    const char *panic_device;
    const char *generation_device; /* or NULL */
    const char *card;              /* graphics */
    const char *keyboard;          /* NULL: the machine has one */
    bool screen_unasked;
};

struct vt_qemu_machine {
    const char *program;               /* path of qemu-system-* */
    const char *accel;                 /* "kvm", "hvf", "tcg" */
    const struct vt_vm_config *config; /* with image, memory and cpus set */
    /* those it writes to layers of; first the image's own, if it has one */
    const struct vt_qemu_disk *disks;
    size_t disk_count;
    const struct vt_qemu_memory *memory;
    bool incoming; /* waits for a guest's state */
    bool dry;      /* its guest never runs: it holds the same devices, but nothing of the host: no
                      disk, no port, no socket of the guest's; for a moment, to convert a state */
    const struct vt_qemu_firmware *firmware;
    const char *vars; /* the VM's own file of its firmware's variables; NULL where it has none */
    const char *vnc;  /* socket to listen on, or NULL */
    const struct vt_qemu_nic *nics;
    size_t nic_count;
    const struct vt_qemu_share *shares; /* one for each of the configuration's */
};

/* Appends the whole argv of one VM. It starts stopped (-S): forwards are added over QMP. */
void vt_qemu_argv(struct vt_args *args, const struct vt_qemu_machine *m);

/* "-accel", "-cpu" and "-machine" for this architecture: what the probe and VMs share. */
void vt_qemu_argv_machine(struct vt_args *args, const char *arch, const char *accel);

/* Each subject's part of it, in a file of its own. */
void vt_qemu_argv_console(struct vt_args *args, const struct vt_qemu_machine *m);
void vt_qemu_argv_screen(struct vt_args *args, const struct vt_qemu_machine *m);
void vt_qemu_argv_extra(struct vt_args *args, const struct vt_qemu_machine *m);
void vt_qemu_argv_shares(struct vt_args *args, const struct vt_qemu_machine *m);
void vt_qemu_argv_slots(struct vt_args *args, const struct vt_qemu_machine *m);
void vt_qemu_argv_ports(struct vt_args *args, const struct vt_qemu_machine *m);
void vt_qemu_argv_net(struct vt_args *args, const struct vt_qemu_machine *m);

/* Never NULL: an architecture that is not known is taken as x86-64. */
const struct vt_qemu_arch *vt_qemu_arch(const char *name);

/* Appends two words: -NAME VALUE; and -NAME PREFIX + escaped PATH + SUFFIX. */
void vt_qemu_option(struct vt_args *args, const char *name, const char *value);
void vt_qemu_path_option(struct vt_args *args, const char *name, const char *prefix,
                         const char *path, const char *suffix);

/* Appends `text` as a value inside a comma separated option. */
void vt_qemu_escape(struct vt_buf *out, const char *text);

#endif
