/* Folders of the host in the guest: by virtiofs, where virtiofsd can serve them, else by 9p.
 *
 * Neither lets the guest out of the folder: virtiofsd has it as its root (its sandbox), QEMU's 9p
 * opens each part of a path without following links. A read-only share is one in virtiofsd's own
 * mount namespace, or for QEMU's 9p. */
#ifndef VT_DRIVER_QEMU_SHARE_H
#define VT_DRIVER_QEMU_SHARE_H

#include "driver/qemu/instance.h"

/* What follows the path of QEMU's -fsdev. */
#define VT_QEMU_9P_READ_WRITE ",security_model=mapped-xattr,multidevs=remap"
#define VT_QEMU_9P_READ_ONLY ",security_model=none,multidevs=remap,readonly=on"

struct vt_qemu_share {
    const struct vt_share *config;
    bool virtiofs;
    char *socket; /* of virtiofsd */
    long pid;     /* of virtiofsd where this process started it, or 0 */
};

/* Whether virtiofs can be served here: there is a virtiofsd, and this process is root, which its
 * sandbox needs. */
bool vt_qemu_can_serve_virtiofs(void);

/* Checks the folder, and starts virtiofsd for a share that goes by it. `op`: for errors. */
enum vt_code vt_qemu_share_serve(struct vt_qemu *q, struct vt_qemu_share *s, const char *op,
                                 struct vt_error *err);

/* Ends what serves it. */
void vt_qemu_share_end(struct vt_qemu_share *s);

/* Appends its facts to a list: how it is mounted in a Linux guest. */
void vt_qemu_share_info(const struct vt_qemu_share *s, json_t *list);

void vt_qemu_shares_init(struct vt_qemu *q);
void vt_qemu_shares_free(struct vt_qemu *q);

/* A step of vt_qemu_prepare(): starts what serves them. */
void vt_qemu_shares_prepare(struct vt_qemu *q, vt_qemu_step_fn done);

/* Ends what serves them: QEMU is gone. */
void vt_qemu_shares_end(struct vt_qemu *q);

/* True, with the reason, where a share stands against a snapshot. A mounted 9p share does so too,
 * but only QEMU knows: it refuses then. */
bool vt_qemu_share_blocks_snapshot(const struct vt_qemu *q, struct vt_error *err);

/* Adds "shares" to the facts: how each is mounted in a Linux guest. */
void vt_qemu_shares_info(const struct vt_qemu *q, json_t *facts);

/* readonly.c: the hidden command
 *   vmtest __readonly FOLDER -- PROGRAM ARGUMENT…
 * becomes PROGRAM, for which FOLDER cannot be written to. As root, on Linux; else a status with a
 * message on standard error. */
int vt_readonly_main(int argc, char **argv);

#endif
