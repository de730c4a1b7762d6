#include "vz/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/sys.h"
#include "core/text.h"

enum { PIECE = 65536 };
#define ENDING_SECONDS 5.0

static const struct vtz_client_handler *handler;
static struct vtz_client *clients;

void vtz_clients_begin(const struct vtz_client_handler *h)
{
    handler = h;
}

/* What the loop shall look for, of what is known now. */
static void look(struct vtz_client *c)
{
    bool full = c->under_way >= VTZ_UNDER_WAY_MAX && !c->ending;
    c->watch.events = (short)((c->no_more || full ? 0 : POLLIN) | (c->out.len ? POLLOUT : 0));
    if (c->no_more && !c->out.len && !c->under_way)
        c->dead = true;
    if (c->ending && !c->out.len && c->watch.deadline <= 0) {
        shutdown(c->watch.fd, SHUT_WR);
        c->watch.deadline = vt_monotonic() + ENDING_SECONDS;
    }
}

static void flush(struct vtz_client *c)
{
    while (c->out.len && !c->dead) {
        ssize_t n = write(c->watch.fd, c->out.data, c->out.len);
        if (n > 0)
            vt_buf_consume(&c->out, (size_t)n);
        else if (n < 0 && errno == EAGAIN)
            break;
        else if (n >= 0 || errno != EINTR)
            c->dead = true;
    }
}

static void broken(struct vtz_client *c, const char *why)
{
    c->ending = true;
    handler->broken(c, why);
    vt_buf_clear(&c->in);
}

/* Hands on the complete lines, as many as may be under way. */
static void split(struct vtz_client *c)
{
    size_t begin = 0;
    while (!c->ending && !c->dead && c->under_way < VTZ_UNDER_WAY_MAX) {
        size_t from = c->scanned > begin ? c->scanned : begin;
        const char *end =
            c->in.len > from ? memchr(c->in.data + from, '\n', c->in.len - from) : NULL;
        size_t n = (end ? (size_t)(end - c->in.data) : c->in.len) - begin;
        c->scanned = c->in.len;
        if (n > VTZ_LINE_MAX) {
            broken(c, "this line is longer than 1 MiB");
        } else if (!end) {
            break;
        } else if (vt_utf8_prefix(c->in.data + begin, n) != n) {
            broken(c, "this line is no UTF-8");
        } else {
            c->scanned = 0;
            handler->line(c, c->in.data + begin, n);
            begin += n + 1;
        }
    }
    if (!c->ending) {
        vt_buf_consume(&c->in, begin);
        c->scanned -= c->scanned > begin ? begin : c->scanned;
    }
}

static void receive(struct vtz_client *c)
{
    vt_buf_reserve(&c->in, PIECE);
    ssize_t n = read(c->watch.fd, c->in.data + c->in.len, PIECE);
    if (n > 0 && !c->ending) {
        c->in.len += (size_t)n;
        split(c);
    } else if (n == 0) {
        c->no_more = true;
        if (c->ending)
            c->dead = true;
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        c->dead = true;
    }
}

static void ready(struct vtz_watch *watch, short revents)
{
    struct vtz_client *c = watch->user;
    if (c->dead)
        return;
    if (!revents) /* it was given time to take notice */
        c->dead = true;
    if (revents & POLLOUT)
        flush(c);
    if (revents & POLLIN)
        receive(c);
    else if (revents & (POLLHUP | POLLERR | POLLNVAL))
        c->dead = true;
    look(c);
}

struct vtz_client *vtz_client_new(int fd)
{
    size_t n = 0;
    for (const struct vtz_client *c = clients; c; c = c->next)
        n++;
    if (n >= VTZ_CLIENTS_MAX)
        return NULL;
    struct vtz_client *c = vt_calloc(1, sizeof *c);
    c->watch = (struct vtz_watch){.fd = fd, .events = POLLIN, .ready = ready, .user = c};
    c->next = clients;
    clients = c;
    vtz_watch_add(&c->watch);
    return c;
}

static void send_text(struct vtz_client *c, const char *text)
{
    size_t n = strlen(text);
    if (c->dead)
        return;
    if (c->out.len + n + 1 > VTZ_OUT_MAX) {
        c->dead = true;
        return;
    }
    vt_buf_add(&c->out, text, n);
    vt_buf_putc(&c->out, '\n');
    flush(c);
    look(c);
}

void vtz_client_send(struct vtz_client *client, json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    send_text(client, text);
    json_decref(message);
    free(text);
}

void vtz_clients_send_all(json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    for (struct vtz_client *c = clients; c; c = c->next)
        if (!c->ending)
            send_text(c, text);
    json_decref(message);
    free(text);
}

void vtz_client_begun(struct vtz_client *client)
{
    client->under_way++;
}

void vtz_client_done(struct vtz_client *client)
{
    bool was_full = client->under_way-- >= VTZ_UNDER_WAY_MAX;
    if (was_full)
        split(client);
    look(client);
}

static void bury(struct vtz_client *c)
{
    handler->gone(c);
    vtz_watch_remove(&c->watch);
    close(c->watch.fd);
    vt_buf_free(&c->in);
    vt_buf_free(&c->out);
    vt_free(c);
}

void vtz_clients_reap(void)
{
    for (struct vtz_client **at = &clients, *c; (c = *at);) {
        if (c->dead) {
            *at = c->next;
            bury(c);
        } else {
            at = &c->next;
        }
    }
}

bool vtz_clients_flushed(void)
{
    for (const struct vtz_client *c = clients; c; c = c->next)
        if (c->out.len && !c->dead)
            return false;
    return true;
}

void vtz_clients_end(void)
{
    for (struct vtz_client *c = clients; c; c = c->next)
        c->dead = true;
    vtz_clients_reap();
}
