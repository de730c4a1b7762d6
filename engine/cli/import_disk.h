/* `vmtest image import` of what other machines boot from: disks and CDs. */
#ifndef VT_CLI_IMPORT_DISK_H
#define VT_CLI_IMPORT_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/options.h"

struct vt_import_disk {
    const char *name; /* of the image; NULL: the file's, without its ending */
    const char *os, *arch, *firmware;
    const char *ssh_user, *ssh_key; /* ssh_key: a file, which is copied */
    bool cloud_init; /* gives the guest settings for its first start: a user with a new key */
    uint64_t memory; /* 0: 1 GiB */
    int cpus;        /* 0: 1 */
    double timeout;  /* seconds, more than 0 */
};

/* By the file's content. */
bool vt_is_importable_disk(const char *path);

/* Makes a version of it. Returns the exit code. */
int vt_import_disk(const struct vt_command *self, const char *path,
                   const struct vt_import_disk *opts);

#endif
