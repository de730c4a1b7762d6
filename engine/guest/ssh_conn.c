#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "guest/ssh_internal.h"

#ifdef MSG_NOSIGNAL
enum { send_flags = MSG_NOSIGNAL };
#else
enum { send_flags = 0 }; /* SO_NOSIGPIPE is set where there is no such flag (ssh_dial.c) */
#endif

enum {
    max_rounds = 8,          /* of stepping before other events of the loop have their turn */
    max_block = 1024 * 1024, /* no legitimate allocation of libssh2 comes near; some sizes in it
                                come from the peer unchecked */
};

/* ---- libssh2's memory and socket ---- */

/* A block of a session's memory. All are on a list, since libssh2 forgets some of them when a
 * session ends in the middle of a key exchange. */
struct vt__ssh_block {
    struct vt__ssh_block *next, *prev;
    size_t size;
    max_align_t data[];
};

static struct vt__ssh_block *block_of(void *p)
{
    return (struct vt__ssh_block *)(void *)((char *)p - offsetof(struct vt__ssh_block, data));
}

void *vt__ssh_alloc(struct vt__ssh_conn *c, size_t n)
{
    if (n > max_block)
        return NULL;
    struct vt__ssh_block *b = vt_calloc(1, sizeof *b + n);
    b->size = n;
    b->next = c->blocks;
    if (b->next)
        b->next->prev = b;
    c->blocks = b;
    return b->data;
}

static void release(struct vt__ssh_conn *c, struct vt__ssh_block *b)
{
    if (b->prev)
        b->prev->next = b->next;
    else
        c->blocks = b->next;
    if (b->next)
        b->next->prev = b->prev;
    vt_free(b);
}

static void *session_alloc(size_t n, void **abstract)
{
    return vt__ssh_alloc(*abstract, n);
}

static void session_free(void *p, void **abstract)
{
    if (p)
        release(*abstract, block_of(p));
}

static void *session_realloc(void *p, size_t n, void **abstract)
{
    void *to = vt__ssh_alloc(*abstract, n);
    if (!to || !p)
        return to;
    size_t size = block_of(p)->size;
    memcpy(to, p, size < n ? size : n);
    session_free(p, abstract);
    return to;
}

static ssize_t session_recv(libssh2_socket_t fd, void *buffer, size_t n, int flags, void **abstract)
{
    struct vt__ssh_conn *c = *abstract;
    (void)fd;
    (void)flags;
    if (c->dead)
        return -ECONNRESET;
    size_t have = c->in_tail - c->in_head;
    if (!have)
        return -EAGAIN;
    if (n > have)
        n = have;
    memcpy(buffer, c->in + c->in_head, n);
    c->in_head += n;
    c->in_total += n;
    if (c->in_head == c->in_tail)
        c->in_head = c->in_tail = 0;
    return (ssize_t)n;
}

static ssize_t session_send(libssh2_socket_t fd, const void *buffer, size_t n, int flags,
                            void **abstract)
{
    struct vt__ssh_conn *c = *abstract;
    (void)fd;
    (void)flags;
    if (!c->dead)
        vt_buf_add(&c->out, buffer, n);
    return (ssize_t)n;
}

#if LIBSSH2_VERSION_NUM >= 0x010b01
static void set_callbacks(LIBSSH2_SESSION *session)
{
    libssh2_session_callback_set2(session, LIBSSH2_CALLBACK_RECV,
                                  (libssh2_cb_generic *)session_recv);
    libssh2_session_callback_set2(session, LIBSSH2_CALLBACK_SEND,
                                  (libssh2_cb_generic *)session_send);
}
#else
static void set_callbacks(LIBSSH2_SESSION *session)
{
    /* the interface takes functions as void *, which C itself does not convert */
    union {
        ssize_t (*recv)(libssh2_socket_t, void *, size_t, int, void **);
        ssize_t (*send)(libssh2_socket_t, const void *, size_t, int, void **);
        void *pointer;
    } receive = {.recv = session_recv}, transmit = {.send = session_send};
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_RECV, receive.pointer);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_SEND, transmit.pointer);
}
#endif

