/* Errors of libvmtest.
 *
 * Every function that can fail takes a `struct vt_error *` owned by the caller, which may be NULL,
 * and returns 0 or the error's code. The first error wins: vt_fail() on an error that is set
 * already leaves it as it is, so that a clean-up cannot hide the cause. */
#ifndef VMTEST_ERROR_H
#define VMTEST_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

#if defined(__GNUC__)
#define VT_PRINTF(fmt_, args_) __attribute__((format(printf, fmt_, args_)))
#else
#define VT_PRINTF(fmt_, args_)
#endif

/* The kinds of error. Their names (vt_code_name) are what Lua sees as `err.code` and what
 * events.jsonl holds, so they are part of the interface. */
enum vt_code {
    VT_OK = 0,
    VT_EINVAL,       /* "invalid": an argument, an option or a configuration is wrong */
    VT_ENOTFOUND,    /* "not_found": an image, a file or a VM that does not exist */
    VT_ETIMEDOUT,    /* "timeout": a deadline passed */
    VT_ECANCELED,    /* "canceled": the operation was cancelled */
    VT_EUNSUPPORTED, /* "unsupported": this driver, channel or host cannot do it */
    VT_ESTATE,       /* "state": not possible in the VM's present state */
    VT_EIO,          /* "io": a system call or a connection failed */
    VT_ENOSPC,       /* "no_space": a disk is full */
    VT_EGUEST,       /* "guest": the guest cannot be reached, crashed, or went away */
    VT_EAUTH,        /* "auth": the guest refused every credential */
    VT_EHOSTKEY,     /* "host_key": the guest showed another host key than the pinned one */
    VT_EHYPERVISOR,  /* "hypervisor": QEMU (or another hypervisor) refused or died */
    VT_EIMAGE,       /* "image": an image is incomplete or broken */
    VT_EBUSY,        /* "busy": held by another process */
    VT_ELIMIT,       /* "limit": a size or count limit was reached */
    VT_EPROTO,       /* "protocol": a peer broke its protocol */
    VT_EINTERNAL,    /* "internal": a bug in vmtest */
    VT_CODE_COUNT_
};

struct vt_error {
    enum vt_code code;
    int sys;            /* errno where a system call failed, else 0 */
    char op[48];        /* the operation, as users know it: "vm.start", "image.open" */
    char message[1200]; /* what went wrong, where, and why; UTF-8, no control characters but \n */
    char hint[400];     /* what to do about it; may be empty */
};

#define VT_ERROR_INIT                                                                              \
    {                                                                                              \
        .code = VT_OK                                                                              \
    }

/* The code's stable name ("timeout"); "unknown" for a number that is no code. */
const char *vt_code_name(enum vt_code code);

/* Sets *err (may be NULL) unless it is set already; always returns `code`.
 * The message is made printable: guests and servers may have written parts of it. */
enum vt_code vt_fail(struct vt_error *err, enum vt_code code, const char *op, const char *fmt, ...)
    VT_PRINTF(4, 5);

/* As vt_fail for a failed system call: appends strerror(sys). Maps ENOSPC and EDQUOT to
 * VT_ENOSPC, ENOENT to VT_ENOTFOUND, all others to VT_EIO. */
enum vt_code vt_fail_sys(struct vt_error *err, int sys, const char *op, const char *fmt, ...)
    VT_PRINTF(4, 5);

/* Adds the hint (what to do) to an error that is set and has none yet. */
void vt_hint(struct vt_error *err, const char *fmt, ...) VT_PRINTF(2, 3);

/* Appends text to the message of an error that is set, cut to what fits. */
void vt_error_append(struct vt_error *err, const char *fmt, ...) VT_PRINTF(2, 3);

/* Copies `from` to `to` unless `to` is NULL or set; returns from->code. */
enum vt_code vt_error_copy(struct vt_error *to, const struct vt_error *from);

#endif
