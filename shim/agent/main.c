#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

static const char port_name[] = "org.vmtest.agent.0";
enum { vsock_port = 30285 }; /* protocol.md */

static const char usage[] =
    "Usage: vmtest-agent [--port NAME|PATH | --vsock PORT | --listen PATH | --fd N]\n"
    "\n"
    "Runs commands and moves files in this machine for vmtest, which asks over a virtio-serial\n"
    "port or a vsock socket. Without an option: the port org.vmtest.agent.0 where it is there,\n"
    "else vsock, port 30285.\n"
    "\n"
    "  --port NAME    the port of this name, or a device's path\n"
    "  --vsock PORT   listens there for the host; the latest connection counts\n"
    "  --listen PATH  a unix socket instead, likewise\n"
    "  --fd N         an open, connected descriptor instead; ends with it\n";

static void options(int argc, char **argv)
{
    enum port_kind kind = PORT_AUTO;
    const char *name = port_name;
    unsigned long number = vsock_port;
    for (int i = 1; i < argc; i += 2) {
        char *end = NULL;
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            exit(0);
        }
        bool good = value && value[0];
        if (good && !strcmp(argv[i], "--port")) {
            kind = PORT_DEVICE;
            name = value;
        } else if (good && !strcmp(argv[i], "--listen")) {
            kind = PORT_LISTEN;
            name = value;
        } else if (good && !strcmp(argv[i], "--vsock")) {
            kind = PORT_VSOCK;
            number = strtoul(value, &end, 10);
            good = !*end && number > 0 && number < UINT32_MAX;
        } else if (good && !strcmp(argv[i], "--fd")) {
            kind = PORT_FD;
            number = strtoul(value, &end, 10);
            good = !*end && number < INT_MAX && fcntl((int)number, F_GETFD) >= 0;
        } else {
            good = false;
        }
        if (!good) {
            fputs(usage, stderr);
            exit(2);
        }
    }
    port_init(kind, name, (unsigned)number);
}

/* Descriptors 0 to 2 are always open, so that none of ours becomes one of them. */
static void open_standard(void)
{
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < 2)
        fd = dup(fd);
    if (fd > 2)
        close(fd);
}

static int ended[2]; /* a byte in it: a child has ended */

static void on_child(int sig)
{
    int sys = errno;
    (void)sig;
    ssize_t n = write(ended[1], "", 1); /* where it is full it tells already */
    (void)n;
    errno = sys;
}

/* SIGCHLD comes in at poll() alone: no other call is to be interrupted. SIGIO is waited for. */
static void set_signals(sigset_t *child)
{
    const struct sigaction told = {.sa_handler = on_child, .sa_flags = SA_NOCLDSTOP};
    sigset_t io;
    sigemptyset(child);
    sigaddset(child, SIGCHLD);
    sigemptyset(&io);
    sigaddset(&io, SIGIO);
    sigprocmask(SIG_BLOCK, child, NULL);
    sigprocmask(SIG_BLOCK, &io, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGCHLD, &told, NULL);
}

/* False where it cannot be. */
static bool wait_for(struct pollfd *p, unsigned n, const sigset_t *child)
{
    sigprocmask(SIG_UNBLOCK, child, NULL); /* what came before fills the pipe now */
    int rc = poll(p, n, exec_wait());
    int sys = errno;
    sigprocmask(SIG_BLOCK, child, NULL);
    return rc >= 0 || sys == EINTR;
}

static void reap(void)
{
    char seen[64];
    while (read(ended[0], seen, sizeof seen) > 0)
        ;
    exec_reap();
}

int main(int argc, char **argv)
{
    size_t room = 16;
    struct pollfd *p = need(calloc(room, sizeof *p));
    open_standard();
    options(argc, argv);
    umask(022);
    sigset_t child;
    if (fd_pipe(ended)) {
        perror("vmtest-agent: pipe");
        return 1;
    }
    fd_ready(ended[0], false);
    fd_ready(ended[1], false);
    set_signals(&child);
    spawn_init();
    for (;;) {
        port_open();
        size_t most = 1 + PORT_POLLED + 3 * channels_count();
        if (most > room) {
            room = 2 * most;
            p = need(realloc(p, room * sizeof *p));
        }
        p[0] = (struct pollfd){.fd = ended[0], .events = POLLIN};
        port_poll(&p[1]);
        unsigned n = channels_poll(p + 1 + PORT_POLLED);
        if (!wait_for(p, 1 + PORT_POLLED + n, &child))
            return 1;
        channels_handle(p + 1 + PORT_POLLED);
        if (p[0].revents)
            reap();
        exec_tick();
        port_handle(&p[1]);
        port_flush();
    }
}
