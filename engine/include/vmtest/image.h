/* Images: what a VM starts from. An image is a folder in the store, `HOME/images/NAME`, with a
 * description `image.json` (format: docs/images.md) beside its kernel, initrd or disk. */
#ifndef VMTEST_IMAGE_H
#define VMTEST_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"

struct vt_image {
    char *name;
    char *dir;  /* absolute path of its folder */
    char *os;   /* "linux", "macos", … as the image says */
    char *arch; /* "x86_64", "aarch64" */

    /* Direct kernel boot: kernel set. Disk boot: disk set. Both: kernel with a root disk. */
    char *kernel, *initrd, *append; /* absolute paths; kernel command line */
    char *disk;                     /* absolute path; never written to: VMs get an overlay */
    char *disk_format;              /* "qcow2" or "raw" */

    uint64_t memory; /* bytes that a VM of it gets by default */
    int cpus;
    char *ready;          /* text on the serial console that says it can be connected to; or NULL */
    char *shutdown;       /* command that powers the guest off cleanly, or NULL: ACPI is enough */
    char *reboot;         /* command that restarts it, e.g. "reboot" */
    double boot_deadline; /* seconds with hardware virtualization; deadlines scale without it */

    char *ssh_user, *ssh_key, *ssh_password, *ssh_host_key; /* ssh_key: absolute path */
    char *created; /* RFC 3339, as the image says; or NULL */
};

/* Opens the image `name` of the store, or the folder `name` where it has a slash. Checks that
 * every file it names is there and of the kind it says (a kernel, a qcow2 header, …).
 * VT_ENOTFOUND lists the images there are; VT_EIMAGE says what is broken in it. */
enum vt_code vt_image_open(const char *name, struct vt_image **out, struct vt_error *err);
void vt_image_free(struct vt_image *image);

/* Names of all images in the store, sorted; *names and each name are vt_free()d by
 * vt_image_names_free(). An empty store is no error. */
enum vt_code vt_image_names(char ***names, size_t *count, struct vt_error *err);
void vt_image_names_free(char **names, size_t count);

#endif
