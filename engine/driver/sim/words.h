/* Variables of the simulated shell, and the words of a command with their values in place. */
#ifndef VT_DRIVER_SIM_WORDS_H
#define VT_DRIVER_SIM_WORDS_H

#include "driver/sim/line.h"

#define VT__SIM_ARG_MAX ((size_t)1 << 20) /* bytes of one command's words when expanded */

struct vt__sim_var {
    char *name, *value;
    bool exported;
};

struct vt__sim_vars {
    struct vt__sim_var *list;
    size_t count;
};

const char *vt__sim_vars_get(const struct vt__sim_vars *vars, const char *name); /* or NULL */
void vt__sim_vars_set(struct vt__sim_vars *vars, const char *name, const char *value,
                      bool exported);
struct vt__sim_vars vt__sim_vars_copy(const struct vt__sim_vars *vars);
void vt__sim_vars_clear(struct vt__sim_vars *vars);

/* What expansions stand for. */
struct vt__sim_values {
    const struct vt__sim_vars *vars;
    int status, pid;
};

struct vt__sim_words { /* zero-initialised */
    char **list;
    size_t count, bytes;
    struct vt_buf open; /* the word being made */
    bool has_open;
};

/* Adds a word's value; unquoted expansions are split at blanks where `split` is set. False where
 * it all becomes longer than VT__SIM_ARG_MAX. */
bool vt__sim_expand(const struct vt__sim_word *word, const struct vt__sim_values *values,
                    bool split, struct vt__sim_words *w);
void vt__sim_words_clear(struct vt__sim_words *w);

/* The value of one word as a single string (vt_free() it), NULL where it is too long. */
char *vt__sim_expand_one(const struct vt__sim_word *word, const struct vt__sim_values *values);

#endif
