/* The QEMU machine protocol (docs/interop/qmp-spec.txt of QEMU), as a dialect of monitors. An event
 * has its data in "data", if any; a result is what is in "return"; an error of QEMU comes as
 * VT_EHYPERVISOR with its own text. */
#ifndef VT_DRIVER_QEMU_QMP_H
#define VT_DRIVER_QEMU_QMP_H

#include "vm/monitor.h"

#define VT_QMP_LINE_MAX ((size_t)4 << 20)

extern const struct vt_monitor_dialect vt_qmp;

/* QEMU's version in its greeting, "7.2.22". vt_free() it. */
char *vt_qmp_version(const json_t *greeting);

#endif
