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

/* NULL-terminated names of the ways into a guest: "agent", "ssh", "qga". */
const char *const *vt_channel_names(void);

/* What a driver may or may not do; asked with vt_vm_supports(). */
enum vt_capability {
    VT_CAP_START,
    VT_CAP_STOP,  /* ask the guest to power off */
    VT_CAP_KILL,  /* power off hard */
    VT_CAP_PAUSE, /* and resume */
    VT_CAP_RESET, /* restart hard */
    VT_CAP_CONSOLE,
    VT_CAP_CONSOLE_WRITE,
    VT_CAP_EXEC,
    VT_CAP_FILES,
    VT_CAP_SNAPSHOT, /* and restore, of a running and of a stopped VM */
    VT_CAP_COPY,     /* a second VM of a snapshot while the first runs: clones */
    VT_CAP_SCREENSHOT,
    VT_CAP_KEYS,
    VT_CAP_VNC,
    VT_CAP_DISKS,     /* beside the image's own */
    VT_CAP_NBD,       /* disks of a URL */
    VT_CAP_RESIZE,    /* of a disk, while the VM runs */
    VT_CAP_HOT_DISK,  /* disks plugged in while it runs */
    VT_CAP_SHARES,    /* host folders in the guest, from its start */
    VT_CAP_HOT_SHARE, /* and while it runs */
    VT_CAP_NAT,
    VT_CAP_FORWARD,  /* ports of the host that lead into the guest */
    VT_CAP_ISOLATED, /* a network of guests alone */
    VT_CAP_BRIDGED,
    VT_CAP_NO_NETWORK,
    VT_CAP_COUNT_
};

/* "start", "pause", … */
const char *vt_capability_name(enum vt_capability cap);

struct vt_forward { /* a TCP port of the host (127.0.0.1) that leads into the guest */
    int host_port;  /* 0: a free one is chosen */
    int guest_port;
};

enum vt_disk_bus { VT_DISK_VIRTIO, VT_DISK_NVME, VT_DISK_USB };

/* A disk beside the image's own. Exactly one of size, path and url says where its bytes are. */
struct vt_disk {
    const char *name; /* plain name, unique in its VM; the serial number that the guest sees */
    enum vt_disk_bus bus;
    uint64_t size;      /* bytes: new, empty and sparse, and gone with the VM */
    const char *path;   /* an existing file; written to itself only where `direct` */
    const char *format; /* of path: "raw" or "qcow2"; NULL: "raw" */
    const char *url;    /* "nbd://host[:port][/export]", "nbd+unix:///[export]?socket=PATH" */
    bool read_only;
    bool direct; /* path or url is written to itself; else the VM writes into an overlay of its own
                  */
};

enum vt_nic_kind {
    VT_NIC_NAT,      /* reaches what the host reaches; forwards lead into the first one */
    VT_NIC_ISOLATED, /* sees only the guests on the isolated network of the same name */
    VT_NIC_BRIDGED,  /* on the host's bridge of that name */
};

struct vt_nic {
    enum vt_nic_kind kind;
    const char *network; /* of VT_NIC_ISOLATED: a plain name; of VT_NIC_BRIDGED: the bridge */
    const char *mac;     /* "52:54:00:xx:xx:xx"; NULL: made from the VM's folder, the same for its
                            life and in its snapshots */
};

struct vt_share {
    const char *name; /* plain name, unique in its VM: the tag to mount by */
    const char *path; /* folder of the host, absolute */
    bool read_only;   /* kept by the host, whatever the guest does */
};

/* What a VM is made of comes first: it is what vt_vm_config_to_json() writes and a snapshot
 * compares. What follows is where this one keeps its things. */
struct vt_vm_config {
    const char *name;             /* plain name, unique in its run */
    const char *driver;           /* "qemu", "sim", "ssh", "tart", "vz"; NULL: "qemu" */
    const struct vt_image *image; /* owned by the caller, must outlive the VM; NULL where the driver
                                     needs none (sim, ssh, tart) */
    uint64_t memory;              /* bytes; 0: the image's */
    int cpus;                     /* 0: the image's */
    const char *accel;            /* "auto", "kvm", "hvf", "tcg"; NULL: "auto" */
    const char *channel;          /* "agent", "ssh", "qga"; NULL: the first the image names */
    const struct vt_forward *forwards;
    size_t forward_count;
    const struct vt_disk *disks;
    size_t disk_count;
    const struct vt_nic *nics; /* NULL: one with NAT; not NULL and nic_count 0: none */
    size_t nic_count;
    const struct vt_share *shares;
    size_t share_count;
    bool screen;        /* a graphics card and a keyboard: screenshots, keys */
    bool vnc;           /* and a VNC server on a unix socket, state_dir/vnc; implies screen */
    const json_t *sim;  /* for the sim driver: its script and faults; NULL: none */
    const json_t *ssh;  /* for the ssh driver: {"host", "port", "user", "key", …}; NULL: none */
    const json_t *tart; /* for the tart driver: {"vm", "user", "key", …}; NULL: none */
    const json_t *vz;   /* for the vz driver: {"rosetta", "nested", …}; NULL: none */

