#include "vz/relay.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "vz/calls.h"
#include "vz/loop.h"
#include "vz/sockets.h"

struct relay;

struct side {
    struct vtz_watch watch;
    struct relay *relay;
    struct vt_buf out; /* waits to be written to it */
    int fd;
    bool eof;  /* nothing more comes from it */
    bool shut; /* it was told that nothing more comes */
    bool gone; /* nothing can be written to it any more */
};

struct relay {
    struct side side[2]; /* the one who connected, the guest */
    struct relay *next;
};

static struct {
    struct vtz_watch listeners[VTZ_PORTS_MAX];
    const struct vtz_config *config;
    const struct vtz_backend *backend;
    struct relay *relays;
    size_t listening, count;
} all;

static void end_relay(struct relay *relay)
{
    struct relay **at = &all.relays;
    while (*at != relay)
        at = &(*at)->next;
    *at = relay->next;
    all.count--;
    for (int i = 0; i < 2; i++) {
        vtz_watch_remove(&relay->side[i].watch);
        vt_buf_free(&relay->side[i].out);
        close(relay->side[i].fd);
    }
    vt_free(relay);
}

static void write_out(struct side *s)
{
    while (s->out.len && !s->gone) {
        ssize_t n = write(s->fd, s->out.data, s->out.len);
        if (n > 0)
            vt_buf_consume(&s->out, (size_t)n);
        else if (n < 0 && errno == EAGAIN)
            return;
        else if (n == 0 || errno != EINTR)
            s->gone = true;
    }
}

static void read_in(struct side *s, struct side *other)
{
    vt_buf_reserve(&other->out, VTZ_RELAY_BUFFER);
    ssize_t n = read(s->fd, other->out.data + other->out.len, VTZ_RELAY_BUFFER);
    if (n > 0) {
        other->out.len += (size_t)n;
        write_out(other);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        s->eof = true;
    }
}

/* What each side is to be watched for; true: the relay is over. */
static bool settle(struct relay *relay)
{
    bool over = true;
    for (int i = 0; i < 2; i++) {
        struct side *s = &relay->side[i], *other = &relay->side[!i];
        if (s->gone)
            vt_buf_clear(&s->out);
        if (s->eof && !other->out.len && !other->shut) {
            shutdown(other->fd, SHUT_WR);
            other->shut = true;
        }
        over = over && s->eof && !other->out.len;
        if (s->gone && !other->out.len)
            return true;
    }
    for (int i = 0; i < 2; i++) {
        struct side *s = &relay->side[i], *other = &relay->side[!i];
        bool read_on = !s->eof && other->out.len < VTZ_RELAY_BUFFER;
        s->watch.events = (short)((read_on ? POLLIN : 0) | (s->out.len ? POLLOUT : 0));
        s->watch.fd = s->gone || (s->eof && !s->out.len) ? -1 : s->fd;
    }
    return over;
}

static void ready(struct vtz_watch *watch, short revents)
{
    struct side *s = watch->user;
    struct side *other = &s->relay->side[s == s->relay->side];
    if (revents & POLLOUT)
        write_out(s);
    if (watch->events & POLLIN)
        read_in(s, other);
    else if (revents & (POLLHUP | POLLERR | POLLNVAL))
        s->gone = true;
    if (settle(s->relay))
        end_relay(s->relay);
}

static void begin_relay(int client, int guest)
{
    struct relay *relay = vt_calloc(1, sizeof *relay);
    const int fds[2] = {client, guest};
    for (int i = 0; i < 2; i++) {
        struct side *s = &relay->side[i];
        vtz_nonblocking(fds[i]);
        s->fd = fds[i];
        s->relay = relay;
        s->watch = (struct vtz_watch){.fd = fds[i], .events = POLLIN, .ready = ready, .user = s};
        vtz_watch_add(&s->watch);
    }
    relay->next = all.relays;
    all.relays = relay;
}

/* The guest took or refused the connection; what connected to us waits in pending->fd. */
static void connected(struct vtz_pending *pending, struct vtz_outcome *outcome)
{
    int client = pending->fd;
    if (outcome->fd < 0 || !all.config) { /* refused, or closed meanwhile */
        all.count--;
        close(client);
        return;
    }
    begin_relay(client, outcome->fd);
    outcome->fd = -1;
}

static void knocked(struct vtz_watch *watch, short revents)
{
    int fd = vtz_accept(watch->fd);
    (void)revents;
    if (fd < 0)
        return;
    if (all.count >= VTZ_RELAYS_MAX) {
        close(fd);
        return;
    }
    struct vtz_pending *pending = vtz_pending_new();
    all.count++;
    pending->request.call.op = VTZ_OP_CONNECT;
    pending->request.call.port = all.config->ports[watch - all.listeners].port;
    pending->done = connected;
    pending->fd = fd;
    vtz_call_begin(pending, all.backend);
}

bool vtz_relay_open(const struct vtz_config *config, const struct vtz_backend *backend,
                    struct vtz_failure *failure)
{
    all.config = config;
    all.backend = backend;
    for (size_t i = 0; i < config->port_count; i++) {
        int fd = vtz_listen(config->ports[i].socket, failure);
        if (fd < 0) {
            vtz_relay_close();
            return false;
        }
        all.listeners[i] = (struct vtz_watch){.fd = fd, .events = POLLIN, .ready = knocked};
        vtz_watch_add(&all.listeners[i]);
        all.listening++;
    }
    return true;
}

void vtz_relay_close(void)
{
    while (all.relays)
        end_relay(all.relays);
    for (size_t i = 0; i < all.listening; i++) {
        vtz_watch_remove(&all.listeners[i]);
        close(all.listeners[i].fd);
        unlink(all.config->ports[i].socket);
    }
    all.listening = 0;
    all.config = NULL;
}
