/* The vtable of a driver, and what vm offers to drivers.
 *
 * vm owns the state machine, the deadlines and the operations; a driver does one thing at a time
 * when asked and tells what happens. A driver never changes a VM's state itself. */
#ifndef VT_VM_DRIVER_H
#define VT_VM_DRIVER_H

#include "guest/channel.h"
#include "loop/op.h"
#include "vm/lease.h"
#include "vmtest/vm.h"

/* What a driver can do, before any VM is there: the docs' table is made of it. */
struct vt_support {
    enum { VT_NO, VT_SOMETIMES, VT_YES } can;
    const char *why; /* of VT_NO: the reason; of VT_SOMETIMES: the condition */
};

struct vt_driver {
    const char *name;
    const char *summary; /* "virtual machines by QEMU", for tables */
    bool virtual_clock;  /* runs on a virtual clock (sim) */
    bool needs_image;
    double boot_deadline; /* seconds, where no image says; 0: 60 */
    struct vt_support support[VT_CAP_COUNT_];

    /* Checks the configuration and allocates the instance; starts nothing. The configuration is
     * vm's own copy and outlives the instance. */
    enum vt_code (*create)(struct vt_vm *vm, const struct vt_vm_config *config, void **instance,
                           struct vt_error *err);

    /* What the VM takes of this host while it runs; vm has it leased before start and restore.
     * NULL: nothing. What is set must live as long as the instance. */
    void (*needs)(void *instance, struct vt_needs *needs);

    /* Kills what runs (unless leave_running) and frees. Must not call vm back afterwards. */
    void (*destroy)(void *instance, bool leave_running);

    /* For capabilities that are VT_SOMETIMES: false with the reason in *why (VT_EUNSUPPORTED) where
     * this VM cannot. vm answers for the others from the table above. */
    bool (*supports)(void *instance, enum vt_capability cap, struct vt_error *why);

    /* Each ends `op` later with vt_op_succeed(op, NULL) or vt_op_fail(), once: `start` when the
     * guest's processors run, `stop` when the request was handed over (the guest's end is told by
     * vt_vm_ended), `kill` when the process is gone, pause, resume and reset when done. A member
     * may be NULL where supports() says no. */
    void (*start)(void *instance, struct vt_op *op);
    void (*stop)(void *instance, struct vt_op *op);
    void (*kill)(void *instance, struct vt_op *op);
    void (*pause)(void *instance, struct vt_op *op);
    void (*resume)(void *instance, struct vt_op *op);
    void (*reset)(void *instance, struct vt_op *op);
    /* Where the image's own command is not the way: has the guest restart cleanly and ends op when
     * it was asked; vt_vm_restarted() follows when it comes up again. NULL: by that command. */
    void (*reboot)(void *instance, struct vt_op *op);
    /* For a hypervisor that tells of no restart: whether the guest's next power-off is followed by
     * a start, and vt_vm_restarted() then. vm has the guest power off. NULL: not that way. */
    void (*start_again)(void *instance, bool on);

    /* Forget this op: it was cancelled or timed out. The driver must not touch it again. */
    void (*forget)(void *instance, struct vt_op *op);

    /* A new channel of this kind ("agent", "ssh", "qga") into the guest, once started. Owned by vm.
     * NULL with VT_EUNSUPPORTED where this VM has no such way in. */
    struct vt_channel *(*channel)(void *instance, const char *kind, struct vt_error *err);

    /* Snapshots. `dir` exists and is empty; the driver adds to `facts` what restore needs to know.
     * The VM is defined, stopped, running or paused, and goes on as it was. Names in facts are
     * relative to dir, or absolute for what lies elsewhere. */
    void (*snapshot)(void *instance, const char *dir, json_t *facts, struct vt_op *op);
    /* VT_OK where snapshot() can do it now, in this state of the guest; else the reason. */
    enum vt_code (*snapshot_check)(void *instance, struct vt_error *err);
    /* Ends what runs and goes on where the snapshot was taken; ends op when the guest's processors
     * run, or, for a snapshot without memory, when its disks are in place and nothing runs. */
    void (*restore)(void *instance, const char *dir, const json_t *facts, struct vt_op *op);
    enum vt_code (*restore_check)(void *instance, const char *dir, const json_t *facts,
                                  struct vt_error *err);

    /* The guest stands still for so long while snapshot() saves it that its connections are lost
     * and its clock is behind: vm sets both right before the snapshot is said to be done. */
    bool snapshot_holds;