    const char *state_dir;   /* existing private folder for sockets and locks: short path */
    const char *scratch_dir; /* existing private folder for disks */
    const char *console_log; /* file the serial console is written to */
    bool keep;               /* may outlive this process (run --keep): not tied to it */
    bool persistent;         /* scratch_dir stays when the VM is freed */
    const char *run;         /* the run it belongs to, for those who wait for its room; or NULL */
    double wait; /* seconds to wait for memory, processors and disk, or for a machine that somebody
                    else uses; 0: refuse at once */
};

/* The first half of a configuration, as a new JSON object; members of their default value are left
 * out. The image is "image": its "name@version", or its folder. */
json_t *vt_vm_config_to_json(const struct vt_vm_config *config);

/* And back: fills the first half of *config with copies, which vt_vm_config_clear() frees (with the
 * image, if it was opened here). Reads strictly: VT_EINVAL names the key; sizes are numbers or text
 * ("4G"). With open_image, "image" is opened by vt_image_open(). */
enum vt_code vt_vm_config_from_json(const json_t *object, bool open_image,
                                    struct vt_vm_config *config, struct vt_error *err);
void vt_vm_config_clear(struct vt_vm_config *config);

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

/* Has memory, processors and disk for it leased (vmtest/lease.h; VT_ELIMIT, VT_EBUSY, VT_ENOSPC; it
 * waits for them as long as configured, besides the timeout), starts the VM (defined, stopped or
 * crashed) and completes when the guest answers on its channel,
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

/* --- snapshots ---
 *
 * A snapshot is a folder: `snapshot.json` and what the driver keeps (memory, device state, layers
 * of disks). It can be restored as often as wanted, into the VM it was made of, into a new VM of
 * the same configuration, and by a later process. Format and life: docs/snapshots.md. */

struct vt_snapshot_opts {
    const char *name; /* plain name, unique in `dir` */
    const char *dir;  /* existing private folder, absolute; the snapshot becomes dir/NAME and is
                         flushed to disk. NULL: the VM's own, scratch_dir/snapshots, which lives as
                         long as the VM and is not flushed */
    bool transient;   /* not flushed to disk, in whichever folder: it need not outlive the host */
    double timeout;   /* seconds; 0: 60, scaled */
};

/* The folder of the snapshots that outlive their VMs and have a name for everybody, HOME/snapshots;
 * made where it is not there. vt_free()d by the caller; NULL where it cannot be had. */
char *vt_snapshot_store(struct vt_error *err);

/* Saves memory (of a VM that runs or is paused), disks and configuration. The VM goes on as it was.
 * Refused with VT_EUNSUPPORTED, before anything is touched, where a device or a mounted share
 * stands against it; with VT_EBUSY where the name is taken. Result: const char *, the snapshot's
 * folder. */
struct vt_op *vt_vm_snapshot(struct vt_vm *vm, const struct vt_snapshot_opts *opts, vt_op_fn done,
                             void *user, struct vt_error *err);

/* Puts the VM, whatever its state, where the snapshot `path` (its folder, or the name of one of the
 * VM's own) was taken. Where that was of a running VM it completes when the guest answers again,
 * its clock is right and its random pool has new seed; of a paused one, resume() does that. What
 * was under way in the VM fails with VT_EGUEST. Refused beforehand where vt_vm_restore_check() says
 * so. timeout 0: 60 s, scaled. Result: NULL. */
struct vt_op *vt_vm_restore(struct vt_vm *vm, const char *path, double timeout, vt_op_fn done,
                            void *user, struct vt_error *err);

/* Whether that restore can work: VT_ENOTFOUND (no such snapshot, a missing file), VT_ESTATE
 * (another configuration, hypervisor or host), with the reason. */
enum vt_code vt_vm_restore_check(const struct vt_vm *vm, const char *path, struct vt_error *err);

