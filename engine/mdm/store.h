/* What the lab server remembers: enrollments, certificates, devices, their queues, declarations.
 *
 * SQLite. A command that was queued stays queued whatever ends the process. All names are UTF-8
 * texts that the caller has bounded. Where nothing else is said, functions fail with VT_EIO,
 * VT_ENOSPC or VT_EBUSY of the database. */
#ifndef VT_MDM_STORE_H
#define VT_MDM_STORE_H

#include "mdm/identity.h"
#include "mdm/sql.h"
#include "vmtest/mdm.h"

#define VT_STORE_DEVICES_MAX 100000
#define VT_STORE_QUEUE_MAX 1000        /* unanswered commands of a device */
#define VT_STORE_ANSWERS_KEPT 500      /* answered ones of a device, the newest */
#define VT_STORE_DECLARATIONS_MAX 1000 /* of a device */

struct vt_store {
    struct vt_sql sql;
};

/* At `path`, or in memory where that is NULL. */
enum vt_code vt_store_open(const char *path, struct vt_store **out, struct vt_error *err);
void vt_store_close(struct vt_store *store);

/* What is done between the two is done whole or not at all. vt_store_end() takes what was done
 * back where `code` is none of VT_OK, and returns `code`, or the error of the commit. */
enum vt_code vt_store_begin(struct vt_store *store, struct vt_error *err);
enum vt_code vt_store_end(struct vt_store *store, enum vt_code code, struct vt_error *err);

/* --- enrollments and certificates --- */

struct vt_enrollment_row {
    const char *id;
    enum vt_mdm_method method;
    const char *topic;
    const char *challenge; /* SCEP's, kept as its SHA-256 alone; NULL: none */
    double valid;          /* seconds that an identity of it is valid */
    double expires;        /* vt_wall() when the challenge ends */
};

enum vt_code vt_store_add_enrollment(struct vt_store *store, const struct vt_enrollment_row *row,
                                     struct vt_error *err);

/* Uses a challenge up: *id (vt_free) is its enrollment's, *valid as above. VT_EAUTH where there is
 * none like it, or it was used or has expired. */
enum vt_code vt_store_take_challenge(struct vt_store *store, const char *challenge, char **id,
                                     double *valid, struct vt_error *err);

enum vt_code vt_store_add_cert(struct vt_store *store, const char *fingerprint,
                               const char *enrollment, double expires, struct vt_error *err);

struct vt_cert_row {
    char *enrollment, *topic;
    char *udid;    /* whose it is; NULL: nobody has used it yet */
    char *revoked; /* why; NULL: it is not */
    double expires;
};

/* VT_ENOTFOUND. vt_cert_row_clear() in every case. */
enum vt_code vt_store_cert(struct vt_store *store, const char *fingerprint, struct vt_cert_row *out,
                           struct vt_error *err);
void vt_cert_row_clear(struct vt_cert_row *row);

/* --- devices --- */

struct vt_device_row {
    struct vt_mdm_device d; /* with strings of its own */
    char *cert;             /* fingerprint */
};

/* VT_ENOTFOUND. vt_device_row_clear() in every case. */
enum vt_code vt_store_device(struct vt_store *store, const char *udid, struct vt_device_row *out,
                             struct vt_error *err);
void vt_device_row_clear(struct vt_device_row *row);

/* The one with this serial number, or of this enrollment, that was heard of last. As above. */
enum vt_code vt_store_find_device(struct vt_store *store, bool by_serial, const char *value,
                                  struct vt_device_row *out, struct vt_error *err);

/* All, by UDID. vt_device_rows_free(). */
enum vt_code vt_store_devices(struct vt_store *store, struct vt_device_row **out, size_t *n,
                              struct vt_error *err);
void vt_device_rows_free(struct vt_device_row *rows, size_t n);

struct vt_authenticate { /* what Authenticate tells; NULL: not told */
    const char *udid, *cert, *serial, *name, *model, *os_version, *build_version, *product;
};

/* The device begins to enroll: the certificate becomes its own, an earlier one of it is revoked,
 * its queue is given up (the commands are `gone`), tokens and declarations are forgotten.
 * VT_ELIMIT. */
enum vt_code vt_store_authenticate(struct vt_store *store, const struct vt_authenticate *a,
                                   struct vt_error *err);

/* Its TokenUpdate: it is enrolled. unlock may be empty: the one before stays. */
enum vt_code vt_store_token(struct vt_store *store, const char *udid, const struct vt_buf *token,
                            const char *magic, const struct vt_buf *unlock, bool awaiting,
                            struct vt_error *err);

