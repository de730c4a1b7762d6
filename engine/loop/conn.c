#include "loop/conn.h"

#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "core/mem.h"
#include "loop/timer.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* Outlives its owner until libuv has closed the pipe, and the pipe its end until the owner lets go
 * of it. */
struct vt_conn {
    uv_pipe_t pipe;
    struct vt_loop *loop;
    struct vt_conn_handler handler;
    bool open, released;
    bool handle_closed;
    char chunk[16384];
};

static void free_if_done(struct vt_conn *c)
{
    if (!c->released || !c->handle_closed)
        return;
    vt_loop_release(c->loop);
    vt_free(c);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct vt_conn *c = handle->data;
    c->handle_closed = true;
    free_if_done(c);
}

static void close_pipe(struct vt_conn *c)
{
    if (c->open)
        uv_close((uv_handle_t *)&c->pipe, on_handle_closed);
    c->open = false;
}

void vt_conn_free(struct vt_conn *c)
{
    if (!c)
        return;
    c->released = true;
    close_pipe(c);
    free_if_done(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct vt_conn *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->chunk, sizeof c->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct vt_conn *c = stream->data;
    if (n > 0 && c->handler.data)
        c->handler.data(buf->base, (size_t)n, c->handler.user);
    if (n >= 0)
        return;
    close_pipe(c);
    if (c->handler.closed)
        c->handler.closed(c->handler.user);
}

struct vt_conn *vt_conn_new(struct vt_loop *loop, int fd, const struct vt_conn_handler *handler)
{
    struct vt_conn *c = vt_calloc(1, sizeof *c);
    c->loop = loop;
    c->handler = *handler;
    c->pipe.data = c;
    c->open = true;
    vt_loop_hold(loop);
    uv_pipe_init(vt_loop_uv(loop), &c->pipe, 0);
    uv_pipe_open(&c->pipe, fd);
    uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
    return c;
}

bool vt_conn_is_open(const struct vt_conn *c)
{
    return c && c->open;
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

bool vt_conn_write(struct vt_conn *c, const char *data, size_t n)
{
    if (!vt_conn_is_open(c))
        return false;
    struct write *w = vt_malloc(sizeof *w + n);
    memcpy(w->data, data, n);
    w->request.data = w;
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)n);
    if (!uv_write(&w->request, (uv_stream_t *)&c->pipe, &buf, 1, on_written))
        return true;
    vt_free(w);
    return false;
}

bool vt_conn_write_fd(struct vt_conn *c, const char *data, size_t n, int fd)
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
    uv_os_fd_t to = -1;
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    /* past libuv, so nothing may wait there */
    bool sent = vt_conn_is_open(c) && !vt_conn_unwritten(c) &&
                uv_fileno((uv_handle_t *)&c->pipe, &to) == 0 &&
                sendmsg(to, &message, MSG_NOSIGNAL) == (ssize_t)n;
    vt_free(copy);
    return sent;
}

size_t vt_conn_unwritten(const struct vt_conn *c)
{
    return vt_conn_is_open(c) ? uv_stream_get_write_queue_size((const uv_stream_t *)&c->pipe) : 0;
}
