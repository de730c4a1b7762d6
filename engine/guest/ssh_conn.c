#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "core/mem.h"
#include "guest/ssh_internal.h"

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
        vt_buf_add(&c->wire.out, buffer, n);
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

static void lost(struct vt__ssh_conn *c, const char *why)
{
    vt_fail(&c->broken, VT_EGUEST, "ssh", "the connection to the guest was lost: %s", why);
}

static void flush(struct vt__ssh_conn *c)
{
    const char *broken = c->broken.code ? NULL : vt__wire_flush(&c->wire);
    if (broken)
        lost(c, broken);
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
    const char *broken = NULL;
    ssize_t n =
        vt__wire_receive(&c->wire, c->in + c->in_tail, VT__SSH_IN_SIZE - c->in_tail, &broken);
    if (n > 0)
        c->in_tail += (size_t)n;
    else if (broken)
        lost(c, broken);
    else if (n < 0)
        c->closed_by_peer = true;
}

static void watch(struct vt__ssh_conn *c)
{
    vt__wire_watch(&c->wire, c->in_tail - c->in_head < VT__SSH_IN_SIZE && !c->closed_by_peer);
}

/* ---- life ---- */

static void destroy(struct vt__ssh_conn *c)
{
    /* with our socket functions dead nothing can wait any more; the bound is for peace of mind */
    for (int i = 0; i < 1000 && libssh2_session_free(c->session) == LIBSSH2_ERROR_EAGAIN; i++)
        continue;
    while (c->blocks)
        release(c, c->blocks);
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
    vt__wire_close(&c->wire);
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
    watch(c);
}

static void on_socket(void *user, const char *broken, bool readable)
{
    struct vt__ssh_conn *c = user;
    if (broken)
        lost(c, broken);
    else if (readable)
        fill(c);
    vt__ssh_conn_kick(c);
}

struct vt__ssh_conn *vt__ssh_conn_new(struct vt_loop *loop, int fd, const char *seen, size_t n,
                                      void (*on_lost)(void *user, const struct vt_error *why),
                                      void *user, struct vt_error *err)
{
    struct vt__ssh_conn *c = vt_calloc(1, sizeof *c);
    if (vt__wire_open(&c->wire, loop, fd, "ssh", on_socket, c, err)) {
        vt_free(c);
        return NULL;
    }
    c->session = libssh2_session_init_ex(session_alloc, session_free, session_realloc, c);
    if (!c->session) {
        vt_fail(err, VT_EIO, "ssh", "libssh2 makes no session");
        vt__wire_close(&c->wire);
        vt_free(c);
        return NULL;
    }
    c->loop = loop;
    c->on_lost = on_lost;
    c->user = user;
    c->channel_limit = UINT32_MAX;
    c->in = vt_malloc(VT__SSH_IN_SIZE);
    memcpy(c->in, seen, n);
    c->in_tail = n;
    libssh2_session_set_blocking(c->session, 0);
    set_callbacks(c->session);
    watch(c);
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
    return vt__wire_unsent(&c->wire) >= VT__SSH_OUT_SOFT;
}

const char *vt__ssh_last_error(struct vt__ssh_conn *c)
{
    char *text = NULL;
    libssh2_session_last_error(c->session, &text, NULL, 0);
    return text ? text : "";
}
