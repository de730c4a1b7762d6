/* MDM servers: one face over the lab server that is built in and over foreign ones.
 *
 * The kinds:
 * - "lab": started in this process, or the `vmtest mdm serve` that runs already (url "running");
 * - "nanomdm": NanoMDM; results come by a webhook listener in this process;
 * - "micromdm": MicroMDM; the same;
 * - "fleet": Fleet; results are polled;
 * - "jamf": Jamf Pro; polled, too: a few commands, and of their answers the status alone.
 *
 * What takes time is an operation (vmtest/loop.h): one callback, a deadline, can be cancelled. An
 * operation waits for what the server tells, it does not ask again and again where the server can
 * tell by itself. Results belong to their operation, as everywhere.
 *
 * A device is named by its UDID, or its EnrollmentID where it has no UDID.
 *
 * Property lists go in and come out as JSON: dictionaries, arrays, strings, integers, reals and
 * booleans as their like; data is {"$data": "BASE64"}, a date {"$date": "2026-01-31T12:00:00Z"}.
 * A dictionary of the property list with one of these keys alone cannot be told from them, and is
 * none that a device knows. What a device sent is kept as it came, too. */
#ifndef VMTEST_MDM_H
#define VMTEST_MDM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtest/loop.h"

struct vt_mdm;

/* NULL-terminated names of the kinds. */
const char *const *vt_mdm_kinds(void);

/* --- opening --- */

struct vt_mdm_opts {
    const char *kind; /* one of the above */
    const char *url;  /* "https://host[:port]"; of "lab": NULL starts one in this process,
                         "running" is the one that runs: `credentials` tells where */

    /* Where the credentials of a foreign server are: a file of mode 0600 that belongs to this
     * user, a JSON object; NULL: the environment. Names of both: docs/mdm.md. They are never
     * taken from an option, shown or logged. Of a running "lab": the file control.json in its
     * state folder; NULL: that of HOME/mdm/server. */
    const char *credentials;
    const char *ca_file; /* PEM, what the server's TLS certificate is checked against; NULL: the
                            system's */

    /* "lab" started here. */
    const char *listen;       /* "ADDRESS:PORT" for devices; NULL: "127.0.0.1:0", a free port */
    bool control;             /* may be controlled by other processes of this user, through the
                                 file control.json in state_dir */
    const char *state_dir;    /* private folder (made where missing) of its database: enrollments
                                 and queues outlive the process. One process at a time: VT_EBUSY.
                                 NULL: a temporary one that goes with the server */
    const char *const *names; /* NULL-terminated: host names and addresses beside 127.0.0.1,
                                 localhost and 10.0.2.2 that devices reach it by; or NULL */

    /* Servers whose results come by a webhook. */
    const char *webhook_listen; /* "ADDRESS:PORT"; NULL: "127.0.0.1:0" */
    const char *webhook_url;    /* what the server is told to call, where that is not what is
                                   listened on; NULL: made from it */
    const json_t *extra;        /* object: what else the kind takes (docs/mdm.md), read strictly;
                                   NULL: nothing */
    double timeout;             /* seconds to reach the server; 0: 30 */
};

/* Starts or reaches a server. Result: struct vt_mdm *, which is the callback's to close from then
 * on, also where it ignores it. VT_EINVAL (an option), VT_EAUTH (credentials missing or refused,
 * a file others can read), VT_EIO (cannot be reached), VT_EBUSY (state_dir in use). */
struct vt_op *vt_mdm_open(struct vt_loop *loop, const struct vt_mdm_opts *opts, vt_op_fn done,
                          void *user, struct vt_error *err);

/* Cancels what is under way with it (callbacks come) and frees it; a lab server that was started
 * here stops. NULL: nothing. Not to be called from within an event's callback. */
void vt_mdm_close(struct vt_mdm *mdm);

const char *vt_mdm_kind(const struct vt_mdm *mdm);

/* Where devices reach the server, without a path: "https://127.0.0.1:8443". For a foreign server
 * its own URL. */
const char *vt_mdm_url(const struct vt_mdm *mdm);

/* PEM of the CA that devices must trust to reach it; NULL where it is the system's affair. */
const char *vt_mdm_ca_pem(const struct vt_mdm *mdm);

/* --- what it can do --- */

