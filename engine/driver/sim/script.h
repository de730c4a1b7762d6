/* What config->sim says: how the guest behaves, and which faults strike when (docs/sim.md). */
#ifndef VT_DRIVER_SIM_SCRIPT_H
#define VT_DRIVER_SIM_SCRIPT_H

#include <jansson.h>

#include "vmtest/vm.h"

/* Where a fault strikes. */
enum vt__sim_point {
    VT__SIM_AT_START,
    VT__SIM_AT_READY, /* the boot, up to the guest's answer */
    VT__SIM_AT_RUNNING,
    VT__SIM_AT_EXEC,
    VT__SIM_AT_PUT,
    VT__SIM_AT_GET,
    VT__SIM_AT_STOP,
    VT__SIM_AT_PAUSE,
    VT__SIM_AT_SNAPSHOT,
    VT__SIM_AT_RESTORE,
    VT__SIM_POINT_COUNT_
};

enum vt__sim_fault_kind {
    VT__SIM_FAIL,
    VT__SIM_HANG,
    VT__SIM_CRASH,
    VT__SIM_DROP,
    VT__SIM_SLOW,
    VT__SIM_AUTH,
    VT__SIM_FAULT_COUNT_
};

struct vt__sim_fault {
    enum vt__sim_point at;
    enum vt__sim_fault_kind kind;
    unsigned nth;        /* of the times the point is passed, from 1 */
    double after;        /* seconds behind it */
    const char *message; /* never NULL */
};

struct vt__sim_scripted {
    const char *match; /* the whole command line */
    int status;
    const char *out, *err;
    size_t out_size, err_size;
    double seconds;
};

struct vt__sim_script {
    double boot_seconds, latency;
    bool ready, dry_run;
    bool macos_guest;            /* takes one of the host's slots for those */
    bool without[VT_CAP_COUNT_]; /* capabilities it claims not to have */
    struct vt__sim_scripted *commands;
    size_t command_count;
    struct vt__sim_fault *faults;
    size_t fault_count;
    unsigned passed[VT__SIM_POINT_COUNT_];
};

/* Reads the script; strings stay those of `object` (may be NULL: the defaults). VT_EINVAL names
 * the place and the nearest known name. *script is cleared on failure. */
enum vt_code vt__sim_script_read(const json_t *object, const char *vm,
                                 struct vt__sim_script *script, struct vt_error *err);
void vt__sim_script_clear(struct vt__sim_script *script);

/* Counts that the point is passed; the fault that strikes now, or NULL. */
const struct vt__sim_fault *vt__sim_script_pass(struct vt__sim_script *script,
                                                enum vt__sim_point at);

const struct vt__sim_scripted *vt__sim_script_find(const struct vt__sim_script *script,
                                                   const char *line);

#endif
