#include <math.h>
#include <openssl/rand.h>
#include <string.h>

#include "core/mem.h"
#include "core/socket.h"
#include "guest/agent_internal.h"
#include "guest/wire.h"

enum {
    in_size = 4 * VT__FRAME_DATA,
    out_soft = 512 * 1024,
    max_reads = 8, /* of an event, so that others have their turn */
};

static const double hello_first = 1, hello_most = 8; /* seconds between greetings */
static const double silence = 8, silence_most = 64;  /* after which one who was greeted is again */

struct vt__agent_conn {
    struct vt_loop *loop;
    const struct vt__agent_conn_class *cls;
    void *user;
    struct vt__wire wire;
    unsigned char nonce[VT__NONCE];
    uint32_t tag;
    bool greeted, heard; /* heard: something came since the timer was set */
    struct vt_timer hello, kick;
    double pause;
    unsigned char *in;
    size_t in_head, in_tail;
    struct vt__agent_stream *streams, *cursor; /* cursor: the next of a walk */
    uint32_t last_id;
    bool running, dead; /* dead: freed when what runs has returned */
};

/* ---- its end ---- */

static void release(struct vt__agent_conn *c)
{
    vt_free(c->in);
    vt_free(c);
}

void vt__agent_conn_close(struct vt__agent_conn *c, const struct vt_error *why)
{
    if (c->dead)
        return;
    c->dead = true;
    vt_timer_clear(&c->hello);
    vt_timer_clear(&c->kick);
    vt__wire_close(&c->wire);
    while (c->streams) {
        struct vt__agent_stream *s = c->streams;
        vt__agent_stream_remove(s, false);
        s->cls->lost(s, why);
    }
    if (!c->running)
        release(c);
}

static void lose(struct vt__agent_conn *c, const struct vt_error *why, bool again)
{
    const struct vt__agent_conn_class *cls = c->cls;
    void *user = c->user;
    if (c->dead)
        return;
    vt__agent_conn_close(c, why);
    cls->lost(user, why, again);
}

void vt__agent_conn_break(struct vt__agent_conn *c, const char *what)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EGUEST, "agent", "the connection to the guest's agent broke: %s", what);
    lose(c, &why, true);
}

/* ---- sending ---- */

static void flush(struct vt__agent_conn *c)
{
    const char *broken = c->dead ? NULL : vt__wire_flush(&c->wire);
    if (broken)
        vt__agent_conn_break(c, broken);
    if (!c->dead)
        vt__wire_watch(&c->wire, true);
}

/* Lets the streams send what they have, and sends it. */
static void pump(struct vt__agent_conn *c)
{
    c->running = true;
    c->cursor = c->streams;
    while (c->cursor && !c->dead) {
        struct vt__agent_stream *s = c->cursor;
        c->cursor = s->next;
        if (s->cls->room && !vt__agent_full(c))
            s->cls->room(s);
    }
    flush(c);
    c->running = false;
    if (c->dead)
        release(c);
}

static void on_kick(struct vt_timer *timer)
{
    pump(timer->user);
}

void vt__agent_kick(struct vt__agent_conn *c)
{
    if (!c->dead && !vt_timer_is_set(&c->kick))
        vt_timer_set(&c->kick, c->loop, 0, on_kick, c);
}

bool vt__agent_full(const struct vt__agent_conn *c)
{
    return vt__wire_unsent(&c->wire) > out_soft;
}

void vt__agent_send(struct vt__agent_stream *s, enum vt__frame_type type, const void *a, size_t n,
                    const void *b, size_t m)
{
    struct vt__agent_conn *c = s->conn;
    unsigned char head[VT__FRAME_HEAD], tail[VT__FRAME_TAIL];
    vt__frame_head(head, type, 0, s->id, (uint32_t)(n + m));
    vt__store_u32(tail, c->tag);
    vt_buf_add(&c->wire.out, head, sizeof head);
    vt_buf_add(&c->wire.out, a, n);
    vt_buf_add(&c->wire.out, b, m);
    vt_buf_add(&c->wire.out, tail, sizeof tail);
    if (!c->running)
        vt__agent_kick(c);
}

