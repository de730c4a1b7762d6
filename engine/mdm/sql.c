#include "mdm/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <unistd.h>

#include "core/mem.h"

#define OP "mdm.store"
#define BUSY_MS 5000

static enum vt_code fail(struct vt_sql *sql, struct vt_error *err)
{
    int rc = sqlite3_errcode(sql->db);
    enum vt_code code = rc == SQLITE_FULL ? VT_ENOSPC : rc == SQLITE_BUSY ? VT_EBUSY : VT_EIO;
    const char *path = sqlite3_db_filename(sql->db, "main");
    return vt_fail(err, code, OP, "the database %s: %s", path && *path ? path : "in memory",
                   sqlite3_errmsg(sql->db));
}

/* SQLite would make the file with the process's umask; its journal gets the file's own mode. */
static enum vt_code make_file(const char *path, struct vt_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return vt_fail_sys(err, errno, OP, "cannot make %s", path);
    close(fd);
    return VT_OK;
}

enum vt_code vt_sql_open(struct vt_sql *sql, const char *path, const char *schema,
                         struct vt_error *err)
{
    *sql = (struct vt_sql){.db = NULL};
    if (path && make_file(path, err))
        return VT_EIO;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path ? path : ":memory:", &sql->db, flags, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(sql->db, BUSY_MS) != SQLITE_OK ||
        sqlite3_exec(sql->db,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                     "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;",
                     NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(sql->db, schema, NULL, NULL, NULL) != SQLITE_OK) {
        enum vt_code code = fail(sql, err);
        vt_sql_close(sql);
        return code;
    }
    return VT_OK;
}

void vt_sql_close(struct vt_sql *sql)
{
    for (size_t i = 0; i < VT_SQL_STATEMENTS && sql->cache[i].text; i++)
        sqlite3_finalize(sql->cache[i].stmt);
    sqlite3_close(sql->db);
    *sql = (struct vt_sql){.db = NULL};
}

static sqlite3_stmt *prepare(struct vt_sql *sql, const char *text, struct vt_error *err)
{
    size_t i = 0;
    while (i < VT_SQL_STATEMENTS && sql->cache[i].text && sql->cache[i].text != text)
        i++;
    if (i == VT_SQL_STATEMENTS) {
        vt_fail(err, VT_EINTERNAL, OP, "more than %d statements", VT_SQL_STATEMENTS);
        return NULL;
    }
    if (!sql->cache[i].text) {
        if (sqlite3_prepare_v3(sql->db, text, -1, SQLITE_PREPARE_PERSISTENT, &sql->cache[i].stmt,
                               NULL) != SQLITE_OK) {
            fail(sql, err);
            return NULL;
        }
        sql->cache[i].text = text;
    }
    return sql->cache[i].stmt;
}

static int bind_blob(sqlite3_stmt *stmt, int at, const struct vt_buf *b)
{
    if (b->len > INT_MAX)
        return SQLITE_TOOBIG;
    return b->len ? sqlite3_bind_blob(stmt, at, b->data, (int)b->len, SQLITE_STATIC)
                  : sqlite3_bind_zeroblob(stmt, at, 0);
}

static sqlite3_stmt *query(struct vt_sql *sql, struct vt_error *err, const char *text,
                           const char *types, va_list ap)
{
    sqlite3_stmt *stmt = prepare(sql, text, err);
    int rc = SQLITE_OK;
    for (int i = 0; stmt && types[i] && rc == SQLITE_OK; i++) {
        switch (types[i]) {
        case 's':
            rc = sqlite3_bind_text(stmt, i + 1, va_arg(ap, const char *), -1, SQLITE_STATIC);
            break;
        case 'i':
            rc = sqlite3_bind_int64(stmt, i + 1, va_arg(ap, int64_t));
            break;
        case 'd':
            rc = sqlite3_bind_double(stmt, i + 1, va_arg(ap, double));
            break;
        default:
            rc = bind_blob(stmt, i + 1, va_arg(ap, const struct vt_buf *));
        }
    }
    if (rc == SQLITE_OK)
        return stmt;
    fail(sql, err);
    vt_sql_done(stmt);
    return NULL;
}

sqlite3_stmt *vt_sql_query(struct vt_sql *sql, struct vt_error *err, const char *text,
                           const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *stmt = query(sql, err, text, types, ap);
    va_end(ap);
    return stmt;
}

bool vt_sql_row(struct vt_sql *sql, sqlite3_stmt *stmt, struct vt_error *err)
{
    if (!stmt)
        return false;
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return true;
    if (rc != SQLITE_DONE)
        fail(sql, err);
    vt_sql_done(stmt);
    return false;
}

void vt_sql_done(sqlite3_stmt *stmt)
{
    if (!stmt)
        return;
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

enum vt_code vt_sql_run(struct vt_sql *sql, struct vt_error *err, int *changes, const char *text,
                        const char *types, ...)
{
    struct vt_error own = VT_ERROR_INIT;
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *stmt = query(sql, &own, text, types, ap);
    va_end(ap);
    while (vt_sql_row(sql, stmt, &own))
        ;
    if (changes)
        *changes = own.code ? 0 : sqlite3_changes(sql->db);
    return vt_error_copy(err, &own);
}

char *vt_sql_text(sqlite3_stmt *stmt, int column)
{
    return vt_strdup((const char *)sqlite3_column_text(stmt, column));
}

void vt_sql_blob(sqlite3_stmt *stmt, int column, struct vt_buf *out)
{
    const void *data = sqlite3_column_blob(stmt, column);
    int n = sqlite3_column_bytes(stmt, column);
    if (data && n > 0)
        vt_buf_add(out, data, (size_t)n);
}
