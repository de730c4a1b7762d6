#include "guest/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "core/mem.h"
#include "loop/timer.h"

#ifdef MSG_NOSIGNAL
enum { send_flags = MSG_NOSIGNAL };
#else
enum { send_flags = 0 }; /* SO_NOSIGPIPE is set where there is no such flag */
#endif

#define SENT_MAX ((size_t)512 << 10) /* kept before what waits behind it is moved up */

static void on_closed(uv_handle_t *handle)
{
    vt_free(handle);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    const struct vt__wire *w = poll->data;
    w->fn(w->user, status < 0 ? uv_strerror(status) : NULL, events & UV_READABLE);
}

enum vt_code vt__wire_open(struct vt__wire *w, struct vt_loop *loop, int fd, const char *op,
                           vt__wire_fn fn, void *user, struct vt_error *err)
{
    uv_poll_t *poll = vt_calloc(1, sizeof *poll);
    int rc = uv_poll_init(vt_loop_uv(loop), poll, fd);
    if (rc) {
        vt_free(poll);
        close(fd);
        return vt_fail(err, VT_EIO, op, "cannot watch a socket: %s", uv_strerror(rc));
    }
    *w = (struct vt__wire){.fd = fd, .poll = poll, .fn = fn, .user = user};
    poll->data = w;
    return VT_OK;
}

void vt__wire_close(struct vt__wire *w)
{
    uv_close((uv_handle_t *)w->poll, on_closed);
    close(w->fd);
    vt_buf_free(&w->out);
    w->sent = 0;
}

size_t vt__wire_unsent(const struct vt__wire *w)
{
    return w->out.len - w->sent;
}

void vt__wire_watch(struct vt__wire *w, bool reads)
{
    int events = (reads ? UV_READABLE : 0) | (vt__wire_unsent(w) ? UV_WRITABLE : 0);
    if (events == w->events)
        return;
    w->events = events;
    if (events)
        uv_poll_start(w->poll, events, on_event);
    else
        uv_poll_stop(w->poll);
}

static bool is_later(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

const char *vt__wire_flush(struct vt__wire *w)
{
    while (vt__wire_unsent(w)) {
        ssize_t n = send(w->fd, w->out.data + w->sent, vt__wire_unsent(w), send_flags);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && is_later())
            break;
        if (n < 0)
            return strerror(errno);
        w->sent += (size_t)n;
    }
    if (!vt__wire_unsent(w)) {
        vt_buf_clear(&w->out);
        w->sent = 0;
    } else if (w->sent > SENT_MAX) {
        vt_buf_consume(&w->out, w->sent);
        w->sent = 0;
    }
    return NULL;
}

ssize_t vt__wire_receive(struct vt__wire *w, void *data, size_t size, const char **broken)
{
    ssize_t n;
    do
        n = recv(w->fd, data, size, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    if (n < 0 && is_later())
        return 0;
    *broken = n ? strerror(errno) : NULL;
    return -1;
}