/* ---- streams ---- */

static void on_silence(struct vt_timer *timer);

void vt__agent_stream_add(struct vt__agent_conn *c, struct vt__agent_stream *s,
                          const struct vt__agent_stream_class *cls)
{
    *s = (struct vt__agent_stream){.cls = cls, .conn = c, .next = c->streams, .id = ++c->last_id};
    if (c->streams)
        c->streams->prev = s;
    c->streams = s;
    if (!vt_timer_is_set(&c->hello)) {
        c->heard = false;
        c->pause = silence;
        vt_timer_set(&c->hello, c->loop, c->pause, on_silence, c);
    }
}

void vt__agent_stream_remove(struct vt__agent_stream *s, bool close)
{
    struct vt__agent_conn *c = s->conn;
    if (!c)
        return;
    if (close && !c->dead)
        vt__agent_send(s, VT__FRAME_CLOSE, NULL, 0, NULL, 0);
    if (c->cursor == s)
        c->cursor = s->next;
    if (s->prev)
        s->prev->next = s->next;
    else
        c->streams = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->conn = NULL;
    s->next = s->prev = NULL;
}

/* ---- greeting ---- */

static void say_hello(struct vt__agent_conn *c)
{
    unsigned char hello[VT__GREETING];
    vt__greeting_make(hello, VT__HELLO, VT__FRAME_VERSION, c->nonce);
    vt_buf_add(&c->wire.out, hello, sizeof hello);
}

/* Nobody answered yet: says it again, but lets no greetings pile up. */
static void on_hello(struct vt_timer *timer)
{
    struct vt__agent_conn *c = timer->user;
    if (!vt__wire_unsent(&c->wire))
        say_hello(c);
    c->pause = c->pause * 2 < hello_most ? c->pause * 2 : hello_most;
    vt_timer_set(&c->hello, c->loop, c->pause, on_hello, c);
    vt__agent_kick(c);
}

/* Somebody waits, and the agent says nothing: it may have nothing to say. But should the guest or
 * its hypervisor have missed that there is something to be read, one more greeting, which changes
 * nothing, makes both look. */
static void on_silence(struct vt_timer *timer)
{
    struct vt__agent_conn *c = timer->user;
    if (!c->streams)
        return;
    c->pause = c->heard ? silence : fmin(c->pause * 2, silence_most);
    if (!c->heard && !vt__wire_unsent(&c->wire))
        say_hello(c);
    c->heard = false;
    vt_timer_set(&c->hello, c->loop, c->pause, on_silence, c);
    vt__agent_kick(c);
}

/* Looks for the agent's answer; what comes before it is of another session. False: not yet. */
static bool find_welcome(struct vt__agent_conn *c)
{
    static const unsigned char nobody[VT__NONCE];
    unsigned char nonce[VT__NONCE];
    uint32_t version = 0;
    for (;;) {
        size_t used = 0;
        bool found = vt__greeting_find(c->in + c->in_head, c->in_tail - c->in_head, VT__WELCOME,
                                       &version, nonce, &used);
        c->in_head += used;
        if (!found)
            return false;
        if (!memcmp(nonce, c->nonce, VT__NONCE))
            break;
        if (!memcmp(nonce, nobody, VT__NONCE))
            say_hello(c);               /* an agent that has just been started */
        c->in_head -= VT__GREETING - 1; /* ours may begin inside of one that was cut off */
    }
    if (version == 0 || version > VT__FRAME_VERSION) {
        struct vt_error why = VT_ERROR_INIT;
        vt_fail(&why, VT_EPROTO, "agent.connect",
                "the guest's agent speaks version %u of the protocol, not %d", version,
                VT__FRAME_VERSION);
        vt_hint(&why, "put this vmtest's own agent into the image");
        lose(c, &why, false);
        return false;
    }
    c->greeted = true;
    vt_timer_clear(&c->hello);
    c->cls->greeted(c->user);
    return !c->dead;
}

