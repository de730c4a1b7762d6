#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "mscp/mscp.h"
#include "mscp/settings.h"
#include "plist/base64.h"

#define OP "suite.from_mscp"
#define RULES_MAX 5000
#define NAMES_MAX 1000

struct loader {
    const char *dir;
    const char *odv_key; /* whose organization-defined values count: "cis_lvl1" */
    const struct vt_mscp_odv *odv;
    size_t odv_count;
    bool *odv_used;
    struct vt_mscp_baseline *baseline;
    struct vt_error *err;
};

static void free_rule(struct vt_mscp_rule *r)
{
    char *const texts[] = {r->id,    r->title,    r->section, r->severity,
                           r->check, r->expected, r->fix,     r->odv};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        vt_free(texts[i]);
    plist_free(r->settings);
}

void vt_mscp_free(struct vt_mscp_baseline *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        free_rule(&b->rules[i]);
    for (size_t i = 0; i < b->left_count; i++) {
        vt_free(b->left[i].id);
        vt_free(b->left[i].why);
    }
    vt_free(b->rules);
    vt_free(b->left);
    vt_free(b->name);
    vt_free(b->title);
    vt_free(b->version);
    vt_free(b);
}

/* --- files of the checkout --- */

static char *path_of(const char *dir, const char *room, const char *name)
{
    struct vt_buf path = VT_BUF_INIT;
    vt_buf_printf(&path, "%s/%s/%s.yaml", dir, room, name);
    return vt_buf_steal(&path);
}

/* Names of the baselines there are: *n of them; each and the list vt_free()d. */
static char **baseline_names(const char *dir, size_t *n)
{
    char *folder = vt_path_join(dir, "baselines"), **names = vt_calloc(NAMES_MAX, sizeof *names);
    DIR *d = opendir(folder);
    const struct dirent *entry;
    *n = 0;
    while (d && *n < NAMES_MAX && (entry = readdir(d))) {
        size_t length = strlen(entry->d_name);
        if (length > 5 && !strcmp(entry->d_name + length - 5, ".yaml"))
            names[(*n)++] = vt_strndup(entry->d_name, length - 5);
    }
    if (d)
        closedir(d);
    vt_free(folder);
    return names;
}

static enum vt_code no_baseline(const char *dir, const char *name, struct vt_error *err)
{
    size_t n;
    char **names = baseline_names(dir, &n);
    if (!n) {
        vt_fail(err, VT_ENOTFOUND, OP, "%s is no checkout of mSCP: it has no folder baselines",
                dir);
        vt_hint(err, "clone the branch of the macOS at hand, as sequoia, of"
                     " github.com/usnistgov/macos_security");
    } else {
        const char *near = vt_nearest(name, (const char *const *)names, n);
        vt_fail(err, VT_ENOTFOUND, OP, "%s has no baseline \"%s\"", dir, name);
        if (near)
            vt_hint(err, "did you mean \"%s\"?", near);
        else
            vt_hint(err, "those it has are in its folder baselines");
    }
    for (size_t i = 0; i < n; i++)
        vt_free(names[i]);
    vt_free(names);
    return VT_ENOTFOUND;
}

/* The file of a rule: rules/SECTION/ID.yaml, whatever the section is called. */
static char *find_rule(const char *dir, const char *id)
{
    char *rules = vt_path_join(dir, "rules"), *found = NULL;
    DIR *d = opendir(rules);
    const struct dirent *entry;
    while (d && !found && (entry = readdir(d))) {
        if (entry->d_name[0] == '.')
            continue;
        found = path_of(rules, entry->d_name, id);
        if (!vt_is_file(found)) {
            vt_free(found);
            found = NULL;
        }
    }
    if (d)
        closedir(d);
    vt_free(rules);
    return found;
}

/* --- one rule --- */

static char *member_text(struct vt_yaml *yaml, const yaml_node_t *map, const char *key,
                         const char *odv)
{
    const char *text = vt_yaml_text(vt_yaml_member(yaml, map, key));
    return text && *text ? vt_mscp_fill(text, odv) : NULL;
}

static bool is_blank(const char *text)
{
    return !text || !text[strspn(text, " \t\n")];
}

/* As the check encodes what it prints. vt_free()s text. */
static char *encoded(char *text)
{
    struct vt_buf line = VT_BUF_INIT, out = VT_BUF_INIT;
    vt_buf_printf(&line, "%s\n", text);
    vt_base64_encode(&out, line.data, line.len);
    vt_buf_free(&line);
    vt_free(text);
    return vt_buf_steal(&out);
}

