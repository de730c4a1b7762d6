#include "guest/qga.h"

#include <math.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/mem.h"
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