/* ---- tasks ---- */

void vt__ssh_task_add(struct vt__ssh_conn *c, struct vt__ssh_task *task)
{
    task->conn = c;
    task->prev = c->tail;
    task->next = NULL;
    if (c->tail)
        c->tail->next = task;
    else
        c->tasks = task;
    c->tail = task;
}

void vt__ssh_task_remove(struct vt__ssh_task *task)
{
    struct vt__ssh_conn *c = task->conn;
    if (c->cursor == task)
        c->cursor = task->next;
    if (c->turn == task)
        c->turn = NULL;
    if (task->prev)
        task->prev->next = task->next;
    else
        c->tasks = task->next;
    if (task->next)
        task->next->prev = task->prev;
    else
        c->tail = task->prev;
    task->next = task->prev = NULL;
}

/* Steps each task once. True where anything moved. */
static bool step_all(struct vt__ssh_conn *c)
{
    uint64_t taken = c->in_total;
    bool moved = false;
    c->dirty = false;
    c->cursor = c->tasks;
    while (c->cursor && !c->dead && !c->broken.code) {
        struct vt__ssh_task *task = c->cursor;
        c->cursor = task->next;
        moved |= task->step(task);
    }
    c->cursor = NULL;
    return moved || c->dirty || c->in_total != taken;
}

/* ---- the socket ---- */

static void on_socket(uv_poll_t *poll, int status, int events);

static void flush(struct vt__ssh_conn *c)
{
    while (!c->broken.code && c->out_head < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->out_head, c->out.len - c->out_head, send_flags);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0)
            vt_fail(&c->broken, VT_EGUEST, "ssh", "the connection to the guest was lost: %s",
                    strerror(errno));
        else
            c->out_head += (size_t)n;
    }
    if (c->out_head == c->out.len) {
        vt_buf_clear(&c->out);
        c->out_head = 0;
    } else if (c->out_head > VT__SSH_OUT_SOFT) {
        vt_buf_consume(&c->out, c->out_head);
        c->out_head = 0;
    }
}

