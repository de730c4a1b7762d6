#include <string.h>

#include "core/mem.h"
#include "core/sys.h"
#include "mdm/store.h"

#define OP "mdm.store"

#define COLUMNS                                                                                    \
    "SELECT udid, state, reason, serial, name, model, os_version, build_version, product,"         \
    " enrollment, enrolled, seen, length(bootstrap) > 0, awaiting, declarative, approved, cert,"   \
    " (SELECT count(*) FROM commands c WHERE c.udid = d.udid AND c.status = 0 AND c.gone = 0)"     \
    " FROM devices d"

static void read_row(sqlite3_stmt *q, struct vt_device_row *row)
{
    row->d = (struct vt_mdm_device){
        .udid = vt_sql_text(q, 0),
        .state = (enum vt_mdm_state)sqlite3_column_int(q, 1),
        .reason = vt_sql_text(q, 2),
        .serial = vt_sql_text(q, 3),
        .name = vt_sql_text(q, 4),
        .model = vt_sql_text(q, 5),
        .os_version = vt_sql_text(q, 6),
        .build_version = vt_sql_text(q, 7),
        .product = vt_sql_text(q, 8),
        .enrollment = vt_sql_text(q, 9),
        .enrolled = sqlite3_column_double(q, 10),
        .last_seen = sqlite3_column_double(q, 11),
        .bootstrap_token = sqlite3_column_int(q, 12),
        .awaiting = sqlite3_column_int(q, 13),
        .declarative = sqlite3_column_int(q, 14),
        .user_approved = (enum vt_mdm_known)sqlite3_column_int(q, 15),
        .queued = (unsigned)sqlite3_column_int(q, 17),
    };
    row->cert = vt_sql_text(q, 16);
}

enum vt_code vt_store_device(struct vt_store *store, const char *udid, struct vt_device_row *out,
                             struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    *out = (struct vt_device_row){0};
    sqlite3_stmt *q = vt_sql_query(&store->sql, &own, COLUMNS " WHERE udid = ?", "s", udid);
    if (vt_sql_row(&store->sql, q, &own)) {
        read_row(q, out);
        vt_sql_done(q);
    } else if (!own.code) {
        vt_fail(&own, VT_ENOTFOUND, OP, "no device %s has enrolled here", udid);
    }
    return vt_error_copy(err, &own);
}

enum vt_code vt_store_find_device(struct vt_store *store, bool by_serial, const char *value,
                                  struct vt_device_row *out, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    *out = (struct vt_device_row){0};
    const char *text = by_serial ? COLUMNS " WHERE serial = ? ORDER BY seen DESC LIMIT 1"
                                 : COLUMNS " WHERE enrollment = ? ORDER BY seen DESC LIMIT 1";
    sqlite3_stmt *q = vt_sql_query(&store->sql, &own, text, "s", value);
    if (vt_sql_row(&store->sql, q, &own)) {
        read_row(q, out);
        vt_sql_done(q);
    } else if (!own.code) {
        vt_fail(&own, VT_ENOTFOUND, OP, "no device %s %s has enrolled here",
                by_serial ? "with the serial number" : "of the enrollment", value);
    }
    return vt_error_copy(err, &own);
}

void vt_device_row_clear(struct vt_device_row *row)
{
    const char *const texts[] = {
        row->d.udid,       row->d.reason,  row->d.serial,        row->d.name,       row->d.model,
        row->d.os_version, row->d.product, row->d.build_version, row->d.enrollment, row->cert};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        vt_free_const(texts[i]);
    *row = (struct vt_device_row){0};
}

enum vt_code vt_store_devices(struct vt_store *store, struct vt_device_row **out, size_t *n,
                              struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    size_t cap = 0;
    *out = NULL;
    *n = 0;
    sqlite3_stmt *q = vt_sql_query(&store->sql, &own, COLUMNS " ORDER BY udid", "");
    while (vt_sql_row(&store->sql, q, &own)) {
        if (*n == cap) {
            cap = cap ? 2 * cap : 16;
            *out = vt_realloc(*out, cap * sizeof **out);
        }
        read_row(q, &(*out)[(*n)++]);
    }
    if (own.code) {
        vt_device_rows_free(*out, *n);
        *out = NULL;
        *n = 0;
    }
    return vt_error_copy(err, &own);
}

void vt_device_rows_free(struct vt_device_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vt_device_row_clear(&rows[i]);
    vt_free(rows);
}

/* --- what happens to a device --- */

static enum vt_code check_room(struct vt_store *store, const char *udid, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    sqlite3_stmt *q =
        vt_sql_query(&store->sql, &own, "SELECT count(*) FROM devices WHERE udid <> ?", "s", udid);
    if (vt_sql_row(&store->sql, q, &own)) {
        if (sqlite3_column_int64(q, 0) >= VT_STORE_DEVICES_MAX)
            vt_fail(&own, VT_ELIMIT, OP, "%d devices have enrolled, which is all that fit",
                    VT_STORE_DEVICES_MAX);
        vt_sql_done(q);
    }
    return vt_error_copy(err, &own);
}

