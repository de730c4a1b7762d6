#include "profile/schema.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "profile/facts.h"
#include "yaml/yaml.h"

#define OP "profile.schema"
#define MAX_TEXT (8u << 20)
#define MAX_LISTS 100000

struct compiler {
    struct vt_yaml *yaml;
    const char *what;
    struct vt_buf *types, *lists;
    int *count;
    int *list_of; /* of a sequence node (by its id): its list's number + 1, 0 where it has none */
    int *queue;   /* sequences whose lists are due */
    size_t queued;
    struct vt_error *err;
};

static enum vt_code bad(const struct compiler *c, const yaml_node_t *node, const char *why)
{
    return vt_fail(c->err, VT_EINVAL, OP, "%s:%zu: %s", c->what,
                   node ? node->start_mark.line + 1 : 1, why);
}

/* "\tname:value"; a value may not hold what separates fields. */
static enum vt_code put(struct compiler *c, struct vt_buf *out, const char *name,
                        const yaml_node_t *value)
{
    const char *text = vt_yaml_text(value);
    if (!text || strpbrk(text, "\t\n") || strlen(text) != value->data.scalar.length)
        return bad(c, value, "a value that is not one line of text");
    vt_buf_printf(out, "\t%s%s%s", name, *name ? ":" : "", text);
    return VT_OK;
}