static void fill(struct vt__ssh_conn *c)
{
    if (c->in_head) {
        memmove(c->in, c->in + c->in_head, c->in_tail - c->in_head);
        c->in_tail -= c->in_head;
        c->in_head = 0;
    }
    if (c->in_tail == VT__SSH_IN_SIZE || c->closed_by_peer)
        return;
    ssize_t n;
    do
        n = recv(c->fd, c->in + c->in_tail, VT__SSH_IN_SIZE - c->in_tail, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        c->in_tail += (size_t)n;
    else if (n == 0)
        c->closed_by_peer = true;
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        vt_fail(&c->broken, VT_EGUEST, "ssh", "the connection to the guest was lost: %s",
                strerror(errno));
}

static void update_poll(struct vt__ssh_conn *c)
{
    int events = 0;
    if (c->in_tail - c->in_head < VT__SSH_IN_SIZE && !c->closed_by_peer)
        events |= UV_READABLE;
    if (c->out_head < c->out.len)
        events |= UV_WRITABLE;
    if (events == c->events)
        return;
    c->events = events;
    if (events)
        uv_poll_start(c->poll, events, on_socket);
    else
        uv_poll_stop(c->poll);
}

/* ---- life ---- */

static void on_poll_closed(uv_handle_t *handle)
{
    vt_free(handle);
}

static void destroy(struct vt__ssh_conn *c)
{
    /* with our socket functions dead nothing can wait any more; the bound is for peace of mind */
    for (int i = 0; i < 1000 && libssh2_session_free(c->session) == LIBSSH2_ERROR_EAGAIN; i++)
        continue;
    while (c->blocks)
        release(c, c->blocks);
    vt_buf_free(&c->out);
    vt_free(c->in);
    vt_free(c);
}

void vt__ssh_conn_close(struct vt__ssh_conn *c, const struct vt_error *why)
{
    if (c->dead)
        return;
    c->dead = true;
    c->cursor = NULL;
    vt_timer_clear(&c->again);
    vt_timer_clear(&c->hold);
    vt_timer_clear(&c->patience);
    uv_poll_stop(c->poll);
    uv_close((uv_handle_t *)c->poll, on_poll_closed);
    close(c->fd);
    while (c->tasks) {
        struct vt__ssh_task *task = c->tasks;
        vt__ssh_task_remove(task);
        task->lost(task, why);
    }
    if (!c->pumping)
        destroy(c);
}

static void on_again(struct vt_timer *timer)
{
    vt__ssh_conn_kick(timer->user);
}

void vt__ssh_conn_kick(struct vt__ssh_conn *c)
{
    if (c->pumping || c->dead) {
        c->dirty = true;
        return;
    }
    c->pumping = true;
    bool more = true;
    for (int i = 0; i < max_rounds && more && !c->dead && !c->broken.code; i++) {
        more = step_all(c);
        if (!c->dead)
            flush(c);
    }
    c->pumping = false;
    if (c->dead) {
        destroy(c);
        return;
    }
    if (!more && c->closed_by_peer)
        vt_fail(&c->broken, VT_EGUEST, "ssh", "the guest closed the connection");
    if (c->broken.code) {
        struct vt_error why = c->broken;
        void (*on_lost)(void *, const struct vt_error *) = c->on_lost;
        void *user = c->user;
        vt__ssh_conn_close(c, &why);
        on_lost(user, &why);
        return;
    }
    if (more)
        vt_timer_set(&c->again, c->loop, 0, on_again, c);
    update_poll(c);
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct vt__ssh_conn *c = poll->data;
    (void)events;
    if (status < 0)
        vt_fail(&c->broken, VT_EGUEST, "ssh", "the connection to the guest was lost: %s",
                uv_strerror(status));
    else
        fill(c);
    vt__ssh_conn_kick(c);
}

struct vt__ssh_conn *vt__ssh_conn_new(struct vt_loop *loop, int fd, const char *seen, size_t n,
                                      void (*on_lost)(void *user, const struct vt_error *why),
                                      void *user, struct vt_error *err)
{
    struct vt__ssh_conn *c = vt_calloc(1, sizeof *c);
    c->session = libssh2_session_init_ex(session_alloc, session_free, session_realloc, c);
    uv_poll_t *poll = vt_calloc(1, sizeof *poll);
    int rc = c->session ? uv_poll_init(vt_loop_uv(loop), poll, fd) : UV_ENOMEM;
    if (rc) {
        vt_fail(err, VT_EIO, "ssh", "cannot watch a socket: %s", uv_strerror(rc));
        if (c->session)
            libssh2_session_free(c->session);
        vt_free(poll);
        vt_free(c);
        close(fd);
        return NULL;
    }
    poll->data = c;
    c->loop = loop;
    c->fd = fd;
    c->poll = poll;
    c->on_lost = on_lost;
    c->user = user;
    c->channel_limit = UINT32_MAX;
    c->in = vt_malloc(VT__SSH_IN_SIZE);
    memcpy(c->in, seen, n);
    c->in_tail = n;
    libssh2_session_set_blocking(c->session, 0);
    set_callbacks(c->session);
    update_poll(c);
    return c;
}

void vt__ssh_conn_break(struct vt__ssh_conn *c, const char *doing)
{
    vt_fail(&c->broken, VT_EGUEST, "ssh", "the connection failed while %s: %s", doing,
            vt__ssh_last_error(c));
    c->dirty = true;
}

bool vt__ssh_conn_full(const struct vt__ssh_conn *c)
{
    return c->out.len - c->out_head >= VT__SSH_OUT_SOFT;
}

const char *vt__ssh_last_error(struct vt__ssh_conn *c)
{
    char *text = NULL;
    libssh2_session_last_error(c->session, &text, NULL, 0);
    return text ? text : "";
}
