/* Hardware virtualization of this host: not whether it is there, but whether guests run by it. */
#ifndef VMTEST_ACCEL_H
#define VMTEST_ACCEL_H

#include <stdbool.h>

#include "vmtest/loop.h"

/* Without hardware virtualization a guest's processor is emulated: default deadlines are
 * multiplied by this. */
#define VT_EMULATION_TIME_SCALE 10.0

struct vt_accel_opts {
    const char *arch;   /* of the guest: "x86_64", "aarch64"; NULL: the host's */
    const char *wanted; /* "auto", "kvm", "hvf", "tcg"; NULL or "auto": $VMTEST_ACCEL, else the
                           best that works. Anything but auto that does not work is an error */
    bool fresh;         /* probe again, whatever the cache says */
};

/* Result of vt_accel_probe(). */
struct vt_accel {
    const char *accel;   /* "kvm", "hvf", "tcg" */
    const char *reason;  /* why this one, for people */
    bool cached;         /* nothing was booted just now: HOME/cache/accel.json knew */
    const char *qemu;    /* path of the QEMU program */
    const char *version; /* "7.2.22" */
};

/* Finds QEMU for guests of `arch` and what accelerates it. KVM and HVF count only where a small
 * guest that works for some milliseconds ends within 3 s. The answer is cached for this boot of
 * the host and this QEMU; a failure for an hour only. Result: struct vt_accel. VT_ENOTFOUND where
 * there is no QEMU, VT_EUNSUPPORTED where what was asked for does not work. */
struct vt_op *vt_accel_probe(struct vt_loop *loop, const struct vt_accel_opts *opts, vt_op_fn done,
                             void *user, struct vt_error *err);

/* The architecture of this host: "x86_64", "aarch64", or as uname says. */
const char *vt_host_arch(void);

#endif
