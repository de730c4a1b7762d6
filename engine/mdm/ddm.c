/* Declarative management: what a device asks by its DeclarativeManagement check-in. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/json.h"
#include "core/mem.h"
#include "mdm/exchange.h"
#include "plist/base64.h"

#define OP "mdm.declare"
#define NAME_MAX_ 512
#define STATUS_ENTRIES_MAX 4096

/* Kinds of declarations: how types begin, the word in the manifest, and that in the address. */
static const struct kind {
    const char *prefix, *list, *word, *status;
} kinds[] = {
    {"com.apple.activation.", "Activations", "activation", "activations"},
    {"com.apple.asset.", "Assets", "asset", "assets"},
    {"com.apple.configuration.", "Configurations", "configuration", "configurations"},
    {"com.apple.management.", "Management", "management", "management"},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static const struct kind *kind_of(const char *type)
{
    for (size_t i = 0; i < KINDS; i++)
        if (!strncmp(type, kinds[i].prefix, strlen(kinds[i].prefix)))
            return &kinds[i];
    return NULL;
}

static void hex_digest(const void *data, size_t n, char out[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    EVP_Digest(data, n, digest, NULL, EVP_sha256(), NULL);
    for (size_t i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* --- what is declared --- */

struct listing {
    struct vt_buf all; /* what the token of the whole is made from */
    json_t *items;     /* the manifest's lists */
};

static void list_one(const struct vt_declaration_row *row, void *user)
{
    struct listing *l = user;
    const struct kind *kind = kind_of(row->type);
    vt_buf_printf(&l->all, "%s\n%s\n", row->identifier, row->token);
    if (kind)
        json_array_append_new(
            json_object_get(l->items, kind->list),
            json_pack("{s:s, s:s}", "Identifier", row->identifier, "ServerToken", row->token));
}

/* *manifest: the lists, a new object; token: of the whole. */
static enum vt_code list(struct vt_store *store, const char *udid, json_t **manifest,
                         char token[65], struct vt_error *err)
{
    struct listing l = {.items = json_object()};
    for (size_t i = 0; i < KINDS; i++)
        json_object_set_new(l.items, kinds[i].list, json_array());
    enum vt_code code = vt_store_each_declaration(store, udid, list_one, &l, err);
    hex_digest(vt_buf_str(&l.all), l.all.len, token);
    vt_buf_free(&l.all);
    *manifest = l.items;
    return code;
}

static json_t *sync_tokens(const char *token)
{
    char time_text[32] = "";
    time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm))
        strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_pack("{s:{s:s, s:s}}", "SyncTokens", "DeclarationsToken", token, "Timestamp",
                     time_text);
}

json_t *vt_protocol_declare_command(struct vt_store *store, const char *udid, struct vt_error *err)
{
    json_t *manifest;
    char token[65];
    enum vt_code code = list(store, udid, &manifest, token, err);
    json_decref(manifest);
    if (code)
        return NULL;
    struct vt_buf encoded = VT_BUF_INIT;
    json_t *tokens = sync_tokens(token);
    char *text = json_dumps(tokens, JSON_COMPACT);
    vt_base64_encode(&encoded, text, strlen(text));
    json_t *command = json_pack("{s:s, s:{s:s}}", "RequestType", "DeclarativeManagement", "Data",
                                "$data", vt_buf_str(&encoded));
    vt_buf_free(&encoded);
    free(text);
    json_decref(tokens);
    return command;
}

/* "application/json" with this object, which is taken over. */
static enum vt_code reply_json(struct vt_exchange *x, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    vt_buf_puts(&x->reply->body, text);
    x->reply->type = "application/json";
    free(text);
    json_decref(object);
    return VT_OK;
}

static enum vt_code tokens(struct vt_exchange *x, struct vt_error *err)
{
    json_t *manifest;
    char token[65];
    enum vt_code code = list(x->store, x->udid, &manifest, token, err);
    json_decref(manifest);
    return code ? code : reply_json(x, sync_tokens(token));
}

static enum vt_code items(struct vt_exchange *x, struct vt_error *err)
{
    json_t *manifest;
    char token[65];
    enum vt_code code = list(x->store, x->udid, &manifest, token, err);
    if (code) {
        json_decref(manifest);
        return code;
    }
    return reply_json(
        x, json_pack("{s:o, s:s}", "Declarations", manifest, "DeclarationsToken", token));
}

/* "declaration/KIND/IDENTIFIER" */
static enum vt_code one(struct vt_exchange *x, const char *path, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct vt_declaration_row row;
    const char *slash = strchr(path, '/');
    if (!slash || strlen(slash + 1) > NAME_MAX_)
        return vt__refuse(x, 400, "the endpoint names no declaration");
    enum vt_code code = vt_store_declaration(x->store, x->udid, slash + 1, &row, &own);
    const struct kind *kind = code ? NULL : kind_of(row.type);
    if (kind && strlen(kind->word) == (size_t)(slash - path) &&
        !strncmp(kind->word, path, strlen(kind->word))) {
        vt_buf_puts(&x->reply->body, row.body);
        x->reply->type = "application/json";
    } else if (!code || code == VT_ENOTFOUND) {
        code = vt__refuse(x, 404, "there is no declaration \"%s\"", path);
    }
    vt_declaration_row_clear(&row);
    return code ? vt_error_copy(err, &own) : VT_OK;
}

/* --- what the device says about it --- */

static enum vt_code note_status(struct vt_exchange *x, const json_t *entry, struct vt_error *err)
{
    const char *identifier = vt_json_str(entry, "identifier", NULL);
    const char *token = vt_json_str(entry, "server-token", NULL);
    if (!identifier || !token)
        return VT_OK;
    char *text = json_dumps(entry, JSON_COMPACT);
    enum vt_code code =
        text ? vt_store_declaration_status(x->store, x->udid, identifier, token, text, err) : VT_OK;
    free(text);
    return code;
}

static enum vt_code note_all(struct vt_exchange *x, const json_t *declarations, json_t *told,
                             struct vt_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < KINDS; i++) {
        const json_t *entries = json_object_get(declarations, kinds[i].status);
        for (size_t j = 0; j < json_array_size(entries) && n < STATUS_ENTRIES_MAX; j++, n++) {
            json_t *entry = json_array_get(entries, j);
            if (note_status(x, entry, err))
                return VT_EIO;
            json_array_append(told, entry);
        }
    }
    return VT_OK;
}

static enum vt_code status(struct vt_exchange *x, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    size_t n = 0;
    json_t *report = NULL;
    const char *data = vt_plist_data(x->body, "Data", &n);
    if (!data || vt_json_parse(data, n, "the status report", &report, &own))
        return vt__refuse(x, 400, "%s", data ? own.message : "a status report without Data");
    const json_t *management =
        json_object_get(json_object_get(report, "StatusItems"), "management");
    json_t *event = vt_protocol_event("declaration_status", x->udid), *told = json_array();
    json_object_set_new(event, "declarations", told);
    enum vt_code code = note_all(x, json_object_get(management, "declarations"), told, err);
    if (code)
        json_decref(event);
    else
        vt__happened(x, event);
    json_decref(report);
    return code;
}

enum vt_code vt__declarative(struct vt_exchange *x, struct vt_error *err)
{
    const char *endpoint = vt_plist_str(x->body, "Endpoint", "");
    enum vt_code code = vt_store_set_declarative(x->store, x->udid, err);
    if (code)
        return code;
    if (!strcmp(endpoint, "tokens"))
        return tokens(x, err);
    if (!strcmp(endpoint, "declaration-items"))
        return items(x, err);
    if (!strcmp(endpoint, "status"))
        return status(x, err);
    if (!strncmp(endpoint, "declaration/", 12))
        return one(x, endpoint + 12, err);
    return vt__refuse(x, 400, "\"%s\" is no endpoint of DeclarativeManagement", endpoint);
}

/* --- declaring --- */

static enum vt_code check(const json_t *declaration, struct vt_error *err)
{
    static const char *const known[] = {"Type", "Identifier", "Payload", "ServerToken"};
    const char *type = vt_json_str(declaration, "Type", NULL);
    const char *identifier = vt_json_str(declaration, "Identifier", NULL);
    if (!type || !kind_of(type)) {
        vt_fail(err, VT_EINVAL, OP, "a declaration needs a Type, not \"%s\"", type ? type : "");
        vt_hint(err, "types begin with com.apple.activation., .asset., .configuration. or "
                     ".management.");
        return VT_EINVAL;
    }
    if (!identifier || !*identifier || strlen(identifier) > NAME_MAX_)
        return vt_fail(err, VT_EINVAL, OP, "a declaration needs an Identifier of 1 to %d bytes",
                       NAME_MAX_);
    if (!json_is_object(json_object_get(declaration, "Payload")))
        return vt_fail(err, VT_EINVAL, OP, "the declaration \"%s\" has no Payload, an object",
                       identifier);
    size_t n = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        n += json_object_get(declaration, known[i]) != NULL;
    return n == json_object_size(declaration)
               ? VT_OK
               : vt_fail(err, VT_EINVAL, OP,
                         "the declaration \"%s\" has more than Type, "
                         "Identifier, Payload and ServerToken",
                         identifier);
}

enum vt_code vt_protocol_declare(struct vt_store *store, const char *udid,
                                 const json_t *declaration, struct vt_error *err)
{
    char token[65];
    enum vt_code code = check(declaration, err);
    if (code)
        return code;
    json_t *copy = json_deep_copy(declaration);
    if (!json_is_string(json_object_get(copy, "ServerToken"))) {
        json_object_del(copy, "ServerToken");
        char *content = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
        hex_digest(content, strlen(content), token);
        json_object_set_new(copy, "ServerToken", json_string(token));
        free(content);
    }
    char *text = json_dumps(copy, JSON_COMPACT);
    code = vt_store_declare(store, udid, vt_json_str(copy, "Identifier", ""),
                            vt_json_str(copy, "Type", ""), vt_json_str(copy, "ServerToken", ""),
                            text, err);
    free(text);
    json_decref(copy);
    return code;
}
