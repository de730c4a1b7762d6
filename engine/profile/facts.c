#include "profile/facts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "profile/schema.h"
#include "profile/shipped.h"

#define OP "profile.facts"
#define MAX_BYTES (8u << 20)
#define SHIPPED "15.1"

static const char *const kinds[VT_KIND_COUNT_] = {
    "any", "string", "integer", "boolean", "real", "array", "dictionary", "data", "date",
};

const char *vt_kind_name(enum vt_fact_kind kind)
{
    return kinds[kind];
}

bool vt_kind_fits(enum vt_fact_kind kind, plist_t value)
{
    return kind == VT_KIND_ANY || !strcmp(kinds[kind], vt_plist_type_name(value)) ||
           (kind == VT_KIND_REAL && vt_plist_is(value, PLIST_UINT));
}

struct parser {
    struct vt_facts *facts;
    const char *what;
    unsigned line;
    size_t types_cap, lists_cap, keys_cap;
    struct vt_error *err;
};

static enum vt_code bad(const struct parser *p, const char *why, const char *field)
{
    return vt_fail(p->err, VT_EINVAL, OP, "%s:%u: %s: \"%.60s\"", p->what, p->line, why, field);
}

/* Room for one more of n elements; zeroed by the caller. */
static void *grow(void *v, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return v;
    *cap = *cap ? *cap * 2 : 16;
    return vt_realloc(v, *cap * size);
}

/* The next field of a line, cut off at its tab; NULL at the end. */
static char *field(char **line)
{
    char *start = *line;
    if (!start)
        return NULL;
    *line = strchr(start, '\t');
    if (*line)
        *(*line)++ = '\0';
    return start;
}

