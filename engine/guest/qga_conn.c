#include <openssl/rand.h>
#include <string.h>

#include "core/mem.h"
#include "core/socket.h"
#include "guest/qga_internal.h"
#include "guest/wire.h"

enum { read_size = 64 * 1024, max_reads = 16, mark = 0xff };

static const double sync_first = 1, sync_most = 8; /* seconds between greetings */

struct request {
    struct request *next;
    char *line; /* with its newline */
    vt__qga_fn fn;
    void *user;
};

struct vt__qga_conn {
    struct vt_loop *loop;
    const struct vt__qga_conn_class *cls;
    void *user;
    struct vt__wire wire;
    struct vt_timer sync;
    double pause;
    uint32_t sync_id;     /* of the latest greeting */
    bool greeted, marked; /* marked: the byte before a greeting's answer has come */
    struct vt_buf in;
    size_t scanned;               /* of `in`, without a line's end */
    struct request *head, **tail; /* the first is under way while `asked` */
    struct vt__qga_member *members;
    bool asked, running, dead;
};

/* ---- its end ---- */

static void free_request(struct request *r)
{
    vt_free(r->line);
    vt_free(r);
}

static struct request *take_first(struct vt__qga_conn *c)
{
    struct request *r = c->head;
    c->head = r->next;
    if (!c->head)
        c->tail = &c->head;
    return r;
}

static void release(struct vt__qga_conn *c)
{
    vt_buf_free(&c->in);
    vt_free(c);
}

void vt__qga_conn_close(struct vt__qga_conn *c, const struct vt_error *why)
{
    if (c->dead)
        return;
    c->dead = true;
    vt_timer_clear(&c->sync);
    vt__wire_close(&c->wire);
    while (c->head)
        free_request(take_first(c));
    while (c->members) {
        struct vt__qga_member *m = c->members;
        vt__qga_quit(m);
        m->lost(m, why);
    }
    if (!c->running)
        release(c);
}

void vt__qga_join(struct vt__qga_conn *c, struct vt__qga_member *m,
                  void (*lost)(struct vt__qga_member *m, const struct vt_error *why))
{
    *m = (struct vt__qga_member){.conn = c, .next = c->members, .lost = lost};
    if (c->members)
        c->members->prev = m;
    c->members = m;
}

void vt__qga_quit(struct vt__qga_member *m)
{
    if (!m->conn)
        return;
    if (m->prev)
        m->prev->next = m->next;
    else
        m->conn->members = m->next;
    if (m->next)
        m->next->prev = m->prev;
    m->conn = NULL;
    m->next = m->prev = NULL;
}

void vt__qga_refused(const char *problem, struct vt_error *why)
{
    vt_fail(why, VT_EGUEST, "qga", "the QEMU guest agent refused: %.300s", problem);
}

static void lose(struct vt__qga_conn *c, enum vt_code code, const char *what)
{
    struct vt_error why = VT_ERROR_INIT;
    const struct vt__qga_conn_class *cls = c->cls;
    void *user = c->user;
    if (c->dead)
        return;
    vt_fail(&why, code, "qga", "the connection to the QEMU guest agent broke: %s", what);
    vt__qga_conn_close(c, &why);
    cls->lost(user, &why);
}

/* ---- sending ---- */

/* The agent answers one request at a time; a second one would only wait inside it. */
static void ask_next(struct vt__qga_conn *c)
{
    if (c->dead || !c->greeted || c->asked || !c->head)
        return;
    c->asked = true;
    vt_buf_puts(&c->wire.out, c->head->line);
}

static void on_sync(struct vt_timer *timer);

/* The mark makes the agent's parser start anew, whatever came before it; the same mark comes before
 * its answer, so that what belongs to an earlier host is told from it. */
static void greet(struct vt__qga_conn *c)
{
    RAND_bytes((unsigned char *)&c->sync_id, sizeof c->sync_id);
    c->sync_id &= 0x7fffffff;
    vt_buf_putc(&c->wire.out, (char)mark);
    vt_buf_printf(&c->wire.out,
                  "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%u}}\n", c->sync_id);
    vt_timer_set(&c->sync, c->loop, c->pause, on_sync, c);
}

static void pump(struct vt__qga_conn *c)
{
    bool was_running = c->running;
    c->running = true;
    ask_next(c);
    const char *broken = c->dead ? NULL : vt__wire_flush(&c->wire);
    if (broken)
        lose(c, VT_EGUEST, broken);
    if (!c->dead)
        vt__wire_watch(&c->wire, true);
    c->running = was_running;
    if (c->dead && !c->running)
        release(c);
}

static void on_sync(struct vt_timer *timer)
{
    struct vt__qga_conn *c = timer->user;
    c->pause = c->pause * 2 < sync_most ? c->pause * 2 : sync_most;
    if (c->greeted) {
        pump(c);
        return;
    }
    if (!vt__wire_unsent(&c->wire))
        greet(c);
    else
        vt_timer_set(&c->sync, c->loop, c->pause, on_sync, c);
    pump(c);
}

