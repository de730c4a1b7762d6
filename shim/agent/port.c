#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent.h"
#include "system.h"

enum {
    in_size = 4 * VT__FRAME_DATA, /* received and not yet handed on */
    out_soft = 256 * 1024,        /* to be sent, before nothing more is read */
    max_reads = 16,               /* in a row, so that others have their turn */
    look_again_ms = 100           /* for a port that is not there */
};

static struct {
    enum port_kind kind;
    const char *name;
    unsigned number;
    int listener, fd;
    bool device;  /* what is open is one, which stays open */
    bool hung_up; /* nobody is at the host's end of it */

    unsigned char *in;
    size_t in_head, in_tail;
    struct buf out;
    size_t out_head, began; /* began: where the frame that is being made starts */

    bool in_session, lost; /* lost: a greeting is looked for */
    unsigned char nonce[VT__NONCE];
    uint32_t tag;
} port = {.listener = -1, .fd = -1, .lost = true};

/* ---- opening ---- */

static void die(const char *what)
{
    fprintf(stderr, "vmtest-agent: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0)
        fd_ready(fd, false);
    unlink(path);
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4))) {
        close(fd);
        return -1;
    }
    return fd;
}

void port_init(enum port_kind kind, const char *name, unsigned number)
{
    port.kind = kind;
    port.name = name;
    port.number = number;
    port.in = need(malloc(in_size));
    if (kind == PORT_FD) {
        port.fd = (int)number;
        if (fcntl(port.fd, F_SETFL, O_NONBLOCK))
            die("descriptor");
    }
    if (kind == PORT_LISTEN)
        port.listener = listen_at(name);
    if (kind == PORT_VSOCK)
        port.listener = system_vsock_listen(number);
    if ((kind == PORT_LISTEN || kind == PORT_VSOCK) && port.listener < 0)
        die(kind == PORT_LISTEN ? name : "vsock");
}

/* Tells a host that is in the middle of a session with an agent that ended: zeros end the frame
 * that it may be waiting for, and no session has this nonce. */
static void announce(void)
{
    static const unsigned char zeros[VT__FRAME_MAX], nobody[VT__NONCE];
    unsigned char welcome[VT__GREETING];
    vt__greeting_make(welcome, VT__WELCOME, VT__FRAME_VERSION, nobody);
    port.out.len = port.out_head = 0;
    buf_add(&port.out, zeros, sizeof zeros);
    buf_add(&port.out, welcome, sizeof welcome);
    port_flush();
}

/* For those who wait until the agent is up. */
static void write_pid(void)
{
    FILE *f = fopen("/run/vmtest-agent.pid", "we");
    if (f) {
        fprintf(f, "%ld\n", (long)getpid());
        fclose(f);
    }
}

/* The next connection that is the host's, or -1. */
static int accept_host(void)
{
    int fd;
    while ((fd = accept(port.listener, NULL, NULL)) >= 0 && !system_vsock_from_host(fd))
        close(fd);
    if (fd >= 0)
        fd_ready(fd, system_vsock_write_waits && port.kind != PORT_LISTEN);
    return fd;
}

static void look_for_host(void)
{
    if (port.kind == PORT_DEVICE || port.kind == PORT_AUTO)
        port.fd = system_port_open(port.name);
    port.device = port.fd >= 0;
    /* the driver of vsock, as that of the port, may come later */
    if (port.kind == PORT_AUTO && !port.device && port.listener < 0)
        port.listener = system_vsock_listen(port.number);
    if (!port.device && port.listener >= 0)
        port.fd = accept_host();
}

void port_open(void)
{
    while (port.fd < 0) {
        look_for_host();
        if (port.fd < 0) {
            struct pollfd p = {.fd = port.listener, .events = POLLIN};
            poll(&p, 1, look_again_ms);
        } else if (port.device) {
            announce();
            write_pid();
        }
    }
}

/* ---- the session's end ---- */

static void end_session(void)
{
    channels_close();
    port.in_session = false;
    port.lost = true;
    port.tag = 0;
    port.out.len = port.out_head = 0;
}

/* The host's end is gone. A device stays open. */
static void hang_up(void)
{
    end_session();
    port.in_head = port.in_tail = 0;
    if (port.device) {
        port.hung_up = true;
        return;
    }
    close(port.fd);
    port.fd = -1;
    if (port.kind == PORT_FD)
        exit(0);
}

/* ---- sending ---- */

bool port_has_room(void)
{
    return port.out.len - port.out_head < out_soft;
}

unsigned char *port_begin(size_t n)
{
    port.began = port.out.len;
    return buf_room(&port.out, VT__FRAME_HEAD + n + VT__FRAME_TAIL) + VT__FRAME_HEAD;
}

void port_end(enum vt__frame_type type, unsigned stream, uint32_t channel, size_t size)
{
    unsigned char *head = port.out.data + port.began;
    vt__frame_head(head, type, stream, channel, (uint32_t)size);
    vt__store_u32(head + VT__FRAME_HEAD + size, port.tag);
    port.out.len = port.began + VT__FRAME_HEAD + size + VT__FRAME_TAIL;
}

