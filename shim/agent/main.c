#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

static const char port_name[] = "org.vmtest.agent.0";

static const char usage[] =
    "Usage: vmtest-agent [--port NAME|PATH | --listen PATH | --fd N]\n"
    "\n"
    "Runs commands and moves files in this machine for vmtest, which asks over a virtio-serial\n"
    "port.\n"
    "\n"
    "  --port NAME    the port of this name (default: org.vmtest.agent.0), or a device's path\n"
    "  --listen PATH  a unix socket instead, one connection at a time\n"
    "  --fd N         an open, connected descriptor instead; ends with it\n";

static void options(int argc, char **argv)
{
    enum port_kind kind = PORT_DEVICE;
    const char *name = port_name;
    int fd = -1;
    for (int i = 1; i < argc; i += 2) {
        char *end = NULL;
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            exit(0);
        }
        bool good = value && value[0];
        if (good && !strcmp(argv[i], "--port")) {
            name = value;
        } else if (good && !strcmp(argv[i], "--listen")) {
            kind = PORT_LISTEN;
            name = value;
        } else if (good && !strcmp(argv[i], "--fd")) {
            kind = PORT_FD;
            fd = (int)strtol(value, &end, 10);
            good = !*end && fcntl(fd, F_GETFD) >= 0;
        } else {
            good = false;
        }
        if (!good) {
            fputs(usage, stderr);
            exit(2);
        }
    }
    port_init(kind, name, fd);
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
        size_t most = 2 + 3 * channels_count();
        if (most > room) {
            room = 2 * most;
            p = need(realloc(p, room * sizeof *p));
        }
        p[0] = (struct pollfd){.fd = children, .events = POLLIN};
        port_poll(&p[1]);
        unsigned n = channels_poll(p + 2);
        if (poll(p, 2 + n, exec_wait()) < 0 && errno != EINTR)
            return 1;
        channels_handle(p + 2);
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
