#include "vz/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

void vtz_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

bool vtz_pipe(int ends[2])
{
    if (pipe(ends)) /* macOS has no pipe2() */
        return false;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return true;
}

int vtz_listen(const char *path, struct vtz_failure *failure)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || strlen(path) >= sizeof address.sun_path) {
        vtz_fail(failure, VTZ_FILE, "%s: %s", path, strerror(fd < 0 ? errno : ENAMETOOLONG));
    } else {
        memcpy(address.sun_path, path, strlen(path) + 1);
        vtz_nonblocking(fd);
        mode_t before = umask(0177);
        int bound = bind(fd, (const struct sockaddr *)&address, sizeof address);
        int why = errno;
        umask(before);
        if (bound == 0 && listen(fd, 16) == 0)
            return fd;
        vtz_fail(failure, VTZ_FILE, "%s: %s", path,
                 why == EADDRINUSE ? "exists already" : strerror(why));
        if (bound == 0)
            unlink(path);
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

int vtz_accept(int listener)
{
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0)
        vtz_nonblocking(fd);
    return fd;
}