enum vt_mdm_capability {
    /* of the server */
    VT_MDM_PROFILE_PKCS12, /* an enrollment profile with the identity in it */
    VT_MDM_PROFILE_SCEP,   /* … whose identity the device fetches by SCEP */
    VT_MDM_PROFILE_BOTH,   /* … that has both; the device uses SCEP's */
    VT_MDM_COMMANDS,       /* commands, and the device's own answers to them */
    VT_MDM_WITHDRAW,       /* taking a queued command back */
    VT_MDM_PUSH,           /* waking a device by the Apple Push Notification service */
    VT_MDM_DECLARATIONS,   /* declarations set and removed by the interface */
    VT_MDM_PACKAGES,       /* serving a package and its manifest */
    /* of a VM or of a stand-in device behind any server: these are never supported, and the reason
       and the way round them are told */
    VT_MDM_ADE,              /* automated device enrollment */
    VT_MDM_APP_STORE,        /* App Store and VPP applications (InstallApplication) */
    VT_MDM_FILEVAULT_ESCROW, /* FileVault recovery keys, escrowed and rotated */
    VT_MDM_ACTIVATION_LOCK,  /* Activation Lock and its bypass code */
    VT_MDM_RECOVERY_LOCK,    /* recovery and firmware passwords */
    VT_MDM_LOST_MODE,        /* Lost Mode, location */
    VT_MDM_UNATTENDED,       /* user-approved enrollment without a person */
    VT_MDM_ATTESTATION,      /* hardware-bound keys and Managed Device Attestation */
    VT_MDM_OS_UPDATE,        /* the commands of the ScheduleOSUpdate kind */
    VT_MDM_CAPABILITY_COUNT_
};

/* "pkcs12", "scep", "push", "ade", "app_store", … and back; COUNT_ for a name that is none. */
const char *vt_mdm_capability_name(enum vt_mdm_capability cap);
enum vt_mdm_capability vt_mdm_capability_parse(const char *name);

/* Whether the server (NULL: any) has it; else false, with VT_EUNSUPPORTED in *why (may be NULL):
 * the reason as its message, what to do instead as its hint. */
bool vt_mdm_supports(const struct vt_mdm *mdm, enum vt_mdm_capability cap, struct vt_error *why);

/* The capability that a command of this RequestType needs and no VM has, or COUNT_ where nothing
 * stands against it. vt_mdm_enqueue() refuses the former unless told otherwise. */
enum vt_mdm_capability vt_mdm_request_needs(const char *request_type);

/* --- enrollment --- */

enum vt_mdm_method { VT_MDM_PKCS12, VT_MDM_SCEP, VT_MDM_BOTH };

struct vt_mdm_enrollment_opts {
    enum vt_mdm_method method;
    const char *address;      /* host name or address the device reaches the server by: "10.0.2.2"
                                 in a guest with QEMU's user network; NULL: as vt_mdm_url(). It must
                                 be one the server's certificate is for */
    const char *topic;        /* "com.apple.mgmt.…"; NULL: the server's own */
    unsigned access_rights;   /* 0: 8191, all */
    bool rsa;                 /* the identity's key is RSA with 2048 bits, else EC P-256. SCEP
                                 enrollments are always RSA */
    double valid;             /* seconds the identity is valid; 0: a year */
    bool keep_on_remove;      /* CheckOutWhenRemoved is false */
    const char *display_name; /* what the device shows; NULL: "vmtest lab" */
    double timeout;           /* seconds; 0: 30 */
};

struct vt_mdm_enrollment {
    const char *profile; /* the .mobileconfig */
    size_t profile_size;
    const char *ca_pem; /* what the device must trust; also in the profile. NULL: nothing new */
    const char *id;     /* names this enrollment, for vt_mdm_wait_device() before the UDID is
                           known; NULL where the server cannot tie a device to it */
};

/* Makes an enrollment profile for one device, with an identity (or a challenge) of its own: two
 * devices never share one. A secret is in it: it is handled as a key. Result: struct
 * vt_mdm_enrollment. VT_EINVAL (an address the certificate does not name, rights that do not fit),
 * VT_EUNSUPPORTED. */
struct vt_op *vt_mdm_enroll(struct vt_mdm *mdm, const struct vt_mdm_enrollment_opts *opts,
                            vt_op_fn done, void *user, struct vt_error *err);

/* --- devices --- */

enum vt_mdm_state {
    VT_MDM_NOT_ENROLLED, /* unknown, or checked out */
    VT_MDM_ENROLLING,    /* sent Authenticate, but no TokenUpdate yet: takes no commands */
    VT_MDM_ENROLLED,
};

/* "not_enrolled", "enrolling", "enrolled". */
const char *vt_mdm_state_name(enum vt_mdm_state state);

enum vt_mdm_known { VT_MDM_UNKNOWN, VT_MDM_NO, VT_MDM_YES };

