/* A growing NULL-terminated list of words: the argv of a process to start. */
#ifndef VT_CORE_ARGS_H
#define VT_CORE_ARGS_H

#include <stddef.h>

#include "vmtest/error.h"

struct vt_args {
    char **v; /* NULL-terminated once anything was added */
    size_t n;
};

#define VT_ARGS_INIT                                                                               \
    {                                                                                              \
        .v = NULL                                                                                  \
    }

void vt_args_add(struct vt_args *args, const char *word);
void vt_args_printf(struct vt_args *args, const char *fmt, ...) VT_PRINTF(2, 3);

/* As vt_process_opts.argv wants it; valid until the next change. */
const char *const *vt_args_argv(const struct vt_args *args);

void vt_args_free(struct vt_args *args);

#endif
