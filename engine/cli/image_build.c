/* vmtest image build RECIPE [NAME] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/build_needs.h"
#include "cli/lua_build.h"
#include "cli/making.h"
#include "core/args.h"
#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "image/recipe.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

#define OP "image.build"
#define TIMEOUT_S 1800.0
#define SETTING "VMTEST_SET_"
#define LEASE_FD "VMTEST_LEASE_FD="

extern char **environ;

enum { ROLE, SET, TIMEOUT, WAIT, VERBOSE };

static const struct vt_option options[] = {
    [ROLE] = {0, "role", "ROLE", "legacy, current, beta or none (default: as the version before)"},
    [SET] = {0, "set", "KEY=VALUE...", "an option of the recipe; may be given several times"},
    [TIMEOUT] = {0, "timeout", "TIME", "give up after this time (default: 30m)"},
    [WAIT] = VT_OPTION_WAIT,
    [VERBOSE] = {'v', "verbose", NULL, "shows the recipe's output as it comes"},
    {0},
};

static void free_settings(struct vt_setting *settings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        vt_free(settings[i].key);
        vt_free(settings[i].value);
    }
    vt_free(settings);
}

/* "KEY=VALUE", a line each. */
static enum vt_code parse_settings(const char *lines, struct vt_setting **out, size_t *count,
                                   struct vt_error *err)
{
    enum vt_code code = VT_OK;
    for (const char *at = lines; !code && at && *at;) {
        size_t n = strcspn(at, "\n"), key = strcspn(at, "=\n");
        char *name = vt_strndup(at, key);
        if (key == n || !vt_is_env_name(name)) {
            code =
                vt_fail(err, VT_EINVAL, OP,
                        "--set takes KEY=VALUE, with a key of letters, digits and _, not \"%.*s\"",
                        (int)n, at);
            vt_free(name);
        } else {
            *out = vt_realloc(*out, (*count + 1) * sizeof **out);
            (*out)[(*count)++] = (struct vt_setting){name, vt_strndup(at + key + 1, n - key - 1)};
        }
        at += n + (at[n] == '\n');
    }
    return code;
}

static void recipe_env(const struct vt_build *b, struct vt_args *env)
{
    for (char **at = environ; *at; at++)
        if (strncmp(*at, SETTING, sizeof SETTING - 1) != 0 &&
            strncmp(*at, LEASE_FD, sizeof LEASE_FD - 1) != 0)
            vt_args_add(env, *at);
    vt_args_printf(env, "VMTEST_IMAGE_DIR=%s", b->dir);
    vt_args_printf(env, "VMTEST_IMAGE_NAME=%s", b->name);
    vt_args_printf(env, "VMTEST_WORK_DIR=%s", b->work);
    for (size_t i = 0; i < b->setting_count; i++)
        vt_args_printf(env, SETTING "%s=%s", b->settings[i].key, b->settings[i].value);
}

struct plan {
    struct vt_recipe recipe;
    struct vt_needs needs;
    double wait; /* seconds, for what others have */
};

static enum vt_code run_program(struct vt_making *m, const struct vt_recipe *recipe,
                                const struct vt_lease *lease, struct vt_error *err)
{
    const char *argv[] = {recipe->path, NULL};
    struct vt_args env = VT_ARGS_INIT;
    struct vt_buf what = VT_BUF_INIT;
    char *log = vt_path_join(m->build.work, "build.log");
    recipe_env(&m->build, &env);
    if (lease)
        vt_args_printf(&env, LEASE_FD "%d", VT_PROGRAM_LEASE_FD);
    vt_buf_printf(&what, "the recipe %s", recipe->name);
    const struct vt_program program = {.op = OP,
                                       .what = what.data,
                                       .argv = argv,
                                       .env = vt_args_argv(&env),
                                       .cwd = m->build.dir,
                                       .lease = lease,
                                       .log = m->build.verbose ? NULL : log,
                                       .timeout = m->build.timeout};
    enum vt_code code = vt_program_run(&program, &m->signal, err);
    vt_free(log);
    vt_buf_free(&what);
    vt_args_free(&env);
    return code;
}

static enum vt_code fill(struct vt_making *m, struct vt_error *err)
{
    const struct plan *plan = m->user;
    const struct vt_recipe *recipe = &plan->recipe;
    const struct vt_lua_build lua = {.recipe = recipe->path};
    if (recipe->lua)
        return vt_lua_build_run(m, &lua, err);
    struct vt_lease *lease = NULL;
    enum vt_code code = vt_build_needs_take(m->build.name, &plan->needs, plan->wait, &lease, err);
    if (code == VT_ECANCELED)
        m->signal = vt_signals_pending();
    if (!code)
        code = run_program(m, recipe, lease, err);
    vt_lease_release(lease);
    return code;
}

static int build(const struct vt_command *self, const char *const *values, char **args,
                 struct vt_making *m)
{
    struct vt_error err = VT_ERROR_INIT;
    struct plan plan = {0};
    struct vt_recipe *recipe = &plan.recipe;
    struct vt_setting *settings = NULL;
    size_t count = 0;
    int code = VT_EXIT_USAGE;
    enum vt_code parsed = parse_settings(values[SET], &settings, &count, &err);
    m->build.settings = settings;
    m->build.setting_count = count;
    if (parsed || (values[ROLE] && vt_image_role_parse(values[ROLE], &m->made.role, &err)) ||
        (values[TIMEOUT] && vt_parse_duration(values[TIMEOUT], &m->build.timeout, &err)) ||
        vt_recipe_find(args[0], recipe, &err) ||
        vt_build_needs(recipe, &m->build, &plan.needs, &err)) {
        vt_cli_error(self, &err);
    } else if (!(m->build.timeout > 0)) {
        code = vt_cli_usage(self, "--timeout must be above 0");
    } else if (vt_cli_wait(self, values[WAIT], &plan.wait)) {
        m->build.name = args[1] ? args[1] : recipe->name;
        m->made.recipe = recipe->path;
        m->made.recipe_sha256 = recipe->sha256;
        m->user = &plan;
        code = vt_making_run(m);
    }
    free_settings(settings, count);
    vt_recipe_clear(recipe);
    return code;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_making m = {
        .self = self,
        .build = {.verbose = values[VERBOSE] != NULL, .timeout = TIMEOUT_S},
        .fill = fill,
    };
    return build(self, values, args, &m);
}

const struct vt_command vt_cmd_image_build = {
    .name = "image build",
    .args = "RECIPE [NAME]",
    .summary = "builds a new version of an image",
    .details = "RECIPE is a name (`vmtest image recipes` lists them) or a path with a slash: an\n"
               "executable file, or a Lua file. NAME is the image's, by default the recipe's.\n"
               "The new version, NAME@VERSION, is printed on stdout.",
    .example = "vmtest image build small\n"
               "vmtest image build debian bookworm --role current\n"
               "vmtest image build debian sid --set release=sid --role beta -v",
    .options = options,
    .min_args = 1,
    .max_args = 2,
    .run = run,
};
