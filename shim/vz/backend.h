/* Between the portable core and what talks to a framework.
 *
 * The core calls vtz_backend.call on its own thread, and that returns at once. The backend answers
 * each call exactly once by vtz_done(), and tells what else happens by vtz_tell(), both from any
 * thread. Calls are begun in the order in which they came. One process has one VM, so there is no
 * handle. */
#ifndef VT_VZ_BACKEND_H
#define VT_VZ_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vz/config.h"
#include "vz/failure.h"
#include "vz/state.h"

enum vtz_op {
    VTZ_OP_HOST,
    VTZ_OP_RESTORE_IMAGE,
    VTZ_OP_CREATE,
    VTZ_OP_VALIDATE_SAVE,
    VTZ_OP_START,
    VTZ_OP_REQUEST_STOP,
    VTZ_OP_STOP,
    VTZ_OP_PAUSE,
    VTZ_OP_RESUME,
    VTZ_OP_SAVE,
    VTZ_OP_RESTORE,
    VTZ_OP_INSTALL,
    VTZ_OP_CANCEL,
    VTZ_OP_ATTACH_USB,
    VTZ_OP_DETACH_USB,
    VTZ_OP_STATE,
    VTZ_OP_QUIT,    /* stops the VM hard in whatever state it is; its failure is of no interest */
    VTZ_OP_CONNECT, /* not in the protocol: a connection of the vsock relay */
    VTZ_OPS_
};

struct vtz_provisioning {
    const char *user, *full_name; /* the latter may be NULL */
    const char *password;         /* wiped when the call is done */
    bool auto_login, remote_login;
};

/* All of it stays as it is till the call is done. */
struct vtz_call {
    uint64_t token;
    enum vtz_op op;
    const char *path; /* restore_image (may be NULL), save, restore, install, attach_usb */
    const char *name; /* attach_usb, detach_usb */
    bool read_only;   /* attach_usb */
    bool recovery;    /* start */
    uint32_t port;    /* connect */
    const struct vtz_provisioning *provisioning; /* start, may be NULL */
    const struct vtz_config *config;             /* create; stays for as long as the process */
};

struct vtz_bridge {
    char *id, *name; /* the name may be NULL */
};

struct vtz_host {
    bool supported, nested;
    char *os_version;
    const char *arch, *rosetta; /* literals */
    unsigned min_cpus, max_cpus;
    uint64_t min_memory, max_memory;
    struct vtz_bridge *bridges;
    size_t bridge_count;
};

struct vtz_image { /* of an IPSW */
    char *url, *build, *os_version;
    char *hardware_model; /* base64; NULL where this host does not support it */
    unsigned min_cpus;
    uint64_t min_memory;
    bool supported;
};

struct vtz_made {             /* by `create` */
    char *machine_identifier; /* base64; NULL: it was given */
    char **macs;              /* of every nic */
    size_t mac_count;
};

/* What came of a call. All texts and arrays are its own and made by core/mem.h. */
struct vtz_outcome {
    struct vtz_failure failure; /* message NULL: it went well, and then what the operation gives */
    struct vtz_host host;
    struct vtz_image image;
    struct vtz_made made;
    int fd; /* connect: a connected stream, the receiver's to close; else -1 */
};

#define VTZ_OUTCOME_INIT                                                                           \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

enum vtz_event_kind {
    VTZ_EVENT_STATE,
    VTZ_EVENT_STOPPED,
    VTZ_EVENT_FAILED,
    VTZ_EVENT_NETWORK_LOST,
    VTZ_EVENT_PROGRESS
};

struct vtz_event {
    enum vtz_event_kind kind;
    enum vtz_state state;       /* state */
    unsigned nic;               /* network_lost */
    double fraction;            /* progress */
    struct vtz_failure failure; /* failed, network_lost */
};

struct vtz_backend {
    bool fake; /* no real hypervisor: told in `hello`, `host` and --version */
    void (*call)(const struct vtz_call *call);
};

/* Both take over what the struct points to and leave it empty. A state that is told before a call
 * is done is known before its reply is written. */
void vtz_done(uint64_t token, struct vtz_outcome *outcome);
void vtz_tell(struct vtz_event *event);

/* Serves as protocol.md says; returns the exit code. argv as main() has it. */
int vtz_main(int argc, char **argv, const struct vtz_backend *backend);

#endif
