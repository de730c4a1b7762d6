/* The guest of a running VM, by ssh and without taking the VM: what needs nothing but a connection
 * works also while a run, or another command, has it. */
#ifndef VT_CLI_VM_FIND_H
#define VT_CLI_VM_FIND_H

#include "cli/options.h"
#include "vmtest/image.h"
#include "vmtest/named.h"

struct vt_found {
    struct vt_named *named;
    json_t *facts; /* its vm.json */
    struct vt_image *image;
    const char *host; /* where its guest's SSH server answers */
    int port;
    bool prefers_ssh; /* it is the channel that the VM is reached by */
};

/* VT_ENOTFOUND, VT_ESTATE where it does not run, VT_EUNSUPPORTED where it has no ssh. */
enum vt_code vt_vm_find_guest(const char *name, struct vt_found *found, struct vt_error *err);

void vt_found_free(struct vt_found *found);

/* Finds a VM and takes it, waiting some seconds for another command that has it. */
enum vt_code vt_vm_take(const char *name, struct vt_named **named, struct vt_error *err);

#endif
