#include "mscp/settings.h"

#include <inttypes.h>
#include <string.h>

#include "core/mem.h"
#include "plist/tree.h"

#define OP "suite.from_mscp"
#define ODV "$ODV"
#define DEPTH_MAX 16
#define NODES_MAX 5000

char *vt_mscp_fill(const char *text, const char *odv)
{
    struct vt_buf out = VT_BUF_INIT;
    const char *at;
    while (odv && (at = strstr(text, ODV))) {
        vt_buf_add(&out, text, (size_t)(at - text));
        vt_buf_puts(&out, odv);
        text = at + strlen(ODV);
    }
    vt_buf_puts(&out, text);
    return vt_buf_steal(&out);
}

/* --- from YAML --- */

struct conversion {
    struct vt_yaml *yaml;
    const yaml_node_t *odv;
    const char *odv_text;
    unsigned nodes;
    struct vt_error *err;
};

static plist_t convert(struct conversion *c, const yaml_node_t *node, unsigned depth);

static plist_t failed(struct conversion *c, const yaml_node_t *node, enum vt_code code,
                      const char *why)
{
    vt_fail(c->err, code, OP, "%s:%zu: %s", c->yaml->what, node ? node->start_mark.line + 1 : 1,
            why);
    return NULL;
}

static plist_t convert_sequence(struct conversion *c, const yaml_node_t *node, unsigned depth)
{
    plist_t array = plist_new_array();
    const yaml_node_t *item;
    for (size_t i = 0; (item = vt_yaml_item(c->yaml, node, i)); i++) {
        plist_t value = convert(c, item, depth + 1);
        if (!value) {
            plist_free(array);
            return NULL;
        }
        plist_array_append_item(array, value);
    }
    return array;
}

static plist_t convert_mapping(struct conversion *c, const yaml_node_t *node, unsigned depth)
{
    plist_t dict = plist_new_dict();
    yaml_node_t *key, *member;
    for (size_t i = 0; vt_yaml_pair(c->yaml, node, i, &key, &member); i++) {
        const char *name = vt_yaml_text(key);
        plist_t value = name ? convert(c, member, depth + 1)
                             : failed(c, key, VT_EINVAL, "a key that is no text");
        if (!value) {
            plist_free(dict);
            return NULL;
        }
        plist_dict_set_item(dict, name, value);
    }
    return dict;
}

static plist_t convert_text(struct conversion *c, const yaml_node_t *node, unsigned depth)
{
    const char *text = vt_yaml_text(node);
    if (!text)
        return failed(c, node, VT_EINVAL, "text that holds a NUL");
    if (c->odv && node != c->odv && !strcmp(text, ODV))
        return convert(c, c->odv, depth + 1);
    char *filled = vt_mscp_fill(text, c->odv_text);
    plist_t value = plist_new_string(filled);
    vt_free(filled);
    return value;
}

static plist_t convert(struct conversion *c, const yaml_node_t *node, unsigned depth)
{
    if (depth > DEPTH_MAX || ++c->nodes > NODES_MAX)
        return failed(c, node, VT_ELIMIT, "more settings than a profile may have");
    struct vt_yaml_value v = vt_yaml_value(node);
    switch (v.kind) {
    case VT_YAML_MAPPING:
        return convert_mapping(c, node, depth);
    case VT_YAML_SEQUENCE:
        return convert_sequence(c, node, depth);
    case VT_YAML_BOOLEAN:
        return plist_new_bool(v.boolean);
    case VT_YAML_INTEGER:
        return vt_plist_new_int(v.integer);
    case VT_YAML_REAL:
        return plist_new_real(v.real);
    case VT_YAML_STRING:
        return convert_text(c, node, depth);
    case VT_YAML_NULL:
        break;
    }
    return failed(c, node, VT_EINVAL, "a setting without a value");
}

enum vt_code vt_mscp_convert(struct vt_yaml *yaml, const yaml_node_t *node, const yaml_node_t *odv,
                             const char *odv_text, plist_t *out, struct vt_error *err)
{
    struct vt_error why = VT_ERROR_INIT;
    struct conversion c = {.yaml = yaml, .odv = odv, .odv_text = odv_text, .err = &why};
    *out = convert(&c, node, 0);
    return vt_error_copy(err, &why);
}

/* --- put together --- */

