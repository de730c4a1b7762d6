#include "plist/xml.h"

#include <errno.h>
#include <expat.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "plist/base64.h"
#include "plist/places.h"

#define OP "plist.read"
#define APPLE_EPOCH 978307200 /* 2001-01-01, from which libplist counts */

enum element { PLIST, DICT, ARRAY, KEY, STRING, INTEGER, REAL, DATE, DATA, TRUE, FALSE, NONE };

static const char *const names[] = {
    [PLIST] = "plist",   [DICT] = "dict",       [ARRAY] = "array", [KEY] = "key",
    [STRING] = "string", [INTEGER] = "integer", [REAL] = "real",   [DATE] = "date",
    [DATA] = "data",     [TRUE] = "true",       [FALSE] = "false",
};

struct level {
    plist_t node; /* a dict or an array */
    bool dict;
    char *key; /* read, its value not yet */
    unsigned key_line, key_column;
};

struct reader {
    XML_Parser xml;
    unsigned lines, columns; /* left out before the text that expat sees */
    plist_t root;
    struct level levels[VT_PLIST_MAX_DEPTH];
    int depth;
    bool in_plist;
    enum element leaf; /* open, or NONE */
    unsigned leaf_line, leaf_column;
    struct vt_buf text; /* of the leaf */
    unsigned nodes;
    struct vt_plist_places *places; /* or NULL */
    enum vt_code code;
    char why[160];
    unsigned line, column; /* of what is wrong */
};

static void here(const struct reader *r, unsigned *line, unsigned *column)
{
    unsigned row = (unsigned)XML_GetCurrentLineNumber(r->xml);
    *line = row + r->lines;
    *column = (unsigned)XML_GetCurrentColumnNumber(r->xml) + 1 + (row == 1 ? r->columns : 0);
}

static void stop(struct reader *r, enum vt_code code, const char *fmt, ...) VT_PRINTF(3, 4);
static void stop(struct reader *r, enum vt_code code, const char *fmt, ...)
{
    va_list ap;
    if (r->code)
        return;
    r->code = code;
    va_start(ap, fmt);
    vsnprintf(r->why, sizeof r->why, fmt, ap);
    va_end(ap);
    here(r, &r->line, &r->column);
    XML_StopParser(r->xml, XML_FALSE);
}

/* A value that is complete (or a container that opens) goes to its place; owned by the tree. */
static void place(struct reader *r, plist_t node, unsigned line, unsigned column)
{
    struct level *in = r->depth ? &r->levels[r->depth - 1] : NULL;
    if (in && in->dict) {
        line = in->key_line;
        column = in->key_column;
        if (r->places && plist_dict_get_item(in->node, in->key))
            vt_plist_places_duplicate(r->places, in->key, line, column);
        plist_dict_set_item(in->node, in->key, node);
        vt_free(in->key);
        in->key = NULL;
    } else if (in) {
        plist_array_append_item(in->node, node);
    } else {
        r->root = node;
    }
    if (r->places)
        vt_plist_places_add(r->places, node, line, column);
}

/* Whether a value or a key may begin here; otherwise stops. */
static bool may_begin(struct reader *r, enum element e)
{
    const struct level *in = r->depth ? &r->levels[r->depth - 1] : NULL;
    if (!r->in_plist)
        stop(r, VT_EINVAL, "<plist> is due here, not <%s>", names[e]);
    else if (r->leaf != NONE)
        stop(r, VT_EINVAL, "<%s> inside of <%s>", names[e], names[r->leaf]);
    else if (!in && r->root)
        stop(r, VT_EINVAL, "a second value beside the list's own");
    else if (e == KEY && (!in || !in->dict))
        stop(r, VT_EINVAL, "<key> outside of <dict>");
    else if (e == KEY && in->key)
        stop(r, VT_EINVAL, "the key \"%.60s\" has no value", in->key);
    else if (e != KEY && in && in->dict && !in->key)
        stop(r, VT_EINVAL, "a value without a key in <dict>");
    else if (++r->nodes > VT_PLIST_MAX_NODES)
        stop(r, VT_ELIMIT, "more than %u values", VT_PLIST_MAX_NODES);
    return !r->code;
}

