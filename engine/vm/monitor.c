#include "vm/monitor.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "loop/op.h"

struct request {
    struct request *next;
    json_int_t id;
    char *name;
    vt_monitor_reply_fn fn;
    void *user;
};

struct vt_monitor {
    const struct vt_monitor_dialect *dialect;
    struct vt_monitor_handler handler;
    struct vt_buf in;
    struct request *first, *last; /* under way */
    json_int_t next_id;
    bool greeted, broken;
    unsigned busy; /* depth of calls that call back */
    bool freed;    /* while busy: goes when they have returned */
};

struct vt_monitor *vt_monitor_new(const struct vt_monitor_dialect *dialect,
                                  const struct vt_monitor_handler *handler)
{
    struct vt_monitor *m = vt_calloc(1, sizeof *m);
    m->dialect = dialect;
    m->handler = *handler;
    m->next_id = 1;
    return m;
}

static void free_request(struct request *r)
{
    vt_free(r->name);
    vt_free(r);
}

void vt_monitor_free(struct vt_monitor *m)
{
    if (!m)
        return;
    if (m->busy) {
        m->freed = m->broken = true;
        return;
    }
    for (struct request *r = m->first, *next; r; r = next) {
        next = r->next;
        free_request(r);
    }
    vt_buf_free(&m->in);
    vt_free(m);
}

static void leave(struct vt_monitor *m)
{
    if (--m->busy == 0 && m->freed)
        vt_monitor_free(m);
}

void vt_monitor_request(struct vt_monitor *m, const char *name, json_t *arguments,
                        vt_monitor_reply_fn fn, void *user)
{
    struct request *r = vt_calloc(1, sizeof *r);
    r->id = m->next_id++;
    r->name = vt_strdup(name);
    r->fn = fn;
    r->user = user;
    if (m->last)
        m->last->next = r;
    else
        m->first = r;
    m->last = r;
    json_t *line = json_pack("{s:I}", "id", r->id);
    m->dialect->request(line, name, arguments);
    json_decref(arguments);
    char *text = json_dumps(line, JSON_COMPACT);
    struct vt_buf out = VT_BUF_INIT;
    vt_buf_printf(&out, "%s\n", text);
    m->handler.write(out.data, out.len, m->handler.user);
    vt_buf_free(&out);
    free(text);
    json_decref(line);
}

static void end_op(const json_t *result, const struct vt_error *why, void *user)
{
    (void)result;
    if (why)
        vt_op_fail(user, why);
    else
        vt_op_succeed(user, NULL);
}

void vt_monitor_request_op(struct vt_monitor *m, const char *name, struct vt_op *op, const char *vm)
{
    struct vt_error why = VT_ERROR_INIT;
    if (m) {
        vt_monitor_request(m, name, NULL, end_op, op);
        return;
    }
    vt_fail(&why, VT_ESTATE, "vm", "VM %s does not run", vm);
    vt_op_fail(op, &why);
}

void vt_monitor_forget(struct vt_monitor *m, const void *user)
{
    for (struct request *r = m->first; r; r = r->next)
        if (r->user == user)
            r->fn = NULL;
}

static struct request *find(const struct vt_monitor *m, const json_t *id)
{
    struct request *r = json_is_integer(id) ? m->first : NULL;
    while (r && r->id != json_integer_value(id))
        r = r->next;
    return r;
}

static void unlink_request(struct vt_monitor *m, struct request *r)
{
    struct request *before = NULL;
    for (struct request *at = m->first; at != r; at = at->next)
        before = at;
    if (before)
        before->next = r->next;
    else
        m->first = r->next;
    if (m->last == r)
        m->last = before;
}

/* Takes r out before the callback, which may do anything. */
static void reply(struct vt_monitor *m, struct request *r, const json_t *result,
                  const struct vt_error *why)
{
    unlink_request(m, r);
    if (r->fn)
        r->fn(result, why, r->user);
    free_request(r);
}

void vt_monitor_fail(struct vt_monitor *m, const struct vt_error *why)
{
    m->busy++;
    while (!m->freed && m->first)
        reply(m, m->first, NULL, why);
    leave(m);
}

static void break_off(struct vt_monitor *m, const struct vt_error *why)
{
    m->broken = true;
    vt_buf_free(&m->in);
    vt_monitor_fail(m, why);
    if (!m->freed)
        m->handler.broken(why, m->handler.user);
}

static void broken(struct vt_monitor *m, const char *what, const char *quote)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EPROTO, m->dialect->op, "%s broke its protocol: %s%s%.200s", m->dialect->peer,
            what, *quote ? ": " : "", quote);
    break_off(m, &why);
}

static void on_greeting(struct vt_monitor *m, const json_t *message)
{
    struct vt_error why = VT_ERROR_INIT;
    if (m->dialect->greeting(message, &why)) {
        m->greeted = true;
        if (m->handler.greeted)
            m->handler.greeted(message, m->handler.user);
    } else if (why.code) {
        break_off(m, &why);
    } else {
        broken(m, "no greeting", "");
    }
}

static void on_reply(struct vt_monitor *m, const json_t *message)
{
    struct vt_error why = VT_ERROR_INIT;
    struct request *r = find(m, json_object_get(message, "id"));
    const json_t *result = r ? m->dialect->result(message, r->name, &why) : NULL;
    if (result || why.code) {
        reply(m, r, result, result ? NULL : &why);
        return;
    }
    json_t *error = json_object_get(message, "error");
    char *text = error ? json_dumps(error, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    broken(m, "a reply to no request", text ? text : "");
    free(text);
}

static void on_line(struct vt_monitor *m, const char *line, size_t n)
{
    json_t *message = NULL;
    struct vt_error why = VT_ERROR_INIT;
    if (vt_json_parse(line, n, m->dialect->peer, &message, &why)) {
        broken(m, "not JSON", why.message);
        return;
    }
    const char *event = vt_json_str(message, "event", NULL);
    if (!m->greeted)
        on_greeting(m, message);
    else if (event)
        m->handler.event(event, message, m->handler.user);
    else if (json_object_get(message, "id") || json_object_get(message, "error"))
        on_reply(m, message);
    else
        broken(m, "neither a reply nor an event", "");
    json_decref(message);
}

static void feed(struct vt_monitor *m, const char *data, size_t n)
{
    while (n && !m->broken) {
        const char *end = memchr(data, '\n', n);
        size_t take_n = end ? (size_t)(end - data) : n;
        if (m->in.len + take_n > m->dialect->line_max) {
            broken(m, "a line is too long", "");
            return;
        }
        vt_buf_add(&m->in, data, take_n);
        data += take_n + (end != NULL);
        n -= take_n + (end != NULL);
        if (!end)
            return;
        /* the callbacks below may bring new requests, but never new bytes */
        struct vt_buf line = m->in;
        m->in = (struct vt_buf)VT_BUF_INIT;
        while (line.len && strchr("\r ", line.data[line.len - 1]))
            line.data[--line.len] = '\0';
        if (line.len)
            on_line(m, line.data, line.len);
        vt_buf_free(&line);
    }
}

void vt_monitor_feed(struct vt_monitor *m, const char *data, size_t n)
{
    m->busy++;
    feed(m, data, n);
    leave(m);
}
