/* VMs as Lua sees them: a userdata "vmtest.vm" whose VM may be gone already, which is an error at
 * its next use and never more. A VM belongs to the scope it was made in and ends with it. */
#ifndef VTL_VM_H
#define VTL_VM_H

#include <stdint.h>

#include "host.h"
#include "vmtest/vm.h"

#define VTL_VM "vmtest.vm"

struct vtl_vm {
    struct vtl_host *host;
    struct vtl_vm *next;
    struct vt_vm *vm;           /* NULL: ended */
    struct vt_vm_config config; /* what it was made of; with its image */
    int ref;                    /* registry: anchors the userdata while the VM exists */
    int scope;
    bool kept; /* may be left running */
    char *name;
    char *state_dir, *scratch_dir;
    char *transcript; /* path relative to the results folder */
    int transcript_fd;
    uint64_t transcript_size;
};

/* The VM at the given argument; raises where it is none or has ended. `op`: for the error. */
struct vtl_vm *vtl_check_vm(lua_State *L, int arg, const char *op);

/* Ends a VM (or leaves it running) and lets go of all it has. */
void vtl_vm_end(struct vtl_vm *v, bool leave_running);
void vtl_vms_end(struct vtl_host *h);

/* What an operation wrote to the VM's transcript. */
struct vtl_place {
    uint64_t offset, size;
};

void vtl_transcript_open(struct vtl_vm *v, const char *dir);
/* Appends one line with the time before it, then texts under headings (NULL: none). */
struct vtl_place vtl_transcript(struct vtl_vm *v, const char *line, const char *out,
                                size_t out_size, const char *err, size_t err_size);

/* The event "op", up to its command: vtl_op_event() writes the rest. */
struct vtl_op_report {
    const char *op;
    const char *text;        /* command or path, or NULL */
    const char *const *argv; /* or the words */
    const int *status;       /* or NULL */
    const char *signal;      /* or NULL */
    double seconds;
    const struct vt_error *error; /* or NULL */
    bool truncated;
    struct vtl_place place;
};
void vtl_op_event(struct vtl_vm *v, const struct vtl_op_report *r);

/* vm_new(configuration as JSON text, name), and vm_new_from(folder of a snapshot, name, free
 * ports): what that was taken of, with free_ports on other ports of the host. Push the userdata. */
int vtl_vm_new(lua_State *L);
int vtl_vm_new_from(lua_State *L);
void vtl_vm_metatable(lua_State *L); /* makes and pushes it */

/* The folder for snapshots of the job's own; NULL with *err set where it cannot be made. */
const char *vtl_snapshots_dir(struct vtl_host *h, struct vt_error *err);

/* Removes it, when all VMs have ended. */
void vtl_snapshots_end(struct vtl_host *h);

#endif
