/* What the files of this folder share about one VM. */
#ifndef VT_DRIVER_VZ_INSTANCE_H
#define VT_DRIVER_VZ_INSTANCE_H

#include "core/buf.h"
#include "driver/vz/client.h"
#include "driver/vz/helper.h"
#include "driver/vz/options.h"
#include "loop/timer.h"
#include "vm/driver.h"

struct vt_vz_boot;
struct vt_vz_console;
struct vt_vz_hot_disk;
struct vt_vz_save;

struct vt_vz {
    struct vt_vm *vm;
    const struct vt_vm_config *config;
    struct vt_vz_options options;
    struct vt_loop *loop;
    char *program;                               /* vmtest-vz */
    char *lock, *socket, *log, *console, *agent; /* paths in state_dir */
    json_t
        *identity; /* "machine_identifier", "macs": made by the framework once, the VM's for life */

    /* known once started */
    json_t *host;              /* HOST of the protocol; NULL before */
    char *version;             /* of the helper */
    bool fake;                 /* no real hypervisor */
    struct vt_error not_saved; /* why its memory cannot be saved; code 0: it can */

    struct vt_vz_helper *helper; /* NULL while none runs */
    struct vt_monitor *client;
    struct vt_vz_console *tail;

    struct vt_op *kill_op, *attach_op; /* under way, or NULL */
    struct vt_op *reset_op;            /* a reset under way, or NULL */
    bool starts_again;                 /* when its guest has powered off */
    struct vt_vz_boot *boot;           /* a start or a restore under way, or NULL */
    struct vt_vz_hot_disk *hot_disks;  /* plugged in, or on their way; a list */
    struct vt_vz_save *save;           /* a snapshot under way, or NULL */
    struct vt_timer greeting;          /* of attach: for the helper to greet */

    /* what was heard before the process ended */
    bool crashed;
    char *end_reason;
};

/* boot.c: a start, and a restore: which is a start of another kind */
void vt_vz_start(void *instance, struct vt_op *op);
void vt_vz_restore(void *instance, const char *dir, const json_t *facts, struct vt_op *op);
/* Forgets the one under way that ends `op` (NULL: any); its process, if any, is killed. */
void vt_vz_boot_forget(struct vt_vz *vz, const struct vt_op *op);
/* The helper greeted. */
void vt_vz_boot_hello(struct vt_vz_boot *boot);
/* It ended: true where a restore had asked for that, and goes on. */
bool vt_vz_boot_ended(struct vt_vz_boot *boot);
/* It failed: its op fails and nothing of it is left. */
void vt_vz_boot_fail(struct vt_vz *vz, const struct vt_error *why);

/* watch.c: the helper's life, and what its guest does by itself */
/* Starts vz->helper with vz->client and vz->tail on it. */
enum vt_code vt_vz_watch(struct vt_vz *vz, struct vt_error *err);
/* The same of one that runs already. */
enum vt_code vt_vz_watch_running(struct vt_vz *vz, struct vt_error *err);
/* Ends process and session, at once, without any callback. */
void vt_vz_drop_helper(struct vt_vz *vz, bool leave_running);
/* Takes what a greeting tells. */
void vt_vz_take_hello(struct vt_vz *vz, const json_t *hello);
/* The first reason of an end is the cause; what follows from it does not count. */
void vt_vz_note_end(struct vt_vz *vz, bool crashed, const char *reason);

/* again.c: restarting */
void vt_vz_reset(void *instance, struct vt_op *op);
void vt_vz_start_again(void *instance, bool on);
/* The guest powered off: true where it is to start again, and does. */
bool vt_vz_again_stopped(struct vt_vz *vz);

/* attach.c */
void vt_vz_attach(void *instance, struct vt_op *op);
void vt_vz_attach_hello(struct vt_vz *vz);
/* Forgets an attach that is under way; the process runs on. */
void vt_vz_attach_cancel(struct vt_vz *vz);

/* vz.c */
uint64_t vt_vz_memory(const struct vt_vz *vz); /* bytes */
/* What the VM runs on, for reports: "Virtualization framework of macOS 15.1"; "fake" where the
 * helper says that it is no real hypervisor. */
void vt_vz_hypervisor(const struct vt_vz *vz, struct vt_buf *out);

/* program.c */
/* Finds vmtest-vz: $VMTEST_VZ, or beside this program. vt_free() it; NULL with *err set. */
char *vt_vz_program(struct vt_error *err);

/* channel.c */
bool vt_vz_has_way_in(const struct vt_vz *vz, struct vt_error *why);
struct vt_channel *vt_vz_channel(void *instance, const char *kind, struct vt_error *err);
void vt_vz_channel_info(const struct vt_vz *vz, json_t *facts);

#endif
