/* What the VMs of all vmtest processes on this host, of every user, take of it: memory, processors,
 * named slots, and the few slots that macOS has for macOS guests. Each VM that runs holds a lease,
 * a file in one folder for all (docs/drivers.md, "Capacity"), locked by the kernel for as long as
 * its hypervisor's process lives. */
#ifndef VMTEST_LEASE_H
#define VMTEST_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"

struct vt_lease_limits {
    uint64_t memory;       /* bytes for all VMs together: $VMTEST_MEMORY_LIMIT, else the host's (or
                              this control group's) less a reserve of an eighth, 1 GiB at least */
    int cpus;              /* virtual processors together: $VMTEST_CPU_LIMIT, else four times the
                              host's */
    int macos_guests;      /* together: $VMTEST_MACOS_LIMIT, else as many as macOS runs
                              (VT_MACOS_GUESTS_MAX, which the variable cannot raise) */
    uint64_t disk_reserve; /* bytes that stay free: $VMTEST_DISK_RESERVE, else 256 MiB */
};

/* VT_EINVAL where one of the variables is no size or number. */
enum vt_code vt_lease_limits(struct vt_lease_limits *limits, struct vt_error *err);

struct vt_leased {
    char *run, *vm; /* "" where there is none */
    char *user;
    long pid; /* the vmtest process that took it */
    uint64_t memory;
    int cpus;
    char *slot; /* or NULL */
    bool macos_guest;
    char *since;  /* RFC 3339 */
    bool waiting; /* for its turn: it does not hold anything yet */
};

/* The leases that are held or waited for, the oldest first; vt_leased_free() frees them. Files that
 * are no lease, or of processes that are gone, do not count. */
enum vt_code vt_lease_list(struct vt_leased **out, size_t *count, struct vt_error *err);
void vt_leased_free(struct vt_leased *leased, size_t count);

/* $VMTEST_LEASE_DIR, else /var/tmp/vmtest-leases. */
const char *vt_lease_dir(void);

#endif