static enum vt_code give_up_queue(struct vt_store *store, const char *udid, struct vt_error *err)
{
    return vt_sql_run(&store->sql, err, NULL,
                      "UPDATE commands SET gone = 1 WHERE udid = ? AND status = 0", "s", udid);
}

/* The certificate becomes the device's, and the one before it, if another, is good no more. */
static enum vt_code hand_over(struct vt_store *store, const struct vt_authenticate *a,
                              struct vt_error *err)
{
    enum vt_code code =
        vt_sql_run(&store->sql, err, NULL,
                   "UPDATE certs SET revoked = 'the device enrolled anew with another'"
                   " WHERE udid = ? AND fingerprint <> ? AND revoked IS NULL",
                   "ss", a->udid, a->cert);
    return code ? code
                : vt_sql_run(&store->sql, err, NULL,
                             "UPDATE certs SET udid = ? WHERE fingerprint = ?", "ss", a->udid,
                             a->cert);
}

enum vt_code vt_store_authenticate(struct vt_store *store, const struct vt_authenticate *a,
                                   struct vt_error *err)
{
    enum vt_code code = check_room(store, a->udid, err);
    if (!code)
        code = hand_over(store, a, err);
    if (!code)
        code = give_up_queue(store, a->udid, err);
    if (!code)
        code = vt_sql_run(&store->sql, err, NULL, "DELETE FROM declarations WHERE udid = ?", "s",
                          a->udid);
    if (!code)
        code =
            vt_sql_run(&store->sql, err, NULL,
                       "INSERT OR REPLACE INTO devices (udid, state, reason, cert, enrollment,"
                       " serial, name, model, os_version, build_version, product, seen)"
                       " VALUES (?1, ?2, 'it sent Authenticate, but no TokenUpdate yet', ?3,"
                       " (SELECT enrollment FROM certs WHERE fingerprint = ?3),"
                       " ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                       "sisssssssd", a->udid, (int64_t)VT_MDM_ENROLLING, a->cert, a->serial,
                       a->name, a->model, a->os_version, a->build_version, a->product, vt_wall());
    return code;
}

enum vt_code vt_store_token(struct vt_store *store, const char *udid, const struct vt_buf *token,
                            const char *magic, const struct vt_buf *unlock, bool awaiting,
                            struct vt_error *err)
{
    return vt_sql_run(&store->sql, err, NULL,
                      "UPDATE devices SET state = ?2, reason = 'it sent its TokenUpdate',"
                      " token = ?3, magic = ?4, awaiting = ?6, seen = ?7,"
                      " unlock = CASE WHEN length(?5) > 0 THEN ?5 ELSE unlock END,"
                      " enrolled = CASE WHEN state = ?2 THEN enrolled ELSE ?7 END WHERE udid = ?1",
                      "sibsbid", udid, (int64_t)VT_MDM_ENROLLED, token, magic, unlock,
                      (int64_t)awaiting, vt_wall());
}

enum vt_code vt_store_check_out(struct vt_store *store, const char *udid, const char *reason,
                                struct vt_error *err)
{
    enum vt_code code = give_up_queue(store, udid, err);
    return code ? code
                : vt_sql_run(&store->sql, err, NULL,
                             "UPDATE devices SET state = ?2, reason = ?3, token = NULL,"
                             " magic = NULL, unlock = NULL, bootstrap = NULL, declarative = 0,"
                             " approved = 0, seen = ?4 WHERE udid = ?1",
                             "sisd", udid, (int64_t)VT_MDM_NOT_ENROLLED, reason, vt_wall());
}

enum vt_code vt_store_seen(struct vt_store *store, const char *udid, struct vt_error *err)
{
    return vt_sql_run(&store->sql, err, NULL, "UPDATE devices SET seen = ? WHERE udid = ?", "ds",
                      vt_wall(), udid);
}

enum vt_code vt_store_set_approved(struct vt_store *store, const char *udid,
                                   enum vt_mdm_known approved, struct vt_error *err)
{
    return vt_sql_run(&store->sql, err, NULL, "UPDATE devices SET approved = ? WHERE udid = ?",
                      "is", (int64_t)approved, udid);
}

enum vt_code vt_store_set_bootstrap(struct vt_store *store, const char *udid,
                                    const struct vt_buf *token, struct vt_error *err)
{
    return vt_sql_run(&store->sql, err, NULL, "UPDATE devices SET bootstrap = ? WHERE udid = ?",
                      "bs", token, udid);
}

enum vt_code vt_store_bootstrap(struct vt_store *store, const char *udid, struct vt_buf *out,
                                struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    sqlite3_stmt *q =
        vt_sql_query(&store->sql, &own, "SELECT bootstrap FROM devices WHERE udid = ?", "s", udid);
    if (vt_sql_row(&store->sql, q, &own)) {
        vt_sql_blob(q, 0, out);
        vt_sql_done(q);
    }
    return vt_error_copy(err, &own);
}

enum vt_code vt_store_set_declarative(struct vt_store *store, const char *udid,
                                      struct vt_error *err)
{
    return vt_sql_run(&store->sql, err, NULL, "UPDATE devices SET declarative = 1 WHERE udid = ?",
                      "s", udid);
}
