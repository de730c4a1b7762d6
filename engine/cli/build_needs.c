#include "cli/build_needs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/program.h"
#include "core/buf.h"
#include "core/mem.h"
#include "vmtest/loop.h"
#include "vmtest/units.h"

#define OP "image.build"
#define CPUS_MAX 1024

/* --- what it says --- */

/* The value that counts for `key`: the setting's, or what the line has. */
static const char *setting(const struct vt_build *build, const char *key, const char *value)
{
    for (size_t i = 0; i < build->setting_count; i++)
        if (!strcmp(build->settings[i].key, key))
            value = build->settings[i].value;
    return value;
}

static enum vt_code read_cpus(const char *text, int *cpus, struct vt_error *err)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < 1 || n > CPUS_MAX)
        return vt_fail(err, VT_EINVAL, OP, "cpus=%.40s: it is to be a number from 1 to %d", text,
                       CPUS_MAX);
    *cpus = (int)n;
    return VT_OK;
}

static enum vt_code read_word(const char *word, const struct vt_recipe *recipe,
                              const struct vt_build *build, struct vt_needs *needs,
                              struct vt_error *err)
{
    if (!strcmp(word, "macos_guest")) {
        needs->macos_guest = true;
        return VT_OK;
    }
    if (!strncmp(word, "memory=", 7))
        return vt_parse_size(setting(build, "memory", word + 7), &needs->memory, err);
    if (!strncmp(word, "cpus=", 5))
        return read_cpus(setting(build, "cpus", word + 5), &needs->cpus, err);
    vt_fail(err, VT_EINVAL, OP, "%s needs \"%.80s\", which vmtest does not know", recipe->path,
            word);
    vt_hint(err, "its line \"needs:\" can say macos_guest, memory=SIZE and cpus=COUNT");
    return VT_EINVAL;
}

enum vt_code vt_build_needs(const struct vt_recipe *recipe, const struct vt_build *build,
                            struct vt_needs *needs, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    *needs = (struct vt_needs){0};
    if (!recipe->needs)
        return VT_OK;
    if (recipe->lua) {
        vt_fail(err, VT_EINVAL, OP, "%s: a recipe in Lua needs nothing beforehand", recipe->path);
        vt_hint(err, "remove its line \"needs:\": its VM takes by itself what it needs");
        return VT_EINVAL;
    }
    char *words = vt_strdup(recipe->needs), *rest = words;
    for (char *word; !code && (word = strsep(&rest, " \t"));)
        if (*word)
            code = read_word(word, recipe, build, needs, err);
    vt_free(words);
    return code;
}

/* --- taking it --- */

struct taking {
    const char *name;
    struct vt_lease *lease;
    struct vt_error err;
    bool done;
};

static void on_waiting(const char *reason, void *user)
{
    const struct taking *s = user;
    fprintf(stderr, "image %s: waiting for %s\n", s->name, reason);
}

static void on_taken(struct vt_op *op, void *user)
{
    struct taking *s = user;
    const struct vt_error *why = vt_op_error(op);
    if (why)
        s->err = *why;
    else
        s->lease = vt_lease_taken(op);
    s->done = true;
}

/* While it waits, it looks for its turn several times a second, and so at the signals too. */
static void await(struct vt_loop *loop, struct vt_op *op, const struct taking *s)
{
    for (bool cancelled = false; !s->done;) {
        if (!cancelled && vt_signals_pending()) {
            cancelled = true;
            vt_op_cancel(op);
        }
        vt_loop_run_once(loop, true);
    }
}

enum vt_code vt_build_needs_take(const char *name, const struct vt_needs *needs, double wait,
                                 struct vt_lease **lease, struct vt_error *err)
{
    struct taking s = {.name = name};
    *lease = NULL;
    if (!needs->macos_guest && !needs->memory && !needs->cpus)
        return VT_OK;
    struct vt_buf shown = VT_BUF_INIT;
    vt_buf_printf(&shown, "%s (image build)", name);
    const struct vt_lease_request request = {
        .vm = shown.data, .needs = *needs, .wait = wait, .waiting = on_waiting};
    struct vt_loop *loop = vt_loop_new(&s.err);
    struct vt_op *op = loop ? vt_lease_take(loop, &request, on_taken, &s, &s.err) : NULL;
    if (op)
        await(loop, op, &s);
    vt_loop_free(loop);
    vt_buf_free(&shown);
    *lease = s.lease;
    return vt_error_copy(err, &s.err);
}
