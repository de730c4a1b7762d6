#include "qemu_shares.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { served_fd = 3 };

static const char *find_server(void)
{
    static const char *const places[] = {"/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd",
                                         "/usr/lib/virtiofsd"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

static bool make_read_only(const char *folder)
{
    return !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
           !mount(folder, folder, NULL, MS_BIND, NULL) &&
           !mount(NULL, folder, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
}

static void become(const struct guest_share *share, const char *server, int listener)
{
    char source[4096], fd[16];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    snprintf(source, sizeof source, "source=%s", share->path);
    snprintf(fd, sizeof fd, "--fd=%d", served_fd);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int high = fcntl(listener, F_DUPFD_CLOEXEC, 64);
    if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(high, served_fd) < 0 ||
        (share->read_only && !make_read_only(share->path)))
        _exit(126);
    close_range(served_fd + 1, ~0u, 0);
    execl(server, server, fd, "-o", source, "-o", "cache=auto", (char *)NULL);
    _exit(127);
}

int qemu_share_serve(const struct guest_share *share, const char *socket_name, char why[GUEST_WHY])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *server = find_server();
    if (share->name || !server || geteuid() != 0 || strchr(share->path, ',') ||
        strlen(socket_name) + 1 >= sizeof address.sun_path) {
        snprintf(why, GUEST_WHY,
                 "the share %.60s cannot be served here: that needs root, virtiofsd, "
                 "one folder, and no comma in its path",
                 share->tag);
        return -1;
    }
    size_t n = strlen(socket_name);
    memcpy(address.sun_path + 1, socket_name, n);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid = -1;
    if (fd >= 0 && !bind(fd, (struct sockaddr *)&address, size) && !listen(fd, 1))
        pid = fork();
    if (pid == 0)
        become(share, server, fd);
    if (pid < 0)
        snprintf(why, GUEST_WHY, "the share %.60s: %s", share->tag, strerror(errno));
    if (fd >= 0)
        close(fd);
    return pid;
}