/* ---- receiving ---- */

static void dispatch(struct vt__agent_conn *c, const struct vt__frame *frame)
{
    struct vt__agent_stream *s = c->streams;
    while (s && s->id != frame->channel)
        s = s->next;
    if (s) /* else it was closed a moment ago */
        s->cls->frame(s, frame);
}

/* The answer to a greeting that was said twice: 1, it was skipped; 0, its end is to come; -1, it is
 * none. */
static int skip_welcome(struct vt__agent_conn *c)
{
    unsigned char again[VT__GREETING];
    size_t n = c->in_tail - c->in_head;
    vt__greeting_make(again, VT__WELCOME, VT__FRAME_VERSION, c->nonce);
    if (memcmp(c->in + c->in_head, again, n < sizeof again ? n : sizeof again) != 0)
        return -1;
    if (n < sizeof again)
        return 0;
    c->in_head += sizeof again;
    return 1;
}

static void hand_on(struct vt__agent_conn *c)
{
    if (!c->greeted && !find_welcome(c))
        return;
    while (!c->dead) {
        struct vt__frame frame;
        size_t used = 0;
        int rc =
            vt__frame_parse(c->in + c->in_head, c->in_tail - c->in_head, c->tag, &frame, &used);
        if (rc > 0) {
            dispatch(c, &frame);
            c->in_head += used;
        } else if (rc < 0) {
            rc = skip_welcome(c);
        }
        if (rc == 0)
            return;
        if (rc < 0)
            vt__agent_conn_break(c, "the agent was started anew, or sent what is no frame");
    }
}

static void receive(struct vt__agent_conn *c)
{
    for (int i = 0; i < max_reads && !c->dead; i++) {
        if (c->in_head && in_size - c->in_tail < VT__FRAME_DATA) {
            memmove(c->in, c->in + c->in_head, c->in_tail - c->in_head);
            c->in_tail -= c->in_head;
            c->in_head = 0;
        }
        const char *broken = NULL;
        ssize_t n = vt__wire_receive(&c->wire, c->in + c->in_tail, in_size - c->in_tail, &broken);
        if (n < 0)
            vt__agent_conn_break(c, broken ? broken : "it was closed");
        if (n <= 0)
            return;
        c->in_tail += (size_t)n;
        c->heard = true;
        hand_on(c);
        if (c->in_head == c->in_tail)
            c->in_head = c->in_tail = 0;
    }
}

static void on_event(void *user, const char *broken, bool readable)
{
    struct vt__agent_conn *c = user;
    c->running = true;
    if (broken)
        vt__agent_conn_break(c, broken);
    flush(c); /* so that there is room for what pump() asks for */
    if (!c->dead && readable)
        receive(c);
    c->running = false;
    if (c->dead)
        release(c);
    else
        pump(c);
}

/* ---- its beginning ---- */

struct vt__agent_conn *vt__agent_conn_new(struct vt_loop *loop, const char *path,
                                          const struct vt__agent_conn_class *cls, void *user,
                                          struct vt_error *err)
{
    static const char zeros[VT__FRAME_MAX];
    int fd = vt_socket_connect(path, "agent.connect", err);
    if (fd < 0)
        return NULL;
    struct vt__agent_conn *c = vt_calloc(1, sizeof *c);
    if (vt__wire_open(&c->wire, loop, fd, "agent.connect", on_event, c, err)) {
        vt_free(c);
        return NULL;
    }
    c->loop = loop;
    c->cls = cls;
    c->user = user;
    c->in = vt_malloc(in_size);
    RAND_bytes(c->nonce, sizeof c->nonce);
    c->tag = vt__session_tag(c->nonce);
    c->pause = hello_first;
    /* ends the frame that an earlier session may have left unfinished */
    vt_buf_add(&c->wire.out, zeros, sizeof zeros);
    say_hello(c);
    vt_timer_set(&c->hello, loop, c->pause, on_hello, c);
    vt__agent_kick(c);
    vt__wire_watch(&c->wire, true);
    return c;
}