static bool same(plist_t a, plist_t b)
{
    struct vt_buf left = VT_BUF_INIT, right = VT_BUF_INIT;
    vt_plist_write(a, VT_PLIST_XML, &left, NULL);
    vt_plist_write(b, VT_PLIST_XML, &right, NULL);
    bool equal = !strcmp(vt_buf_str(&left), vt_buf_str(&right));
    vt_buf_free(&left);
    vt_buf_free(&right);
    return equal;
}

static bool has(plist_t array, plist_t value)
{
    for (uint32_t i = 0; i < plist_array_get_size(array); i++)
        if (same(plist_array_get_item(array, i), value))
            return true;
    return false;
}

static void join(plist_t into, plist_t from)
{
    for (uint32_t i = 0; i < plist_array_get_size(from); i++) {
        plist_t value = plist_array_get_item(from, i);
        if (!has(into, value))
            plist_array_append_item(into, plist_copy(value));
    }
}

void vt_mscp_merge(plist_t into, plist_t from, const char *path, vt_mscp_conflict_fn conflict,
                   void *user)
{
    for (struct vt_plist_walk it = vt_plist_walk(from); vt_plist_next(&it);) {
        plist_t old = plist_dict_get_item(into, it.key);
        struct vt_buf below = VT_BUF_INIT;
        vt_buf_printf(&below, "%s%s%s", path, *path ? ": " : "", it.key);
        if (!old)
            plist_dict_set_item(into, it.key, plist_copy(it.value));
        else if (vt_plist_is(old, PLIST_DICT) && vt_plist_is(it.value, PLIST_DICT))
            vt_mscp_merge(old, it.value, vt_buf_str(&below), conflict, user);
        else if (vt_plist_is(old, PLIST_ARRAY) && vt_plist_is(it.value, PLIST_ARRAY))
            join(old, it.value);
        else if (!same(old, it.value))
            conflict(vt_buf_str(&below), user);
        vt_buf_free(&below);
    }
}

/* --- as Lua --- */

static void short_text(struct vt_buf *out, const char *text)
{
    vt_buf_putc(out, '"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            vt_buf_printf(out, "\\%c", *c);
        else if (*c == '\n')
            vt_buf_puts(out, "\\n");
        else if (*c < ' ' || *c == 127)
            vt_buf_printf(out, "\\%03u", (unsigned)*c);
        else
            vt_buf_putc(out, (char)*c);
    }
    vt_buf_putc(out, '"');
}

void vt_mscp_lua_text(struct vt_buf *out, const char *text)
{
    if (!strchr(text, '\n') || strchr(text, '\r')) { /* a long string would change \r\n */
        short_text(out, text);
        return;
    }
    struct vt_buf end = VT_BUF_INIT; /* "]", "]=", …: the first that is not in the text */
    vt_buf_putc(&end, ']');
    while (strstr(text, end.data))
        vt_buf_putc(&end, '=');
    const char *level = end.data + 1;
    vt_buf_printf(out, "[%s[\n%s]%s]", level, text, level);
    vt_buf_free(&end);
}

static void lua_members(struct vt_buf *out, plist_t value)
{
    const char *separator = " ";
    if (vt_plist_is(value, PLIST_ARRAY)) {
        for (uint32_t i = 0; i < plist_array_get_size(value); i++, separator = ", ") {
            vt_buf_puts(out, separator);
            vt_mscp_lua_value(out, plist_array_get_item(value, i));
        }
        return;
    }
    for (struct vt_plist_walk it = vt_plist_walk(value); vt_plist_next(&it); separator = ", ") {
        vt_buf_printf(out, "%s[", separator);
        short_text(out, it.key);
        vt_buf_puts(out, "] = ");
        vt_mscp_lua_value(out, it.value);
    }
}

void vt_mscp_lua_value(struct vt_buf *out, plist_t value)
{
    if (vt_plist_is(value, PLIST_BOOLEAN)) {
        vt_buf_puts(out, vt_plist_true(value) ? "true" : "false");
    } else if (vt_plist_is(value, PLIST_UINT)) {
        vt_buf_printf(out, "%" PRId64, vt_plist_integer(value));
    } else if (vt_plist_is(value, PLIST_REAL)) {
        vt_buf_printf(out, "%.17g", vt_plist_number(value));
    } else if (vt_plist_is(value, PLIST_STRING)) {
        short_text(out, vt_plist_text(value));
    } else {
        vt_buf_putc(out, '{');
        lua_members(out, value);
        vt_buf_puts(out, " }");
    }
}
