#include "guest/qga.h"

#include <math.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/mem.h"
#include "core/sys.h"
#include "guest/connecting.h"
#include "guest/qga_internal.h"

struct qga {
    struct vt_channel base; /* first */
    char *path;
    struct vt__qga_conn *conn;
    bool greeted;
    struct vt__connecting connecting;
};

static struct qga *qga_of(const struct vt_channel *ch)
{
    union {
        const struct vt_channel *from;
        struct qga *to;
    } cast = {.from = ch};
    return cast.to;
}

struct vt__qga_conn *vt__qga_conn_of(struct vt_channel *ch)
{
    const struct qga *a = qga_of(ch);
    return a->greeted ? a->conn : NULL;
}

/* ---- connecting ---- */

static void stop_connecting(struct vt_channel *ch)
{
    struct qga *a = qga_of(ch);
    struct vt__qga_conn *c = a->conn;
    vt_timer_clear(&a->connecting.retry);
    if (!c || a->greeted)
        return;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_ECANCELED, "qga.connect", "cancelled");
    a->conn = NULL;
    vt__qga_conn_close(c, &why);
}

static void timed_out(const struct vt_channel *ch, struct vt_error *why)
{
    const struct qga *a = qga_of(ch);
    vt_error_append(why, ": no QEMU guest agent answered at %s: %s", a->path,
                    a->conn ? "connected, but no greeting came" : a->connecting.reason);
    vt_hint(why, "is qemu-ga (the package qemu-guest-agent) in the guest, and running?");
}

static void on_greeted(void *user)
{
    struct qga *a = user;
    a->greeted = true;
    vt__connecting_end(&a->connecting, NULL);
}

static void on_lost(void *user, const struct vt_error *why)
{
    struct qga *a = user;
    a->conn = NULL;
    a->greeted = false;
    if (a->connecting.waiting)
        vt__connecting_again(&a->connecting, why);
}

static void attempt(struct vt_channel *ch)
{
    struct qga *a = qga_of(ch);
    static const struct vt__qga_conn_class cls = {.greeted = on_greeted, .lost = on_lost};
    struct vt_error why = VT_ERROR_INIT;
    a->conn = vt__qga_conn_new(a->base.loop, a->path, &cls, a, &why);
    if (!a->conn)
        vt__connecting_again(&a->connecting, &why);
}

static const struct vt__connecting_class connecting_class = {
    .op = {.name = "qga.connect", .abort = vt__connecting_abort, .free = vt__connecting_free},
    .retry_first = 0.05,
    .attempt = attempt,
    .stop = stop_connecting,
    .timed_out = timed_out,
};

static struct vt_op *qga_connect(struct vt_channel *ch, double timeout, vt_op_fn done, void *user,
                                 struct vt_error *err)
{
    struct qga *a = qga_of(ch);
    return vt__connecting_add(&a->connecting, a->greeted, timeout, done, user, err);
}

/* ---- refresh ---- */

struct refresh_op {
    struct vt_op op;
    struct vt__qga_member member; /* while the time is being set */
    struct vt__qga_run *run;      /* then */
};

static void refresh_free(struct vt_op *op)
{
    vt_loop_release(op->loop);
}

static void refresh_abort(struct vt_op *op, struct vt_error *why)
{
    struct refresh_op *x = (struct refresh_op *)(void *)op;
    (void)why;
    if (x->member.conn)
        vt__qga_forget(x->member.conn, x);
    vt__qga_quit(&x->member);
    if (x->run)
        vt__qga_run_stop(x->run);
    x->run = NULL;
}

static void refresh_lost(struct vt__qga_member *m, const struct vt_error *why)
{
    struct refresh_op *x =
        (struct refresh_op *)(void *)((char *)m - offsetof(struct refresh_op, member));
    vt_op_fail(&x->op, why);
}

static const struct vt_op_class refresh_class = {
    .name = "refresh", .abort = refresh_abort, .free = refresh_free};