struct vt_mdm_device {
    const char *udid;
    enum vt_mdm_state state;
    const char *reason; /* why it is in this state: "it checked out at …"; never NULL */
    const char *serial, *name, *model, *os_version, *build_version, *product; /* NULL: not told */
    const char *enrollment; /* vt_mdm_enrollment.id it came by; NULL where that is not known */
    double enrolled;        /* vt_wall() of the TokenUpdate; 0: none */
    double last_seen;       /* of its last message; 0: never */
    unsigned queued;        /* commands it has not answered */
    bool bootstrap_token;   /* the server keeps one for it */
    bool awaiting;          /* AwaitingConfiguration: it waits for DeviceConfigured */
    bool declarative;       /* it has asked for declarations */
    enum vt_mdm_known user_approved; /* by its last answer to SecurityInfo */
};

struct vt_mdm_devices {
    struct vt_mdm_device *v;
    size_t n;
};

/* All devices that the server knows. Result: struct vt_mdm_devices. */
struct vt_op *vt_mdm_devices(struct vt_mdm *mdm, double timeout, vt_op_fn done, void *user,
                             struct vt_error *err);

struct vt_mdm_wait_opts {
    const char *udid; /* exactly one of these three */
    const char *serial;
    const char *enrollment;
    enum vt_mdm_state state;
    bool seen;      /* and a message of it has come since this call: it is reachable */
    double timeout; /* seconds, more than 0 */
};

/* Completes when the device is in the state. Result: struct vt_mdm_device. VT_ETIMEDOUT says in
 * which state it is instead and why, and when it was heard of last. */
struct vt_op *vt_mdm_wait_device(struct vt_mdm *mdm, const struct vt_mdm_wait_opts *opts,
                                 vt_op_fn done, void *user, struct vt_error *err);

/* Wakes the device by push, so that it asks for its commands. Result: NULL. VT_EUNSUPPORTED where
 * the server has no push certificate, or the device is none that push reaches: then the caller
 * wakes it (a stand-in device has a command for it). VT_EIO where the push service failed. */
struct vt_op *vt_mdm_push(struct vt_mdm *mdm, const char *udid, double timeout, vt_op_fn done,
                          void *user, struct vt_error *err);

/* --- commands --- */

struct vt_mdm_command {
    const char *udid;
    const json_t *command; /* the Command dictionary: {"RequestType": "ProfileList", …} */
    const char *uuid;      /* CommandUUID; NULL: made up. One that was used is VT_EINVAL */
    bool no_push;          /* only queue it */
    bool force;            /* also where vt_mdm_request_needs() says that no VM can do it */
    double timeout;        /* seconds; 0: 30 */
};

struct vt_mdm_queued {
    const char *uuid;         /* CommandUUID */
    bool pushed;              /* the push service took a push for it */
    const char *push_problem; /* why not; NULL where pushed */
};

/* Queues a command. A failed push is no error: the command is queued, and `push_problem` says why
 * the device was not woken. Result: struct vt_mdm_queued. VT_ENOTFOUND (no such device), VT_ESTATE
 * (not enrolled, with the reason), VT_EUNSUPPORTED (see force), VT_EINVAL (no RequestType). */
struct vt_op *vt_mdm_enqueue(struct vt_mdm *mdm, const struct vt_mdm_command *command,
                             vt_op_fn done, void *user, struct vt_error *err);

enum vt_mdm_status {
    VT_MDM_PENDING, /* not an answer: it has not been fetched, or not been answered, yet */
    VT_MDM_ACKNOWLEDGED,
    VT_MDM_ERROR,
    VT_MDM_FORMAT_ERROR, /* CommandFormatError: the device did not understand the command */
    VT_MDM_NOT_NOW,      /* only with stop_at_not_now: it will be sent again */
};

/* "Pending", "Acknowledged", "Error", "CommandFormatError", "NotNow". */
const char *vt_mdm_status_name(enum vt_mdm_status status);

struct vt_mdm_answer {
    const char *uuid, *request_type; /* request_type NULL where it is not known */
    enum vt_mdm_status status;
    const json_t *error_chain; /* array of {ErrorCode, ErrorDomain, LocalizedDescription,
                                  USEnglishDescription}; NULL: none */
    const char *errors;        /* the chain in words, a line each; "" where there is none */
    const json_t *reply;       /* the whole report as JSON */
    const char *raw;           /* and as the device sent it: an XML or binary property list */
    size_t raw_size;
    unsigned not_now; /* how often it said NotNow before */
};

