/* A guest's RAM as QEMU maps it: new and shared, so that a snapshot is a copy of it; or private
 * over the `memory` of a snapshot, which many VMs then share as long as they only read. */
#ifndef VT_DRIVER_QEMU_MEMORY_H
#define VT_DRIVER_QEMU_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/args.h"
#include "vmtest/error.h"

struct vt_qemu_memory {
    char *path; /* as QEMU opens it */
    bool shared;
    int fd;        /* to be handed over as VT_QEMU_FD_FIRST, or -1 */
    uint64_t size; /* bytes, a whole number of MiB */
};

#define VT_QEMU_MEMORY_NONE                                                                        \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/* New RAM: on Linux without a file in any file system, elsewhere in a file in `folder`. */
enum vt_code vt_qemu_memory_new(struct vt_qemu_memory *memory, uint64_t size, const char *folder,
                                struct vt_error *err);

/* Over a snapshot's file. */
void vt_qemu_memory_of(struct vt_qemu_memory *memory, uint64_t size, const char *path);

/* Closes and frees; a file it was made in stays for QEMU. */
void vt_qemu_memory_clear(struct vt_qemu_memory *memory);

/* Where this process finds what vt_qemu_memory_new() gave to the QEMU `pid`. vt_free() it. */
char *vt_qemu_memory_find(long pid, const char *folder);

/* Removes what lies in `folder`, if anything: its QEMU is gone. */
void vt_qemu_memory_remove(const char *folder);

/* Appends -m and what backs it. */
void vt_qemu_memory_argv(struct vt_args *args, const struct vt_qemu_memory *memory);

#endif
