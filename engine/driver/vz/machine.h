/* What a VM is made of, as vmtest-vz takes it: CONFIG of shim/vz/protocol.md. */
#ifndef VT_DRIVER_VZ_MACHINE_H
#define VT_DRIVER_VZ_MACHINE_H

#include "driver/vz/instance.h"

#define VT_VZ_AGENT_PORT                                                                           \
    0x764d /* of vsock, where vmtest-agent listens (shim/agent/protocol.md)                        \
            */

bool vt_vz_is_macos(const struct vt_vm_config *config);

/* Whether it boots by EFI, which keeps variables. */
bool vt_vz_has_variables(const struct vt_vz *vz);

/* The configuration. A new reference. */
json_t *vt_vz_machine(const struct vt_vz *vz);

/* What the request `start` says beside its name; NULL: nothing. A new reference. */
json_t *vt_vz_start_members(const struct vt_vz *vz);

/* A digest of all of it that a saved state depends on: where the VM keeps its files does not count.
 */
void vt_vz_machine_digest(const struct vt_vz *vz, char out[65]);

/* Takes what the framework made new (the reply to `create`), and writes it into scratch_dir, where
 * a later process finds it. */
enum vt_code vt_vz_identity_take(struct vt_vz *vz, const json_t *made, struct vt_error *err);

/* That of a snapshot instead of the VM's own. */
enum vt_code vt_vz_identity_replace(struct vt_vz *vz, const json_t *identity, struct vt_error *err);

/* Reads what a process before this one wrote; none is no error. */
enum vt_code vt_vz_identity_load(struct vt_vz *vz, struct vt_error *err);

/* The MAC address of interface i, as configured or as the framework made it; or NULL. */
const char *vt_vz_mac(const struct vt_vz *vz, size_t i);

#endif