static void open_container(struct reader *r, bool dict)
{
    unsigned line, column;
    if (r->depth == VT_PLIST_MAX_DEPTH) {
        stop(r, VT_ELIMIT, "nested more than %d deep", VT_PLIST_MAX_DEPTH);
        return;
    }
    here(r, &line, &column);
    plist_t node = dict ? plist_new_dict() : plist_new_array();
    place(r, node, line, column);
    r->levels[r->depth++] = (struct level){.node = node, .dict = dict};
}

static void XMLCALL on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *r = user;
    enum element e = PLIST;
    (void)attributes;
    if (r->code)
        return;
    while (e < NONE && strcmp(names[e], name) != 0)
        e++;
    if (e == NONE) {
        stop(r, VT_EINVAL, "<%.40s> is no element of a property list", name);
    } else if (e == PLIST) {
        if (r->in_plist)
            stop(r, VT_EINVAL, "<plist> inside of <plist>");
        r->in_plist = true;
    } else if (may_begin(r, e)) {
        if (e == DICT || e == ARRAY) {
            open_container(r, e == DICT);
            return;
        }
        r->leaf = e;
        here(r, &r->leaf_line, &r->leaf_column);
        vt_buf_clear(&r->text);
    }
}

static void XMLCALL on_text(void *user, const XML_Char *text, int n)
{
    struct reader *r = user;
    if (r->code)
        return;
    if (r->leaf != NONE && r->leaf != TRUE && r->leaf != FALSE) {
        vt_buf_add(&r->text, text, (size_t)n);
        return;
    }
    for (int i = 0; i < n; i++)
        if (!strchr(" \t\r\n", text[i])) {
            stop(r, VT_EINVAL, "text outside of a value");
            return;
        }
}

static const char *trimmed(struct vt_buf *text)
{
    while (text->len && strchr(" \t\r\n", text->data[text->len - 1]))
        text->data[--text->len] = '\0';
    const char *from = vt_buf_str(text);
    return from + strspn(from, " \t\r\n");
}

/* Decimal or hexadecimal, as Apple's reader takes them. */
static plist_t read_integer(struct reader *r)
{
    const char *text = trimmed(&r->text), *digits = text + (*text == '-' || *text == '+');
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    const char *set = hex ? "0123456789abcdefABCDEF" : "0123456789";
    digits += hex ? 2 : 0;
    errno = 0;
    unsigned long long value = strtoull(digits, NULL, hex ? 16 : 10);
    bool negative = *text == '-';
    if (!*digits || digits[strspn(digits, set)])
        stop(r, VT_EINVAL, "\"%.40s\" is no integer", text);
    else if (errno || (negative && value > (1ull << 63)))
        stop(r, VT_EINVAL, "the integer %.40s is out of range", text);
    if (r->code)
        return NULL;
    if (negative)
        return vt_plist_new_int((int64_t)(0 - value));
    return plist_new_uint(value);
}

static plist_t read_real(struct reader *r)
{
    const char *text = trimmed(&r->text);
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end) {
        stop(r, VT_EINVAL, "\"%.40s\" is no number", text);
        return NULL;
    }
    return plist_new_real(value);
}

static plist_t read_date(struct reader *r)
{
    const char *text = trimmed(&r->text);
    struct tm tm = {0};
    int end = 0;
    sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
           &tm.tm_min, &tm.tm_sec, &end);
    if (end != 20 || text[end] || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
        tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60) {
        stop(r, VT_EINVAL, "\"%.40s\" is no date like 2026-01-31T12:00:00Z", text);
        return NULL;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t seconds = (int64_t)timegm(&tm) - APPLE_EPOCH;
    if (seconds > INT32_MAX)
        seconds = INT32_MAX;
    if (seconds < INT32_MIN)
        seconds = INT32_MIN;
    return plist_new_date((int32_t)seconds, 0);
}

static plist_t read_data(struct reader *r)
{
    struct vt_buf bytes = VT_BUF_INIT;
    plist_t node = NULL;
    if (vt_base64_decode(&bytes, vt_buf_str(&r->text), r->text.len))
        node = plist_new_data(vt_buf_str(&bytes), bytes.len);
    else
        stop(r, VT_EINVAL, "<data> holds no base64");
    vt_buf_free(&bytes);
    return node;
}

