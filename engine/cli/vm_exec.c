/* vmtest vm exec NAME COMMAND... */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/vm_find.h"
#include "core/fs.h"
#include "guest/ssh.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

#define CONNECT_S 30.0
#define TIMEOUT_S 600.0

enum { TIMEOUT, PTY };

static const struct vt_option options[] = {
    [TIMEOUT] = {0, "timeout", "TIME", "give up after this time (default: 10m)"},
    [PTY] = {'t', "tty", NULL, "give the command a terminal"},
    {0},
};

struct exec {
    struct vt_channel *channel;
    struct vt_exec_opts opts;
    struct vt_error err;
    int status;
    bool done;
};

static void on_output(enum vt_stream stream, const char *data, size_t n, void *user)
{
    (void)user;
    vt_write_all(stream == VT_STDOUT ? STDOUT_FILENO : STDERR_FILENO, data, n, "output", NULL);
}

static void on_exec(struct vt_op *op, void *user)
{
    struct exec *e = user;
    const struct vt_exec_result *r = vt_op_result(op);
    e->done = true;
    if (vt_op_error(op))
        e->err = *vt_op_error(op);
    else if (r->signal)
        vt_fail(&e->err, VT_EGUEST, "vm.exec", "the command was ended by SIG%s", r->signal);
    else
        e->status = r->status;
}

static void on_connected(struct vt_op *op, void *user)
{
    struct exec *e = user;
    if (vt_op_error(op)) {
        e->err = *vt_op_error(op);
        e->done = true;
    } else if (!e->channel->cls->exec(e->channel, &e->opts, on_exec, e, &e->err)) {
        e->done = true;
    }
}

static void exec_in(const struct vt_found *found, struct exec *e)
{
    struct vt_loop *loop = vt_loop_new(&e->err);
    if (!loop)
        return;
    const struct vt_ssh_config config = {
        .host = found->host,
        .port = found->port,
        .user = found->image->ssh_user,
        .key_file = found->image->ssh_key,
        .password = found->image->ssh_password,
        .host_key = found->image->ssh_host_key,
    };
    e->channel = vt_ssh_new(loop, &config, &e->err);
    if (e->channel && e->channel->cls->connect(e->channel, CONNECT_S, on_connected, e, &e->err))
        while (!e->done)
            vt_loop_run_once(loop, true);
    if (e->channel)
        e->channel->cls->free(e->channel);
    vt_loop_free(loop);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct exec e = {.opts = {.timeout = TIMEOUT_S,
                              .pty = values[PTY] != NULL,
                              .output_limit = 1, /* it is shown as it comes, not kept */
                              .on_output = on_output}};
    if (values[TIMEOUT] && vt_parse_duration(values[TIMEOUT], &e.opts.timeout, &e.err))
        return vt_cli_usage(self, "--timeout: %s; %s", e.err.message, e.err.hint);
    struct vt_found found;
    if (vt_vm_find_guest(args[0], &found, &e.err)) {
        vt_cli_error(self, &e.err);
        return VT_EXIT_USAGE;
    }
    char **words = args + 1 + (strcmp(args[1], "--") == 0);
    if (words[0] && !words[1])
        e.opts.command = words[0];
    else
        e.opts.argv = (const char *const *)words;
    exec_in(&found, &e);
    vt_found_free(&found);
    if (!e.err.code)
        return e.status;
    vt_cli_error(self, &e.err);
    return VT_EXIT_INFRASTRUCTURE;
}

const struct vt_command vt_cmd_vm_exec = {
    .name = "vm exec",
    .args = "NAME COMMAND...",
    .summary = "runs a command in a running VM",
    .details = "One word is a line for the guest's shell, several are passed on as they are.\n"
               "The exit code is the command's own, or 3 where the guest cannot be reached.",
    .example = "vmtest vm exec testwifi -- uname -a\nvmtest vm exec testwifi 'ps | grep sshd'",
    .options = options,
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
