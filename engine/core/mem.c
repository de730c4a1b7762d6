#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check(void *p, size_t n)
{
    if (!p && n) {
        fprintf(stderr, "vmtest: out of memory (%zu bytes asked for)\n", n);
        _Exit(70);
    }
    return p;
}

void *vt_malloc(size_t n)
{
    return check(malloc(n), n);
}

void *vt_calloc(size_t n, size_t size)
{
    return check(calloc(n, size), n && size ? n : 0);
}

void *vt_realloc(void *p, size_t n)
{
    return check(realloc(p, n), n);
}

char *vt_strdup(const char *s)
{
    return s ? vt_strndup(s, strlen(s)) : NULL;
}

char *vt_strndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *copy = vt_malloc(len + 1);
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

void vt_free(void *p)
{
    free(p);
}

void vt_free_const(const void *p)
{
    union {
        const void *from;
        void *to;
    } u = {.from = p};
    free(u.to);
}
