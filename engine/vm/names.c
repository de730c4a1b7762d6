/* "student-{1..20}": names by a pattern, as a shell would expand it where it is not quoted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "vmtest/named.h"

#define OP "vm"
#define NAMES_MAX ((size_t)1000)

struct words {
    char **v;
    size_t n;
};

static void add(struct words *w, char *word)
{
    w->v = vt_realloc(w->v, (w->n + 1) * sizeof *w->v);
    w->v[w->n++] = word;
}

void vt_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        vt_free(names[i]);
    vt_free(names);
}

static enum vt_code too_many(const char *pattern, struct vt_error *err)
{
    return vt_fail(err, VT_ELIMIT, OP, "\"%.100s\" stands for more than %zu names", pattern,
                   NAMES_MAX);
}

/* Reads digits; false where there are none, or more than any count of names has. */
static bool number(const char *text, size_t n, long *out)
{
    *out = 0;
    if (!n || n >= 10)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *out = *out * 10 + (text[i] - '0');
    }
    return true;
}

/* "1..20" as its numbers, with the zeros that either end begins with. */
static enum vt_code expand_range(const char *text, size_t n, const char *dots, struct words *out,
                                 struct vt_error *err)
{
    size_t left = (size_t)(dots - text), right = n - left - 2;
    long from, to;
    if (!number(text, left, &from) || !number(dots + 2, right, &to))
        return vt_fail(err, VT_EINVAL, OP, "\"{%.*s}\" is no range of numbers such as {1..20}",
                       (int)(n < 60 ? n : 60), text);
    if (labs(to - from) >= (long)NAMES_MAX)
        return too_many(text, err);
    bool zeros = (left > 1 && text[0] == '0') || (right > 1 && dots[2] == '0');
    int width = zeros ? (int)(left > right ? left : right) : 1;
    for (long i = from;; i += to < from ? -1 : 1) {
        struct vt_buf word = VT_BUF_INIT;
        vt_buf_printf(&word, "%0*ld", width, i);
        add(out, vt_buf_steal(&word));
        if (i == to)
            return VT_OK;
    }
}

/* What is between the braces: a range, or a list. */
static enum vt_code expand_braces(const char *text, size_t n, struct words *out,
                                  struct vt_error *err)
{
    const char *dots = memmem(text, n, "..", 2);
    if (dots)
        return expand_range(text, n, dots, out, err);
    for (const char *end = text + n;;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma ? comma : end;
        add(out, vt_strndup(text, (size_t)(stop - text)));
        if (out->n > NAMES_MAX)
            return too_many("{…}", err);
        if (!comma)
            return VT_OK;
        text = comma + 1;
    }
}

/* Every word so far, with every choice behind it. */
static enum vt_code multiply(struct words *words, const struct words *choices, const char *pattern,
                             struct vt_error *err)
{
    struct words next = {0};
    if (words->n * choices->n > NAMES_MAX)
        return too_many(pattern, err);
    for (size_t i = 0; i < words->n; i++) {
        for (size_t j = 0; j < choices->n; j++) {
            struct vt_buf word = VT_BUF_INIT;
            vt_buf_puts(&word, words->v[i]);
            vt_buf_puts(&word, choices->v[j]);
            add(&next, vt_buf_steal(&word));
        }
    }
    vt_names_free(words->v, words->n);
    *words = next;
    return VT_OK;
}

enum vt_code vt_names_expand(const char *pattern, char ***names, size_t *count,
                             struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct words words = {0};
    add(&words, vt_strdup(""));
    for (const char *at = pattern; *at && !own.code;) {
        struct words choices = {0};
        size_t n = strcspn(at, "{}");
        if (n) {
            add(&choices, vt_strndup(at, n));
        } else {
            const char *end = strpbrk(at + 1, "{}");
            n = end ? (size_t)(end - at) + 1 : 1;
            if (*at == '}' || !end || *end == '{')
                vt_fail(&own, VT_EINVAL, OP, "\"%.100s\" has a brace without its partner", pattern);
            else
                expand_braces(at + 1, n - 2, &choices, &own);
        }
        if (!own.code)
            multiply(&words, &choices, pattern, &own);
        vt_names_free(choices.v, choices.n);
        at += n;
    }
    *names = own.code ? NULL : words.v;
    *count = own.code ? 0 : words.n;
    if (own.code)
        vt_names_free(words.v, words.n);
    return vt_error_copy(err, &own);
}
