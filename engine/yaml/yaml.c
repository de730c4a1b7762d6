#include "yaml/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"

#define OP "yaml"

enum vt_code vt_yaml_parse(const void *data, size_t n, const char *what, struct vt_yaml **out,
                           struct vt_error *err)
{
    *out = NULL;
    if (n > VT_YAML_MAX_BYTES)
        return vt_fail(err, VT_ELIMIT, OP, "%s is larger than %zu bytes", what, VT_YAML_MAX_BYTES);
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        abort(); /* for want of memory alone */
    struct vt_yaml *yaml = vt_calloc(1, sizeof *yaml);
    yaml_parser_set_input_string(&parser, data, n);
    if (yaml_parser_load(&parser, &yaml->document)) {
        yaml->what = vt_strdup(what);
        *out = yaml;
    } else {
        vt_fail(err, VT_EINVAL, OP, "%s:%zu:%zu: %s", what, parser.problem_mark.line + 1,
                parser.problem_mark.column + 1, parser.problem ? parser.problem : "not YAML");
        vt_free(yaml);
    }
    yaml_parser_delete(&parser);
    return *out ? VT_OK : VT_EINVAL;
}

enum vt_code vt_yaml_load(const char *path, struct vt_yaml **out, struct vt_error *err)
{
    struct vt_buf text = VT_BUF_INIT;
    *out = NULL;
    enum vt_code code = vt_read_file(path, VT_YAML_MAX_BYTES, &text, err);
    if (!code)
        code = vt_yaml_parse(vt_buf_str(&text), text.len, path, out, err);
    vt_buf_free(&text);
    return code;
}

void vt_yaml_free(struct vt_yaml *yaml)
{
    if (!yaml)
        return;
    yaml_document_delete(&yaml->document);
    vt_free(yaml->what);
    vt_free(yaml);
}

yaml_node_t *vt_yaml_root(struct vt_yaml *yaml)
{
    return yaml_document_get_root_node(&yaml->document);
}

bool vt_yaml_pair(struct vt_yaml *yaml, const yaml_node_t *map, size_t i, yaml_node_t **key,
                  yaml_node_t **value)
{
    if (!map || map->type != YAML_MAPPING_NODE ||
        i >= (size_t)(map->data.mapping.pairs.top - map->data.mapping.pairs.start))
        return false;
    const yaml_node_pair_t *pair = map->data.mapping.pairs.start + i;
    *key = yaml_document_get_node(&yaml->document, pair->key);
    *value = yaml_document_get_node(&yaml->document, pair->value);
    return true;
}

yaml_node_t *vt_yaml_member(struct vt_yaml *yaml, const yaml_node_t *map, const char *name)
{
    yaml_node_t *key, *value;
    for (size_t i = 0; vt_yaml_pair(yaml, map, i, &key, &value); i++) {
        const char *text = vt_yaml_text(key);
        if (text && !strcmp(text, name))
            return value;
    }
    return NULL;
}

yaml_node_t *vt_yaml_item(struct vt_yaml *yaml, const yaml_node_t *sequence, size_t i)
{
    if (!sequence || sequence->type != YAML_SEQUENCE_NODE ||
        i >= (size_t)(sequence->data.sequence.items.top - sequence->data.sequence.items.start))
        return NULL;
    return yaml_document_get_node(&yaml->document, sequence->data.sequence.items.start[i]);
}

const char *vt_yaml_text(const yaml_node_t *node)
{
    if (!node || node->type != YAML_SCALAR_NODE)
        return NULL;
    const char *text = (const char *)node->data.scalar.value;
    return strlen(text) == node->data.scalar.length ? text : NULL;
}

/* --- what a plain scalar stands for --- */

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (!strcasecmp(text, *words))
            return true;
    return false;
}

static bool is_decimal(const char *text)
{
    if (*text == '-' || *text == '+')
        text++;
    if (!strcmp(text, "0"))
        return true;
    if (*text < '1' || *text > '9') /* a leading 0 is octal there: left as text */
        return false;
    return text[strspn(text, "0123456789")] == '\0';
}

static bool is_real(const char *text)
{
    const char *end = text + strspn(text, "+-0123456789.eE");
    return !*end && strchr(text, '.') && strpbrk(text, "0123456789");
}

static struct vt_yaml_value plain(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", NULL};
    static const char *const yes[] = {"true", "yes", "on", NULL};
    static const char *const no[] = {"false", "no", "off", NULL};
    struct vt_yaml_value v = {.kind = VT_YAML_STRING};
    char *end = NULL;
    if (is_one_of(text, nulls)) {
        v.kind = VT_YAML_NULL;
    } else if (is_one_of(text, yes) || is_one_of(text, no)) {
        v.kind = VT_YAML_BOOLEAN;
        v.boolean = is_one_of(text, yes);
    } else if (is_decimal(text)) {
        errno = 0;
        v.integer = strtoll(text, &end, 10);
        v.kind = errno ? VT_YAML_STRING : VT_YAML_INTEGER;
    } else if (is_real(text)) {
        v.real = strtod(text, &end);
        v.kind = *end ? VT_YAML_STRING : VT_YAML_REAL;
    }
    return v;
}

struct vt_yaml_value vt_yaml_value(const yaml_node_t *node)
{
    struct vt_yaml_value v = {.kind = VT_YAML_NULL};
    if (!node)
        return v;
    if (node->type == YAML_SEQUENCE_NODE)
        v.kind = VT_YAML_SEQUENCE;
    else if (node->type == YAML_MAPPING_NODE)
        v.kind = VT_YAML_MAPPING;
    else if (node->type == YAML_SCALAR_NODE) {
        v.kind = VT_YAML_STRING;
        if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && vt_yaml_text(node))
            return plain(vt_yaml_text(node));
    }
    return v;
}
