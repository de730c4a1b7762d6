#include "net/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/socket.h"

#define ALONE_MS 3000               /* without a port, it ends */
#define QUEUE_MAX ((size_t)4 << 20) /* bytes a port has not taken; more is lost, as on any wire */
#define ETHERNET_HEADER 14
#define FDS_MAX 65536 /* descriptors that may have been inherited */

/* --- stations --- */

static int find(const struct vt_stations *s, const unsigned char *mac)
{
    for (size_t i = 0; i < s->count; i++)
        if (!memcmp(s->list[i].mac, mac, 6))
            return (int)i;
    return -1;
}

int vt_stations_route(struct vt_stations *s, const unsigned char *frame, int port)
{
    const unsigned char *to = frame, *from = frame + 6;
    if (!(from[0] & 1)) {
        int at = find(s, from);
        if (at < 0 && s->count < VT_STATIONS_MAX)
            at = (int)s->count++;
        else if (at < 0)
            at = (int)(s->oldest = (s->oldest + 1) % VT_STATIONS_MAX);
        memcpy(s->list[at].mac, from, 6);
        s->list[at].port = port;
    }
    int at = to[0] & 1 ? -1 : find(s, to);
    return at < 0 ? -1 : s->list[at].port;
}

void vt_stations_drop(struct vt_stations *s, int port)
{
    for (size_t i = s->count; i-- > 0;)
        if (s->list[i].port == port)
            s->list[i] = s->list[--s->count];
    s->oldest = 0;
}

/* --- the process --- */

struct port {
    uv_pipe_t pipe;
    struct vt_switch *of;
    int number;
    bool closing;
    struct vt_buf in;
};

struct vt_switch {
    uv_loop_t loop;
    uv_pipe_t listener;
    uv_timer_t alone;
    struct port *ports[VT_PORTS_MAX];
    size_t count;
    struct vt_stations stations;
    const char *socket, *lock;
    char chunk[65536];
};

static void on_port_closed(uv_handle_t *handle)
{
    struct port *p = handle->data;
    vt_buf_free(&p->in);
    vt_free(p);
}

static void on_alone(uv_timer_t *timer);

static void close_port(struct port *p)
{
    struct vt_switch *sw = p->of;
    if (p->closing)
        return;
    p->closing = true;
    sw->ports[p->number] = NULL;
    vt_stations_drop(&sw->stations, p->number);
    uv_close((uv_handle_t *)&p->pipe, on_port_closed);
    if (--sw->count == 0)
        uv_timer_start(&sw->alone, on_alone, ALONE_MS, 0);
}

struct write {
    uv_write_t request;
    struct port *port;
    char data[];
};

static void on_written(uv_write_t *request, int status)
{
    struct write *w = request->data;
    if (status)
        close_port(w->port);
    vt_free(w);
}

static void send_frame(struct port *p, const char *frame, size_t n)
{
    size_t waiting = uv_stream_get_write_queue_size((uv_stream_t *)&p->pipe), sent = 0;
    if (!waiting) {
        union { /* libuv takes char * and does not write to it */
            const char *from;
            char *to;
        } u = {.from = frame};
        uv_buf_t all = uv_buf_init(u.to, (unsigned)n);
        int rc = uv_try_write((uv_stream_t *)&p->pipe, &all, 1);
        sent = rc > 0 ? (size_t)rc : 0;
        if (rc < 0 && rc != UV_EAGAIN) {
            close_port(p);
            return;
        }
    }
    if (sent == n || waiting + n > QUEUE_MAX)
        return;
    struct write *w = vt_malloc(sizeof *w + n - sent);
    memcpy(w->data, frame + sent, n - sent);
    w->port = p;
    w->request.data = w;
    uv_buf_t rest = uv_buf_init(w->data, (unsigned)(n - sent));
    if (uv_write(&w->request, (uv_stream_t *)&p->pipe, &rest, 1, on_written)) {
        vt_free(w);
        close_port(p);
    }
}

/* `frame` with its length before it. */
static void forward(struct port *from, const char *frame, size_t n)
{
    struct vt_switch *sw = from->of;
    if (n < 4 + ETHERNET_HEADER)
        return;
    int to = vt_stations_route(&sw->stations, (const unsigned char *)frame + 4, from->number);
    for (int i = 0; i < VT_PORTS_MAX; i++)
        if (sw->ports[i] && i != from->number && (to < 0 || i == to))
            send_frame(sw->ports[i], frame, n);
}

