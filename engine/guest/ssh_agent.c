/* The ssh agent, without waiting for it. libssh2's own agent functions block on its socket, and an
 * agent may well wait for a human. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "guest/ssh_internal.h"

enum { request_keys = 11, request_sign = 13, max_message = 256 * 1024 };

struct vt__ssh_agent {
    uv_pipe_t pipe;
    uv_connect_t connect;
    void (*wake)(void *user);
    void *user;
    bool failed, signing, gone;
    struct vt_buf in;
    struct vt__ssh_agent_key *keys;
    size_t n_keys;
    bool have_keys, have_signature;
    struct vt_buf answer; /* the signature's message */
    char chunk[4096];
};

struct send {
    uv_write_t write;
    struct vt_buf data;
};

static void on_closed(uv_handle_t *handle)
{
    struct vt__ssh_agent *a = handle->data;
    vt__ssh_agent_keys_free(a->keys, a->n_keys);
    vt_buf_free(&a->in);
    vt_buf_free(&a->answer);
    vt_free(a);
}

void vt__ssh_agent_free(struct vt__ssh_agent *a)
{
    if (!a)
        return;
    a->gone = true;
    uv_close((uv_handle_t *)&a->pipe, on_closed);
}

static void fail(struct vt__ssh_agent *a)
{
    a->failed = true;
}

static void on_sent(uv_write_t *write, int status)
{
    struct send *s = (struct send *)(void *)write;
    (void)status; /* reading tells */
    vt_buf_free(&s->data);
    vt_free(s);
}

static void put_u32(struct vt_buf *b, size_t v)
{
    const unsigned char p[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16),
                                (unsigned char)(v >> 8), (unsigned char)v};
    vt_buf_add(b, p, sizeof p);
}

static void send_request(struct vt__ssh_agent *a, unsigned char type, const struct vt_buf *body)
{
    struct send *s = vt_calloc(1, sizeof *s);
    put_u32(&s->data, 1 + body->len);
    vt_buf_add(&s->data, &type, 1);
    vt_buf_add(&s->data, body->data, body->len);
    uv_buf_t buf = uv_buf_init(s->data.data, (unsigned)s->data.len);
    if (uv_write(&s->write, (uv_stream_t *)&a->pipe, &buf, 1, on_sent)) {
        vt_buf_free(&s->data);
        vt_free(s);
        fail(a);
    }
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

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct vt__ssh_agent *a = handle->data;
    (void)suggested;
    *buf = uv_buf_init(a->chunk, sizeof a->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct vt__ssh_agent *a = stream->data;
    if (a->gone)
        return;
    if (n < 0)
        fail(a);
    else
        vt_buf_add(&a->in, buf->base, (size_t)n);
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
    if (n)
        a->wake(a->user);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct vt__ssh_agent *a = request->data;
    if (a->gone)
        return;
    if (status || uv_read_start((uv_stream_t *)&a->pipe, on_alloc, on_read)) {
        fail(a);
    } else {
        const struct vt_buf nothing = VT_BUF_INIT;
        send_request(a, request_keys, &nothing);
    }
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
    struct vt__ssh_agent *a = vt_calloc(1, sizeof *a);
    a->wake = wake;
    a->user = user;
    uv_pipe_init(vt_loop_uv(loop), &a->pipe, 0);
    a->pipe.data = a->connect.data = a;
    uv_pipe_connect(&a->connect, &a->pipe, path, on_connected);
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
