#include "core/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool vt_socket_path_fits(const char *path)
{
    return strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path;
}

static int open_socket(const char *path, struct sockaddr_un *address, const char *op,
                       struct vt_error *err)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!vt_socket_path_fits(path)) {
        vt_fail(err, VT_EINVAL, op, "the path %s is too long for a socket", path);
        return -1;
    }
    strncpy(address->sun_path, path, sizeof address->sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        vt_fail_sys(err, errno, op, "cannot make a socket");
    else
        fcntl(fd, F_SETFD, FD_CLOEXEC);
#ifdef SO_NOSIGPIPE /* where send() has no MSG_NOSIGNAL */
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int));
#endif
    return fd;
}

int vt_socket_listen(const char *path, int waiting, const char *op, struct vt_error *err)
{
    struct sockaddr_un address;
    int fd = open_socket(path, &address, op, err);
    if (fd < 0)
        return -1;
    unlink(path);
    if (!bind(fd, (struct sockaddr *)&address, sizeof address) && !listen(fd, waiting))
        return fd;
    vt_fail_sys(err, errno, op, "cannot make the socket %s", path);
    close(fd);
    return -1;
}

int vt_socket_connect(const char *path, const char *op, struct vt_error *err)
{
    struct sockaddr_un address;
    int fd = open_socket(path, &address, op, err);
    if (fd < 0)
        return -1;
    fcntl(fd, F_SETFL, O_NONBLOCK); /* a full queue of waiting connections would block */
    if (!connect(fd, (struct sockaddr *)&address, sizeof address))
        return fd;
    if (errno == EAGAIN)
        vt_fail(err, VT_EBUSY, op, "too many others wait at %s", path);
    else
        vt_fail_sys(err, errno, op, "cannot connect to %s", path);
    close(fd);
    return -1;
}
