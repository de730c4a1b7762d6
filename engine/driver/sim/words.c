#include "driver/sim/words.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"

const char *vt__sim_vars_get(const struct vt__sim_vars *vars, const char *name)
{
    for (size_t i = 0; i < vars->count; i++)
        if (!strcmp(vars->list[i].name, name))
            return vars->list[i].value;
    return NULL;
}

void vt__sim_vars_set(struct vt__sim_vars *vars, const char *name, const char *value, bool exported)
{
    size_t i = 0;
    while (i < vars->count && strcmp(vars->list[i].name, name) != 0)
        i++;
    if (i == vars->count) {
        if (!(i & (i + 1)))
            vars->list = vt_realloc(vars->list, (i * 2 + 1) * sizeof *vars->list);
        vars->list[vars->count++] = (struct vt__sim_var){.name = vt_strdup(name)};
    }
    struct vt__sim_var *var = &vars->list[i];
    char *copy = vt_strdup(value);
    vt_free(var->value);
    var->value = copy;
    var->exported = var->exported || exported;
}

struct vt__sim_vars vt__sim_vars_copy(const struct vt__sim_vars *vars)
{
    struct vt__sim_vars copy = {0};
    for (size_t i = 0; i < vars->count; i++)
        vt__sim_vars_set(&copy, vars->list[i].name, vars->list[i].value, vars->list[i].exported);
    return copy;
}

void vt__sim_vars_clear(struct vt__sim_vars *vars)
{
    for (size_t i = 0; i < vars->count; i++) {
        vt_free(vars->list[i].name);
        vt_free(vars->list[i].value);
    }
    vt_free(vars->list);
    *vars = (struct vt__sim_vars){0};
}

static void close_word(struct vt__sim_words *w)
{
    if (!w->has_open)
        return;
    if (!(w->count & (w->count + 1)))
        w->list = vt_realloc(w->list, (w->count * 2 + 1) * sizeof *w->list);
    w->list[w->count++] = vt_buf_steal(&w->open);
    w->has_open = false;
}

void vt__sim_words_clear(struct vt__sim_words *w)
{
    for (size_t i = 0; i < w->count; i++)
        vt_free(w->list[i]);
    vt_free(w->list);
    vt_buf_free(&w->open);
    *w = (struct vt__sim_words){0};
}

bool vt__sim_expand(const struct vt__sim_word *word, const struct vt__sim_values *values,
                    bool split, struct vt__sim_words *w)
{
    for (size_t i = 0; i < word->count; i++) {
        const struct vt__sim_segment *segment = &word->segments[i];
        char number[16];
        const char *value = segment->text;
        if (segment->kind == VT__SIM_VARIABLE) {
            value = vt__sim_vars_get(values->vars, segment->text);
            value = value ? value : "";
        } else if (segment->kind != VT__SIM_TEXT) {
            snprintf(number, sizeof number, "%d",
                     segment->kind == VT__SIM_PID ? values->pid : values->status);
            value = number;
        }
        w->bytes += strlen(value) + 1;
        if (w->bytes > VT__SIM_ARG_MAX)
            return false;
        bool whole = segment->kind == VT__SIM_TEXT || segment->quoted || !split;
        if (whole) {
            w->has_open = true;
            vt_buf_puts(&w->open, value);
        }
        for (const char *p = value; !whole && *p; p++) {
            if (strchr(" \t\n", *p)) {
                close_word(w);
                continue;
            }
            w->has_open = true;
            vt_buf_putc(&w->open, *p);
        }
    }
    if (!split)
        w->has_open = true;
    close_word(w);
    return true;
}

char *vt__sim_expand_one(const struct vt__sim_word *word, const struct vt__sim_values *values)
{
    struct vt__sim_words w = {0};
    char *value = NULL;
    if (vt__sim_expand(word, values, false, &w)) {
        value = w.list[0];
        w.list[0] = NULL;
    }
    vt__sim_words_clear(&w);
    return value;
}