    void (*screenshot)(void *instance, const char *path, struct vt_op *op);
    /* Each chord: QKeyCode names held together, joined by '-'. */
    void (*send_keys)(void *instance, const char *const *chords, struct vt_op *op);
    /* Never waits: VT_EBUSY where the guest does not read what was written before. Where a VM
     * outlives this process, others find its console in state_dir: "console", a socket both ways;
     * or "console.log", which grows, and the socket "console.log.in" for what the guest reads. */
    enum vt_code (*console_write)(void *instance, const void *data, size_t n, struct vt_error *err);
    void (*share)(void *instance, const struct vt_share *share, struct vt_op *op);
    void (*unshare)(void *instance, const char *name, struct vt_op *op);
    void (*resize_disk)(void *instance, const char *name, uint64_t size, struct vt_op *op);
    /* Of a checked disk that has a size or a path, whose name none of the configuration's has. */
    void (*attach_disk)(void *instance, const struct vt_disk *disk, struct vt_op *op);
    void (*detach_disk)(void *instance, const char *name, struct vt_op *op);

    /* Takes up what runs in state_dir; ends op, after telling vt_vm_attached(). */
    void (*attach)(void *instance, struct vt_op *op);

    double (*time_scale)(void *instance);

    /* Adds its facts to vt_vm_info(). */
    void (*info)(void *instance, json_t *facts);

    /* Removes what VMs and snapshots that are gone have left outside their folders (scratch_dir,
     * and the snapshot's own), and nothing else. Blocks; quick where there is nothing. NULL:
     * nothing can be left. */
    void (*sweep)(void);
};

/* Calls the sweep() of every driver that has one. After folders of VMs or snapshots were removed.
 */
void vt__drivers_sweep(void);

/* Told by drivers, from the loop. */

/* The VM ended by itself. crashed false: the guest powered off; true: a panic, or the hypervisor
 * died. `reason` is shown to users. Also called after stop and kill; vm knows what was asked. */
void vt_vm_ended(struct vt_vm *vm, bool crashed, const char *reason);

/* It crashed, and why is known: operations under way fail with that code and hint. */
void vt_vm_failed(struct vt_vm *vm, const struct vt_error *why);

/* The guest restarted (by itself or by reset): connections are dead, it will be ready anew. */
void vt_vm_restarted(struct vt_vm *vm);

/* What attach found. */
void vt_vm_attached(struct vt_vm *vm, bool paused);

/* Its facts (info) changed beside its state: other processes are to see that. */
void vt_vm_changed(struct vt_vm *vm);

/* Bytes of the serial console, as they come. */
void vt_vm_console_bytes(struct vt_vm *vm, const char *data, size_t n);

/* Holds the VM's lease from start on: a hypervisor's process inherits it, so that the lease lives
 * with that. -1: there is none. */
int vt_vm_lease_fd(const struct vt_vm *vm);

struct vt_loop *vt_vm_loop(const struct vt_vm *vm);

/* The kind of channel a VM is reached by: as configured, or the image's first. */
const char *vt_vm_channel_kind(const struct vt_vm_config *config);
bool vt_image_has_channel(const struct vt_image *image, const char *kind);
bool vt_vm_has_nat(const struct vt_vm_config *config);

/* "virtio", "nvme", "usb" */
const char *vt_disk_bus_name(enum vt_disk_bus bus);

/* Whether the file of a disk with a `path` is there, and may be read, or, where it is `direct`,
 * written. VT_ENOTFOUND, or the system's reason; `op` is the errors'. */
enum vt_code vt_vm_disk_file_check(const struct vt_vm_config *config, const struct vt_disk *disk,
                                   const char *op, struct vt_error *err);

/* For create(): whether the configuration has the folders state_dir and scratch_dir, and an
 * absolute path for console_log, if any. VT_EINVAL. */
enum vt_code vt_vm_check_folders(const struct vt_vm_config *config, struct vt_error *err);

/* For snapshot_check(): VT_EUNSUPPORTED where the VM writes to a disk itself ("direct"). */
enum vt_code vt_snapshot_check_disks(const struct vt_vm_config *config, struct vt_error *err);

/* For snapshot(): whether `bytes` more go into the file system of `dir`; where that cannot be told
 * they do. VT_ENOSPC. */
enum vt_code vt_snapshot_check_room(const char *dir, uint64_t bytes, struct vt_error *err);

/* For restore_check(): whether the snapshot's file is there, and `size` bytes long (-1: not
 * empty). VT_ENOTFOUND. */
enum vt_code vt_snapshot_check_file(const char *dir, const char *name, int64_t size,
                                    struct vt_error *err);

/* Makes a driver known by its name. Called once for each, by vt_drivers_init(). */
void vt_driver_register(const struct vt_driver *driver);

/* All that were made known, NULL-terminated. */
const struct vt_driver *const *vt_drivers(void);

#endif