static size_t frame_length(const char *head)
{
    const unsigned char *b = (const unsigned char *)head;
    return (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct port *p = handle->data;
    (void)suggested;
    *buf = uv_buf_init(p->of->chunk, sizeof p->of->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct port *p = stream->data;
    if (n < 0) {
        close_port(p);
        return;
    }
    vt_buf_add(&p->in, buf->base, (size_t)n);
    size_t at = 0;
    while (!p->closing && p->in.len - at >= 4) {
        size_t length = frame_length(p->in.data + at);
        if (length > VT_FRAME_MAX) {
            close_port(p);
            return;
        }
        if (p->in.len - at - 4 < length)
            break;
        forward(p, p->in.data + at, 4 + length);
        at += 4 + length;
    }
    if (!p->closing)
        vt_buf_consume(&p->in, at);
}

static struct port *new_port(struct vt_switch *sw)
{
    struct port *p = vt_calloc(1, sizeof *p);
    uv_pipe_init(&sw->loop, &p->pipe, 0);
    p->pipe.data = p;
    p->of = sw;
    while (p->number < VT_PORTS_MAX && sw->ports[p->number])
        p->number++;
    return p;
}

/* Once connected (0), or not. */
static void begin_port(struct port *p, int failed)
{
    struct vt_switch *sw = p->of;
    if (failed || p->number == VT_PORTS_MAX) {
        p->closing = true;
        uv_close((uv_handle_t *)&p->pipe, on_port_closed);
        return;
    }
    sw->ports[p->number] = p;
    sw->count++;
    uv_timer_stop(&sw->alone);
    uv_read_start((uv_stream_t *)&p->pipe, on_alloc, on_read);
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status)
        return;
    struct port *p = new_port(listener->data);
    begin_port(p, uv_accept(listener, (uv_stream_t *)&p->pipe));
}

/* Nobody connects while it holds the lock, so nobody is lost. */
static void on_alone(uv_timer_t *timer)
{
    struct vt_switch *sw = timer->data;
    int fd = -1;
    enum vt_code code = vt_lock_file(sw->lock, &fd, NULL);
    if (code == VT_EBUSY) {
        uv_timer_start(&sw->alone, on_alone, ALONE_MS, 0);
        return;
    }
    if (code) { /* the run's folder is gone: nobody can come any more */
        uv_stop(&sw->loop);
        return;
    }
    int listener;
    uv_fileno((uv_handle_t *)&sw->listener, &listener);
    int late = accept(listener, NULL, NULL);
    if (late >= 0) { /* it came just before the lock */
        struct port *p = new_port(sw);
        begin_port(p, uv_pipe_open(&p->pipe, late));
        close(fd);
        return;
    }
    unlink(sw->socket);
    close(fd);
    uv_stop(&sw->loop);
}

static void serve(int listener, const char *socket, const char *lock)
{
    static struct vt_switch sw;
    sw.socket = socket;
    sw.lock = lock;
    if (uv_loop_init(&sw.loop))
        return;
    uv_pipe_init(&sw.loop, &sw.listener, 0);
    uv_timer_init(&sw.loop, &sw.alone);
    sw.listener.data = sw.alone.data = &sw;
    if (uv_pipe_open(&sw.listener, listener) ||
        uv_listen((uv_stream_t *)&sw.listener, VT_PORTS_MAX, on_connection))
        return;
    uv_timer_start(&sw.alone, on_alone, ALONE_MS, 0);
    uv_run(&sw.loop, UV_RUN_DEFAULT);
}

/* Nothing of the caller's is held open: somebody may wait for its end, or for a lock. */
static void let_go(int listener)
{
    long limit = sysconf(_SC_OPEN_MAX);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2 && null >= 0; fd++)
        dup2(null, fd);
    for (int fd = 3; fd < (limit > 0 && limit < FDS_MAX ? (int)limit : FDS_MAX); fd++)
        if (fd != listener)
            close(fd);
    setsid();
}

int vt_switch_main(int argc, char **argv)
{
    struct vt_error err = VT_ERROR_INIT;
    if (argc != 4) {
        fputs("usage: vmtest __switch SOCKET LOCK\n", stderr);
        return 64;
    }
    int lock, listener = -1;
    if (!vt_lock_file(argv[3], &lock, &err)) {
        if (vt_socket_connect(argv[2], "net", &err) >= 0 || err.code == VT_EBUSY)
            return 0; /* another one serves it */
        err = (struct vt_error)VT_ERROR_INIT;
        listener = vt_socket_listen(argv[2], VT_PORTS_MAX, "net", &err);
        close(lock);
    }
    if (listener < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "cannot fork: %s\n", strerror(errno));
        return 1;
    }
    if (child == 0) {
        let_go(listener);
        serve(listener, argv[2], argv[3]);
    }
    return 0;
}
