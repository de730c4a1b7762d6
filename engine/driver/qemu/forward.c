/* Ports of the host that lead into the guest. QEMU itself binds them, at port 0 where a free one
 * is wanted, so nobody can take one between the choice and the use. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/instance.h"
#include "driver/qemu/net.h"

#define OP "vm.start"
#define SSH_PORT 22

void vt_qemu_forwards_init(struct vt_qemu *q)
{
    const struct vt_vm_config *c = q->config;
    vt_free(q->forwards);
    q->forwards = vt_calloc(c->forward_count + 1, sizeof *q->forwards);
    q->forwards[0] = (struct vt_forward){.guest_port = SSH_PORT};
    q->forward_count = vt_qemu_first_nat(q) < 0 ? 0 : 1;
    if (!q->forward_count)
        return;
    for (size_t i = 0; i < c->forward_count; i++)
        if (c->forwards[i].guest_port == SSH_PORT)
            q->forwards[0] = c->forwards[i];
        else
            q->forwards[q->forward_count++] = c->forwards[i];
}

void vt_qemu_forwards_again(struct vt_qemu *q)
{
    struct vt_forward *before = q->forwards;
    size_t count = q->forward_count;
    q->forwards = NULL;
    vt_qemu_forwards_init(q);
    for (size_t i = 0; before && i < q->forward_count && i < count; i++)
        if (!q->forwards[i].host_port && q->forwards[i].guest_port == before[i].guest_port)
            q->forwards[i].host_port = before[i].host_port;
    vt_free(before);
}

/* True where any port of the host would do for it. */
static bool is_automatic(const struct vt_qemu *q, const struct vt_forward *f)
{
    const struct vt_vm_config *c = q->config;
    for (size_t i = 0; i < c->forward_count; i++)
        if (c->forwards[i].host_port == f->host_port)
            return false;
    return true;
}

void vt_qemu_forwards_restore(struct vt_qemu *q, const json_t *facts)
{
    vt_qemu_forwards_init(q);
    for (size_t i = 0; i < q->forward_count && i < json_array_size(facts); i++) {
        const json_t *one = json_array_get(facts, i);
        if (vt_json_int(one, "guest", 0) == q->forwards[i].guest_port)
            q->forwards[i].host_port = (int)vt_json_int(one, "host", 0);
    }
}

/* True where `port` is one that the lines before gave to another forward. */
static bool taken(const struct vt_forward *forwards, size_t count, int port)
{
    for (size_t i = 0; i < count; i++)
        if (forwards[i].host_port == port)
            return true;
    return false;
}

/* A line of the table: "  TCP[HOST_FORWARD]  13  127.0.0.1 45553  10.0.2.15  22  0  0". */
bool vt_qemu_forwards_parse(const char *table, struct vt_forward *forwards, size_t count)
{
    for (const char *line = table; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        int host = 0, guest = 0;
        if (sscanf(line, " TCP[HOST_FORWARD] %*d %*63s %d %*63s %d", &host, &guest) != 2 ||
            host < 1 || host > 65535 || taken(forwards, count, host))
            continue;
        for (size_t i = 0; i < count; i++) {
            if (forwards[i].host_port == 0 && forwards[i].guest_port == guest) {
                forwards[i].host_port = host;
                break;
            }
        }
    }
    return !taken(forwards, count, 0);
}

/* QEMU does not say why: the same attempt here does. */
static int bind_errno(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int sys = bind(fd, (struct sockaddr *)&address, sizeof address) ? errno : 0;
    if (fd >= 0)
        close(fd);
    return sys;
}

static void refused(struct vt_qemu *q, const char *text, struct vt_error *why)
{
    const struct vt_forward *f = &q->forwards[q->forwards_asked];
    int sys = f->host_port ? bind_errno(f->host_port) : 0;
    if (sys == EADDRINUSE) {
        vt_fail(why, VT_EBUSY, OP,
                "port %d of this host (for port %d of the guest) is taken by another process",
                f->host_port, f->guest_port);
        vt_hint(why, "choose another port, or 0 for a free one");
    } else if (sys) {
        vt_fail_sys(why, sys, OP, "port %d of this host (for port %d of the guest)", f->host_port,
                    f->guest_port);
    } else {
        vt_fail(why, VT_EHYPERVISOR, OP, "QEMU does not forward port %d of this host: %.*s",
                f->host_port, (int)strcspn(text, "\r\n"), text);
    }
}

/* The human monitor is the only way to add forwards; its commands hold nothing but numbers. */
static void monitor(struct vt_qemu *q, const char *line, vt_monitor_reply_fn fn)
{
    vt_monitor_request(q->qmp, "human-monitor-command", json_pack("{s:s}", "command-line", line),
                       fn, q);
}

static void on_table(const json_t *result, const struct vt_error *failed, void *user)
{
    struct vt_qemu *q = user;
    struct vt_error why = VT_ERROR_INIT;
    const char *table = json_string_value(result);
    if (failed)
        why = *failed;
    else if (!table || !vt_qemu_forwards_parse(table, q->forwards, q->forward_count))
        vt_fail(&why, VT_EPROTO, OP, "QEMU does not tell which ports it forwards");
    q->forwards_done(q, &why);
}

static void ask_next(struct vt_qemu *q);

static void on_added(const json_t *result, const struct vt_error *failed, void *user)
{
    struct vt_qemu *q = user;
    struct vt_error why = VT_ERROR_INIT;
    const char *text = json_string_value(result);
    if (failed)
        why = *failed;
    else if (text && *text && q->forwards[q->forwards_asked].host_port &&
             is_automatic(q, &q->forwards[q->forwards_asked])) {
        q->forwards[q->forwards_asked].host_port = 0; /* somebody has taken it since */
        ask_next(q);
        return;
    } else if (text && *text)
        refused(q, text, &why);
    if (why.code) {
        q->forwards_done(q, &why);
        return;
    }
    q->forwards_asked++;
    ask_next(q);
}

static void ask_next(struct vt_qemu *q)
{
    if (q->forwards_asked == q->forward_count) {
        monitor(q, "info usernet", on_table);
        return;
    }
    const struct vt_forward *f = &q->forwards[q->forwards_asked];
    char line[96];
    snprintf(line, sizeof line, "hostfwd_add net%d tcp:127.0.0.1:%d-:%d", vt_qemu_first_nat(q),
             f->host_port, f->guest_port);
    monitor(q, line, on_added);
}

void vt_qemu_forwards_open(struct vt_qemu *q, vt_qemu_forwards_fn fn)
{
    q->forwards_asked = 0;
    q->forwards_done = fn;
    if (!q->forward_count) {
        const struct vt_error none = VT_ERROR_INIT;
        fn(q, &none);
        return;
    }
    ask_next(q);
}
