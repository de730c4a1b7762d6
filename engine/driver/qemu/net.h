/* Networks of a VM: NAT by QEMU itself, isolated ones by vmtest's switch, bridges by a tap. */
#ifndef VT_DRIVER_QEMU_NET_H
#define VT_DRIVER_QEMU_NET_H

#include "driver/qemu/instance.h"

struct vt_qemu_nic {
    const struct vt_nic *config;
    char mac[18];
    char address[16]; /* on an isolated network, once it was joined; else "" */
    int fd;           /* of switch or tap, from vt_qemu_net_prepare() until QEMU has it; else -1 */
    int number;       /* what that is in QEMU */
    const char *helper; /* QEMU's own way onto a bridge, where this process may not; else NULL */
};

/* Fills q->nics. */
void vt_qemu_net_init(struct vt_qemu *q);

/* A step of vt_qemu_prepare(): joins switches and bridges. */
void vt_qemu_net_prepare(struct vt_qemu *q, vt_qemu_step_fn done);

/* Appends the descriptors that QEMU is to get to fds[*count…], and notes their numbers. */
void vt_qemu_net_fds(struct vt_qemu *q, int *fds, size_t *count);

/* QEMU has them, or never will. */
void vt_qemu_net_close(struct vt_qemu *q);

/* The first interface with NAT: where forwards lead in; -1 where there is none. */
int vt_qemu_first_nat(const struct vt_qemu *q);

/* Adds "nics" to the facts. */
void vt_qemu_net_info(const struct vt_qemu *q, json_t *facts);

/* "52:54:00:…" of interface `index` of the VM that has this folder: always the same, and another
 * one for any other. */
void vt_qemu_mac(const char *folder, size_t index, char out[18]);

/* bridge.c: a new tap on the bridge, gone when its descriptor is closed. *helper is set instead
 * where only QEMU's setuid helper may. VT_ENOTFOUND, VT_EUNSUPPORTED with the reason. */
bool vt_qemu_can_bridge(struct vt_error *why);
enum vt_code vt_qemu_bridge(const char *bridge, int *fd, const char **helper, struct vt_error *err);

#endif
