/* vmtest vm console NAME */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/console_line.h"
#include "cli/options.h"
#include "cli/vm_task.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vmtest/run.h"

#define LEAVE 0x1d /* Ctrl-] */
#define CHUNK 4096
#define LAST_MS 2000 /* after the end of a piped input, for what the guest still says */

static volatile sig_atomic_t signalled;

static void on_signal(int sig)
{
    signalled = sig;
}

/* Keys go as they are typed, each at once; false where standard input is no terminal. */
static bool make_raw(struct termios *before)
{
    struct termios raw;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, before))
        return false;
    raw = *before;
    cfmakeraw(&raw);
    return tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

/* What was read of standard input goes to the VM. False where the user leaves. */
static bool pass_keys(int console, char *data, ssize_t n, bool tty, struct vt_error *err)
{
    char *leave = tty ? memchr(data, LEAVE, (size_t)n) : NULL;
    size_t send_n = leave ? (size_t)(leave - data) : (size_t)n;
    return !vt_write_all(console, data, send_n, "the console", err) && !leave;
}

/* How long to wait for more: a log tells nobody that it has grown. */
static int patience(const struct vt_console_line *line, bool more, bool keys)
{
    if (more)
        return 0;
    return line->log >= 0 ? VT_CONSOLE_LOOK_MS : keys ? -1 : LAST_MS;
}

/* Till the user leaves, the VM ends, or (not on a terminal) the input is over and the guest has
 * fallen silent. */
static void pump(struct vt_console_line *line, bool tty, struct vt_error *err)
{
    struct pollfd fds[] = {{.fd = line->socket, .events = POLLIN},
                           {.fd = STDIN_FILENO, .events = POLLIN}};
    char data[CHUNK];
    double silent_since = 0;
    bool more = false, ended = false;
    while (!signalled && !err->code && (more || !ended)) {
        int ready = poll(fds, 2, patience(line, more, fds[1].fd >= 0));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0)
            return;
        ssize_t n = vt_console_line_read(line, fds[0].revents && !ended, data, sizeof data, &ended);
        more = n > 0;
        if (more)
            vt_write_all(STDOUT_FILENO, data, (size_t)n, "standard output", err);
        if (ended)
            fds[0].fd = -1;
        if (more || fds[1].fd >= 0)
            silent_since = vt_monotonic();
        else if (vt_monotonic() - silent_since >= LAST_MS / 1000.0)
            return;
        if (fds[1].fd >= 0 && fds[1].revents && !ended) {
            n = read(STDIN_FILENO, data, sizeof data);
            if (n > 0 && !pass_keys(line->socket, data, n, tty, err))
                return;
            if (n <= 0)
                fds[1].fd = -1;
        }
    }
}

static int talk(const char *name, struct vt_console_line *line, struct vt_error *err)
{
    struct termios before;
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    bool tty = make_raw(&before);
    if (tty)
        fprintf(stderr, "console of %s; Ctrl-] leaves\r\n", name);
    pump(line, tty, err);
    if (tty) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
        fputc('\n', stderr);
    }
    return signalled == SIGINT ? VT_EXIT_SIGINT : signalled ? VT_EXIT_SIGTERM : VT_EXIT_OK;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_named *named;
    struct vt_console_line line = {.socket = -1, .log = -1, .lock = -1};
    int code = VT_EXIT_OK;
    (void)values;
    if (!vt_named_find(args[0], &named, &err) && !vt_console_line_open(named, &line, &err))
        code = talk(args[0], &line, &err);
    vt_console_line_close(&line);
    vt_named_free(named);
    if (err.code)
        vt_cli_error(self, &err);
    return err.code ? vt_vm_exit_code(&err) : code;
}

const struct vt_command vt_cmd_vm_console = {
    .name = "vm console",
    .args = "NAME",
    .summary = "connects this terminal to a VM's serial console",
    .details = "Ctrl-] leaves. Works with pipes, too: what comes on stdin goes to the guest, and\n"
               "it ends when stdin has ended and the guest is silent.",
    .example = "vmtest vm console web\necho 'uname -a' | vmtest vm console web",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
