/* Who is on the isolated networks of a run, and the way onto one.
 *
 * RUN/networks.json, changed under RUN/networks.lock:
 *   {"lab": {"subnet": 0, "members": [{"vm": "web", "nic": 1}, …]}, …}
 * A network's addresses are 10.77.SUBNET.0/24, subnets counted as networks appear; a member's last
 * byte is its place in the list, from 1. A member that comes again has the address it had. */
#ifndef VT_NET_MEMBER_H
#define VT_NET_MEMBER_H

#include <stddef.h>

#include "vmtest/loop.h"

#define VT_NET_PREFIX 24 /* bits of every network's addresses */

struct vt_net_place {
    const char *run_dir; /* the run's runtime folder: private, short path */
    const char *network;
    const char *vm; /* plain name, unique in the run */
    int nic;
};

/* Takes a place on a network: *address is that member's for the run. VT_ELIMIT where the network
 * (253 members) or the run (256 networks) is full, VT_EBUSY where the file stays locked. */
enum vt_code vt_net_join(const struct vt_net_place *place, char address[16], struct vt_error *err);

struct vt_net_member {
    char *vm;
    int nic;
    char address[16];
};

/* All members by place, also of VMs that are gone. An unknown network has none. */
enum vt_code vt_net_members(const char *run_dir, const char *network, struct vt_net_member **out,
                            size_t *count, struct vt_error *err);
void vt_net_members_free(struct vt_net_member *members, size_t count);

/* Connects to the switch of RUN/net-NETWORK.sock, which is started where there is none. Result:
 * int *, a descriptor that is the caller's then, for QEMU's -netdev socket. */
struct vt_op *vt_net_connect(struct vt_loop *loop, const char *run_dir, const char *network,
                             double timeout, vt_op_fn done, void *user, struct vt_error *err);

#endif
