/* What the files of this folder share about one VM. */
#ifndef VT_DRIVER_TART_INSTANCE_H
#define VT_DRIVER_TART_INSTANCE_H

#include "core/args.h"
#include "driver/tart/options.h"
#include "driver/tart/ours.h"
#include "driver/tart/output.h"
#include "loop/timer.h"
#include "vm/driver.h"
#include "vm/hypervisor.h"

struct vt_tart;

/* What comes next in what is being done. `said`: the command's standard output. */
typedef void (*vt_tart_next_fn)(struct vt_tart *t, const char *said, size_t n);

struct vt_tart {
    struct vt_vm *vm;
    const struct vt_vm_config *config;
    struct vt_loop *loop;
    struct vt_tart_options options;
    char *version; /* as tart tells it; NULL: not asked yet */
    bool cloned;
    char name[VT_TART_NAME_SIZE];    /* of our clone, in tart */
    char lineage[VT_TART_NAME_SIZE]; /* of all clones that have its MAC address */
    char *lock, *log;
    int lineage_fd;                /* held while it runs; -1: not */
    struct vt_hypervisor *process; /* `tart run NAME …`, while it runs */

    /* What is under way: one job of several steps, each a command or a wait. */
    struct vt_tart_job {
        const char *op;      /* for errors; NULL: nothing is under way */
        struct vt_op *asked; /* NULL: whoever asked has gone */
        struct vt_op *inner; /* the command under way, or NULL */
        char doing[200];     /* it, for errors */
        vt_tart_next_fn next;
        /* Where the command fails; NULL: so does the job. */
        void (*failing)(struct vt_tart *t, const struct vt_error *why);
        void (*then)(struct vt_tart *t); /* of prepare and halt */
        void (*told)(struct vt_tart *t, const struct vt_tart_vm *own);
        struct vt_timer timer;
        void (*ended)(struct vt_tart *t, int status, int signal); /* the process's end is awaited */
        bool starts; /* a start or a restore: vm tells itself that the VM does not run */
        bool launching, gone;
        double launched;               /* loop time */
        void (*up)(struct vt_tart *t); /* of a launch */
        char kept[VT_TART_NAME_SIZE];  /* of a snapshot or restore: the clone of it */
        bool memory;
        struct vt_error failed; /* of a snapshot, told when the VM runs again */
    } job;
    struct vt_op *kill_op;
    char address[64]; /* of the guest, as last told; "" where it is not known */
};

/* job.c: jobs and their steps */
void vt_tart_begin(struct vt_tart *t, const char *op, struct vt_op *asked, bool starts);
/* Runs `tart WORDS…` (NULL-terminated); where it fails, the job does, unless failing() is given. */
void vt_tart_step(struct vt_tart *t, const char *doing, const char *const *words,
                  vt_tart_next_fn next,
                  void (*failing)(struct vt_tart *t, const struct vt_error *why));
/* Goes on with this VM as tart has it, which lasts for the call; NULL: it has no such VM. */
void vt_tart_ask(struct vt_tart *t, void (*next)(struct vt_tart *t, const struct vt_tart_vm *own));
void vt_tart_done(struct vt_tart *t);
/* A VM that was being started is ended; that one stands still that ran is told to vm. */
void vt_tart_fail(struct vt_tart *t, const struct vt_error *why);
/* Lets go of the job, with nobody told. */
void vt_tart_drop(struct vt_tart *t);

/* run.c: cloning and running */
void vt_tart_prepare(struct vt_tart *t, void (*then)(struct vt_tart *t));
void vt_tart_launch(struct vt_tart *t, void (*up)(struct vt_tart *t));
/* Has the process end hard, if it runs, and goes on then. */
void vt_tart_halt(struct vt_tart *t, void (*then)(struct vt_tart *t));
void vt_tart_start(void *instance, struct vt_op *op);
void vt_tart_stop(void *instance, struct vt_op *op);
void vt_tart_kill(void *instance, struct vt_op *op);
void vt_tart_reset(void *instance, struct vt_op *op);
void vt_tart_reboot(void *instance, struct vt_op *op);
void vt_tart_attach(void *instance, struct vt_op *op);
/* Ends the process, if any, and lets go of it and of the lineage's lock. */
void vt_tart_drop_process(struct vt_tart *t);
/* The process's end, however it came. */
void vt_tart_on_ended(int status, int signal, void *user);

/* save.c */
void vt_tart_snapshot(void *instance, const char *dir, json_t *facts, struct vt_op *op);
enum vt_code vt_tart_snapshot_check(void *instance, struct vt_error *err);
void vt_tart_restore(void *instance, const char *dir, const json_t *facts, struct vt_op *op);
enum vt_code vt_tart_restore_check(void *instance, const char *dir, const json_t *facts,
                                   struct vt_error *err);

/* address.c, exec.c: the ways in */
struct vt_channel *vt_tart_ssh_channel(struct vt_tart *t, struct vt_error *err);
struct vt_channel *vt_tart_exec_channel(struct vt_tart *t, struct vt_error *err);

#endif