/* What the check is to print. */
static char *expected_of(struct vt_yaml *yaml, const yaml_node_t *rule, const char *odv)
{
    static const char *const kinds[] = {"string", "integer", "boolean"};
    const yaml_node_t *result = vt_yaml_member(yaml, rule, "result");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *text = member_text(yaml, result, kinds[i], odv);
        if (text)
            return text;
    }
    char *text = member_text(yaml, result, "base64", odv);
    return text ? encoded(text) : NULL;
}

/* The shell within `fix`: AsciiDoc with a block between two lines "----" after "[source,bash]". */
static char *script_of(const char *fix)
{
    const char *block = fix ? strstr(fix, "[source,bash]") : NULL;
    const char *begin = block ? strstr(block, "----\n") : NULL;
    const char *end = begin ? strstr(begin + 5, "\n----") : NULL;
    return end ? vt_strndup(begin + 5, (size_t)(end + 1 - begin - 5)) : NULL;
}

/* The value for $ODV; NULL where the rule has none. *node: its own, NULL where it was given. */
static const char *odv_of(struct loader *l, const char *id, struct vt_yaml *yaml,
                          const yaml_node_t *rule, const yaml_node_t **node)
{
    const yaml_node_t *odv = vt_yaml_member(yaml, rule, "odv");
    *node = vt_yaml_member(yaml, odv, l->odv_key);
    if (!*node)
        *node = vt_yaml_member(yaml, odv, "recommended");
    for (size_t i = 0; i < l->odv_count; i++)
        if (odv && !strcmp(l->odv[i].rule, id)) {
            l->odv_used[i] = true;
            *node = NULL;
            return l->odv[i].value;
        }
    return vt_yaml_text(*node);
}

static void leave(struct vt_mscp_baseline *b, const char *id, const char *why)
{
    b->left = vt_realloc(b->left, (b->left_count + 1) * sizeof *b->left);
    b->left[b->left_count++] = (struct vt_mscp_left){vt_strdup(id), vt_strdup(why)};
}

static enum vt_code read_settings(struct loader *l, struct vt_yaml *yaml, const char *id,
                                  struct vt_mscp_rule *r)
{
    const yaml_node_t *rule = vt_yaml_root(yaml), *own;
    const yaml_node_t *info = vt_yaml_member(yaml, rule, "mobileconfig_info");
    struct vt_yaml_value wanted = vt_yaml_value(vt_yaml_member(yaml, rule, "mobileconfig"));
    const char *odv = odv_of(l, id, yaml, rule, &own);
    yaml_node_t *given = NULL;
    enum vt_code code = VT_OK;
    if (!wanted.boolean || vt_yaml_value(info).kind != VT_YAML_MAPPING)
        return VT_OK;
    struct vt_yaml *typed = NULL;
    if (odv && !own) { /* given by the user: typed as YAML types it */
        code = vt_yaml_parse(odv, strlen(odv), "--odv", &typed, l->err);
        given = typed ? vt_yaml_root(typed) : NULL;
    }
    if (!code)
        code = vt_mscp_convert(yaml, info, own ? own : given, odv, &r->settings, l->err);
    vt_yaml_free(typed);
    return code;
}

static enum vt_code read_rule(struct loader *l, const char *section, const char *id,
                              struct vt_yaml *yaml)
{
    const yaml_node_t *rule = vt_yaml_root(yaml), *own;
    const char *odv = odv_of(l, id, yaml, rule, &own);
    struct vt_mscp_rule r = {.id = vt_strdup(id), .section = vt_strdup(section)};
    r.odv = vt_strdup(odv);
    r.title = member_text(yaml, rule, "title", odv);
    r.severity = member_text(yaml, rule, "severity", odv);
    r.expected = expected_of(yaml, rule, odv);
    r.check = r.expected ? member_text(yaml, rule, "check", odv) : NULL;
    char *fix = member_text(yaml, rule, "fix", odv);
    r.fix = script_of(fix);
    vt_free(fix);
    enum vt_code code = read_settings(l, yaml, id, &r);
    const char *why = NULL;
    if (!r.title)
        r.title = vt_strdup(id);
    if ((is_blank(r.check) && !r.settings))
        why = "it has neither a check with a result nor settings";
    else if ((r.check && strstr(r.check, "$ODV")) || (r.expected && strstr(r.expected, "$ODV")))
        why = "it wants a value ($ODV) that the baseline does not give: see --odv";
    if (code || why) {
        if (!code)
            leave(l->baseline, id, why);
        free_rule(&r);
        return code;
    }
    struct vt_mscp_baseline *b = l->baseline;
    b->rules = vt_realloc(b->rules, (b->count + 1) * sizeof *b->rules);
    b->rules[b->count++] = r;
    return VT_OK;
}

