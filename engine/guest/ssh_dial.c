/* Finding a server that answers.
 *
 * A guest that boots is not there yet in several ways: nothing listens (refused), something
 * accepts for it but nothing comes (user-mode networking accepts forwarded connections by itself
 * and repeats its lost SYN to the guest only after seconds), or what accepted closes again. One
 * patient connection thus may wait seconds too long, and many connections are a burden to a slow
 * guest. So a few attempts race: a new one at growing intervals, at most five at a time, the
 * oldest given up with growing patience; the first that shows an ssh banner wins. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "guest/ssh_internal.h"

enum { max_attempts = 5, max_addresses = 8 };

/* An emulated guest that is there takes about 0.2 s to show its banner: attempts beside the first
 * would only slow it down. */
static const double first_gap = 0.3, most_gap = 0.6, gap_growth = 1.25;
static const double first_patience = 0.3, most_patience = 6, patience_growth = 1.15;
static const double resolve_again = 1; /* seconds */

struct attempt {
    struct vt__ssh_dial *dial; /* NULL once given up: libuv is closing poll */
    uv_poll_t poll;
    int fd;
    double started;
    bool connected;
    size_t n;
    char seen[VT__SSH_BANNER_MAX];
};

struct lookup {
    uv_getaddrinfo_t request;
    struct vt__ssh_dial *dial; /* NULL once given up */
};

struct vt__ssh_dial {
    struct vt_loop *loop;
    const struct vt__ssh_dial_class *cls;
    void *user;
    char *host;
    int port;
    struct sockaddr_storage addresses[max_addresses];
    unsigned n_addresses, next_address;
    struct lookup *lookup;
    struct attempt *attempts[max_attempts]; /* oldest first */
    unsigned n;
    struct vt_timer tick;
    double gap, patience;
};

static void note(struct vt__ssh_dial *d, const char *reason)
{
    d->cls->note(d->user, reason);
}

/* ---- one attempt ---- */

static void on_poll_closed(uv_handle_t *handle)
{
    vt_free(handle->data);
}

/* Takes an attempt off the list; its socket is closed unless fd is wanted. */
static int take_out(struct vt__ssh_dial *d, struct attempt *a, bool keep_fd)
{
    unsigned i = 0;
    while (d->attempts[i] != a)
        i++;
    d->n--;
    for (; i < d->n; i++)
        d->attempts[i] = d->attempts[i + 1];
    int fd = a->fd;
    a->dial = NULL;
    uv_poll_stop(&a->poll);
    uv_close((uv_handle_t *)&a->poll, on_poll_closed);
    if (!keep_fd)
        close(fd);
    return keep_fd ? fd : -1;
}

static void give_up(struct attempt *a, const char *reason)
{
    struct vt__ssh_dial *d = a->dial;
    take_out(d, a, false);
    note(d, reason);
}

static void win(struct attempt *a, size_t start)
{
    struct vt__ssh_dial *d = a->dial;
    const struct vt__ssh_dial_class *cls = d->cls;
    void *user = d->user;
    /* `a` lives until libuv has closed its handle, which is after this returns */
    int fd = take_out(d, a, true);
    vt__ssh_dial_free(d);
    cls->won(user, fd, a->seen + start, a->n - start);
}

static void not_ssh(struct attempt *a)
{
    char text[200], line[64];
    size_t n = 0;
    while (n < a->n && n < sizeof line - 1 && a->seen[n] != '\n' && a->seen[n] != '\r' &&
           a->seen[n])
        n++;
    memcpy(line, a->seen, n);
    line[n] = '\0';
    snprintf(text, sizeof text, "what answers there is no ssh 2 server: it said \"%s\"", line);
    give_up(a, text);
}

static void on_readable(struct attempt *a)
{
    ssize_t n = recv(a->fd, a->seen + a->n, sizeof a->seen - a->n, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (n <= 0) {
        give_up(a, n ? strerror(errno) : "the connection was closed before the ssh banner");
        return;
    }
    a->n += (size_t)n;
    size_t start = 0;
    switch (vt__ssh_find_banner(a->seen, a->n, &start)) {
    case VT__BANNER_FOUND:
        win(a, start);
        break;
    case VT__BANNER_NONE:
        not_ssh(a);
        break;
    case VT__BANNER_MORE:
        break;
    }
}

static void on_attempt(uv_poll_t *poll, int status, int events)
{
    struct attempt *a = poll->data;
    if (!a->dial)
        return;
    if (!a->connected) {
        int sys = 0;
        socklen_t size = sizeof sys;
        if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &sys, &size))
            sys = errno;
        if (!sys && status < 0)
            sys = -status;
        if (sys) {
            give_up(a, strerror(sys));
            return;
        }
        a->connected = true;
        uv_poll_start(&a->poll, UV_READABLE, on_attempt);
        note(a->dial, "the connection is accepted, but no ssh banner comes");
    }
    if (status < 0)
        give_up(a, uv_strerror(status));
    else if (events & UV_READABLE)
        on_readable(a);
}

