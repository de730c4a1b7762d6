/* VMs that live longer than a process: `vmtest vm create web`.
 *
 * A named VM is a folder, HOME/vms/NAME/: `vm.json` (what it is made of and made from), `disks/`
 * (what it has written), `snapshots/`, `console.log`, and `lock`, held by the process that works on
 * it. Where it runs, RUNTIME/vms/NAME/ has its sockets and the lock of its hypervisor, as VMs of
 * runs have theirs in RUNTIME/RUN/N-NAME/; a VM that `vmtest run --keep` left is opened the same
 * way. Format and commands: docs/vms.md. */
#ifndef VMTEST_NAMED_H
#define VMTEST_NAMED_H

#include <stdbool.h>
#include <stddef.h>

#include "vmtest/vm.h"

#define VT_NAMED_RUN "vms" /* what vt_registered.run says of them */

struct vt_named {
    char *name;
    char *run;         /* VT_NAMED_RUN, or the run that left it running */
    char *dir;         /* HOME/vms/NAME; NULL: of a run */
    char *state_dir;   /* of its sockets; may not be there while it does not run */
    char *scratch_dir; /* of its disks */
    char *snapshots_dir;
    char *console_log; /* or NULL */
    char *created;     /* RFC 3339, or NULL: of a run */
    char *source;      /* "small@20261122.1", "web", "web@clean": what it was made from; or NULL */
    char *base;        /* the snapshot's folder that it begins from; NULL: from its image */
    json_t *config_json;        /* by vt_vm_config_to_json() */
    struct vt_vm_config config; /* valid after vt_named_load() */
    bool loaded;
    double wait; /* as in struct vt_vm_config; for those who call vt_named_vm() */
    int lock;    /* held: a descriptor; else -1 */
};

/* Finds a VM by NAME or RUN/NAME: a named one, or one of a run whose folder is there. VT_ENOTFOUND
 * lists those that are, and the nearest name; VT_EINVAL where NAME alone fits several. */
enum vt_code vt_named_find(const char *name, struct vt_named **out, struct vt_error *err);

/* Lets go of the lock, if held, and frees it. */
void vt_named_free(struct vt_named *named);

/* All named VMs (not those of runs), by name. vt_named_list_free() frees them. */
enum vt_code vt_named_list(struct vt_named ***out, size_t *count, struct vt_error *err);
void vt_named_list_free(struct vt_named **list, size_t count);

struct vt_named_opts {
    const char *name;
    const json_t *config; /* as vt_vm_config_from_json() reads it; its "name" is replaced */
    const char *source;   /* what it is made from, for people; may be NULL */
    const char *base;     /* folder of a snapshot, or NULL */
};

/* Makes a named VM, all of it or nothing: VT_EBUSY where the name is taken, VT_EINVAL,
 * VT_EUNSUPPORTED and others where its configuration cannot serve. Starts nothing; takes some
 * milliseconds whatever the size of its image. */
enum vt_code vt_named_create(const struct vt_named_opts *opts, struct vt_error *err);

/* The hypervisor's process id, or 0 where the VM does not run. */
long vt_named_pid(const struct vt_named *named);

/* True where a run under way has it. */
bool vt_named_in_run(const struct vt_named *named);

/* Takes the VM for this process: VT_EBUSY names the process that has it, or the run. What a
 * process that was killed left half done is put right first. Several may only look at once. */
enum vt_code vt_named_lock(struct vt_named *named, struct vt_error *err);

/* Opens its image and fills `config`, folders included. */
enum vt_code vt_named_load(struct vt_named *named, struct vt_error *err);

/* The VM itself, to be started, or taken up by vt_vm_attach() where vt_named_pid() says that it
 * runs. Needs the lock; *vm is freed by vt_named_vm_free(). */
enum vt_code vt_named_vm(struct vt_named *named, struct vt_loop *loop, struct vt_vm **vm,
                         struct vt_error *err);

/* As vt_vm_free() (with leave_running, what runs, runs on), and writes down which snapshot the VM
 * was last at, for the next process. Before vt_named_free(). */
void vt_named_vm_free(struct vt_named *named, struct vt_vm *vm, bool leave_running);

/* A start (or a restore from the base, which fills its disks) begins and has ended: should this
 * process be killed between, the next vt_named_lock() ends what is half started. */
enum vt_code vt_named_begin(struct vt_named *named, struct vt_error *err);
void vt_named_ended(struct vt_named *named);

/* Whether it has written nothing yet: it starts from its base, or from its image. */
bool vt_named_is_fresh(const struct vt_named *named);

/* Drops what it has written. VT_EBUSY while it runs, or where its own snapshots are built on that.
 * Needs the lock. */
enum vt_code vt_named_make_fresh(struct vt_named *named, struct vt_error *err);

/* VT_EBUSY, with their names, where VMs begin from the snapshot `path` (its folder). */
enum vt_code vt_named_unused(const char *path, struct vt_error *err);

/* Ends it hard where it runs and removes it, snapshots included. VT_EBUSY where another VM begins
 * from one of its snapshots. Needs the lock. */
enum vt_code vt_named_remove(struct vt_named *named, struct vt_error *err);

/* "student-{1..20}" and "{web,db}-{a,b}" as words, in order; a text without braces is one word.
 * "{01..10}" keeps its zeros. VT_EINVAL for a brace that is not closed, VT_ELIMIT for more than
 * 1000 words. vt_names_free() frees them. */
enum vt_code vt_names_expand(const char *pattern, char ***names, size_t *count,
                             struct vt_error *err);
void vt_names_free(char **names, size_t count);

#endif
