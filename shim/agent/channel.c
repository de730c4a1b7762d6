#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"

static struct channel *channels;
static size_t count;

/* ---- memory ---- */

void *need(void *p)
{
    if (!p) {
        fputs("vmtest-agent: out of memory\n", stderr);
        exit(70);
    }
    return p;
}

void copy_bytes(unsigned char *to, const char *from, size_t n)
{
    memcpy(to, from, n);
}

unsigned char *buf_room(struct buf *b, size_t n)
{
    if (b->cap - b->len < n) {
        size_t cap = b->cap ? b->cap : 4096;
        while (cap - b->len < n)
            cap *= 2;
        b->data = need(realloc(b->data, cap));
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t n)
{
    if (n)
        memcpy(buf_room(b, n), data, n);
    b->len += n;
}

void buf_consume(struct buf *b, size_t n)
{
    b->len -= n;
    if (b->len)
        memmove(b->data, b->data + n, b->len);
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.data = NULL};
}

/* ---- the session's channels ---- */

void channel_add(struct channel *c, const struct channel_class *cls, uint32_t id)
{
    c->cls = cls;
    c->id = id;
    c->next = channels;
    channels = c;
    count++;
}

void channel_remove(struct channel *c)
{
    struct channel **at = &channels;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    count--;
}

size_t channels_count(void)
{
    return count;
}

static void end_channel(struct channel *c)
{
    channel_remove(c);
    c->cls->close(c);
}

void channels_close(void)
{
    while (channels)
        end_channel(channels);
}

void channels_frame(const struct vt__frame *frame)
{
    struct channel *c = channels;
    while (c && c->id != frame->channel)
        c = c->next;
    bool begins = frame->type == VT__FRAME_EXEC || frame->type == VT__FRAME_FILES ||
                  frame->type == VT__FRAME_REFRESH;
    if (begins && c)
        end_channel(c);
    if (frame->type == VT__FRAME_EXEC)
        exec_start(frame);
    else if (frame->type == VT__FRAME_FILES)
        files_start(frame->channel);
    else if (frame->type == VT__FRAME_REFRESH)
        refresh(frame);
    else if (c && frame->type == VT__FRAME_CLOSE)
        end_channel(c);
    else if (c)
        c->cls->frame(c, frame);
}

unsigned channels_poll(struct pollfd *p)
{
    unsigned n = 0;
    for (struct channel *c = channels; c; c = c->next) {
        c->polled = c->cls->poll ? c->cls->poll(c, p + n) : 0;
        n += c->polled;
    }
    return n;
}

void channels_handle(const struct pollfd *p)
{
    struct channel *next = NULL;
    for (struct channel *c = channels; c; c = next) {
        unsigned n = c->polled;
        next = c->next;
        if (n)
            c->cls->handle(c, p, n);
        p += n;
    }
}