static int open_socket(int family)
{
    int fd = socket(family, SOCK_STREAM, 0), one = 1;
    if (fd < 0)
        return -1;
    int flags = fcntl(fd, F_GETFL);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK)) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
#ifdef SO_NOSIGPIPE
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof one);
#endif
    return fd;
}

static void attempt(struct vt__ssh_dial *d)
{
    const struct sockaddr_storage *address = &d->addresses[d->next_address++ % d->n_addresses];
    socklen_t size =
        address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = open_socket(address->ss_family);
    if (fd < 0 || (connect(fd, (const struct sockaddr *)address, size) && errno != EINPROGRESS)) {
        note(d, strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    struct attempt *a = vt_calloc(1, sizeof *a);
    int rc = uv_poll_init(vt_loop_uv(d->loop), &a->poll, fd);
    if (rc) {
        note(d, uv_strerror(rc));
        close(fd);
        vt_free(a);
        return;
    }
    a->poll.data = a;
    a->dial = d;
    a->fd = fd;
    a->started = vt_loop_now(d->loop);
    d->attempts[d->n++] = a;
    uv_poll_start(&a->poll, UV_WRITABLE, on_attempt);
}

/* ---- the race ---- */

static void resolve(struct vt__ssh_dial *d);

static void on_tick(struct vt_timer *timer)
{
    struct vt__ssh_dial *d = timer->user;
    if (!d->n_addresses) {
        resolve(d);
        return;
    }
    if (d->n == max_attempts && vt_loop_now(d->loop) - d->attempts[0]->started >= d->patience) {
        take_out(d, d->attempts[0], false);
        d->patience *= patience_growth;
        if (d->patience > most_patience)
            d->patience = most_patience;
    }
    if (d->n < max_attempts)
        attempt(d);
    d->gap *= gap_growth;
    if (d->gap > most_gap)
        d->gap = most_gap;
    vt_timer_set(&d->tick, d->loop, d->gap, on_tick, d);
}

/* ---- the address ---- */

static void add_address(struct vt__ssh_dial *d, const struct sockaddr *address, size_t size)
{
    if (d->n_addresses == max_addresses || size > sizeof d->addresses[0])
        return;
    if (address->sa_family != AF_INET && address->sa_family != AF_INET6)
        return;
    memcpy(&d->addresses[d->n_addresses++], address, size);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct lookup *lookup = request->data;
    struct vt__ssh_dial *d = lookup->dial;
    vt_free(lookup);
    if (d) {
        d->lookup = NULL;
        for (const struct addrinfo *at = status ? NULL : list; at; at = at->ai_next)
            add_address(d, at->ai_addr, at->ai_addrlen);
        if (!d->n_addresses) {
            char text[200];
            snprintf(text, sizeof text, "the name cannot be resolved: %s",
                     status ? uv_strerror(status) : "it has no address");
            note(d, text);
        }
        vt_timer_set(&d->tick, d->loop, d->n_addresses ? 0 : resolve_again, on_tick, d);
    }
    uv_freeaddrinfo(list);
}

static void resolve(struct vt__ssh_dial *d)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } numeric;
    if (uv_ip4_addr(d->host, d->port, &numeric.v4) == 0)
        add_address(d, &numeric.any, sizeof numeric.v4);
    else if (uv_ip6_addr(d->host, d->port, &numeric.v6) == 0)
        add_address(d, &numeric.any, sizeof numeric.v6);
    if (d->n_addresses) {
        vt_timer_set(&d->tick, d->loop, 0, on_tick, d);
        return;
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    char port[16];
    snprintf(port, sizeof port, "%d", d->port);
    struct lookup *lookup = vt_calloc(1, sizeof *lookup);
    lookup->request.data = lookup;
    lookup->dial = d;
    int rc =
        uv_getaddrinfo(vt_loop_uv(d->loop), &lookup->request, on_resolved, d->host, port, &hints);
    if (rc) {
        vt_free(lookup);
        note(d, uv_strerror(rc));
        vt_timer_set(&d->tick, d->loop, resolve_again, on_tick, d);
        return;
    }
    d->lookup = lookup;
}

struct vt__ssh_dial *vt__ssh_dial_new(struct vt_loop *loop, const char *host, int port,
                                      const struct vt__ssh_dial_class *cls, void *user)
{
    struct vt__ssh_dial *d = vt_calloc(1, sizeof *d);
    d->loop = loop;
    d->cls = cls;
    d->user = user;
    d->host = vt_strdup(host);
    d->port = port;
    d->gap = first_gap;
    d->patience = first_patience;
    resolve(d);
    return d;
}

void vt__ssh_dial_free(struct vt__ssh_dial *d)
{
    if (!d)
        return;
    vt_timer_clear(&d->tick);
    while (d->n)
        take_out(d, d->attempts[0], false);
    if (d->lookup) {
        d->lookup->dial = NULL;
        uv_cancel((uv_req_t *)&d->lookup->request);
    }
    vt_free(d->host);
    vt_free(d);
}
