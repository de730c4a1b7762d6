/* SQLite with statements that are prepared once and take their values by a format. */
#ifndef VT_MDM_SQL_H
#define VT_MDM_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "vmtest/error.h"

#define VT_SQL_STATEMENTS 64

struct vt_sql {
    sqlite3 *db;
    struct {
        const char *text; /* told apart by address: always a literal at one place */
        sqlite3_stmt *stmt;
    } cache[VT_SQL_STATEMENTS];
};

/* Opens (and makes, mode 0600) the database at `path`, or one in memory where that is NULL, and
 * runs `schema`, which must bear being run again. */
enum vt_code vt_sql_open(struct vt_sql *sql, const char *path, const char *schema,
                         struct vt_error *err);
void vt_sql_close(struct vt_sql *sql);

/* A statement with its values bound, to be stepped with vt_sql_row(). `types`, a letter for each
 * value: s text (const char *, NULL is null), i int64_t, d double, b blob (const struct vt_buf *).
 * The values must live until the last row. NULL with *err set on failure. */
sqlite3_stmt *vt_sql_query(struct vt_sql *sql, struct vt_error *err, const char *text,
                           const char *types, ...);

/* True with a row; false at the end, or with *err set. At the end the statement is free again;
 * vt_sql_done() frees it earlier. */
bool vt_sql_row(struct vt_sql *sql, sqlite3_stmt *stmt, struct vt_error *err);
void vt_sql_done(sqlite3_stmt *stmt);

/* A statement without rows. *changes (may be NULL): the rows it changed. */
enum vt_code vt_sql_run(struct vt_sql *sql, struct vt_error *err, int *changes, const char *text,
                        const char *types, ...);

/* Columns of the row: a copy (NULL for null), or appended bytes. */
char *vt_sql_text(sqlite3_stmt *stmt, int column);
void vt_sql_blob(sqlite3_stmt *stmt, int column, struct vt_buf *out);

#endif