static void on_seeded(void *user, const struct vt__qga_result *result, const struct vt_error *why)
{
    struct refresh_op *x = user;
    struct vt_error e = VT_ERROR_INIT;
    x->run = NULL;
    if (why)
        e = *why;
    else if (result->status)
        vt_fail(&e, VT_EGUEST, "refresh", "the guest's random pool cannot be seeded: %.200s",
                vt_buf_str(&result->err));
    if (e.code)
        vt_op_fail(&x->op, &e);
    else
        vt_op_succeed(&x->op, NULL);
}

/* The agent has no command for the random pool. What is written there is mixed in, but not
 * credited; it counts from the next time the kernel's generator takes new seed. */
static void on_time_set(void *user, json_t *result, const char *problem)
{
    static const char *const argv[] = {"/bin/sh", "-c", "cat >/dev/urandom", NULL};
    struct refresh_op *x = user;
    struct vt__qga_conn *c = x->member.conn;
    struct vt_error why = VT_ERROR_INIT;
    unsigned char seed[64];
    (void)result;
    vt__qga_quit(&x->member);
    if (problem) {
        vt__qga_refused(problem, &why);
        vt_op_fail(&x->op, &why);
        return;
    }
    RAND_bytes(seed, sizeof seed);
    x->run = vt__qga_run(c, x->op.loop, argv, seed, sizeof seed, on_seeded, x);
}

static struct vt_op *qga_refresh(struct vt_channel *ch, double timeout, vt_op_fn done, void *user,
                                 struct vt_error *err)
{
    struct vt__qga_conn *c = vt__qga_conn_of(ch);
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
    vt__qga_join(c, &x->member, refresh_lost);
    vt__qga_ask(c, "guest-set-time", json_pack("{s:I}", "time", (json_int_t)(vt_wall() * 1e9)),
                on_time_set, x);
    return &x->op;
}

/* ---- the channel ---- */

static bool qga_connected(const struct vt_channel *ch)
{
    return qga_of(ch)->greeted;
}

static void qga_drop(struct vt_channel *ch, const struct vt_error *why)
{
    struct qga *a = qga_of(ch);
    if (a->greeted) {
        struct vt__qga_conn *c = a->conn;
        a->conn = NULL;
        a->greeted = false;
        vt__qga_conn_close(c, why);
    }
    stop_connecting(ch);
    vt__connecting_end(&a->connecting, why);
}

static void qga_free(struct vt_channel *ch)
{
    struct qga *a = qga_of(ch);
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_ECANCELED, "qga", "the connection was closed");
    qga_drop(ch, &why);
    vt_free(a->path);
    vt_free(a);
}

static const struct vt_channel_class qga_class = {
    .name = "qga",
    .connect = qga_connect,
    .exec = vt__qga_exec,
    .transfer = vt__qga_transfer,
    .refresh = qga_refresh,
    .connected = qga_connected,
    .drop = qga_drop,
    .free = qga_free,
};

struct vt_channel *vt_qga_new(struct vt_loop *loop, const struct vt_qga_config *config,
                              struct vt_error *err)
{
    struct sockaddr_un address; /* for its size */
    if (!config->socket_path || !config->socket_path[0]) {
        vt_fail(err, VT_EINVAL, "qga", "the path of the QEMU guest agent's socket is missing");
        return NULL;
    }
    if (strlen(config->socket_path) >= sizeof address.sun_path) {
        vt_fail(err, VT_EINVAL, "qga", "the path %s is too long for a socket (%zu bytes at most)",
                config->socket_path, sizeof address.sun_path - 1);
        return NULL;
    }
    struct qga *a = vt_calloc(1, sizeof *a);
    a->base.cls = &qga_class;
    a->base.loop = loop;
    a->connecting.cls = &connecting_class;
    a->connecting.ch = &a->base;
    a->path = vt_strdup(config->socket_path);
    return &a->base;
}
