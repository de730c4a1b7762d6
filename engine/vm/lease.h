/* Taking and giving back what a VM needs of this host. The folder and what a lease is: see
 * vmtest/lease.h. Files: lease.c (the operation), lease_fit.c (limits, and who is in the way),
 * lease_store.c (the folder). */
#ifndef VT_VM_LEASE_H
#define VT_VM_LEASE_H

#include "loop/op.h"
#include "vmtest/lease.h"

/* What a VM takes of its host while it runs. */
struct vt_needs {
    uint64_t memory; /* bytes */
    int cpus;
    const char *disk_dir; /* where its disks grow; NULL: nowhere */
    uint64_t disk;        /* bytes to be free there, beside the reserve */
    const char *slot;     /* of which there are slot_count on this host; NULL: none */
    int slot_count;
    bool macos_guest; /* one of the few that macOS runs at once (vt_lease_limits.macos_guests) */
};

struct vt_lease;

struct vt_lease_request {
    const char *run, *vm; /* shown to others; run may be NULL */
    const char *place;    /* the VM's state folder, or NULL: what is held for the same place is not
                             in the way, since one process at a time runs there */
    struct vt_needs needs;
    double wait; /* seconds; 0: refused at once */
    /* It has to wait, and why; called when that changes. May be NULL. */
    void (*waiting)(const char *reason, void *user);
};

/* Completes when the lease is there: vt_lease_taken(). Those who wait are served in the order they
 * came. Fails with VT_ELIMIT where this host never has that much, with VT_EBUSY or VT_ENOSPC where
 * it is taken now (after `wait`), telling who holds it. `user` is also given to waiting(). */
struct vt_op *vt_lease_take(struct vt_loop *loop, const struct vt_lease_request *request,
                            vt_op_fn done, void *user, struct vt_error *err);

/* The lease, for once, from the operation's callback; the caller owns it. */
struct vt_lease *vt_lease_taken(struct vt_op *op);

/* The file descriptor that holds it: a process that inherits it holds the lease too. -1 for NULL.
 */
int vt_lease_fd(const struct vt_lease *lease);

/* Lets go of it; NULL is fine. It ends when no other process holds it. */
void vt_lease_release(struct vt_lease *lease);

/* --- for the files of the lease alone --- */

struct vt__lease_entry {
    char name[48]; /* of its file: the order they came in */
    char *place;   /* or NULL */
    struct vt_leased leased;
};

struct vt__lease_table {
    int dir; /* locked */
    struct vt__lease_entry *entries;
    size_t count;
};

/* Locks the folder (made where missing) and reads it, sweeping this user's dead leases. VT_EBUSY
 * where another process has it locked: try again soon. vt__lease_table_close() in any case. */
enum vt_code vt__lease_table_open(struct vt__lease_table *t, struct vt_error *err);
void vt__lease_table_close(struct vt__lease_table *t);

/* Writes a new file, or an existing one anew, and holds it. */
enum vt_code vt__lease_write(struct vt__lease_table *t, struct vt_lease **lease,
                             const struct vt_lease_request *request, bool waiting,
                             struct vt_error *err);
const char *vt__lease_name(const struct vt_lease *lease);

/* Whether there is room beside what is held, and what those who came before `name` (NULL: all
 * others) wait for. `why` gets the refusal, *reason (vt_free() it) the same in short: "2 GiB of
 * memory: held by run X". */
enum vt_code vt__lease_fits(const struct vt__lease_table *t, const char *name,
                            const struct vt_lease_request *request, char **reason,
                            struct vt_error *why);

#endif
