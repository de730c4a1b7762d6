#include "driver/qemu/qmp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"

struct command {
    struct command *next;
    json_int_t id;
    char *name;
    vt_qmp_reply_fn fn;
    void *user;
};

struct vt_qmp {
    struct vt_qmp_handler handler;
    struct vt_buf in;
    struct command *first, *last; /* under way */
    json_int_t next_id;
    bool greeted, broken;
    unsigned busy; /* depth of calls that call back */
    bool freed;    /* while busy: goes when they have returned */
    char version[32];
};

struct vt_qmp *vt_qmp_new(const struct vt_qmp_handler *handler)
{
    struct vt_qmp *qmp = vt_calloc(1, sizeof *qmp);
    qmp->handler = *handler;
    qmp->next_id = 1;
    return qmp;
}

static void free_command(struct command *c)
{
    vt_free(c->name);
    vt_free(c);
}

void vt_qmp_free(struct vt_qmp *qmp)
{
    if (!qmp)
        return;
    if (qmp->busy) {
        qmp->freed = qmp->broken = true;
        return;
    }
    for (struct command *c = qmp->first, *next; c; c = next) {
        next = c->next;
        free_command(c);
    }
    vt_buf_free(&qmp->in);
    vt_free(qmp);
}

static void leave(struct vt_qmp *qmp)
{
    if (--qmp->busy == 0 && qmp->freed)
        vt_qmp_free(qmp);
}

const char *vt_qmp_version(const struct vt_qmp *qmp)
{
    return qmp->version;
}

void vt_qmp_command(struct vt_qmp *qmp, const char *name, json_t *arguments, vt_qmp_reply_fn fn,
                    void *user)
{
    struct command *c = vt_calloc(1, sizeof *c);
    c->id = qmp->next_id++;
    c->name = vt_strdup(name);
    c->fn = fn;
    c->user = user;
    if (qmp->last)
        qmp->last->next = c;
    else
        qmp->first = c;
    qmp->last = c;
    json_t *line = json_pack("{s:s, s:I}", "execute", name, "id", c->id);
    if (arguments)
        json_object_set_new(line, "arguments", arguments);
    char *text = json_dumps(line, JSON_COMPACT);
    struct vt_buf out = VT_BUF_INIT;
    vt_buf_printf(&out, "%s\n", text);
    qmp->handler.write(out.data, out.len, qmp->handler.user);
    vt_buf_free(&out);
    free(text);
    json_decref(line);
}

void vt_qmp_forget(struct vt_qmp *qmp, const void *user)
{
    for (struct command *c = qmp->first; c; c = c->next)
        if (c->user == user)
            c->fn = NULL;
}

static struct command *take(struct vt_qmp *qmp, json_int_t id)
{
    struct command *before = NULL, *c = qmp->first;
    while (c && c->id != id) {
        before = c;
        c = c->next;
    }
    if (!c)
        return NULL;
    if (before)
        before->next = c->next;
    else
        qmp->first = c->next;
    if (qmp->last == c)
        qmp->last = before;
    return c;
}

void vt_qmp_fail(struct vt_qmp *qmp, const struct vt_error *why)
{
    struct command *c;
    qmp->busy++;
    while (!qmp->freed && (c = qmp->first)) {
        take(qmp, c->id);
        if (c->fn)
            c->fn(NULL, why, c->user);
        free_command(c);
    }
    leave(qmp);
}

static void broken(struct vt_qmp *qmp, const char *what, const char *line)
{
    struct vt_error why = VT_ERROR_INIT;
    qmp->broken = true;
    vt_buf_free(&qmp->in);
    vt_fail(&why, VT_EPROTO, "qmp", "QEMU broke its protocol: %s%s%.200s", what, *line ? ": " : "",
            line);
    vt_qmp_fail(qmp, &why);
    if (!qmp->freed)
        qmp->handler.broken(&why, qmp->handler.user);
}

static void on_greeting(struct vt_qmp *qmp, const json_t *message)
{
    const json_t *version = json_object_get(json_object_get(message, "QMP"), "version");
    const json_t *qemu = json_object_get(version, "qemu");
    if (!json_is_object(qemu)) {
        broken(qmp, "no greeting", "");
        return;
    }
    qmp->greeted = true;
    snprintf(qmp->version, sizeof qmp->version, "%d.%d.%d", (int)vt_json_int(qemu, "major", 0),
             (int)vt_json_int(qemu, "minor", 0), (int)vt_json_int(qemu, "micro", 0));
}

static void on_reply(struct vt_qmp *qmp, const json_t *message)
{
    const json_t *error = json_object_get(message, "error");
    const json_t *id = json_object_get(message, "id");
    struct command *c = json_is_integer(id) ? take(qmp, json_integer_value(id)) : NULL;
    if (!c) {
        broken(qmp, "a reply to no command", vt_json_str(error, "desc", ""));
        return;
    }
    struct vt_error why = VT_ERROR_INIT;
    if (error)
        vt_fail(&why, VT_EHYPERVISOR, "qmp", "QEMU refused %s: %s", c->name,
                vt_json_str(error, "desc", "no reason given"));
    if (c->fn)
        c->fn(error ? NULL : json_object_get(message, "return"), error ? &why : NULL, c->user);
    free_command(c);
}

static void on_event(struct vt_qmp *qmp, const json_t *message)
{
    const char *name = vt_json_str(message, "event", NULL);
    json_t *data = json_object_get(message, "data"), *empty = NULL;
    if (!name) {
        broken(qmp, "an event without a name", "");
        return;
    }
    if (!json_is_object(data))
        data = empty = json_object();
    qmp->handler.event(name, data, qmp->handler.user);
    json_decref(empty);
}

static void on_line(struct vt_qmp *qmp, const char *line, size_t n)
{
    json_t *message = NULL;
    struct vt_error why = VT_ERROR_INIT;
    if (vt_json_parse(line, n, "QMP", &message, &why)) {
        broken(qmp, "not JSON", why.message);
        return;
    }
    if (!qmp->greeted)
        on_greeting(qmp, message);
    else if (json_object_get(message, "return") || json_object_get(message, "error"))
        on_reply(qmp, message);
    else if (json_object_get(message, "event"))
        on_event(qmp, message);
    else
        broken(qmp, "neither a reply nor an event", "");
    json_decref(message);
}

static void feed(struct vt_qmp *qmp, const char *data, size_t n)
{
    while (n && !qmp->broken) {
        const char *end = memchr(data, '\n', n);
        size_t take_n = end ? (size_t)(end - data) : n;
        if (qmp->in.len + take_n > VT_QMP_LINE_MAX) {
            broken(qmp, "a line is too long", "");
            return;
        }
        vt_buf_add(&qmp->in, data, take_n);
        data += take_n + (end != NULL);
        n -= take_n + (end != NULL);
        if (!end)
            return;
        /* the callbacks below may bring new commands, but never new bytes */
        struct vt_buf line = qmp->in;
        qmp->in = (struct vt_buf)VT_BUF_INIT;
        while (line.len && strchr("\r ", line.data[line.len - 1]))
            line.data[--line.len] = '\0';
        if (line.len)
            on_line(qmp, line.data, line.len);
        vt_buf_free(&line);
    }
}

void vt_qmp_feed(struct vt_qmp *qmp, const char *data, size_t n)
{
    qmp->busy++;
    feed(qmp, data, n);
    leave(qmp);
}
