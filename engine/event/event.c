#include "vmtest/event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "core/text.h"
#include "event/scan.h"
#include "event/view.h"

#define WRITE_AT (64u << 10) /* bytes gathered before they are written without being asked */
#define CUT_TO (64u << 10)   /* bytes left of each text of an event that is too long */

json_t *vt_event_new(const char *type)
{
    char now[40];
    return json_pack("{s:s, s:s}", "type", type, "time",
                     vt_format_time(now, sizeof now, vt_wall()));
}

struct vt_event_writer {
    int fd;
    struct vt_buf pending;
    struct vt_error error;
};

struct vt_event_writer *vt_event_writer_new(int fd)
{
    struct vt_event_writer *w = vt_calloc(1, sizeof *w);
    w->fd = fd;
    return w;
}

void vt_event_writer_free(struct vt_event_writer *w)
{
    if (!w)
        return;
    vt_event_flush(w, NULL);
    vt_buf_free(&w->pending);
    vt_free(w);
}

void vt_event_write_line(struct vt_event_writer *w, const char *line, size_t n)
{
    vt_buf_add(&w->pending, line, n);
    vt_buf_putc(&w->pending, '\n');
    if (w->pending.len >= WRITE_AT)
        vt_event_flush(w, NULL);
}

static int append(const char *text, size_t n, void *user)
{
    vt_buf_add(user, text, n);
    return 0;
}

/* Cuts the event's own texts, so that it becomes a line that readers take. */
static void shorten(json_t *event)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(event, next, key, value)
    {
        size_t n = json_string_length(value);
        if (n <= CUT_TO)
            continue;
        const char *text = json_string_value(value);
        size_t kept = vt_utf8_prefix(text, CUT_TO);
        struct vt_buf cut = VT_BUF_INIT;
        vt_buf_add(&cut, text, kept);
        vt_buf_printf(&cut, "\n[%zu bytes cut here]", n - kept);
        json_object_set_new(event, key, json_stringn(cut.data, cut.len));
        vt_buf_free(&cut);
    }
}

void vt_event_write(struct vt_event_writer *w, json_t *event)
{
    size_t before = w->pending.len;
    json_dump_callback(event, append, &w->pending, JSON_COMPACT);
    if (w->pending.len - before > VT_EVENT_LINE_MAX) {
        w->pending.len = before;
        shorten(event);
        json_dump_callback(event, append, &w->pending, JSON_COMPACT);
    }
    vt_buf_putc(&w->pending, '\n');
    json_decref(event);
    if (w->pending.len >= WRITE_AT)
        vt_event_flush(w, NULL);
}

enum vt_code vt_event_flush(struct vt_event_writer *w, struct vt_error *err)
{
    if (w->pending.len && !w->error.code)
        vt_write_all(w->fd, w->pending.data, w->pending.len, "events", &w->error);
    vt_buf_clear(&w->pending);
    return vt_error_copy(err, &w->error);
}

struct vt_event_reader {
    vt_event_fn fn;
    vt_event_bad_fn bad;
    void *user;
    struct vt_buf line;
    bool overlong; /* the rest of this line is dropped */
    char job[32];  /* what every line gets in front, or "" */
    size_t job_size;
    struct vt_buf with_job;
    struct vt__nodes nodes;
};

struct vt_event_reader *vt_event_reader_new(int job, vt_event_fn fn, vt_event_bad_fn bad,
                                            void *user)
{
    struct vt_event_reader *r = vt_calloc(1, sizeof *r);
    *r = (struct vt_event_reader){.fn = fn, .bad = bad, .user = user};
    if (job > 0)
        r->job_size = (size_t)snprintf(r->job, sizeof r->job, "{\"job\":%d,", job);
    return r;
}

void vt_event_reader_free(struct vt_event_reader *r)
{
    if (!r)
        return;
    vt_buf_free(&r->line);
    vt_buf_free(&r->with_job);
    vt__nodes_free(&r->nodes);
    vt_free(r);
}

static void refuse(struct vt_event_reader *r, const char *line, size_t n, const char *why)
{
    if (!r->bad)
        return;
    char *head = vt_strndup(line, n < 200 ? n : 200);
    vt_text_printable(head);
    r->bad(head, why, r->user);
    vt_free(head);
}

/* Gives the event of a line to fn; NULL, or why it is none. */
static const char *give(struct vt_event_reader *r, const char *line, size_t n, struct vt_error *err)
{
    json_t *json = NULL;
    struct vt_event event;
    if (vt__scan(&r->nodes, line, n))
        event = (struct vt_event){.nodes = r->nodes.list};
    else if (vt_json_parse(line, n, "event", &json, err))
        return err->message;
    else
        event = (struct vt_event){.json = json};
    event.line = line;
    event.size = n;
    event.type = vt__event_type(&event);
    bool good = event.type != VT_EVENT_TYPE_COUNT_;
    if (good)
        r->fn(&event, r->user);
    json_decref(json);
    return good ? NULL : "an event without a type";
}

static void take_line(struct vt_event_reader *r, const char *line, size_t n)
{
    struct vt_error err = VT_ERROR_INIT;
    const char *why;
    if (n > VT_EVENT_LINE_MAX - r->job_size) {
        why = "the line is too long";
    } else if (!r->job_size || *line != '{') {
        why = r->job_size ? "no JSON object" : give(r, line, n, &err);
    } else {
        vt_buf_clear(&r->with_job);
        vt_buf_add(&r->with_job, r->job, r->job_size);
        vt_buf_add(&r->with_job, line + 1, n - 1);
        why = give(r, r->with_job.data, r->with_job.len, &err);
    }
    if (why)
        refuse(r, line, n, why);
}

void vt_event_reader_feed(struct vt_event_reader *r, const char *data, size_t n)
{
    while (n) {
        const char *end = memchr(data, '\n', n);
        size_t part = end ? (size_t)(end - data) : n;
        if (!r->overlong && r->line.len + part > VT_EVENT_LINE_MAX) {
            r->overlong = true;
            bool begun = r->line.len > 0;
            refuse(r, begun ? r->line.data : data, begun ? r->line.len : part,
                   "the line is too long");
            vt_buf_clear(&r->line);
        }
        if (end && !r->overlong && !r->line.len) {
            if (part)
                take_line(r, data, part);
        } else if (!r->overlong) {
            vt_buf_add(&r->line, data, part);
            if (end && r->line.len)
                take_line(r, r->line.data, r->line.len);
        }
        if (end) {
            vt_buf_clear(&r->line);
            r->overlong = false;
            part++;
        }
        data += part;
        n -= part;
    }
}

enum vt_code vt_event_read_file(const char *path, vt_event_fn fn, void *user, struct vt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return vt_fail_sys(err, errno, "events", "cannot open %s", path);
    struct vt_event_reader *r = vt_event_reader_new(0, fn, NULL, user);
    char *chunk = vt_malloc(1u << 16);
    enum vt_code code = VT_OK;
    for (;;) {
        ssize_t n = read(fd, chunk, 1u << 16);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            code = vt_fail_sys(err, errno, "events", "cannot read %s", path);
        if (n <= 0)
            break;
        vt_event_reader_feed(r, chunk, (size_t)n);
    }
    vt_free(chunk);
    vt_event_reader_free(r);
    close(fd);
    return code;
}