static enum vt_code put_flags(struct compiler *c, struct vt_buf *out, const yaml_node_t *mac)
{
    static const struct {
        const char *key, *name;
    } flags[] = {
        {"multiple", "multi"},        {"devicechannel", "dev"}, {"userchannel", "usr"},
        {"userapprovedmdm", "uamdm"}, {"supervised", "sup"},    {"allowmanualinstall", "manual"},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        const yaml_node_t *value = vt_yaml_member(c->yaml, mac, flags[i].key);
        const char *text = vt_yaml_text(value);
        if (!value)
            continue;
        if (!text || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
            return bad(c, value, "neither true nor false");
        vt_buf_printf(out, "\t%s:%c", flags[i].name, *text == 't' ? 'y' : 'n');
    }
    return VT_OK;
}

static enum vt_code put_availability(struct compiler *c, struct vt_buf *out, yaml_node_t *of)
{
    static const char *const versions[][2] = {
        {"introduced", "in"}, {"deprecated", "dep"}, {"removed", "rm"}};
    const yaml_node_t *mac =
        vt_yaml_member(c->yaml, vt_yaml_member(c->yaml, of, "supportedOS"), "macOS");
    enum vt_code code = VT_OK;
    for (size_t i = 0; !code && i < 3; i++) {
        const yaml_node_t *value = vt_yaml_member(c->yaml, mac, versions[i][0]);
        if (value)
            code = put(c, out, versions[i][1], value);
    }
    return code ? code : put_flags(c, out, mac);
}

/* The number of a sequence's list, which is made when its turn comes. Aliases share their node, so
 * that recursion ends here. */
static enum vt_code put_list(struct compiler *c, struct vt_buf *out, const yaml_node_t *sequence)
{
    if (sequence->type != YAML_SEQUENCE_NODE)
        return bad(c, sequence, "keys that are no list");
    size_t id = (size_t)(sequence - c->yaml->document.nodes.start);
    if (!c->list_of[id]) {
        if (*c->count >= MAX_LISTS)
            return vt_fail(c->err, VT_ELIMIT, OP, "%s: more than %d lists", c->what, MAX_LISTS);
        c->list_of[id] = ++*c->count;
        c->queue[c->queued++] = (int)id;
    }
    vt_buf_printf(out, "\tsub:%d", c->list_of[id] - 1);
    return VT_OK;
}

static enum vt_code put_ranges(struct compiler *c, struct vt_buf *out, const yaml_node_t *key)
{
    const yaml_node_t *list = vt_yaml_member(c->yaml, key, "rangelist"),
                      *range = vt_yaml_member(c->yaml, key, "range");
    const yaml_node_t *min = vt_yaml_member(c->yaml, range, "min"),
                      *max = vt_yaml_member(c->yaml, range, "max");
    enum vt_code code = VT_OK;
    if (list && list->type != YAML_SEQUENCE_NODE)
        return bad(c, list, "a rangelist that is no list");
    for (const yaml_node_item_t *i = list ? list->data.sequence.items.start : NULL;
         !code && list && i < list->data.sequence.items.top; i++)
        code = put(c, out, "is", yaml_document_get_node(&c->yaml->document, *i));
    if (!code && min)
        code = put(c, out, "min", min);
    if (!code && max)
        code = put(c, out, "max", max);
    return code;
}

static enum vt_code put_key(struct compiler *c, yaml_node_t *key)
{
    struct vt_buf *out = c->lists;
    const yaml_node_t *subkeys = vt_yaml_member(c->yaml, key, "subkeys");
    const char *kind = vt_yaml_text(vt_yaml_member(c->yaml, key, "type"));
    const char *presence = vt_yaml_text(vt_yaml_member(c->yaml, key, "presence"));
    size_t n = kind ? strlen(kind) : 0;
    if (n < 3 || kind[0] != '<' || kind[n - 1] != '>')
        return bad(c, key, "a key without a <type>");
    vt_buf_puts(out, "key");
    enum vt_code code = put(c, out, "", vt_yaml_member(c->yaml, key, "key"));
    vt_buf_printf(out, "\t%.*s\t%s", (int)n - 2, kind + 1,
                  presence && !strcmp(presence, "required") ? "required"
                  : presence                                ? "optional"
                                                            : "-");
    if (!code && subkeys)
        code = put_list(c, out, subkeys);
    if (!code)
        code = put_availability(c, out, key);
    if (!code)
        code = put_ranges(c, out, key);
    vt_buf_puts(out, "\n");
    return code;
}

static enum vt_code put_lists(struct compiler *c)
{
    enum vt_code code = VT_OK;
    for (size_t i = 0; !code && i < c->queued; i++) {
        const yaml_node_t *list = c->yaml->document.nodes.start + c->queue[i];
        vt_buf_puts(c->lists, "list\n");
        for (const yaml_node_item_t *item = list->data.sequence.items.start;
             !code && item < list->data.sequence.items.top; item++)
            code = put_key(c, yaml_document_get_node(&c->yaml->document, *item));
        if (!code && c->lists->len > MAX_TEXT)
            code = vt_fail(c->err, VT_ELIMIT, OP, "%s: the schema is too large", c->what);
    }
    return code;
}

static enum vt_code compile(struct compiler *c)
{
    yaml_node_t *root = vt_yaml_root(c->yaml);
    yaml_node_t *payload = vt_yaml_member(c->yaml, root, "payload"),
                *keys = vt_yaml_member(c->yaml, root, "payloadkeys");
    size_t nodes = (size_t)(c->yaml->document.nodes.top - c->yaml->document.nodes.start);
    if (!payload || !keys)
        return bad(c, root, "no schema of a payload: it lacks payload or payloadkeys");
    c->list_of = vt_calloc(nodes, sizeof *c->list_of);
    c->queue = vt_calloc(nodes, sizeof *c->queue);
    vt_buf_puts(c->types, "type");
    enum vt_code code = put(c, c->types, "", vt_yaml_member(c->yaml, payload, "payloadtype"));
    if (!code)
        code = put_list(c, c->types, keys);
    if (!code)
        code = put_availability(c, c->types, payload);
    vt_buf_puts(c->types, "\n");
    if (!code)
        code = put_lists(c);
    vt_free(c->list_of);
    vt_free(c->queue);
    return code;
}

enum vt_code vt_schema_compile(const void *yaml, size_t n, const char *what, struct vt_buf *types,
                               struct vt_buf *lists, int *count, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct compiler c = {.what = what, .types = types, .lists = lists, .count = count, .err = &own};
    if (!vt_yaml_parse(yaml, n, what, &c.yaml, &own))
        compile(&c);
    vt_yaml_free(c.yaml);
    return vt_error_copy(err, &own);
}

static int is_yaml(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 5 && !strcmp(entry->d_name + n - 5, ".yaml");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum vt_code compile_file(const char *path, struct vt_buf *types, struct vt_buf *lists,
                                 int *count, struct vt_error *err)
{
    struct vt_buf yaml = VT_BUF_INIT;
    enum vt_code code = vt_read_file(path, VT_YAML_MAX_BYTES, &yaml, err);
    if (!code)
        code = vt_schema_compile(vt_buf_str(&yaml), yaml.len, path, types, lists, count, err);
    vt_buf_free(&yaml);
    return code;
}

enum vt_code vt_facts_compile(const char *dir, const char *name, char **text, struct vt_error *err)
{
    struct vt_buf types = VT_BUF_INIT, lists = VT_BUF_INIT, all = VT_BUF_INIT;
    struct dirent **entries = NULL;
    enum vt_code code = VT_OK;
    int count = 0;
    char *folder = vt_path_join(dir, "mdm/profiles");
    if (!vt_is_dir(folder)) {
        vt_free(folder);
        folder = vt_strdup(dir);
    }
    int n = scandir(folder, &entries, is_yaml, by_name);
    if (n <= 0) {
        code = vt_fail(err, VT_ENOTFOUND, OP, "%s has no files of a schema", folder);
        vt_hint(err, "give a checkout of apple/device-management: it has mdm/profiles/*.yaml");
    }
    for (int i = 0; i < n; i++) {
        char *path = vt_path_join(folder, entries[i]->d_name);
        if (!code)
            code = compile_file(path, &types, &lists, &count, err);
        vt_free(path);
        free(entries[i]);
    }
    free(entries);
    if (!code) {
        vt_buf_printf(&all,
                      "# Facts of configuration profiles on macOS, compiled from the schema of\n"
                      "# apple/device-management (MIT License, Copyright (c) Apple Inc.).\n"
                      "# engine/profile/facts.h of vmtest says what the lines mean.\n"
                      "name\t%s\n",
                      name);
        vt_buf_add(&all, types.data, types.len);
        vt_buf_add(&all, lists.data, lists.len);
        *text = vt_buf_steal(&all);
    }
    vt_buf_free(&types);
    vt_buf_free(&lists);
    vt_free(folder);
    return code;
}
