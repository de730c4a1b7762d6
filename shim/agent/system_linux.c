#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "agent.h"
#include "system.h"

/* ---- vsock ---- */

const bool system_vsock_write_waits = false;

int system_vsock_listen(uint32_t number)
{
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_port = number, .svm_cid = VMADDR_CID_ANY};
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
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

/* ---- the virtio-serial port ---- */

/* The device whose sysfs entry has this name: without udev there are no links by name. */
static int open_by_name(const char *name)
{
    static const char folder[] = "/sys/class/virtio-ports";
    DIR *dir = opendir(folder);
    int fd = -1;
    for (const struct dirent *e; fd < 0 && dir && (e = readdir(dir));) {
        char path[sizeof folder + sizeof e->d_name + 8], found[128] = "";
        snprintf(path, sizeof path, "%s/%s/name", folder, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (!f)
            continue;
        if (!fgets(found, sizeof found, f))
            found[0] = '\0';
        fclose(f);
        found[strcspn(found, "\n")] = '\0';
        if (strcmp(found, name) != 0)
            continue;
        snprintf(path, sizeof path, "/dev/%s", e->d_name);
        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
    if (dir)
        closedir(dir);
    return fd;
}

int system_port_open(const char *name)
{
    return strchr(name, '/') ? open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
                             : open_by_name(name);
}

/* SIGIO tells, which main.c blocks for this. */
void system_port_await(int fd)
{
    sigset_t io;
    sigemptyset(&io);
    sigaddset(&io, SIGIO);
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETOWN, getpid());
    fcntl(fd, F_SETFL, flags | O_ASYNC);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, 0) == 1 && p.revents & POLLHUP) /* it came before the signal was asked for */
        sigtimedwait(&io, NULL, &(struct timespec){.tv_nsec = 200000000});
    fcntl(fd, F_SETFL, flags);
}

/* ---- the system's state ---- */

int system_seed(const unsigned char *seed, size_t n)
{
    struct rand_pool_info *info = need(calloc(1, sizeof *info + SYSTEM_SEED_MOST));
    info->entropy_count = (int)n * 8;
    info->buf_size = (int)n;
    memcpy(info->buf, seed, n);
    int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC), rc = 0;
    /* without the second call the new bytes would count only minutes later; old kernels lack it */
    if (fd < 0 || ioctl(fd, RNDADDENTROPY, info) ||
        (ioctl(fd, RNDRESEEDCRNG) && errno != EINVAL && errno != ENOTTY))
        rc = errno;
    if (fd >= 0)
        close(fd);
    free(info);
    return rc;
}

/* Read as a file: a static program has no other sources of users. */
const struct passwd *system_user(void)
{
    FILE *f = fopen("/etc/passwd", "re");
    const struct passwd *p = NULL;
    while (f && (p = fgetpwent(f)) && p->pw_uid != getuid())
        ;
    if (f)
        fclose(f);
    return p;
}

int system_folder_open(const char *path)
{
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}
