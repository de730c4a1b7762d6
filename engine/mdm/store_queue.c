#include <string.h>

#include "core/mem.h"
#include "mdm/store.h"

#define OP "mdm.store"

#define COLUMNS                                                                                    \
    "SELECT uuid, request_type, status, gone, sent, not_now, body, reply, seq FROM commands"

static int64_t read_row(sqlite3_stmt *q, struct vt_command_row *row)
{
    row->uuid = vt_sql_text(q, 0);
    row->request_type = vt_sql_text(q, 1);
    row->status = (enum vt_mdm_status)sqlite3_column_int(q, 2);
    row->gone = sqlite3_column_int(q, 3);
    row->sent = sqlite3_column_int(q, 4);
    row->not_now = (unsigned)sqlite3_column_int(q, 5);
    vt_sql_blob(q, 6, &row->body);
    vt_sql_blob(q, 7, &row->reply);
    return sqlite3_column_int64(q, 8);
}

void vt_command_row_clear(struct vt_command_row *row)
{
    vt_free(row->uuid);
    vt_free(row->request_type);
    vt_buf_free(&row->body);
    vt_buf_free(&row->reply);
    *row = (struct vt_command_row){0};
}

static enum vt_code check_device(struct vt_store *store, const char *udid, struct vt_error *err)
{
    struct vt_device_row device;
    enum vt_code code = vt_store_device(store, udid, &device, err);
    if (!code && device.d.state != VT_MDM_ENROLLED)
        code =
            vt_fail(err, VT_ESTATE, OP, "the device %s is not enrolled: %s", udid, device.d.reason);
    if (!code && device.d.queued >= VT_STORE_QUEUE_MAX)
        code = vt_fail(err, VT_ELIMIT, OP, "%u commands wait for the device %s, which is the limit",
                       device.d.queued, udid);
    vt_device_row_clear(&device);
    return code;
}

static enum vt_code check_uuid(struct vt_store *store, const char *udid, const char *uuid,
                               struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    sqlite3_stmt *q = vt_sql_query(
        &store->sql, &own, "SELECT 1 FROM commands WHERE udid = ? AND uuid = ?", "ss", udid, uuid);
    if (vt_sql_row(&store->sql, q, &own)) {
        vt_fail(&own, VT_EINVAL, OP, "the CommandUUID \"%s\" was used before for the device %s",
                uuid, udid);
        vt_sql_done(q);
    }
    return vt_error_copy(err, &own);
}

enum vt_code vt_store_enqueue(struct vt_store *store, const char *udid, const char *uuid,
                              const char *request_type, const struct vt_buf *body,
                              struct vt_error *err)
{
    enum vt_code code = check_device(store, udid, err);
    if (!code)
        code = check_uuid(store, udid, uuid, err);
    return code ? code
                : vt_sql_run(&store->sql, err, NULL,
                             "INSERT INTO commands (udid, uuid, request_type, body)"
                             " VALUES (?, ?, ?, ?)",
                             "sssb", udid, uuid, request_type, body);
}

enum vt_code vt_store_next(struct vt_store *store, const char *udid, bool idle,
                           struct vt_command_row *out, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    int64_t seq = 0;
    *out = (struct vt_command_row){0};
    if (idle && vt_sql_run(&store->sql, err, NULL,
                           "UPDATE commands SET deferred = 0"
                           " WHERE udid = ? AND status = 0 AND gone = 0 AND deferred = 1",
                           "s", udid))
        return VT_EIO;
    sqlite3_stmt *q = vt_sql_query(&store->sql, &own,
                                   COLUMNS " WHERE udid = ? AND status = 0 AND gone = 0"
                                           " AND deferred = 0 ORDER BY seq LIMIT 1",
                                   "s", udid);
    if (vt_sql_row(&store->sql, q, &own)) {
        seq = read_row(q, out);
        vt_sql_done(q);
        vt_sql_run(&store->sql, &own, NULL, "UPDATE commands SET sent = 1 WHERE seq = ?", "i", seq);
    }
    return vt_error_copy(err, &own);
}

/* Old answers go: the newest are kept for those who still ask. */
static enum vt_code prune(struct vt_store *store, const char *udid, struct vt_error *err)
{
    return vt_sql_run(&store->sql, err, NULL,
                      "DELETE FROM commands WHERE udid = ?1 AND (status <> 0 OR gone) AND seq <= ("
                      " SELECT seq FROM commands WHERE udid = ?1 AND (status <> 0 OR gone)"
                      " ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
                      "si", udid, (int64_t)VT_STORE_ANSWERS_KEPT);
}

enum vt_code vt_store_answer(struct vt_store *store, const char *udid, const char *uuid,
                             enum vt_mdm_status status, const struct vt_buf *reply, bool *known,
                             struct vt_error *err)
{
    int changes = 0;
    enum vt_code code;
    if (status == VT_MDM_NOT_NOW)
        code = vt_sql_run(&store->sql, err, &changes,
                          "UPDATE commands SET not_now = not_now + 1, deferred = 1"
                          " WHERE udid = ? AND uuid = ? AND status = 0 AND gone = 0 AND sent = 1",
                          "ss", udid, uuid);
    else
        code = vt_sql_run(&store->sql, err, &changes,
                          "UPDATE commands SET status = ?, reply = ?"
                          " WHERE udid = ? AND uuid = ? AND status = 0 AND gone = 0 AND sent = 1",
                          "ibss", (int64_t)status, reply, udid, uuid);
    *known = changes > 0;
    if (!code && *known && status != VT_MDM_NOT_NOW)
        code = prune(store, udid, err);
    return code;
}

enum vt_code vt_store_command(struct vt_store *store, const char *udid, const char *uuid,
                              struct vt_command_row *out, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    *out = (struct vt_command_row){0};
    sqlite3_stmt *q =
        vt_sql_query(&store->sql, &own, COLUMNS " WHERE udid = ? AND uuid = ?", "ss", udid, uuid);
    if (vt_sql_row(&store->sql, q, &own)) {
        read_row(q, out);
        vt_sql_done(q);
    } else if (!own.code) {
        vt_fail(&own, VT_ENOTFOUND, OP, "the device %s has no command %s", udid, uuid);
    }
    return vt_error_copy(err, &own);
}

enum vt_code vt_store_withdraw(struct vt_store *store, const char *udid, const char *uuid,
                               struct vt_error *err)
{
    struct vt_command_row row;
    enum vt_code code = vt_store_command(store, udid, uuid, &row, err);
    if (!code && row.status != VT_MDM_PENDING)
        code = vt_fail(err, VT_ESTATE, OP, "the command %s was answered already", uuid);
    if (!code)
        code = vt_sql_run(&store->sql, err, NULL,
                          "DELETE FROM commands WHERE udid = ? AND uuid = ?", "ss", udid, uuid);
    vt_command_row_clear(&row);
    return code;
}