/* It checked out: not enrolled, and its queue is given up. */
enum vt_code vt_store_check_out(struct vt_store *store, const char *udid, const char *reason,
                                struct vt_error *err);

/* A message of it came. */
enum vt_code vt_store_seen(struct vt_store *store, const char *udid, struct vt_error *err);

enum vt_code vt_store_set_approved(struct vt_store *store, const char *udid,
                                   enum vt_mdm_known approved, struct vt_error *err);

/* Empty: there is none. */
enum vt_code vt_store_set_bootstrap(struct vt_store *store, const char *udid,
                                    const struct vt_buf *token, struct vt_error *err);
enum vt_code vt_store_bootstrap(struct vt_store *store, const char *udid, struct vt_buf *out,
                                struct vt_error *err);

/* --- commands --- */

struct vt_command_row {
    char *uuid, *request_type;
    enum vt_mdm_status status; /* VT_MDM_PENDING until it was answered */
    bool gone;                 /* it will not be: withdrawn by an enrollment or a check-out */
    bool sent;                 /* the device fetched it */
    unsigned not_now;          /* how often it said so */
    struct vt_buf body;        /* what the device gets */
    struct vt_buf reply;       /* what it said, as it came; empty while pending */
};

/* VT_ENOTFOUND, VT_ESTATE (the device is not enrolled), VT_EINVAL (the UUID was used), VT_ELIMIT.
 */
enum vt_code vt_store_enqueue(struct vt_store *store, const char *udid, const char *uuid,
                              const char *request_type, const struct vt_buf *body,
                              struct vt_error *err);

/* The next one for the device, which is marked as sent: in the order they were queued, without
 * those it answered NotNow to. With `idle` these are due again. out->uuid is NULL where there is
 * none. vt_command_row_clear() in every case. */
enum vt_code vt_store_next(struct vt_store *store, const char *udid, bool idle,
                           struct vt_command_row *out, struct vt_error *err);

/* The device's answer. *known is false, and nothing is changed, where no such command waits for
 * one: an answer that comes twice, or to what was never asked. */
enum vt_code vt_store_answer(struct vt_store *store, const char *udid, const char *uuid,
                             enum vt_mdm_status status, const struct vt_buf *reply, bool *known,
                             struct vt_error *err);

/* VT_ENOTFOUND. vt_command_row_clear() in every case. */
enum vt_code vt_store_command(struct vt_store *store, const char *udid, const char *uuid,
                              struct vt_command_row *out, struct vt_error *err);
void vt_command_row_clear(struct vt_command_row *row);

/* VT_ENOTFOUND, VT_ESTATE (it was answered). */
enum vt_code vt_store_withdraw(struct vt_store *store, const char *udid, const char *uuid,
                               struct vt_error *err);

/* --- declarations --- */

struct vt_declaration_row {
    char *identifier, *type;
    char *token;                 /* ServerToken */
    char *body;                  /* JSON: what the device gets */
    char *status, *status_token; /* what it said last, and about which token; NULL: nothing */
};

/* VT_ENOTFOUND (no such device), VT_ELIMIT. */
enum vt_code vt_store_declare(struct vt_store *store, const char *udid, const char *identifier,
                              const char *type, const char *token, const char *body,
                              struct vt_error *err);
/* VT_ENOTFOUND. */
enum vt_code vt_store_undeclare(struct vt_store *store, const char *udid, const char *identifier,
                                struct vt_error *err);
/* VT_ENOTFOUND. vt_declaration_row_clear() in every case. */
enum vt_code vt_store_declaration(struct vt_store *store, const char *udid, const char *identifier,
                                  struct vt_declaration_row *out, struct vt_error *err);
void vt_declaration_row_clear(struct vt_declaration_row *row);

/* All of a device, by identifier; `fn` may not change the store. */
enum vt_code vt_store_each_declaration(struct vt_store *store, const char *udid,
                                       void (*fn)(const struct vt_declaration_row *row, void *user),
                                       void *user, struct vt_error *err);

/* What the device said about one; nothing where it has no such declaration. */
enum vt_code vt_store_declaration_status(struct vt_store *store, const char *udid,
                                         const char *identifier, const char *token,
                                         const char *status, struct vt_error *err);
/* It asked for declarations. */
enum vt_code vt_store_set_declarative(struct vt_store *store, const char *udid,
                                      struct vt_error *err);

#endif