static bool read_flag(struct vt_availability *a, const char *name, const char *value)
{
    const struct {
        const char *name;
        enum vt_flag *flag;
    } flags[] = {
        {"multi", &a->multiple},      {"dev", &a->device},     {"usr", &a->user},
        {"uamdm", &a->user_approved}, {"sup", &a->supervised}, {"manual", &a->manual},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (!strcmp(flags[i].name, name) && (!strcmp(value, "y") || !strcmp(value, "n"))) {
            *flags[i].flag = *value == 'y' ? VT_FLAG_YES : VT_FLAG_NO;
            return true;
        }
    return false;
}

static bool read_list(const char *value, int *list)
{
    char *end;
    long n = strtol(value, &end, 10);
    *list = (int)n;
    return isdigit((unsigned char)*value) && !*end && n <= 1000000;
}

static bool read_number(const char *value)
{
    char *end;
    strtod(value, &end);
    return *value && !*end;
}

/* "name:value", of a type (fact NULL) or a key. */
static enum vt_code attribute(struct parser *p, char *text, struct vt_availability *a, int *sub,
                              struct vt_fact *fact)
{
    char *value = strchr(text, ':');
    if (!value)
        return bad(p, "no attribute", text);
    *value++ = '\0';
    if (!strcmp(text, "sub"))
        return read_list(value, sub) ? VT_OK : bad(p, "no number of a list", value);
    if (!strcmp(text, "in") || !strcmp(text, "dep") || !strcmp(text, "rm")) {
        if (!vt_version_valid(value) && strcmp(value, "n/a") != 0 && strcmp(value, "all") != 0)
            return bad(p, "no version", value);
        *(*text == 'i' ? &a->introduced : *text == 'd' ? &a->deprecated : &a->removed) = value;
        return VT_OK;
    }
    if (fact && !strcmp(text, "is")) {
        size_t n = fact->n_one_of;
        if ((n & (n - 1)) == 0) /* a power of two: full */
            fact->one_of = vt_realloc(fact->one_of, (n ? n * 2 : 1) * sizeof *fact->one_of);
        fact->one_of[fact->n_one_of++] = value;
        return VT_OK;
    }
    if (fact && (!strcmp(text, "min") || !strcmp(text, "max"))) {
        *(text[1] == 'i' ? &fact->min : &fact->max) = value;
        return read_number(value) ? VT_OK : bad(p, "no number", value);
    }
    return read_flag(a, text, value) ? VT_OK : bad(p, "no attribute", text);
}

static enum vt_code read_type(struct parser *p, char *line)
{
    struct vt_facts *f = p->facts;
    struct vt_fact_type type = {.name = field(&line), .sub = -1};
    enum vt_code code = type.name ? VT_OK : bad(p, "a type without a name", "");
    for (char *text; !code && (text = field(&line));)
        code = attribute(p, text, &type.availability, &type.sub, NULL);
    f->types = grow(f->types, f->n_types, &p->types_cap, sizeof *f->types);
    f->types[f->n_types++] = type;
    return code;
}

static void begin_list(struct parser *p)
{
    struct vt_facts *f = p->facts;
    f->lists = grow(f->lists, f->n_lists, &p->lists_cap, sizeof *f->lists);
    f->lists[f->n_lists++] = (struct vt_fact_list){0};
    p->keys_cap = 0;
}

static enum vt_code read_key(struct parser *p, char *line)
{
    struct vt_facts *f = p->facts;
    const char *name = field(&line), *kind = field(&line), *presence = field(&line);
    if (!f->n_lists || !presence)
        return bad(p, f->n_lists ? "a key with too few fields" : "a key before the first list",
                   name ? name : "");
    struct vt_fact_list *list = &f->lists[f->n_lists - 1];
    list->keys = grow(list->keys, list->n, &p->keys_cap, sizeof *list->keys);
    struct vt_fact *fact = &list->keys[list->n++];
    *fact = (struct vt_fact){.name = name, .sub = -1, .required = !strcmp(presence, "required")};
    while (fact->kind < VT_KIND_COUNT_ && strcmp(kinds[fact->kind], kind) != 0)
        fact->kind++;
    if (fact->kind == VT_KIND_COUNT_) {
        fact->kind = VT_KIND_ANY;
        return bad(p, "no type of a value", kind);
    }
    enum vt_code code = VT_OK;
    for (char *text; !code && (text = field(&line));)
        code = attribute(p, text, &fact->availability, &fact->sub, fact);
    return code;
}

static enum vt_code read_line(struct parser *p, char *line)
{
    if (!*line || *line == '#')
        return VT_OK;
    const char *word = field(&line);
    if (!strcmp(word, "name") && line) {
        p->facts->name = line;
        return VT_OK;
    }
    if (!strcmp(word, "type"))
        return read_type(p, line);
    if (!strcmp(word, "key"))
        return read_key(p, line);
    if (strcmp(word, "list") != 0)
        return bad(p, "no line of a table of facts", word);
    begin_list(p);
    return VT_OK;
}

/* Every list that is named exists. */
static enum vt_code check_lists(const struct parser *p)
{
    const struct vt_facts *f = p->facts;
    int most = -1;
    for (size_t i = 0; i < f->n_types; i++)
        most = f->types[i].sub > most ? f->types[i].sub : most;
    for (size_t i = 0; i < f->n_lists; i++)
        for (size_t k = 0; k < f->lists[i].n; k++)
            most = f->lists[i].keys[k].sub > most ? f->lists[i].keys[k].sub : most;
    if (most >= (int)f->n_lists)
        return vt_fail(p->err, VT_EINVAL, OP, "%s: list %d is named, but there are only %zu",
                       p->what, most, f->n_lists);
    if (!f->n_types || !f->name)
        return vt_fail(p->err, VT_EINVAL, OP, "%s: no table of facts: it names no %s", p->what,
                       f->name ? "payload type" : "release");
    return VT_OK;
}

enum vt_code vt_facts_parse(char *text, const char *what, struct vt_facts **out,
                            struct vt_error *err)
{
    struct vt_facts *f = vt_calloc(1, sizeof *f);
    struct vt_error own = VT_ERROR_INIT;
    struct parser p = {.facts = f, .what = what, .err = &own};
    f->text = text;
    for (char *line = text, *end; line && !own.code; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        p.line++;
        read_line(&p, line);
    }
    if (!own.code)
        check_lists(&p);
    *out = own.code ? NULL : f;
    if (own.code)
        vt_facts_free(f);
    return vt_error_copy(err, &own);
}

const struct vt_fact_type *vt_facts_type(const struct vt_facts *f, const char *name, size_t i)
{
    for (size_t t = 0; t < f->n_types; t++)
        if (!strcmp(f->types[t].name, name) && i-- == 0)
            return &f->types[t];
    return NULL;
}

const struct vt_fact *vt_facts_key(const struct vt_facts *f, int list, const char *name)
{
    for (size_t i = 0; list >= 0 && i < f->lists[list].n; i++)
        if (!strcmp(f->lists[list].keys[i].name, name))
            return &f->lists[list].keys[i];
    return NULL;
}

const char *vt_facts_name(const struct vt_facts *facts)
{
    return facts->name;
}

void vt_facts_free(struct vt_facts *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n_lists; i++) {
        for (size_t k = 0; k < f->lists[i].n; k++)
            vt_free(f->lists[i].keys[k].one_of);
        vt_free(f->lists[i].keys);
    }
    vt_free(f->lists);
    vt_free(f->types);
    vt_free(f->text);
    vt_free(f);
}

