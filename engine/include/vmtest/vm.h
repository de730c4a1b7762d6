/* Virtual machines: one state machine over every driver.
 *
 *             start            pause
 *   defined ────────▶ starting ──▶ running ◀──────▶ paused
 *      ▲                             │ stop, kill     │
 *      └── (never left again) ──▶ stopping ──▶ stopped│──▶ crashed
 *
 * A guest that powers itself off goes from running to stopped; one that panics, or whose
 * hypervisor dies, to crashed; both at once, by themselves. Stopped and crashed VMs can be
 * started again. Everything runs in one loop; operations follow the rules of vmtest/loop.h. */
#ifndef VMTEST_VM_H
#define VMTEST_VM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmtest/guest.h"
#include "vmtest/image.h"
#include "vmtest/loop.h"

struct vt_vm;

enum vt_vm_state {
    VT_VM_DEFINED,
    VT_VM_STARTING,
    VT_VM_RUNNING,
    VT_VM_PAUSED,
    VT_VM_STOPPING,
    VT_VM_STOPPED,
    VT_VM_CRASHED,
};

/* "defined", "starting", "running", … */
const char *vt_vm_state_name(enum vt_vm_state state);

/* Makes every driver of this build known. Call once, before vt_vm_new(). */
void vt_drivers_init(void);

/* NULL-terminated names of the known drivers. */
const char *const *vt_driver_names(void);

/* What a driver may or may not do; asked with vt_vm_supports(). */
enum vt_capability {
    VT_CAP_START,
    VT_CAP_STOP,  /* ask the guest to power off */
    VT_CAP_KILL,  /* power off hard */
    VT_CAP_PAUSE, /* and resume */
    VT_CAP_RESET, /* restart hard */
    VT_CAP_CONSOLE,
    VT_CAP_EXEC,
    VT_CAP_FILES,
    VT_CAP_COUNT_
};

/* "start", "pause", … */
const char *vt_capability_name(enum vt_capability cap);

struct vt_forward { /* a TCP port of the host (127.0.0.1) that leads into the guest */
    int host_port;  /* 0: a free one is chosen */
    int guest_port;
};

struct vt_vm_config {
    const char *name;             /* plain name, unique in its run */
    const char *driver;           /* "qemu", "sim"; NULL: "qemu" */
    const struct vt_image *image; /* owned by the caller, must outlive the VM; NULL only for sim */
    uint64_t memory;              /* bytes; 0: the image's */
    int cpus;                     /* 0: the image's */
    const char *accel;            /* "auto", "kvm", "hvf", "tcg"; NULL: "auto" */
    const struct vt_forward *forwards;
    size_t forward_count;
    const char *state_dir;   /* existing private folder for sockets and locks: short path */
    const char *scratch_dir; /* existing private folder for disks */
    const char *console_log; /* file the serial console is written to */
    bool keep;               /* may outlive this process (run --keep): not tied to it */
    const json_t *sim;       /* for the sim driver: its script and faults; NULL: none */
};

/* What happens to a VM, told as it happens. `reason` is NULL or a short text ("guest powered
 * off"). Called from the loop. */
typedef void (*vt_vm_state_fn)(struct vt_vm *vm, enum vt_vm_state state, const char *reason,
                               void *user);

/* Makes a VM in state defined; nothing runs yet. Strings are copied. Checks the configuration
 * and that the driver can serve it: VT_EINVAL, VT_EUNSUPPORTED, VT_ENOTFOUND (no QEMU, …). */
enum vt_code vt_vm_new(struct vt_loop *loop, const struct vt_vm_config *config, struct vt_vm **out,
                       struct vt_error *err);

/* Ends the VM hard where it still runs (unless `leave_running`: then the hypervisor's process
 * stays, for run --keep, as do its folders) and frees it; state_dir and scratch_dir are removed.
 * Operations on it are cancelled; callbacks still come. */
void vt_vm_free(struct vt_vm *vm, bool leave_running);

void vt_vm_on_state(struct vt_vm *vm, vt_vm_state_fn fn, void *user);

const char *vt_vm_name(const struct vt_vm *vm);
enum vt_vm_state vt_vm_state(const struct vt_vm *vm);

/* Why it is in this state, e.g. "guest powered off", "QEMU was killed by signal 9"; or NULL. */
const char *vt_vm_reason(const struct vt_vm *vm);

/* False with the reason in *why (may be NULL) as VT_EUNSUPPORTED. */
bool vt_vm_supports(const struct vt_vm *vm, enum vt_capability cap, struct vt_error *why);

/* How much longer than with hardware virtualization things take here: 1 with KVM or HVF, more
 * without. Default deadlines are multiplied by it. Known once started; 1 before. */
double vt_vm_time_scale(const struct vt_vm *vm);

/* Facts for reports: {"driver", "accel", "hypervisor", "pid", "ssh": {"host","port","user"}, …}.
 * A new reference. */
json_t *vt_vm_info(const struct vt_vm *vm);

/* The last bytes of the serial console (at most 64 KiB are kept), as valid UTF-8. *out is
 * vt_free()d by the caller, "" where there is nothing. */
void vt_vm_console_tail(const struct vt_vm *vm, size_t limit, char **out);

/* Starts the VM (defined, stopped or crashed) and completes when the guest answers on its channel,
 * or, with wait_ready false, when it runs. timeout 0: the image's boot deadline, scaled.
 * Result: NULL. Fails with VT_EGUEST or VT_ETIMEDOUT and the last console lines. */
struct vt_op *vt_vm_start(struct vt_vm *vm, bool wait_ready, double timeout, vt_op_fn done,
                          void *user, struct vt_error *err);

/* Asks the guest to power off and completes when it has. After `timeout` (0: 30 s, scaled) it
 * fails with VT_ETIMEDOUT, and the VM still runs. Result: NULL. */
struct vt_op *vt_vm_stop(struct vt_vm *vm, double timeout, vt_op_fn done, void *user,
                         struct vt_error *err);

/* Ends it hard, at once. Result: NULL. */
struct vt_op *vt_vm_kill(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err);

struct vt_op *vt_vm_pause(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err);
struct vt_op *vt_vm_resume(struct vt_vm *vm, vt_op_fn done, void *user, struct vt_error *err);

/* Restarts the guest, cleanly by its own command, or hard by a reset, and completes when it
 * answers again. timeout 0: the boot deadline, scaled. Result: NULL. */
struct vt_op *vt_vm_reboot(struct vt_vm *vm, bool hard, double timeout, vt_op_fn done, void *user,
                           struct vt_error *err);

/* Completes when the VM has left starting, running, paused and stopping: when the guest powered
 * off (success, also where it has already) or crashed (VT_EGUEST). Result: NULL. */
struct vt_op *vt_vm_wait_stopped(struct vt_vm *vm, double timeout, vt_op_fn done, void *user,
                                 struct vt_error *err);

/* A command or a transfer in the guest. Connects first where the connection was lost. Fails with
 * VT_ESTATE where the VM does not run; with VT_EGUEST, at once, when it stops or crashes
 * meanwhile. Results: struct vt_exec_result, struct vt_transfer_result. */
struct vt_op *vt_vm_exec(struct vt_vm *vm, const struct vt_exec_opts *opts, vt_op_fn done,
                         void *user, struct vt_error *err);
struct vt_op *vt_vm_transfer(struct vt_vm *vm, const struct vt_transfer_opts *opts, vt_op_fn done,
                             void *user, struct vt_error *err);

#endif