void vt__qga_ask(struct vt__qga_conn *c, const char *command, json_t *arguments, vt__qga_fn fn,
                 void *user)
{
    if (c->dead) {
        json_decref(arguments);
        return;
    }
    json_t *json = json_pack("{s:s}", "execute", command);
    struct request *r = vt_calloc(1, sizeof *r);
    if (arguments)
        json_object_set_new(json, "arguments", arguments);
    char *text = json_dumps(json, JSON_COMPACT);
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "%s\n", text ? text : "");
    free(text);
    json_decref(json);
    r->line = vt_buf_steal(&line);
    r->fn = fn;
    r->user = user;
    *c->tail = r;
    c->tail = &r->next;
    if (!c->running) /* soon, since a failure must not be told in here */
        vt_timer_set(&c->sync, c->loop, 0, on_sync, c);
}

void vt__qga_forget(struct vt__qga_conn *c, const void *user)
{
    for (struct request *r = c->head; r; r = r->next)
        if (r->user == user)
            r->fn = NULL;
}

/* ---- receiving ---- */

static void take_greeting(struct vt__qga_conn *c, const char *line, size_t n)
{
    json_t *result = NULL;
    char *problem = NULL;
    if (vt__qga_parse(line, n, &result, &problem) && json_is_integer(result) &&
        json_integer_value(result) == (json_int_t)c->sync_id) {
        c->greeted = true;
        vt_timer_clear(&c->sync);
        c->cls->greeted(c->user);
    }
    json_decref(result);
    vt_free(problem);
}

static void take_reply(struct vt__qga_conn *c, const char *line, size_t n)
{
    json_t *result = NULL;
    char *problem = NULL;
    if (!c->asked || !vt__qga_parse(line, n, &result, &problem)) {
        lose(c, VT_EPROTO, "an answer that does not fit");
    } else {
        struct request *r = take_first(c);
        c->asked = false;
        if (r->fn)
            r->fn(r->user, result, problem);
        free_request(r);
    }
    json_decref(result);
    vt_free(problem);
}

/* A line is a reply; before the greeting's answer only what follows a mark is. */
static void take_line(struct vt__qga_conn *c, const char *line, size_t n)
{
    const char *at = memchr(line, mark, n);
    c->marked |= at != NULL;
    while (at) {
        n -= (size_t)(at + 1 - line);
        line = at + 1;
        at = memchr(line, mark, n);
    }
    if (!c->greeted && c->marked)
        take_greeting(c, line, n);
    else if (c->greeted && n)
        take_reply(c, line, n);
}

static void take_lines(struct vt__qga_conn *c)
{
    size_t at = 0;
    while (!c->dead) {
        size_t from = at + c->scanned;
        const char *newline = memchr(c->in.data + from, '\n', c->in.len - from);
        if (!newline)
            break;
        size_t n = (size_t)(newline - c->in.data) - at;
        c->scanned = 0;
        take_line(c, c->in.data + at, n);
        at += n + 1;
    }
    if (c->dead)
        return;
    c->scanned = c->in.len - at;
    vt_buf_consume(&c->in, at);
    if (c->in.len > VT__QGA_LINE_MAX)
        lose(c, VT_EPROTO, "an answer without an end");
}

static void receive(struct vt__qga_conn *c)
{
    for (int i = 0; i < max_reads && !c->dead; i++) {
        const char *broken = NULL;
        vt_buf_reserve(&c->in, read_size);
        ssize_t n = vt__wire_receive(&c->wire, c->in.data + c->in.len, read_size, &broken);
        if (n < 0)
            lose(c, VT_EGUEST, broken ? broken : "it was closed");
        if (n <= 0)
            return;
        c->in.len += (size_t)n;
        take_lines(c);
    }
}

static void on_event(void *user, const char *broken, bool readable)
{
    struct vt__qga_conn *c = user;
    c->running = true;
    if (broken)
        lose(c, VT_EGUEST, broken);
    if (!c->dead && readable)
        receive(c);
    c->running = false;
    if (c->dead)
        release(c);
    else
        pump(c);
}

/* ---- its beginning ---- */

struct vt__qga_conn *vt__qga_conn_new(struct vt_loop *loop, const char *path,
                                      const struct vt__qga_conn_class *cls, void *user,
                                      struct vt_error *err)
{
    int fd = vt_socket_connect(path, "qga.connect", err);
    if (fd < 0)
        return NULL;
    struct vt__qga_conn *c = vt_calloc(1, sizeof *c);
    if (vt__wire_open(&c->wire, loop, fd, "qga.connect", on_event, c, err)) {
        vt_free(c);
        return NULL;
    }
    c->loop = loop;
    c->cls = cls;
    c->user = user;
    c->tail = &c->head;
    c->pause = sync_first;
    greet(c);
    vt__wire_watch(&c->wire, true);
    return c;
}