bool vt_version_valid(const char *text)
{
    int digits = 0, dots = 0;
    for (; *text; text++) {
        if (*text == '.' ? !digits || ++dots > 3 : !isdigit((unsigned char)*text) || digits > 4)
            return false;
        digits = *text == '.' ? 0 : digits + 1;
    }
    return digits > 0;
}

int vt_version_compare(const char *a, const char *b)
{
    while (*a || *b) {
        char *after_a, *after_b;
        long left = strtol(a, &after_a, 10), right = strtol(b, &after_b, 10);
        if (left != right)
            return left < right ? -1 : 1;
        a = after_a + (*after_a == '.');
        b = after_b + (*after_b == '.');
        if (!isdigit((unsigned char)*a) && !isdigit((unsigned char)*b))
            break;
    }
    return 0;
}

static enum vt_code open_file(const char *path, struct vt_facts **out, struct vt_error *err)
{
    struct vt_buf text = VT_BUF_INIT;
    enum vt_code code = vt_read_file(path, MAX_BYTES, &text, err);
    if (code)
        vt_buf_free(&text);
    else
        code = vt_facts_parse(vt_buf_steal(&text), path, out, err);
    return code;
}

static enum vt_code open_checkout(const char *dir, struct vt_facts **out, struct vt_error *err)
{
    char *text, *trimmed = vt_strdup(dir);
    for (size_t n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/'; n--)
        trimmed[n - 1] = '\0';
    enum vt_code code = vt_facts_compile(trimmed, vt_path_base(trimmed), &text, err);
    if (!code)
        code = vt_facts_parse(text, dir, out, err);
    vt_free(trimmed);
    return code;
}

enum vt_code vt_facts_open(const char *source, struct vt_facts **out, struct vt_error *err)
{
    *out = NULL;
    if (!source || !strcmp(source, SHIPPED))
        return vt_facts_parse(vt_strndup((const char *)vt_shipped_facts, vt_shipped_facts_size),
                              "the table that ships with vmtest", out, err);
    if (vt_is_dir(source))
        return open_checkout(source, out, err);
    if (vt_is_file(source))
        return open_file(source, out, err);
    vt_fail(err, VT_ENOTFOUND, OP, "there are no facts \"%s\"", source);
    vt_hint(err,
            "give %s, a table that `vmtest profile schema` wrote, or a checkout of "
            "apple/device-management",
            SHIPPED);
    return err ? err->code : VT_ENOTFOUND;
}
