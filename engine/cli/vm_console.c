/* vmtest vm console NAME */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/vm_task.h"
#include "core/fs.h"
#include "core/mem.h"
#include "vmtest/run.h"

#define LEAVE 0x1d /* Ctrl-] */
#define CHUNK 4096
#define LAST_MS 500 /* after the end of a piped input, for what the guest still says */

static volatile sig_atomic_t signalled;

static void on_signal(int sig)
{
    signalled = sig;
}

static int open_console(const struct vt_named *named, struct vt_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *path = vt_path_join(named->state_dir, "console");
    int fd = -1;
    if (!vt_named_pid(named)) {
        vt_fail(err, VT_ESTATE, "vm.console", "VM %s does not run", named->name);
        vt_hint(err, "`vmtest vm start %s` starts it", named->name);
    } else if (vt_named_in_run(named)) {
        vt_fail(err, VT_EBUSY, "vm.console", "the console of VM %s is in use by the run %s",
                named->name, named->run);
        vt_hint(err, "what it says is in %s", named->console_log ? named->console_log : "the log");
    } else if (strlen(path) >= sizeof address.sun_path) {
        vt_fail(err, VT_EINVAL, "vm.console", "the path %s is too long for a socket", path);
    } else {
        strncpy(address.sun_path, path, sizeof address.sun_path - 1);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) {
            vt_fail_sys(err, errno, "vm.console", "cannot reach the console of VM %s", named->name);
            if (fd >= 0)
                close(fd);
            fd = -1;
        }
    }
    vt_free(path);
    return fd;
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

/* Till the user leaves, the VM closes its end, or (not on a terminal) the input is over and the
 * guest has fallen silent. */
static void pump(int console, bool tty, struct vt_error *err)
{
    struct pollfd fds[] = {{.fd = console, .events = POLLIN},
                           {.fd = STDIN_FILENO, .events = POLLIN}};
    char data[CHUNK];
    while (!signalled && !err->code) {
        int ready = poll(fds, 2, fds[1].fd < 0 ? LAST_MS : -1);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return;
        if (fds[0].revents) {
            ssize_t n = read(console, data, sizeof data);
            if (n <= 0)
                return;
            vt_write_all(STDOUT_FILENO, data, (size_t)n, "standard output", err);
        }
        if (fds[1].fd >= 0 && fds[1].revents) {
            ssize_t n = read(STDIN_FILENO, data, sizeof data);
            if (n > 0 && !pass_keys(console, data, n, tty, err))
                return;
            if (n <= 0)
                fds[1].fd = -1;
        }
    }
}

static int talk(const char *name, int console, struct vt_error *err)
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
    pump(console, tty, err);
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
    int lock = -1, console = -1, code = VT_EXIT_OK;
    (void)values;
    if (!vt_named_find(args[0], &named, &err)) {
        char *path = vt_path_join(named->state_dir, "console.lock");
        console = open_console(named, &err);
        if (console >= 0 && vt_lock_file(path, &lock, &err) == VT_EBUSY) {
            long pid = 0;
            vt_lock_held(path, &pid);
            err = (struct vt_error)VT_ERROR_INIT;
            vt_fail(&err, VT_EBUSY, "vm.console", "process %ld has the console of VM %s", pid,
                    args[0]);
        }
        vt_free(path);
    }
    if (!err.code)
        code = talk(args[0], console, &err);
    if (console >= 0)
        close(console);
    if (lock >= 0)
        close(lock);
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
