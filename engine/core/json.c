#include "core/json.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/text.h"

#define JSON_FILE_LIMIT (16u << 20)

enum vt_code vt_json_parse(const char *text, size_t n, const char *what, json_t **out,
                           struct vt_error *err)
{
    json_error_t why;
    *out = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!*out)
        return vt_fail(err, VT_EPROTO, "json", "%s:%d:%d: %s", what, why.line, why.column,
                       why.text);
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return vt_fail(err, VT_EPROTO, "json", "%s: not a JSON object", what);
    }
    return VT_OK;
}

enum vt_code vt_json_load(const char *path, json_t **out, struct vt_error *err)
{
    struct vt_buf text = VT_BUF_INIT;
    *out = NULL;
    enum vt_code code = vt_read_file(path, JSON_FILE_LIMIT, &text, err);
    if (!code)
        code = vt_json_parse(vt_buf_str(&text), text.len, path, out, err);
    vt_buf_free(&text);
    return code;
}

static enum vt_code save(const char *path, const json_t *value, unsigned mode,
                         enum vt_code (*write)(const char *, const void *, size_t, unsigned,
                                               struct vt_error *),
                         struct vt_error *err)
{
    char *text = json_dumps(value, JSON_INDENT(2));
    if (!text)
        return vt_fail(err, VT_EINTERNAL, "json", "%s: value cannot be written as JSON", path);
    enum vt_code code = write(path, text, strlen(text), mode, err);
    free(text);
    return code;
}

enum vt_code vt_json_save(const char *path, const json_t *value, unsigned mode,
                          struct vt_error *err)
{
    return save(path, value, mode, vt_write_file, err);
}

enum vt_code vt_json_save_unflushed(const char *path, const json_t *value, unsigned mode,
                                    struct vt_error *err)
{
    return save(path, value, mode, vt_write_file_unflushed, err);
}

const char *vt_json_str(const json_t *object, const char *key, const char *fallback)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : fallback;
}

int64_t vt_json_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : fallback;
}

double vt_json_num(const json_t *object, const char *key, double fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : fallback;
}

bool vt_json_bool(const json_t *object, const char *key, bool fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

void vt_json_set_text(json_t *object, const char *key, const char *text, size_t n)
{
    struct vt_buf clean = VT_BUF_INIT;
    vt_utf8_append(&clean, text, n);
    json_object_set_new(object, key, json_stringn(vt_buf_str(&clean), clean.len));
    vt_buf_free(&clean);
}
