/* The VMs that run on this host for this user: each has a folder in the runtime directory,
 * RUNTIME/RUN/N-NAME/, with `vm.json` (facts) and `lock`, which its hypervisor's process holds
 * for as long as it lives. */
#ifndef VMTEST_REGISTRY_H
#define VMTEST_REGISTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmtest/error.h"

struct vt_registered {
    char *run;         /* the run's id */
    char *name;        /* the VM's name */
    char *dir;         /* its state folder */
    char *scratch_dir; /* NULL: stays when the VM is removed */
    long pid;          /* of the hypervisor; 0 where it is gone */
    bool run_alive;    /* the vmtest process that started it still runs */
    json_t *facts;     /* vt_vm_info() of when it was last written */
};

/* All VMs whose folder is there, sorted by run and name. vt_registered_free() frees them. */
enum vt_code vt_registry_list(struct vt_registered **vms, size_t *count, struct vt_error *err);
void vt_registered_free(struct vt_registered *vms, size_t count);

/* Ends a VM's hypervisor hard, if it still runs, and removes its folders. */
enum vt_code vt_registered_remove(const struct vt_registered *vm, struct vt_error *err);

#endif
