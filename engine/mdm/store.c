#include "mdm/store.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/sys.h"

#define OP "mdm.store"

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS enrollments ("
    " id TEXT PRIMARY KEY, method INTEGER NOT NULL, topic TEXT NOT NULL,"
    " challenge TEXT UNIQUE, used INTEGER NOT NULL DEFAULT 0,"
    " valid REAL NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS certs ("
    " fingerprint TEXT PRIMARY KEY, enrollment TEXT NOT NULL REFERENCES enrollments(id),"
    " expires REAL NOT NULL, udid TEXT, revoked TEXT) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS certs_udid ON certs (udid);"
    "CREATE TABLE IF NOT EXISTS devices ("
    " udid TEXT PRIMARY KEY, state INTEGER NOT NULL, reason TEXT NOT NULL, cert TEXT NOT NULL,"
    " enrollment TEXT, serial TEXT, name TEXT, model TEXT, os_version TEXT, build_version TEXT,"
    " product TEXT, token BLOB, magic TEXT, unlock BLOB, bootstrap BLOB,"
    " awaiting INTEGER NOT NULL DEFAULT 0, declarative INTEGER NOT NULL DEFAULT 0,"
    " approved INTEGER NOT NULL DEFAULT 0, enrolled REAL NOT NULL DEFAULT 0,"
    " seen REAL NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS devices_serial ON devices (serial);"
    "CREATE INDEX IF NOT EXISTS devices_enrollment ON devices (enrollment);"
    "CREATE TABLE IF NOT EXISTS commands ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT, udid TEXT NOT NULL, uuid TEXT NOT NULL,"
    " request_type TEXT NOT NULL, body BLOB NOT NULL, status INTEGER NOT NULL DEFAULT 0,"
    " gone INTEGER NOT NULL DEFAULT 0, sent INTEGER NOT NULL DEFAULT 0,"
    " deferred INTEGER NOT NULL DEFAULT 0, not_now INTEGER NOT NULL DEFAULT 0, reply BLOB,"
    " UNIQUE (udid, uuid));"
    "CREATE INDEX IF NOT EXISTS commands_due ON commands (udid, status, gone, deferred, seq);"
    "CREATE TABLE IF NOT EXISTS declarations ("
    " udid TEXT NOT NULL, identifier TEXT NOT NULL, type TEXT NOT NULL, token TEXT NOT NULL,"
    " body TEXT NOT NULL, status TEXT, status_token TEXT,"
    " PRIMARY KEY (udid, identifier)) WITHOUT ROWID;";

enum vt_code vt_store_open(const char *path, struct vt_store **out, struct vt_error *err)
{
    struct vt_store *store = vt_calloc(1, sizeof *store);
    enum vt_code code = vt_sql_open(&store->sql, path, schema, err);
    if (code) {
        vt_free(store);
        store = NULL;
    }
    *out = store;
    return code;
}

void vt_store_close(struct vt_store *store)
{
    if (!store)
        return;
    vt_sql_close(&store->sql);
    vt_free(store);
}

enum vt_code vt_store_begin(struct vt_store *store, struct vt_error *err)
{
    return vt_sql_run(&store->sql, err, NULL, "BEGIN IMMEDIATE", "");
}

enum vt_code vt_store_end(struct vt_store *store, enum vt_code code, struct vt_error *err)
{
    if (!code)
        code = vt_sql_run(&store->sql, err, NULL, "COMMIT", "");
    if (code && !sqlite3_get_autocommit(store->sql.db))
        vt_sql_run(&store->sql, NULL, NULL, "ROLLBACK", "");
    return code;
}

/* --- enrollments and certificates --- */

static void sha256_hex(const char *text, char out[2 * SHA256_DIGEST_LENGTH + 1])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)text, strlen(text), digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

enum vt_code vt_store_add_enrollment(struct vt_store *store, const struct vt_enrollment_row *row,
                                     struct vt_error *err)
{
    char hash[2 * SHA256_DIGEST_LENGTH + 1];
    if (row->challenge)
        sha256_hex(row->challenge, hash);
    return vt_sql_run(&store->sql, err, NULL,
                      "INSERT INTO enrollments (id, method, topic, challenge, valid, expires)"
                      " VALUES (?, ?, ?, ?, ?, ?)",
                      "sissdd", row->id, (int64_t)row->method, row->topic,
                      row->challenge ? hash : NULL, row->valid, row->expires);
}

enum vt_code vt_store_take_challenge(struct vt_store *store, const char *challenge, char **id,
                                     double *valid, struct vt_error *err)
{
    char hash[2 * SHA256_DIGEST_LENGTH + 1];
    struct vt_error own = VT_ERROR_INIT;
    bool used = false;
    double expires = 0;
    *id = NULL;
    sha256_hex(challenge, hash);
    sqlite3_stmt *q = vt_sql_query(&store->sql, &own,
                                   "SELECT id, valid, used, expires FROM enrollments"
                                   " WHERE challenge = ?",
                                   "s", hash);
    if (vt_sql_row(&store->sql, q, &own)) {
        *id = vt_sql_text(q, 0);
        *valid = sqlite3_column_double(q, 1);
        used = sqlite3_column_int(q, 2);
        expires = sqlite3_column_double(q, 3);
        vt_sql_done(q);
    }
    if (!own.code && !*id)
        vt_fail(&own, VT_EAUTH, OP, "the challenge is none of this server's");
    else if (!own.code && used)
        vt_fail(&own, VT_EAUTH, OP, "the challenge was used before");
    else if (!own.code && expires < vt_wall())
        vt_fail(&own, VT_EAUTH, OP, "the challenge has expired");
    if (!own.code)
        vt_sql_run(&store->sql, &own, NULL, "UPDATE enrollments SET used = 1 WHERE id = ?", "s",
                   *id);
    if (own.code) {
        vt_free(*id);
        *id = NULL;
    }
    return vt_error_copy(err, &own);
}

enum vt_code vt_store_add_cert(struct vt_store *store, const char *fingerprint,
                               const char *enrollment, double expires, struct vt_error *err)
{
    return vt_sql_run(&store->sql, err, NULL,
                      "INSERT INTO certs (fingerprint, enrollment, expires) VALUES (?, ?, ?)",
                      "ssd", fingerprint, enrollment, expires);
}

enum vt_code vt_store_cert(struct vt_store *store, const char *fingerprint, struct vt_cert_row *out,
                           struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    *out = (struct vt_cert_row){0};
    sqlite3_stmt *q = vt_sql_query(&store->sql, &own,
                                   "SELECT c.enrollment, e.topic, c.udid, c.revoked, c.expires"
                                   " FROM certs c JOIN enrollments e ON e.id = c.enrollment"
                                   " WHERE c.fingerprint = ?",
                                   "s", fingerprint);
    if (vt_sql_row(&store->sql, q, &own)) {
        out->enrollment = vt_sql_text(q, 0);
        out->topic = vt_sql_text(q, 1);
        out->udid = vt_sql_text(q, 2);
        out->revoked = vt_sql_text(q, 3);
        out->expires = sqlite3_column_double(q, 4);
        vt_sql_done(q);
    } else if (!own.code) {
        vt_fail(&own, VT_ENOTFOUND, OP, "the certificate was not issued by this server");
    }
    return vt_error_copy(err, &own);
}

void vt_cert_row_clear(struct vt_cert_row *row)
{
    vt_free(row->enrollment);
    vt_free(row->topic);
    vt_free(row->udid);
    vt_free(row->revoked);
    *row = (struct vt_cert_row){0};
}
