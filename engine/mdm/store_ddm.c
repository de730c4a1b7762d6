#include <string.h>

#include "core/mem.h"
#include "mdm/store.h"

#define OP "mdm.store"

#define COLUMNS "SELECT identifier, type, token, body, status, status_token FROM declarations"

static void read_row(sqlite3_stmt *q, struct vt_declaration_row *row)
{
    row->identifier = vt_sql_text(q, 0);
    row->type = vt_sql_text(q, 1);
    row->token = vt_sql_text(q, 2);
    row->body = vt_sql_text(q, 3);
    row->status = vt_sql_text(q, 4);
    row->status_token = vt_sql_text(q, 5);
}

void vt_declaration_row_clear(struct vt_declaration_row *row)
{
    vt_free(row->identifier);
    vt_free(row->type);
    vt_free(row->token);
    vt_free(row->body);
    vt_free(row->status);
    vt_free(row->status_token);
    *row = (struct vt_declaration_row){0};
}

static enum vt_code check_room(struct vt_store *store, const char *udid, const char *identifier,
                               struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    sqlite3_stmt *q = vt_sql_query(
        &store->sql, &own, "SELECT count(*) FROM declarations WHERE udid = ? AND identifier <> ?",
        "ss", udid, identifier);
    if (vt_sql_row(&store->sql, q, &own)) {
        if (sqlite3_column_int64(q, 0) >= VT_STORE_DECLARATIONS_MAX)
            vt_fail(&own, VT_ELIMIT, OP, "the device %s has %d declarations, which is the limit",
                    udid, VT_STORE_DECLARATIONS_MAX);
        vt_sql_done(q);
    }
    return vt_error_copy(err, &own);
}

enum vt_code vt_store_declare(struct vt_store *store, const char *udid, const char *identifier,
                              const char *type, const char *token, const char *body,
                              struct vt_error *err)
{
    struct vt_device_row device;
    enum vt_code code = vt_store_device(store, udid, &device, err);
    vt_device_row_clear(&device);
    if (!code)
        code = check_room(store, udid, identifier, err);
    return code ? code
                : vt_sql_run(&store->sql, err, NULL,
                             "INSERT INTO declarations (udid, identifier, type, token, body)"
                             " VALUES (?1, ?2, ?3, ?4, ?5)"
                             " ON CONFLICT (udid, identifier) DO UPDATE"
                             " SET type = ?3, token = ?4, body = ?5",
                             "sssss", udid, identifier, type, token, body);
}

enum vt_code vt_store_undeclare(struct vt_store *store, const char *udid, const char *identifier,
                                struct vt_error *err)
{
    int changes = 0;
    enum vt_code code = vt_sql_run(&store->sql, err, &changes,
                                   "DELETE FROM declarations WHERE udid = ? AND identifier = ?",
                                   "ss", udid, identifier);
    if (!code && !changes)
        code = vt_fail(err, VT_ENOTFOUND, OP, "the device %s has no declaration \"%s\"", udid,
                       identifier);
    return code;
}

enum vt_code vt_store_declaration(struct vt_store *store, const char *udid, const char *identifier,
                                  struct vt_declaration_row *out, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    *out = (struct vt_declaration_row){0};
    sqlite3_stmt *q = vt_sql_query(&store->sql, &own, COLUMNS " WHERE udid = ? AND identifier = ?",
                                   "ss", udid, identifier);
    if (vt_sql_row(&store->sql, q, &own)) {
        read_row(q, out);
        vt_sql_done(q);
    } else if (!own.code) {
        vt_fail(&own, VT_ENOTFOUND, OP, "the device %s has no declaration \"%s\"", udid,
                identifier);
    }
    return vt_error_copy(err, &own);
}

enum vt_code vt_store_each_declaration(struct vt_store *store, const char *udid,
                                       void (*fn)(const struct vt_declaration_row *row, void *user),
                                       void *user, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    sqlite3_stmt *q =
        vt_sql_query(&store->sql, &own, COLUMNS " WHERE udid = ? ORDER BY identifier", "s", udid);
    while (vt_sql_row(&store->sql, q, &own)) {
        struct vt_declaration_row row;
        read_row(q, &row);
        fn(&row, user);
        vt_declaration_row_clear(&row);
    }
    return vt_error_copy(err, &own);
}

enum vt_code vt_store_declaration_status(struct vt_store *store, const char *udid,
                                         const char *identifier, const char *token,
                                         const char *status, struct vt_error *err)
{
    return vt_sql_run(&store->sql, err, NULL,
                      "UPDATE declarations SET status = ?, status_token = ?"
                      " WHERE udid = ? AND identifier = ?",
                      "ssss", status, token, udid, identifier);
}
