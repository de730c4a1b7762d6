/* vmtest vm exec NAME COMMAND... */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/vm_guest.h"
#include "core/buf.h"
#include "core/fs.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

#define TIMEOUT_S 600.0
#define INPUT_MAX ((size_t)64 << 20)

enum { TIMEOUT, PTY, STDIN };

static const struct vt_option options[] = {
    [TIMEOUT] = {0, "timeout", "TIME", "give up after this time (default: 10m)"},
    [PTY] = {'t', "tty", NULL, "give the command a terminal"},
    [STDIN] = {'i', "stdin", NULL, "give the command what is on standard input (64M at most)"},
    {0},
};

struct outcome {
    struct vt_error err;
    int status;
};

static void on_output(enum vt_stream stream, const char *data, size_t n, void *user)
{
    (void)user;
    vt_write_all(stream == VT_STDOUT ? STDOUT_FILENO : STDERR_FILENO, data, n, "output", NULL);
}

static void on_result(const void *result, void *user)
{
    const struct vt_exec_result *r = result;
    struct outcome *outcome = user;
    if (r->signal)
        vt_fail(&outcome->err, VT_EGUEST, "vm.exec", "the command was ended by SIG%s", r->signal);
    else
        outcome->status = r->status;
}

static enum vt_code read_input(struct vt_buf *input, struct vt_error *err)
{
    for (;;) {
        vt_buf_reserve(input, 65536);
        ssize_t n = read(STDIN_FILENO, input->data + input->len, 65536);
        if (n == 0)
            return VT_OK;
        if (n < 0 && errno != EINTR)
            return vt_fail_sys(err, errno, "vm.exec", "cannot read standard input");
        input->len += n > 0 ? (size_t)n : 0;
        if (input->len > INPUT_MAX)
            return vt_fail(err, VT_ELIMIT, "vm.exec", "standard input has more than 64M");
    }
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct outcome outcome = {.err = VT_ERROR_INIT};
    struct vt_buf input = VT_BUF_INIT;
    struct vt_exec_opts opts = {.timeout = TIMEOUT_S,
                                .pty = values[PTY] != NULL,
                                .output_limit = 1, /* it is shown as it comes, not kept */
                                .on_output = on_output};
    if (values[TIMEOUT] &&
        (vt_parse_duration(values[TIMEOUT], &opts.timeout, &outcome.err) || opts.timeout <= 0))
        return vt_cli_usage(self, "--timeout takes a time above 0, such as 90s or 5m, not \"%s\"",
                            values[TIMEOUT]);
    char **words = args + 1 + (strcmp(args[1], "--") == 0);
    if (words[0] && !words[1])
        opts.command = words[0];
    else
        opts.argv = (const char *const *)words;
    int code = VT_EXIT_INFRASTRUCTURE;
    if (!values[STDIN] || !read_input(&input, &outcome.err)) {
        struct vt_guest_call call = {
            .name = args[0], .exec = &opts, .on_result = on_result, .user = &outcome};
        opts.input = values[STDIN] ? vt_buf_str(&input) : NULL;
        opts.input_size = input.len;
        code = vt_guest_call(self, &call);
    }
    vt_buf_free(&input);
    if (outcome.err.code) {
        vt_cli_error(self, &outcome.err);
        return VT_EXIT_INFRASTRUCTURE;
    }
    return code ? code : outcome.status;
}

const struct vt_command vt_cmd_vm_exec = {
    .name = "vm exec",
    .args = "NAME COMMAND...",
    .summary = "runs a command in a running VM",
    .details = "One word is a line for the guest's shell, several are passed on as they are.\n"
               "The exit code is the command's own, or 3 where the guest cannot be reached.",
    .example = "vmtest vm exec web -- uname -a\nvmtest vm exec web 'ps | grep sshd'\n"
               "vmtest vm exec -i web -- sh < set-up.sh",
    .options = options,
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