struct vt_mdm_answer_opts {
    const char *udid, *uuid; /* as enqueued */
    bool stop_at_not_now;    /* a NotNow completes it, too */
    double timeout;          /* seconds, more than 0 */
};

/* Completes with the device's own answer to the command, also where that came before the call.
 * Result: struct vt_mdm_answer; an answer of Error is a result. VT_ETIMEDOUT says how far the
 * command came: not fetched, sent but not answered, NotNow how often. It stays in the queue:
 * see vt_mdm_withdraw(). VT_EGUEST where the device enrolled anew or checked out meanwhile, which
 * empties its queue. VT_ENOTFOUND (no such command). */
struct vt_op *vt_mdm_wait_answer(struct vt_mdm *mdm, const struct vt_mdm_answer_opts *opts,
                                 vt_op_fn done, void *user, struct vt_error *err);

/* Takes a command that was not answered out of the queue. Result: NULL. VT_ENOTFOUND, VT_ESTATE
 * (answered already). */
struct vt_op *vt_mdm_withdraw(struct vt_mdm *mdm, const char *udid, const char *uuid,
                              double timeout, vt_op_fn done, void *user, struct vt_error *err);

/* --- declarations --- */

/* Sets a declaration {"Type", "Identifier", "Payload"} for the device (one of the same Identifier
 * is replaced; "ServerToken" is made up, from its content), or removes the one of that identifier,
 * and queues the DeclarativeManagement command that tells the device. Result: struct
 * vt_mdm_queued, of that command. VT_EINVAL, VT_ENOTFOUND. */
struct vt_op *vt_mdm_declare(struct vt_mdm *mdm, const char *udid, const json_t *declaration,
                             double timeout, vt_op_fn done, void *user, struct vt_error *err);
struct vt_op *vt_mdm_undeclare(struct vt_mdm *mdm, const char *udid, const char *identifier,
                               double timeout, vt_op_fn done, void *user, struct vt_error *err);

struct vt_mdm_declared {
    const char *identifier;
    const char *server_token; /* of the declaration that the status is about */
    bool active;
    const char *valid;    /* "valid", "invalid", "unknown": as the device said */
    const json_t *status; /* the whole entry of management.declarations, with its reasons */
};

/* Completes when the device has reported on the declaration as it is set now. Result: struct
 * vt_mdm_declared. */
struct vt_op *vt_mdm_wait_declared(struct vt_mdm *mdm, const char *udid, const char *identifier,
                                   double timeout, vt_op_fn done, void *user, struct vt_error *err);

/* --- packages --- */

struct vt_mdm_package {
    const char *manifest_url; /* for InstallEnterpriseApplication's ManifestURL */
    const json_t *manifest;   /* the same, for its Manifest */
    const char *sha256;       /* of the whole file, hexadecimal */
    uint64_t size;
};

struct vt_mdm_package_opts {
    const char *path;      /* the package; read while devices fetch it, so it must stay */
    const char *bundle_id; /* "org.example.tool" */
    const char *version;   /* "1.2" */
    const char *title;     /* NULL: the file's name */
    const char *address;   /* as in vt_mdm_enrollment_opts */
    double timeout;        /* seconds; 0: 300: the file is hashed */
};

/* Serves a package file and its manifest till the server is closed. Result: struct
 * vt_mdm_package. */
struct vt_op *vt_mdm_serve_package(struct vt_mdm *mdm, const struct vt_mdm_package_opts *opts,
                                   vt_op_fn done, void *user, struct vt_error *err);

/* --- events --- */

/* What happens, as it happens: {"type", "time", "udid", …}:
 *   device    {"state", "reason", "message": "Authenticate"|"TokenUpdate"|"CheckOut"}
 *   idle      {}: it asked for commands
 *   sent      {"uuid", "request_type"}: it was given a command
 *   answer    {"uuid", "request_type", "status", "errors"}: also NotNow
 *   declaration_status {"declarations": […]}
 *   bootstrap_token    {"action": "set"|"removed"|"fetched"}
 *   refused   {"reason", "status": HTTP status}: a request without right or sense; "udid" may be
 *             missing, and is the device's own word
 * A server that results come from late or unordered tells them when they come. The event is the
 * caller's for the call; it is made from the loop. */
typedef void (*vt_mdm_event_fn)(const json_t *event, void *user);

/* One listener; NULL takes it away. A lab server that runs in another process tells no events: its
 * waits are served there. */
void vt_mdm_on_event(struct vt_mdm *mdm, vt_mdm_event_fn fn, void *user);

#endif
