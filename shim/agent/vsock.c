#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "agent.h"

int vsock_listen(uint32_t number)
{
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_port = number, .svm_cid = VMADDR_CID_ANY};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (!bind(fd, (struct sockaddr *)&address, sizeof address) && !listen(fd, 4))
        return fd;
    int sys = errno;
    close(fd);
    errno = sys;
    return -1;
}

bool vsock_from_host(int fd)
{
    struct sockaddr_vm peer = {.svm_family = 0};
    socklen_t size = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &size))
        return false;
    return peer.svm_family != AF_VSOCK || peer.svm_cid == VMADDR_CID_HOST;
}
