#include "guest/agent.h"

#include <math.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/un.h>

#include "core/mem.h"
#include "core/sys.h"
#include "guest/agent_internal.h"
#include "guest/connecting.h"

struct agent {
    struct vt_channel base; /* first */
    char *path;
    struct vt__agent_conn *conn;
    bool greeted;
    struct vt__connecting connecting;
};

static struct agent *agent_of(const struct vt_channel *ch)
{
    union {
        const struct vt_channel *from;
        struct agent *to;
    } cast = {.from = ch};
    return cast.to;
}

struct vt__agent_conn *vt__agent_conn_of(struct vt_channel *ch)
{
    const struct agent *a = agent_of(ch);
    return a->greeted ? a->conn : NULL;
}

/* ---- connecting ---- */

static void stop_connecting(struct vt_channel *ch)
{
    struct agent *a = agent_of(ch);
    struct vt__agent_conn *c = a->conn;
    vt_timer_clear(&a->connecting.retry);
    if (!c || a->greeted)
        return;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_ECANCELED, "agent.connect", "cancelled");
    a->conn = NULL;
    vt__agent_conn_close(c, &why);
}

static void timed_out(const struct vt_channel *ch, struct vt_error *why)
{
    const struct agent *a = agent_of(ch);
    vt_error_append(why, ": no agent answered at %s: %s", a->path,
                    a->conn ? "connected, but no greeting came" : a->connecting.reason);
    vt_hint(why, "is vmtest-agent in the guest, and running?");
}

static void on_greeted(void *user)
{
    struct agent *a = user;
    a->greeted = true;
    vt__connecting_end(&a->connecting, NULL);
}

static void on_lost(void *user, const struct vt_error *why, bool again)
{
    struct agent *a = user;
    a->conn = NULL;
    a->greeted = false;
    if (!again)
        vt__connecting_end(&a->connecting, why);
    else if (a->connecting.waiting)
        vt__connecting_again(&a->connecting, why);
}

static void attempt(struct vt_channel *ch)
{
    struct agent *a = agent_of(ch);
    static const struct vt__agent_conn_class cls = {.greeted = on_greeted, .lost = on_lost};
    struct vt_error why = VT_ERROR_INIT;
    a->conn = vt__agent_conn_new(a->base.loop, a->path, &cls, a, &why);
    if (!a->conn)
        vt__connecting_again(&a->connecting, &why);
}

static const struct vt__connecting_class connecting_class = {
    .op = {.name = "agent.connect", .abort = vt__connecting_abort, .free = vt__connecting_free},
    .retry_first = 0.05,
    .attempt = attempt,
    .stop = stop_connecting,
    .timed_out = timed_out,
};

static struct vt_op *agent_connect(struct vt_channel *ch, double timeout, vt_op_fn done, void *user,
                                   struct vt_error *err)
{
    struct agent *a = agent_of(ch);
    return vt__connecting_add(&a->connecting, a->greeted, timeout, done, user, err);
}

/* ---- refresh ---- */

struct refresh_op {
    struct vt_op op;
    struct vt__agent_stream stream;
};

static struct refresh_op *refresh_of(struct vt__agent_stream *s)
{
    return (struct refresh_op *)(void *)((char *)s - offsetof(struct refresh_op, stream));
}

static void refresh_free(struct vt_op *op)
{
    vt_loop_release(op->loop);
}

static void refresh_abort(struct vt_op *op, struct vt_error *why)
{
    struct refresh_op *x = (struct refresh_op *)(void *)op;
    (void)why;
    vt__agent_stream_remove(&x->stream, true);
}

static const struct vt_op_class refresh_class = {
    .name = "refresh", .abort = refresh_abort, .free = refresh_free};

void vt__agent_failure(const struct vt__frame *frame, const char *op, const char *doing,
                       struct vt_error *why)
{
    size_t n = frame->size > 4 ? frame->size - 4 : 0;
    vt_fail(why, VT_EGUEST, op, "the guest's agent cannot %s: %.*s", doing,
            (int)(n < 300 ? n : 300), n ? (const char *)frame->data + 4 : "");
}

