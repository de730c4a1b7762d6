/* Images: what a VM starts from. An image has versions; each is a folder in the store,
 * `HOME/images/NAME/VERSION`, with a description `image.json` (format: docs/images.md) beside its
 * kernel, initrd or disk. The link `HOME/images/NAME/latest` leads to the newest that is whole. */
#ifndef VMTEST_IMAGE_H
#define VMTEST_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"

struct vt_image {
    char *name;       /* without its version */
    char *version;    /* or NULL: a folder outside the store */
    char *dir;        /* absolute path of its folder */
    char *os;         /* "linux", "macos", … as the image says */
    char *arch;       /* "x86_64", "aarch64" */
    char *os_version; /* of macOS: "15.5"; NULL: the image does not say */

    /* Direct kernel boot: kernel set. Disk boot: disk set. Both: kernel with a root disk. */
    char *kernel, *initrd, *append; /* absolute paths; kernel command line */
    char *disk;                     /* absolute path; never written to: VMs get an overlay */
    char *disk_format;              /* "qcow2" or "raw" */
    char *iso;                      /* absolute path of a CD that is in the drive; or NULL. Alone it
                                       is what is booted */
    char *seed;                     /* absolute path of a disk with settings for the guest's first
                                       start (cloud-init), attached read-only; or NULL */
    char *firmware;                 /* "bios", "efi" or NULL: what is usual for `arch` */
    char *auxiliary, *hardware_model; /* of macOS: absolute path of the auxiliary storage that was
                                         made with the disk, and the framework's hardware model in
                                         base64; both or NULL */

    uint64_t memory; /* bytes that a VM of it gets by default */
    int cpus;
    char *ready;          /* text on the serial console that says it can be connected to; or NULL */
    char *shutdown;       /* command that powers the guest off cleanly, or NULL: ACPI is enough */
    char *reboot;         /* command that restarts it, e.g. "reboot" */
    char *update;         /* command that installs updates, for `vmtest image refresh`; or NULL */
    double boot_deadline; /* seconds with hardware virtualization; deadlines scale without it */

    char **channels; /* ways in, the preferred one first: "agent", "ssh", "qga";
                        NULL-terminated; NULL: none */
    char *ssh_user, *ssh_key, *ssh_password, *ssh_host_key; /* ssh_key: absolute path */
    char *created; /* RFC 3339, as the image says; or NULL */

    int use; /* as long as it is open, its version is marked as used (vt_image_use); 0: not marked
              */
};

/* Opens the image `name` of the store ("NAME" is its latest version, or "NAME@VERSION"), or the
 * folder `name` where it has a slash. Checks that
 * every file it names is there and of the kind it says (a kernel, a qcow2 header, …).
 * A deprecated version is opened with a warning in the log.
 * VT_ENOTFOUND lists the images or versions there are; VT_EIMAGE says what is broken in it. */
enum vt_code vt_image_open(const char *name, struct vt_image **out, struct vt_error *err);
void vt_image_free(struct vt_image *image);

/* Names of all images in the store, sorted; *names and each name are vt_free()d by
 * vt_image_names_free(). An empty store is no error. */
enum vt_code vt_image_names(char ***names, size_t *count, struct vt_error *err);
void vt_image_names_free(char **names, size_t count);

#endif
