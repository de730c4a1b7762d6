#include "core/args.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/mem.h"

static void take(struct vt_args *args, char *word)
{
    args->v = vt_realloc(args->v, (args->n + 2) * sizeof *args->v);
    args->v[args->n++] = word;
    args->v[args->n] = NULL;
}

void vt_args_add(struct vt_args *args, const char *word)
{
    take(args, vt_strdup(word));
}

void vt_args_printf(struct vt_args *args, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    size_t size = n < 0 ? 1 : (size_t)n + 1;
    char *word = vt_calloc(1, size);
    if (n > 0)
        vsnprintf(word, size, fmt, again);
    va_end(again);
    take(args, word);
}

const char *const *vt_args_argv(const struct vt_args *args)
{
    return (const char *const *)args->v;
}

void vt_args_free(struct vt_args *args)
{
    for (size_t i = 0; i < args->n; i++)
        vt_free(args->v[i]);
    vt_free(args->v);
    *args = (struct vt_args)VT_ARGS_INIT;
}