struct vt_snapshot {
    char *name, *dir;
    char *parent;   /* name of the one the VM came from last, or NULL */
    char *created;  /* RFC 3339 */
    char *vm;       /* name of the VM it was made of */
    bool memory;    /* of a VM that ran */
    uint64_t bytes; /* on disk; a layer of a disk that several snapshots have counts in each */
    json_t *facts;  /* the whole of snapshot.json */
};

/* The snapshots in a folder, by time; an empty or missing folder is no error. The VM's own where
 * dir is NULL. vt_snapshots_free() frees them. */
enum vt_code vt_vm_snapshots(const struct vt_vm *vm, const char *dir, struct vt_snapshot **out,
                             size_t *count, struct vt_error *err);
void vt_snapshots_free(struct vt_snapshot *snapshots, size_t count);

/* Removes a snapshot. Each is whole by itself: others, and VMs that came from it, are not touched.
 * VT_ENOTFOUND where there is none. */
enum vt_code vt_snapshot_remove(const char *path, struct vt_error *err);

/* The configuration a snapshot was taken of, to make a new VM of it; as vt_vm_config_from_json().
 */
enum vt_code vt_snapshot_config(const char *path, struct vt_vm_config *config,
                                struct vt_error *err);

/* --- screen, keys, console, shares, disks --- */

/* Writes what the screen shows into the file `path` as PNG. Result: NULL. */
struct vt_op *vt_vm_screenshot(struct vt_vm *vm, const char *path, vt_op_fn done, void *user,
                               struct vt_error *err);

/* Presses keys: each of `chords` (NULL-terminated) is "a", "ret" or "ctrl-alt-f1", by the names of
 * QEMU's QKeyCode; VT_EINVAL names one that does not exist. Result: NULL. */
struct vt_op *vt_vm_send_keys(struct vt_vm *vm, const char *const *chords, vt_op_fn done,
                              void *user, struct vt_error *err);

/* Types text as on a US keyboard; VT_EINVAL for what that has no key for. Result: NULL. */
struct vt_op *vt_vm_type_text(struct vt_vm *vm, const char *text, vt_op_fn done, void *user,
                              struct vt_error *err);

/* Writes to the serial console. */
enum vt_code vt_vm_console_write(struct vt_vm *vm, const void *data, size_t n,
                                 struct vt_error *err);

/* How many bytes the console has written so far, since the VM was made. */
uint64_t vt_vm_console_size(const struct vt_vm *vm);

/* Its bytes from `*offset` on, as far as they are kept (64 KiB): *out is vt_free()d by the caller,
 * *n its length; *offset becomes where the next read goes on. */
void vt_vm_console_read(const struct vt_vm *vm, uint64_t *offset, char **out, size_t *n);

/* Completes when the console has more bytes than `offset`. Result: NULL. */
struct vt_op *vt_vm_console_wait(struct vt_vm *vm, uint64_t offset, double timeout, vt_op_fn done,
                                 void *user, struct vt_error *err);

/* Gives the running guest a share, or takes one away by its name. Result: NULL. */
struct vt_op *vt_vm_share(struct vt_vm *vm, const struct vt_share *share, vt_op_fn done, void *user,
                          struct vt_error *err);
struct vt_op *vt_vm_unshare(struct vt_vm *vm, const char *name, vt_op_fn done, void *user,
                            struct vt_error *err);

/* Makes a disk larger while the VM runs: `name` of the configuration, or "disk0", the image's own.
 * Result: NULL. */
struct vt_op *vt_vm_resize_disk(struct vt_vm *vm, const char *name, uint64_t size, vt_op_fn done,
                                void *user, struct vt_error *err);

/* Plugs a disk into the running guest, or takes one out by its name. It has a size or a path; the
 * bus is the driver's choice, told by the VM's facts. What the VM writes is gone with the disk,
 * unless it is `direct`; the disk is gone with the guest, however it ends. VT_EBUSY where the VM
 * has a disk of that name; VT_ENOTFOUND for a file, or for a name that is not plugged in. Result:
 * NULL. */
struct vt_op *vt_vm_attach_disk(struct vt_vm *vm, const struct vt_disk *disk, vt_op_fn done,
                                void *user, struct vt_error *err);
struct vt_op *vt_vm_detach_disk(struct vt_vm *vm, const char *name, vt_op_fn done, void *user,
                                struct vt_error *err);

/* --- VMs that run already --- */

/* Takes up a VM whose hypervisor a process before this one left running in config->state_dir.
 * Completes when it can be used (state running or paused). Result: NULL. */
struct vt_op *vt_vm_attach(struct vt_vm *vm, double timeout, vt_op_fn done, void *user,
                           struct vt_error *err);

#endif
