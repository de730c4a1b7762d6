#include "device/convert.h"

#include <stdio.h>
#include <time.h>

#include "plist/base64.h"
#include "plist/tree.h"

static json_t *data_json(plist_t node)
{
    struct vt_buf text = VT_BUF_INIT;
    uint64_t n = 0;
    const char *data = plist_get_data_ptr(node, &n);
    vt_base64_encode(&text, data, (size_t)n);
    json_t *value = json_pack("{s:s}", "$data", vt_buf_str(&text));
    vt_buf_free(&text);
    return value;
}

static json_t *date_json(plist_t node)
{
    int32_t seconds = 0, micro = 0;
    char text[40] = "";
    plist_get_date_val(node, &seconds, &micro);
    time_t t = (time_t)seconds + 978307200; /* 2001-01-01 */
    struct tm parts;
    if (gmtime_r(&t, &parts))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return json_pack("{s:s}", "$date", text);
}

json_t *vtd_to_json(plist_t node)
{
    json_t *value;
    switch (plist_get_node_type(node)) {
    case PLIST_DICT:
        value = json_object();
        for (struct vt_plist_walk w = vt_plist_walk(node); vt_plist_next(&w);)
            json_object_set_new(value, w.key, vtd_to_json(w.value));
        return value;
    case PLIST_ARRAY:
        value = json_array();
        for (uint32_t i = 0; i < plist_array_get_size(node); i++)
            json_array_append_new(value, vtd_to_json(plist_array_get_item(node, i)));
        return value;
    case PLIST_BOOLEAN:
        return json_boolean(vt_plist_true(node));
    case PLIST_UINT:
        return json_integer(vt_plist_integer(node));
    case PLIST_REAL:
        return json_real(vt_plist_number(node));
    case PLIST_STRING:
        value = json_string(vt_plist_text(node));
        return value ? value : json_string("");
    case PLIST_DATA:
        return data_json(node);
    case PLIST_DATE:
        return date_json(node);
    default:
        return json_null();
    }
}

plist_t vtd_from_json(json_t *value)
{
    plist_t node;
    const char *key;
    json_t *item;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        node = plist_new_dict();
        json_object_foreach(value, key, item) plist_dict_set_item(node, key, vtd_from_json(item));
        return node;
    case JSON_ARRAY:
        node = plist_new_array();
        for (size_t i = 0; i < json_array_size(value); i++)
            plist_array_append_item(node, vtd_from_json(json_array_get(value, i)));
        return node;
    case JSON_STRING:
        return plist_new_string(json_string_value(value));
    case JSON_INTEGER:
        return vt_plist_new_int(json_integer_value(value));
    case JSON_REAL:
        return plist_new_real(json_real_value(value));
    case JSON_TRUE:
    case JSON_FALSE:
        return plist_new_bool(json_is_true(value));
    default:
        return plist_new_string("");
    }
}
