/* What `vm ls` and `vm info` tell of a VM. */
#ifndef VT_CLI_VM_ROWS_H
#define VT_CLI_VM_ROWS_H

#include <jansson.h>

#include "vmtest/named.h"

/* {"name", "run", "named", "state", "pid", "run_alive", "image", "created", "source", "base",
 * "dir", "in_use_by", "facts"}; members that do not apply are left out, but run, pid and facts. A
 * new reference. */
json_t *vt_vm_row(const struct vt_named *named);

/* The same of every VM there is, named ones and those of runs, as a new array. */
enum vt_code vt_vm_rows(json_t **rows, struct vt_error *err);

#endif
