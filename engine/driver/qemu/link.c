#include "driver/qemu/link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "core/mem.h"
#include "loop/timer.h"

#define OP "vm"
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

struct stream {
    uv_pipe_t pipe;
    bool open;
};

/* Outlives its owner until libuv has closed every handle. */
struct vt_qemu_link {
    struct vt_loop *loop;
    struct vt_qemu_link_handler handler;
    struct stream streams[VT_QEMU_SOCKETS];
    bool released;
    unsigned handles; /* not yet closed */
    char chunk[16384];
};

struct vt_qemu_link *vt_qemu_link_new(struct vt_loop *loop,
                                      const struct vt_qemu_link_handler *handler)
{
    struct vt_qemu_link *link = vt_calloc(1, sizeof *link);
    link->loop = loop;
    link->handler = *handler;
    vt_loop_hold(loop);
    return link;
}

static void free_if_closed(struct vt_qemu_link *link)
{
    if (link->handles || !link->released)
        return;
    vt_loop_release(link->loop);
    vt_free(link);
}

static void on_closed(uv_handle_t *handle)
{
    struct vt_qemu_link *link = handle->data;
    link->handles--;
    free_if_closed(link);
}

static void close_stream(struct stream *s)
{
    if (s->open) {
        s->open = false;
        uv_close((uv_handle_t *)&s->pipe, on_closed);
    }
}

void vt_qemu_link_free(struct vt_qemu_link *link)
{
    if (!link)
        return;
    link->released = true;
    for (int i = 0; i < VT_QEMU_SOCKETS; i++)
        close_stream(&link->streams[i]);
    free_if_closed(link);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct vt_qemu_link *link = handle->data;
    (void)suggested;
    *buf = uv_buf_init(link->chunk, sizeof link->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct vt_qemu_link *link = stream->data;
    enum vt_qemu_socket which = VT_QEMU_QMP;
    while ((void *)&link->streams[which].pipe != (void *)stream)
        which++;
    if (n > 0 && !link->released)
        link->handler.data(which, buf->base, (size_t)n, link->handler.user);
    if (n >= 0)
        return;
    close_stream(&link->streams[which]);
    if (!link->released)
        link->handler.closed(which, link->handler.user);
}

void vt_qemu_link_open(struct vt_qemu_link *link, enum vt_qemu_socket which, int fd)
{
    struct stream *s = &link->streams[which];
    uv_pipe_init(vt_loop_uv(link->loop), &s->pipe, 0);
    s->pipe.data = link;
    s->open = true;
    link->handles++;
    uv_pipe_open(&s->pipe, fd);
    uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_read);
}

bool vt_qemu_link_is_open(const struct vt_qemu_link *link, enum vt_qemu_socket which)
{
    return link->streams[which].open;
}

struct write {
    uv_write_t request;
    char data[];
};

static void on_written(uv_write_t *request, int status)
{
    (void)status; /* a connection that is gone is noticed by reading */
    vt_free(request->data);
}

void vt_qemu_link_write(struct vt_qemu_link *link, enum vt_qemu_socket which, const char *data,
                        size_t n)
{
    struct stream *s = &link->streams[which];
    if (!s->open || !n)
        return;
    struct write *w = vt_malloc(sizeof *w + n);
    memcpy(w->data, data, n);
    w->request.data = w;
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)n);
    if (uv_write(&w->request, (uv_stream_t *)&s->pipe, &buf, 1, on_written))
        vt_free(w);
}

bool vt_qemu_link_write_fd(struct vt_qemu_link *link, enum vt_qemu_socket which, const char *data,
                           size_t n, int fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    char *copy = vt_strndup(data, n);
    struct iovec bytes = {.iov_base = copy, .iov_len = n};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    struct stream *s = &link->streams[which];
    uv_os_fd_t to = -1;
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    /* past libuv, so nothing may wait there */
    bool sent = s->open && !uv_stream_get_write_queue_size((uv_stream_t *)&s->pipe) &&
                uv_fileno((uv_handle_t *)&s->pipe, &to) == 0 &&
                sendmsg(to, &message, MSG_NOSIGNAL) == (ssize_t)n;
    vt_free(copy);
    return sent;
}

size_t vt_qemu_link_unwritten(const struct vt_qemu_link *link, enum vt_qemu_socket which)
{
    const struct stream *s = &link->streams[which];
    return s->open ? uv_stream_get_write_queue_size((const uv_stream_t *)&s->pipe) : 0;
}

bool vt_qemu_socket_path_fits(const char *path)
{
    return strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path;
}

static int open_socket(const char *path, struct sockaddr_un *address, struct vt_error *err)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!vt_qemu_socket_path_fits(path)) {
        vt_fail(err, VT_EINVAL, OP, "the path %s is too long for a socket", path);
        return -1;
    }
    strncpy(address->sun_path, path, sizeof address->sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        vt_fail_sys(err, errno, OP, "cannot make a socket");
    else
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

int vt_qemu_socket_listen(const char *path, struct vt_error *err)
{
    struct sockaddr_un address;
    int fd = open_socket(path, &address, err);
    if (fd < 0)
        return -1;
    unlink(path);
    if (!bind(fd, (struct sockaddr *)&address, sizeof address) && !listen(fd, 4))
        return fd;
    vt_fail_sys(err, errno, OP, "cannot make the socket %s", path);
    close(fd);
    return -1;
}

int vt_qemu_socket_connect(const char *path, struct vt_error *err)
{
    struct sockaddr_un address;
    int fd = open_socket(path, &address, err);
    if (fd < 0)
        return -1;
    /* a full queue of waiting connections would block */
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (!connect(fd, (struct sockaddr *)&address, sizeof address))
        return fd;
    if (errno == EAGAIN)
        vt_fail(err, VT_EBUSY, OP, "too many others wait at %s", path);
    else
        vt_fail_sys(err, errno, OP, "cannot connect to %s", path);
    close(fd);
    return -1;
}