static enum vt_code load_rule(struct loader *l, const char *section, const char *id)
{
    if (!vt_is_plain_name(id) && strlen(id) > 200)
        return vt_fail(l->err, VT_EINVAL, OP, "the baseline names a rule that is no name");
    if (l->baseline->count + l->baseline->left_count >= RULES_MAX)
        return vt_fail(l->err, VT_ELIMIT, OP, "the baseline has more than %d rules", RULES_MAX);
    char *path = strchr(id, '/') ? NULL : find_rule(l->dir, id);
    struct vt_yaml *yaml = NULL;
    enum vt_code code = VT_OK;
    if (!path)
        leave(l->baseline, id, "the checkout has no such rule");
    else
        code = vt_yaml_load(path, &yaml, l->err);
    if (yaml)
        code = read_rule(l, section, id, yaml);
    vt_yaml_free(yaml);
    vt_free(path);
    return code;
}

/* --- the baseline --- */

static enum vt_code load_section(struct loader *l, struct vt_yaml *yaml, const yaml_node_t *section)
{
    const yaml_node_t *rules = vt_yaml_member(yaml, section, "rules"), *item;
    const char *name = vt_yaml_text(vt_yaml_member(yaml, section, "section"));
    enum vt_code code = VT_OK;
    if (name && !strcmp(name, "Supplemental")) /* texts that explain, not rules */
        return VT_OK;
    for (size_t i = 0; !code && (item = vt_yaml_item(yaml, rules, i)); i++) {
        const char *id = vt_yaml_text(item);
        code = id ? load_rule(l, name ? name : "", id)
                  : vt_fail(l->err, VT_EINVAL, OP, "%s:%zu: a rule that is no name", yaml->what,
                            item->start_mark.line + 1);
    }
    return code;
}

static enum vt_code check_odv(const struct loader *l)
{
    for (size_t i = 0; i < l->odv_count; i++)
        if (!l->odv_used[i]) {
            vt_fail(l->err, VT_EINVAL, OP,
                    "--odv: the baseline %s has no rule \"%s\" that takes a value",
                    l->baseline->name, l->odv[i].rule);
            return VT_EINVAL;
        }
    return VT_OK;
}

static char *version_of(const char *dir)
{
    char *path = path_of(dir, ".", "VERSION"), *version = NULL;
    struct vt_yaml *yaml = NULL;
    if (!vt_yaml_load(path, &yaml, NULL))
        version = vt_strdup(vt_yaml_text(vt_yaml_member(yaml, vt_yaml_root(yaml), "version")));
    vt_yaml_free(yaml);
    vt_free(path);
    return version ? version : vt_strdup("");
}

enum vt_code vt_mscp_load(const char *dir, const char *name, const struct vt_mscp_odv *odv,
                          size_t odv_count, struct vt_mscp_baseline **out, struct vt_error *err)
{
    struct vt_error why = VT_ERROR_INIT;
    struct loader l = {.dir = dir, .odv = odv, .odv_count = odv_count, .err = &why};
    struct vt_yaml *yaml = NULL;
    *out = NULL;
    char *path = strchr(name, '/') ? NULL : path_of(dir, "baselines", name);
    if (!path || !vt_is_file(path))
        no_baseline(dir, name, &why);
    else
        vt_yaml_load(path, &yaml, &why);
    vt_free(path);
    if (!yaml)
        return vt_error_copy(err, &why);
    const yaml_node_t *root = vt_yaml_root(yaml), *section;
    const char *parent = vt_yaml_text(vt_yaml_member(yaml, root, "parent_values"));
    const char *title = vt_yaml_text(vt_yaml_member(yaml, root, "title"));
    l.odv_key = parent ? parent : name;
    l.odv_used = vt_calloc(odv_count + 1, sizeof *l.odv_used);
    l.baseline = vt_calloc(1, sizeof *l.baseline);
    l.baseline->name = vt_strdup(name);
    l.baseline->title = vt_strdup(title ? title : name);
    l.baseline->version = version_of(dir);
    for (size_t i = 0;
         !why.code && (section = vt_yaml_item(yaml, vt_yaml_member(yaml, root, "profile"), i)); i++)
        load_section(&l, yaml, section);
    if (!why.code)
        check_odv(&l);
    vt_yaml_free(yaml);
    vt_free(l.odv_used);
    if (why.code)
        vt_mscp_free(l.baseline);
    else
        *out = l.baseline;
    return vt_error_copy(err, &why);
}
