#include "mdm/convert.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "plist/base64.h"

#define OP "mdm.plist"
#define MAC_EPOCH 978307200 /* 2001-01-01 UTC in seconds since 1970 */

/* --- to JSON --- */

static json_t *text_json(const char *text, size_t n)
{
    struct vt_buf clean = VT_BUF_INIT;
    vt_utf8_append(&clean, text, n);
    json_t *value = json_stringn(vt_buf_str(&clean), clean.len);
    vt_buf_free(&clean);
    return value;
}

static json_t *data_json(plist_t node)
{
    uint64_t n = 0;
    const char *data = plist_get_data_ptr(node, &n);
    struct vt_buf text = VT_BUF_INIT;
    vt_base64_encode(&text, data, (size_t)n);
    json_t *value = json_pack("{s:s%}", "$data", vt_buf_str(&text), text.len);
    vt_buf_free(&text);
    return value;
}

static json_t *date_json(plist_t node)
{
    int32_t seconds = 0, micros = 0;
    char text[32];
    struct tm tm;
    plist_get_date_val(node, &seconds, &micros);
    time_t at = (time_t)seconds + MAC_EPOCH;
    if (!gmtime_r(&at, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
        return json_null();
    return json_pack("{s:s}", "$date", text);
}

static json_t *dict_json(plist_t node)
{
    json_t *object = json_object();
    struct vt_plist_walk walk = vt_plist_walk(node);
    while (vt_plist_next(&walk)) {
        json_t *key = text_json(walk.key, strlen(walk.key));
        json_object_set_new(object, json_string_value(key), vt_plist_to_json(walk.value));
        json_decref(key);
    }
    return object;
}

static json_t *array_json(plist_t node)
{
    json_t *array = json_array();
    uint32_t n = plist_array_get_size(node);
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(array, vt_plist_to_json(plist_array_get_item(node, i)));
    return array;
}

json_t *vt_plist_to_json(plist_t node)
{
    const char *text;
    uint64_t uid = 0;
    switch (plist_get_node_type(node)) {
    case PLIST_DICT:
        return dict_json(node);
    case PLIST_ARRAY:
        return array_json(node);
    case PLIST_STRING:
        text = vt_plist_text(node);
        return text_json(text ? text : "", text ? strlen(text) : 0);
    case PLIST_BOOLEAN:
        return json_boolean(vt_plist_true(node));
    case PLIST_UINT:
        return json_integer((json_int_t)vt_plist_integer(node));
    case PLIST_REAL:
        return json_real(vt_plist_number(node));
    case PLIST_DATA:
        return data_json(node);
    case PLIST_DATE:
        return date_json(node);
    case PLIST_UID:
        plist_get_uid_val(node, &uid);
        return json_integer((json_int_t)uid);
    default:
        return json_null();
    }
}

/* --- from JSON --- */

struct reading {
    const char *what; /* for messages: the source, and the key at hand */
    unsigned depth;
    struct vt_error *err;
};

static plist_t read_value(json_t *value, const char *key, struct reading *r);

static plist_t wrong(struct reading *r, const char *key, const char *why)
{
    vt_fail(r->err, VT_EINVAL, OP, "%s: \"%s\" %s", r->what, key, why);
    return NULL;
}

static plist_t read_data(const json_t *text, const char *key, struct reading *r)
{
    struct vt_buf bytes = VT_BUF_INIT;
    if (!vt_base64_decode(&bytes, json_string_value(text), json_string_length(text)))
        return wrong(r, key, "has a $data that is no base64");
    plist_t node = plist_new_data(vt_buf_str(&bytes), bytes.len);
    vt_buf_free(&bytes);
    return node;
}

static plist_t read_date(const json_t *text, const char *key, struct reading *r)
{
    struct tm tm = {0};
    const char *end = strptime(json_string_value(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    double seconds = end && !*end ? (double)timegm(&tm) - MAC_EPOCH : 1e18;
    if (seconds > INT32_MAX || seconds < INT32_MIN)
        return wrong(r, key, "has a $date that is none: 2026-01-31T12:00:00Z is one");
    return plist_new_date((int32_t)seconds, 0);
}

static plist_t read_object(json_t *object, const char *key, struct reading *r)
{
    const json_t *data = json_object_get(object, "$data"), *date = json_object_get(object, "$date");
    if (json_object_size(object) == 1 && json_is_string(data))
        return read_data(data, key, r);
    if (json_object_size(object) == 1 && json_is_string(date))
        return read_date(date, key, r);
    plist_t dict = plist_new_dict();
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
        const char *name = json_object_iter_key(it);
        plist_t value = read_value(json_object_iter_value(it), name, r);
        if (!value) {
            plist_free(dict);
            return NULL;
        }
        plist_dict_set_item(dict, name, value);
    }
    return dict;
}

static plist_t read_array(json_t *array, const char *key, struct reading *r)
{
    plist_t node = plist_new_array();
    for (size_t i = 0; i < json_array_size(array); i++) {
        plist_t value = read_value(json_array_get(array, i), key, r);
        if (!value) {
            plist_free(node);
            return NULL;
        }
        plist_array_append_item(node, value);
    }
    return node;
}

static plist_t read_value(json_t *value, const char *key, struct reading *r)
{
    plist_t node = NULL;
    if (++r->depth > VT_PLIST_MAX_DEPTH)
        return wrong(r, key, "lies too deep");
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        node = read_object(value, key, r);
        break;
    case JSON_ARRAY:
        node = read_array(value, key, r);
        break;
    case JSON_STRING:
        node = strlen(json_string_value(value)) == json_string_length(value)
                   ? plist_new_string(json_string_value(value))
                   : wrong(r, key, "holds a zero byte");
        break;
    case JSON_INTEGER:
        node = vt_plist_new_int(json_integer_value(value));
        break;
    case JSON_REAL:
        node = plist_new_real(json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        node = plist_new_bool(json_is_true(value));
        break;
    default:
        node = wrong(r, key, "is null, which no property list can hold");
    }
    r->depth--;
    return node;
}

enum vt_code vt_plist_from_json(const json_t *value, const char *what, plist_t *out,
                                struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct reading r = {.what = what, .err = &own};
    json_t *copy = json_deep_copy(value); /* jansson only walks what it might change */
    *out = copy ? read_value(copy, "the list", &r) : NULL;
    json_decref(copy);
    if (!*out && !own.code)
        vt_fail(&own, VT_EINVAL, OP, "%s: there is no property list", what);
    return vt_error_copy(err, &own);
}

void vt_error_chain_text(const json_t *chain, struct vt_buf *out)
{
    for (size_t i = 0; i < json_array_size(chain); i++) {
        const json_t *e = json_array_get(chain, i);
        const char *text = vt_json_str(e, "USEnglishDescription", NULL);
        if (!text)
            text = vt_json_str(e, "LocalizedDescription", "no description");
        vt_buf_printf(out, "%s%s %lld: %s", out->len ? "\n" : "",
                      vt_json_str(e, "ErrorDomain", "(no domain)"),
                      (long long)vt_json_int(e, "ErrorCode", 0), text);
    }
}

double vt_time_read(const char *text)
{
    struct tm tm = {0};
    int used = 0, hours = 0, minutes = 0;
    double second = 0;
    char sign = 'Z';
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%lf%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &second, &used) != 6 ||
        !isfinite(second))
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (sscanf(text + used, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && sign != 'Z')
        hours = hours * 60 + minutes;
    else
        hours = 0;
    return (double)timegm(&tm) + second + (sign == '-' ? 60 : -60) * hours;
}
