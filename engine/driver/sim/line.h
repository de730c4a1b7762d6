/* Parser of the simulated guest's shell lines: a small subset of POSIX sh (docs/sim.md).
 *
 * What a POSIX shell would understand and this one does not (pipes, substitutions, globs, loops)
 * is refused by name and never taken for something else. */
#ifndef VT_DRIVER_SIM_LINE_H
#define VT_DRIVER_SIM_LINE_H

#include "core/buf.h"

#define VT__SIM_LINE_MAX ((size_t)256 << 10)

enum vt__sim_segment_kind {
    VT__SIM_TEXT,     /* `text` as it is */
    VT__SIM_VARIABLE, /* the value of the variable `text` */
    VT__SIM_STATUS,   /* $? */
    VT__SIM_PID,      /* $$ */
};

struct vt__sim_segment {
    enum vt__sim_segment_kind kind;
    bool quoted; /* its value is not split into words */
    char *text;
};

struct vt__sim_word {
    struct vt__sim_segment *segments;
    size_t count;
};

enum vt__sim_redirect_kind {
    VT__SIM_READ,   /* <file */
    VT__SIM_WRITE,  /* >file */
    VT__SIM_APPEND, /* >>file */
    VT__SIM_COPY,   /* 2>&1, >&2 */
};

struct vt__sim_redirect {
    enum vt__sim_redirect_kind kind;
    int fd;                   /* 0, 1 or 2 */
    int from;                 /* VT__SIM_COPY: 1 or 2 */
    struct vt__sim_word file; /* else */
};

/* What stands behind a command: whether the next one runs. */
enum vt__sim_then { VT__SIM_SEQUENCE, VT__SIM_AND, VT__SIM_OR, VT__SIM_BACKGROUND };

struct vt__sim_command {
    struct vt__sim_word *words; /* the first `assignments` of them are NAME=value */
    size_t count, assignments;
    struct vt__sim_redirect *redirects;
    size_t redirect_count;
    enum vt__sim_then then;
};

struct vt__sim_line {
    struct vt__sim_command *commands;
    size_t count;
};

/* VT_EINVAL for a syntax error, VT_EUNSUPPORTED for a construct this shell does not know,
 * VT_ELIMIT for a line longer than VT__SIM_LINE_MAX. *line is valid, and empty, then too. */
enum vt_code vt__sim_line_parse(const char *text, size_t n, struct vt__sim_line *line,
                                struct vt_error *err);
void vt__sim_line_clear(struct vt__sim_line *line);

#endif
