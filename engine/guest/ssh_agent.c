/* The ssh agent, without waiting for it. libssh2's own agent functions block on its socket, and an
 * agent may well wait for a human. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/socket.h"
#include "guest/ssh_internal.h"
#include "loop/conn.h"

enum { request_keys = 11, request_sign = 13, max_message = 256 * 1024 };

struct vt__ssh_agent {
    struct vt_conn *conn;
    void (*wake)(void *user);
    void *user;
    bool failed, signing;
    struct vt_buf in;
    struct vt__ssh_agent_key *keys;
    size_t n_keys;
    bool have_keys, have_signature;
    struct vt_buf answer; /* the signature's message */
};

void vt__ssh_agent_free(struct vt__ssh_agent *a)
{
    if (!a)
        return;
    vt_conn_free(a->conn);
    vt__ssh_agent_keys_free(a->keys, a->n_keys);
    vt_buf_free(&a->in);
    vt_buf_free(&a->answer);
    vt_free(a);
}

static void fail(struct vt__ssh_agent *a)
{
    a->failed = true;
}

static void put_u32(struct vt_buf *b, size_t v)
{
    const unsigned char p[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16),
                                (unsigned char)(v >> 8), (unsigned char)v};
    vt_buf_add(b, p, sizeof p);
}

static void send_request(struct vt__ssh_agent *a, unsigned char type, const struct vt_buf *body)
{
    struct vt_buf data = VT_BUF_INIT;
    put_u32(&data, 1 + body->len);
    vt_buf_add(&data, &type, 1);
    vt_buf_add(&data, body->data, body->len);
    if (!vt_conn_write(a->conn, data.data, data.len))
        fail(a);
    vt_buf_free(&data);
}

static void take_message(struct vt__ssh_agent *a, const unsigned char *msg, size_t n)
{
    if (!a->have_keys) {
        a->have_keys = vt__ssh_agent_parse_keys(msg, n, &a->keys, &a->n_keys);
        if (!a->have_keys)
            fail(a);
    } else if (a->signing) {
        vt_buf_clear(&a->answer);
        vt_buf_add(&a->answer, msg, n);
        a->have_signature = true;
    } else {
        fail(a);
    }
}

static void on_data(const char *data, size_t n, void *user)
{
    struct vt__ssh_agent *a = user;
    vt_buf_add(&a->in, data, n);
    while (!a->failed && a->in.len >= 4) {
        const unsigned char *p = (const unsigned char *)a->in.data;
        size_t size = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | (size_t)p[3];
        if (!size || size > max_message) {
            fail(a);
            break;
        }
        if (a->in.len - 4 < size)
            break;
        take_message(a, p + 4, size);
        vt_buf_consume(&a->in, 4 + size);
    }
    a->wake(a->user);
}

static void on_closed(void *user)
{
    struct vt__ssh_agent *a = user;
    fail(a);
    a->wake(a->user);
}

struct vt__ssh_agent *vt__ssh_agent_new(struct vt_loop *loop, const char *path,
                                        void (*wake)(void *user), void *user, struct vt_error *err)
{
    if (!path)
        path = getenv("SSH_AUTH_SOCK");
    if (!path || !path[0]) {
        vt_fail(err, VT_ENOTFOUND, "ssh", "SSH_AUTH_SOCK is not set");
        return NULL;
    }
    int fd = vt_socket_connect(path, "ssh", err);
    if (fd < 0)
        return NULL;
    struct vt__ssh_agent *a = vt_calloc(1, sizeof *a);
    const struct vt_conn_handler handler = {.data = on_data, .closed = on_closed, .user = a};
    const struct vt_buf nothing = VT_BUF_INIT;
    a->wake = wake;
    a->user = user;
    a->conn = vt_conn_new(loop, fd, &handler);
    send_request(a, request_keys, &nothing);
    return a;
}

int vt__ssh_agent_keys(struct vt__ssh_agent *a, const struct vt__ssh_agent_key **keys, size_t *n)
{
    if (a->failed)
        return -1;
    *keys = a->keys;
    *n = a->n_keys;
    return a->have_keys;
}

int vt__ssh_agent_sign(struct vt__ssh_agent *a, const struct vt__ssh_agent_key *key,
                       const unsigned char *data, size_t n, const unsigned char **sig,
                       size_t *sig_size)
{
    if (a->failed)
        return -1;
    if (!a->signing) {
        struct vt_buf body = VT_BUF_INIT;
        put_u32(&body, key->size);
        vt_buf_add(&body, key->blob, key->size);
        put_u32(&body, n);
        vt_buf_add(&body, data, n);
        put_u32(&body, 0); /* flags */
        a->signing = true;
        a->have_signature = false;
        send_request(a, request_sign, &body);
        vt_buf_free(&body);
        return a->failed ? -1 : 0;
    }
    if (!a->have_signature)
        return 0;
    a->signing = a->have_signature = false;
    return vt__ssh_agent_parse_signature((const unsigned char *)a->answer.data, a->answer.len, sig,
                                         sig_size)
               ? 1
               : -1;
}
