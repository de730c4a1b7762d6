/* macOS as a guest. Its vsock is that of xnu's bsd/kern/vsock_domain.c and bsd/sys/vsock.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sys/vsock.h>

#include "agent.h"
#include "system.h"

/* ---- vsock ---- */

/* Of a socket that does not wait, older kernels copy what is written before they see that the host
 * has no room for it; then they drop it, and tell the writer that it went. So do they where a
 * signal ends the waiting, which is why main.c lets signals in at its poll() alone. */
const bool system_vsock_write_waits = true;

int system_vsock_listen(uint32_t number)
{
    struct sockaddr_vm address = {.svm_len = sizeof address,
                                  .svm_family = AF_VSOCK,
                                  .svm_port = number,
                                  .svm_cid = VMADDR_CID_ANY};
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0); /* ENODEV before the driver is there */
    if (fd < 0)
        return -1;
    fd_ready(fd, false);
    if (!bind(fd, (struct sockaddr *)&address, sizeof address) && !listen(fd, 4))
        return fd;
    int sys = errno;
    close(fd);
    errno = sys;
    return -1;
}

bool system_vsock_from_host(int fd)
{
    struct sockaddr_vm peer = {.svm_family = 0};
    socklen_t size = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &size))
        return false;
    return peer.svm_family != AF_VSOCK || peer.svm_cid == VMADDR_CID_HOST;
}

/* ---- a device: macOS has no ports of virtio by name ---- */

int system_port_open(const char *name)
{
    if (strchr(name, '/'))
        return open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    errno = ENOENT;
    return -1;
}

void system_port_await(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, 0) == 1 && p.revents & POLLHUP)
        poll(NULL, 0, 200);
}

/* ---- the system's state ---- */

/* The kernel mixes what is written into its generator. */
int system_seed(const unsigned char *seed, size_t n)
{
    int fd = open("/dev/random", O_WRONLY | O_CLOEXEC);
    ssize_t done = fd < 0 ? -1 : write(fd, seed, n);
    int rc = done < 0 ? errno : done < (ssize_t)n ? EIO : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

const struct passwd *system_user(void)
{
    return getpwuid(getuid());
}

int system_folder_open(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}
