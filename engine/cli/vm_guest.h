/* A command or a transfer in a VM's guest, by the way that is open: ssh where that is the VM's
 * channel, which needs nobody's leave; else by taking the VM up; or by ssh, where it has that,
 * while another process has the VM. */
#ifndef VT_CLI_VM_GUEST_H
#define VT_CLI_VM_GUEST_H

#include "cli/options.h"
#include "vmtest/guest.h"

struct vt_guest_call {
    char *name;
    const struct vt_exec_opts *exec; /* one of the two */
    const struct vt_transfer_opts *transfer;
    void (*on_result)(const void *result, void *user); /* of the operation */
    void *user;
};

/* Does it; reports errors. Returns the exit code. */
int vt_guest_call(const struct vt_command *self, struct vt_guest_call *call);

#endif
