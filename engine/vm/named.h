/* What the files of named VMs share. */
#ifndef VT_VM_NAMED_H
#define VT_VM_NAMED_H

#include "vmtest/named.h"
#include "vmtest/registry.h"

/* Reads HOME/vms/NAME/vm.json. VT_ENOTFOUND where there is none. */
enum vt_code vt__named_read(const char *name, struct vt_named **out, struct vt_error *err);

/* Of a VM that a run left, by what it wrote down. VT_EUNSUPPORTED where that does not suffice. */
enum vt_code vt__named_of_run(const struct vt_registered *vm, struct vt_named **out,
                              struct vt_error *err);

/* "NAME/FILE" under a folder of the VM. vt_free() the result. */
char *vt__named_lock_path(const struct vt_named *named);

/* Ends its hypervisor hard, if one runs, and removes its folder of sockets. */
enum vt_code vt__named_end(const struct vt_named *named, struct vt_error *err);

#endif
