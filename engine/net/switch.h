/* A learning Ethernet switch for the guests of one run: what an isolated network is.
 *
 *   vmtest __switch SOCKET LOCK
 * listens on the unix socket SOCKET and returns when it does; the switch itself goes on in the
 * background, in a session of its own, and ends some seconds after its last port was closed: with
 * the last hypervisor on it, however that ended. LOCK is held (vt_lock_file) while the socket comes
 * and goes, and is to be held by whoever connects. Where a switch listens there already, that one
 * stays. A port's stream is QEMU's (-netdev socket): each frame has its length before it, four
 * bytes, the highest first. */
#ifndef VT_NET_SWITCH_H
#define VT_NET_SWITCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VT_FRAME_MAX ((size_t)69632) /* QEMU's own limit; a port that sends more is closed */
#define VT_PORTS_MAX 256

/* argv[1] is "__switch". 0, or a status with a message on standard error. */
int vt_switch_main(int argc, char **argv);

/* --- which port a frame goes to --- */

#define VT_STATIONS_MAX 1024

struct vt_stations {
    struct {
        unsigned char mac[6];
        int port;
    } list[VT_STATIONS_MAX];
    size_t count, oldest;
};

/* Learns that the sender of this frame (at least 14 bytes) is at `port`, and returns the port of
 * its addressee; -1: all others. */
int vt_stations_route(struct vt_stations *stations, const unsigned char *frame, int port);

/* Forgets who was at this port. */
void vt_stations_drop(struct vt_stations *stations, int port);

#endif
