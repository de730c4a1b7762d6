#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
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

static int block_signals(void)
{
    sigset_t child, blocked;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    blocked = child;
    sigaddset(&blocked, SIGIO);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(int argc, char **argv)
{
    size_t room = 16;
    struct pollfd *p = need(calloc(room, sizeof *p));
    open_standard();
    options(argc, argv);
    umask(022);
    int children = block_signals();
    if (children < 0) {
        perror("vmtest-agent: signalfd");
        return 1;
    }
    spawn_init();
    for (;;) {
        port_open();
        size_t most = 1 + PORT_POLLED + 3 * channels_count();
        if (most > room) {
            room = 2 * most;
            p = need(realloc(p, room * sizeof *p));
        }
        p[0] = (struct pollfd){.fd = children, .events = POLLIN};
        port_poll(&p[1]);
        unsigned n = channels_poll(p + 1 + PORT_POLLED);
        if (poll(p, 1 + PORT_POLLED + n, exec_wait()) < 0 && errno != EINTR)
            return 1;
        channels_handle(p + 1 + PORT_POLLED);
        struct signalfd_siginfo seen[16];
        if (p[0].revents) {
            while (read(children, seen, sizeof seen) == (ssize_t)sizeof seen)
                ;
            exec_reap();
        }
        exec_tick();
        port_handle(&p[1]);
        port_flush();
    }
}
