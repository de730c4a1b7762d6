#include "guest/channel.h"

#include <string.h>

#include "core/mem.h"
#include "core/text.h"

/* Appends "NAME='value' " for each of env. */
static enum vt_code assignments(const char *const *env, struct vt_buf *out, struct vt_error *err)
{
    for (; env && *env; env++) {
        const char *eq = strchr(*env, '=');
        char *name = vt_strndup(*env, eq ? (size_t)(eq - *env) : strlen(*env));
        bool good = eq && vt_is_env_name(name);
        if (!good)
            vt_fail(err, VT_EINVAL, "exec", "\"%s\" is not the name of an environment variable",
                    name);
        else
            vt_buf_printf(out, "%s=", name);
        vt_free(name);
        if (!good)
            return VT_EINVAL;
        vt_shell_quote(out, eq + 1);
        vt_buf_putc(out, ' ');
    }
    return VT_OK;
}

enum vt_code vt_exec_command_line(const struct vt_exec_opts *opts, struct vt_buf *out,
                                  struct vt_error *err)
{
    if (!opts->command == !(opts->argv && opts->argv[0]))
        return vt_fail(err, VT_EINVAL, "exec", "a command is one shell line or a list of words");
    if (opts->cwd) {
        vt_buf_puts(out, "cd -- ");
        vt_shell_quote(out, opts->cwd);
        vt_buf_puts(out, " && ");
    }
    bool has_env = opts->env && opts->env[0];
    if (has_env && opts->command)
        vt_buf_puts(out, "export ");
    enum vt_code code = assignments(opts->env, out, err);
    if (code)
        return code;
    if (opts->command) {
        if (has_env)
            vt_buf_puts(out, "&& ");
        /* a group, so that `cd` guards the whole line and not just its first command */
        if (opts->cwd || has_env)
            vt_buf_printf(out, "{ %s\n}", opts->command);
        else
            vt_buf_puts(out, opts->command);
        return VT_OK;
    }
    vt_buf_puts(out, "exec");
    for (const char *const *word = opts->argv; *word; word++) {
        vt_buf_putc(out, ' ');
        vt_shell_quote(out, *word);
    }
    return VT_OK;
}