static void refresh_frame(struct vt__agent_stream *s, const struct vt__frame *frame)
{
    struct refresh_op *x = refresh_of(s);
    struct vt_error why = VT_ERROR_INIT;
    if (frame->type != VT__FRAME_REFRESHED && frame->type != VT__FRAME_FAILED) {
        vt__agent_conn_break(s->conn, "an answer that does not fit");
        return;
    }
    vt__agent_stream_remove(s, false);
    if (frame->type == VT__FRAME_REFRESHED) {
        vt_op_succeed(&x->op, NULL);
        return;
    }
    vt__agent_failure(frame, "refresh", "refresh the guest", &why);
    vt_hint(&why, "the agent must run as root, outside of containers");
    vt_op_fail(&x->op, &why);
}

static void refresh_lost(struct vt__agent_stream *s, const struct vt_error *why)
{
    vt_op_fail(&refresh_of(s)->op, why);
}

struct vt_op *vt__agent_refresh(struct vt_channel *ch, double timeout, vt_op_fn done, void *user,
                                struct vt_error *err)
{
    static const struct vt__agent_stream_class cls = {.frame = refresh_frame, .lost = refresh_lost};
    enum { seed = 64 };
    struct vt__agent_conn *c = vt__agent_conn_of(ch);
    unsigned char fields[12 + seed];
    if (!(timeout > 0)) {
        vt_fail(err, VT_EINVAL, "refresh", "a time-out of more than 0 is needed");
        return NULL;
    }
    if (!c) {
        vt_fail(err, VT_ESTATE, "refresh", "there is no connection to the guest");
        return NULL;
    }
    struct refresh_op *x = vt_op_new(sizeof *x, &refresh_class, ch->loop, timeout, done, user);
    vt_loop_hold(ch->loop);
    vt__agent_stream_add(c, &x->stream, &cls);
    vt__store_u32(fields + 8, seed);
    RAND_bytes(fields + 12, seed);
    vt__store_u64(fields, (uint64_t)(vt_wall() * 1e9));
    vt__agent_send(&x->stream, VT__FRAME_REFRESH, fields, sizeof fields, NULL, 0);
    return &x->op;
}

/* ---- the channel ---- */

static bool agent_connected(const struct vt_channel *ch)
{
    return agent_of(ch)->greeted;
}

static void agent_drop(struct vt_channel *ch, const struct vt_error *why)
{
    struct agent *a = agent_of(ch);
    if (a->greeted) {
        struct vt__agent_conn *c = a->conn;
        a->conn = NULL;
        a->greeted = false;
        vt__agent_conn_close(c, why);
    }
    stop_connecting(ch);
    vt__connecting_end(&a->connecting, why);
}

static void agent_free(struct vt_channel *ch)
{
    struct agent *a = agent_of(ch);
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_ECANCELED, "agent", "the connection was closed");
    agent_drop(ch, &why);
    vt_free(a->path);
    vt_free(a);
}

static const struct vt_channel_class agent_class = {
    .name = "agent",
    .connect = agent_connect,
    .exec = vt__agent_exec,
    .transfer = vt__agent_transfer,
    .refresh = vt__agent_refresh,
    .connected = agent_connected,
    .drop = agent_drop,
    .free = agent_free,
};

struct vt_channel *vt_agent_new(struct vt_loop *loop, const struct vt_agent_config *config,
                                struct vt_error *err)
{
    struct sockaddr_un address; /* for its size */
    if (!config->socket_path || !config->socket_path[0]) {
        vt_fail(err, VT_EINVAL, "agent", "the path of the agent's socket is missing");
        return NULL;
    }
    if (strlen(config->socket_path) >= sizeof address.sun_path) {
        vt_fail(err, VT_EINVAL, "agent", "the path %s is too long for a socket (%zu bytes at most)",
                config->socket_path, sizeof address.sun_path - 1);
        return NULL;
    }
    struct agent *a = vt_calloc(1, sizeof *a);
    a->base.cls = &agent_class;
    a->base.loop = loop;
    a->connecting.cls = &connecting_class;
    a->connecting.ch = &a->base;
    a->path = vt_strdup(config->socket_path);
    return &a->base;
}