static plist_t read_leaf(struct reader *r)
{
    switch (r->leaf) {
    case STRING:
        return plist_new_string(vt_buf_str(&r->text));
    case INTEGER:
        return read_integer(r);
    case REAL:
        return read_real(r);
    case DATE:
        return read_date(r);
    case DATA:
        return read_data(r);
    default:
        return plist_new_bool(r->leaf == TRUE);
    }
}

static void end_leaf(struct reader *r)
{
    struct level *in = r->depth ? &r->levels[r->depth - 1] : NULL;
    if (r->leaf == KEY && in) { /* may_begin() has seen to the dict */
        in->key = vt_strdup(vt_buf_str(&r->text));
        in->key_line = r->leaf_line;
        in->key_column = r->leaf_column;
    } else {
        plist_t node = read_leaf(r);
        if (node)
            place(r, node, r->leaf_line, r->leaf_column);
    }
    r->leaf = NONE;
}

/* expat has seen to it that the tags match. */
static void XMLCALL on_end(void *user, const XML_Char *name)
{
    struct reader *r = user;
    (void)name;
    if (r->code)
        return;
    if (r->leaf != NONE) {
        end_leaf(r);
    } else if (r->depth) {
        struct level *in = &r->levels[--r->depth];
        if (in->key)
            stop(r, VT_EINVAL, "the key \"%.60s\" has no value", in->key);
        vt_free(in->key);
    } else if (!r->root) {
        stop(r, VT_EINVAL, "the list is empty");
    }
}

static void XMLCALL on_entity(void *user, const XML_Char *name, int parameter,
                              const XML_Char *value, int n, const XML_Char *base,
                              const XML_Char *system, const XML_Char *public_id,
                              const XML_Char *notation)
{
    (void)parameter, (void)value, (void)n, (void)base, (void)system, (void)public_id,
        (void)notation;
    stop(user, VT_EINVAL, "entities of a document's own (\"%.40s\") are not allowed", name);
}

/* Drops blanks at the front, which Apple's reader takes before `<?xml` and XML forbids. */
static size_t skip_blanks(struct reader *r, const char *text, size_t n)
{
    size_t i = n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0, first = i;
    for (; i < n && strchr(" \t\r\n", text[i]) && text[i]; i++) {
        r->columns++;
        if (text[i] == '\n') {
            r->lines++;
            r->columns = 0;
        }
    }
    return i > first ? i : 0;
}

static void run(struct reader *r, const char *text, size_t n)
{
    XML_SetUserData(r->xml, r);
    XML_SetElementHandler(r->xml, on_start, on_end);
    XML_SetCharacterDataHandler(r->xml, on_text);
    XML_SetEntityDeclHandler(r->xml, on_entity);
    if (XML_Parse(r->xml, text, (int)n, XML_TRUE) == XML_STATUS_ERROR && !r->code) {
        const char *why = XML_ErrorString(XML_GetErrorCode(r->xml));
        if (r->leaf != NONE)
            stop(r, VT_EINVAL, "%s (in the <%s> of line %u)", why, names[r->leaf], r->leaf_line);
        else
            stop(r, VT_EINVAL, "%s", why);
    }
}

enum vt_code vt_plist_read_xml(const char *text, size_t n, const char *what, plist_t *out,
                               struct vt_plist_info *info, struct vt_error *err)
{
    struct reader *r = vt_calloc(1, sizeof *r);
    size_t skipped = skip_blanks(r, text, n);
    r->leaf = NONE;
    r->places = info ? vt_plist_places_new() : NULL;
    r->xml = XML_ParserCreate(NULL);
    if (!r->xml)
        abort(); /* no memory */
    run(r, text + skipped, n - skipped);
    if (r->code) {
        vt_fail(err, r->code, OP, "%s:%u:%u: %s", what, r->line, r->column, r->why);
        plist_free(r->root);
        r->root = NULL;
        vt_plist_places_free(r->places);
    } else if (info) {
        vt_plist_places_sort(r->places);
        info->blanks_first = skipped > 0;
        info->places = r->places;
    }
    *out = r->root;
    enum vt_code code = r->code;
    for (int i = 0; i < r->depth; i++)
        vt_free(r->levels[i].key);
    vt_buf_free(&r->text);
    XML_ParserFree(r->xml);
    vt_free(r);
    return code;
}