void port_send(enum vt__frame_type type, unsigned stream, uint32_t channel, const void *data,
               size_t n)
{
    unsigned char *payload = port_begin(n);
    if (n)
        memcpy(payload, data, n);
    port_end(type, stream, channel, n);
}

void port_send_failed(uint32_t channel, int sys, const char *text)
{
    size_t n = strlen(text);
    unsigned char *payload = port_begin(4 + n);
    vt__store_u32(payload, (uint32_t)sys);
    copy_bytes(payload + 4, text, n);
    port_end(VT__FRAME_FAILED, 0, channel, 4 + n);
}

void port_flush(void)
{
    while (port.fd >= 0 && port.out_head < port.out.len) {
        ssize_t n = write(port.fd, port.out.data + port.out_head, port.out.len - port.out_head);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; /* poll() tells what is wrong */
        port.out_head += (size_t)n;
    }
    if (port.out_head == port.out.len) {
        port.out.len = port.out_head = 0;
    } else if (port.out_head > out_soft) {
        buf_consume(&port.out, port.out_head);
        port.out_head = 0;
    }
}

/* ---- receiving ---- */

static void greet(uint32_t version, const unsigned char *nonce)
{
    unsigned char welcome[VT__GREETING];
    if (!port.in_session || memcmp(nonce, port.nonce, VT__NONCE) != 0) {
        end_session();
        memcpy(port.nonce, nonce, VT__NONCE);
        port.tag = vt__session_tag(nonce);
        port.in_session = true;
    }
    if (version > VT__FRAME_VERSION)
        version = VT__FRAME_VERSION;
    vt__greeting_make(welcome, VT__WELCOME, version, nonce);
    buf_add(&port.out, welcome, sizeof welcome);
}

/* Hands on what has come, as far as there is room for answers. Once something is no frame of this
 * session, all is left out up to the next greeting. */
static void hand_on(void)
{
    for (;;) {
        const unsigned char *in = port.in + port.in_head;
        size_t n = port.in_tail - port.in_head, used = 0;
        if (!port.lost) {
            struct vt__frame frame;
            int rc = port_has_room() ? vt__frame_parse(in, n, port.tag, &frame, &used) : 0;
            port.lost = rc < 0;
            if (rc > 0)
                channels_frame(&frame);
            if (rc == 0)
                break;
        } else {
            uint32_t version = 0;
            unsigned char nonce[VT__NONCE];
            bool found = vt__greeting_find(in, n, VT__HELLO, &version, nonce, &used);
            port.in_head += used;
            if (!found)
                break;
            greet(version, nonce);
            port.lost = false;
            continue;
        }
        port.in_head += used;
    }
}

static void make_space(void)
{
    if (port.in_head == port.in_tail)
        port.in_head = port.in_tail = 0;
    if (port.in_head && in_size - port.in_tail < VT__FRAME_DATA) {
        memmove(port.in, port.in + port.in_head, port.in_tail - port.in_head);
        port.in_tail -= port.in_head;
        port.in_head = 0;
    }
}

/* Never waits. */
static ssize_t take(void *to, size_t n)
{
    bool plain = port.device || port.kind == PORT_FD;
    return plain ? read(port.fd, to, n) : recv(port.fd, to, n, MSG_DONTWAIT);
}

static void receive(void)
{
    for (int i = 0; i < max_reads; i++) {
        make_space();
        if (port.in_tail == in_size)
            break;
        ssize_t n = take(port.in + port.in_tail, in_size - port.in_tail);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && port.device)
            die("port"); /* it was taken away */
        if (n <= 0) {
            hang_up();
            return;
        }
        port.in_tail += (size_t)n;
    }
}

/* Who connects anew takes the place of who is there, of whom nothing may be left but a socket: a
 * guest that was restored hears of that late, or never. */
static void take_turn(void)
{
    int fd = accept_host();
    if (fd < 0)
        return;
    end_session();
    port.in_head = port.in_tail = 0;
    close(port.fd);
    port.fd = fd;
}

void port_poll(struct pollfd *p)
{
    if (port.hung_up)
        system_port_await(port.fd);
    port.hung_up = false;
    p[0] = (struct pollfd){.fd = port.fd};
    if (port_has_room())
        p[0].events |= POLLIN;
    if (port.out_head < port.out.len)
        p[0].events |= POLLOUT;
    p[1] = (struct pollfd){.fd = port.device ? -1 : port.listener, .events = POLLIN};
}

void port_handle(const struct pollfd *p)
{
    if (p->fd < 0 || p->fd != port.fd)
        return;
    if (p[1].revents) {
        take_turn();
        return;
    }
    port_flush();
    if (p->revents & POLLIN)
        receive();
    else if (p->revents & (POLLHUP | POLLERR | POLLNVAL))
        hang_up();
    for (size_t before = SIZE_MAX; port.in_tail - port.in_head < before && port_has_room();) {
        before = port.in_tail - port.in_head;
        hand_on();
        port_flush(); /* which may make room for more */
    }
}
