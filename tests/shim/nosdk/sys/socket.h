#ifndef VT_NOSDK_SYS_SOCKET_H
#define VT_NOSDK_SYS_SOCKET_H

#include <sys/types.h>

typedef uint32_t socklen_t;
typedef uint8_t sa_family_t;
struct sockaddr {
    uint8_t sa_len;
    sa_family_t sa_family;
    char sa_data[14];
};
#define AF_UNIX 1
#define AF_VSOCK 40
#define SOCK_STREAM 1
#define MSG_DONTWAIT 0x80
int socket(int domain, int type, int protocol);
int bind(int fd, const struct sockaddr *address, socklen_t size);
int listen(int fd, int backlog);
int accept(int fd, struct sockaddr *restrict address, socklen_t *restrict size);
int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict size);
ssize_t recv(int fd, void *to, size_t n, int flags);

#endif
