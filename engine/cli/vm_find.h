/* A running VM by the name a user typed. */
#ifndef VT_CLI_VM_FIND_H
#define VT_CLI_VM_FIND_H

#include "cli/options.h"
#include "vmtest/image.h"
#include "vmtest/registry.h"

struct vt_found {
    struct vt_registered *all; /* owns vm */
    size_t count;
    const struct vt_registered *vm;
    struct vt_image *image; /* what it was started from */
    const char *host;       /* where its guest's SSH server answers */
    int port;
};

/* `name` is NAME or RUN/NAME. VT_ENOTFOUND lists those that run; VT_EINVAL where NAME alone is
 * not enough. */
enum vt_code vt_vm_find(const char *name, struct vt_found *found, struct vt_error *err);

/* As vt_vm_find, and opens the image and the address of the guest. */
enum vt_code vt_vm_find_guest(const char *name, struct vt_found *found, struct vt_error *err);

void vt_found_free(struct vt_found *found);

#endif
