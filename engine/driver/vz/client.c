#include "driver/vz/client.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/vz/fault.h"

#define OP "vz"

struct request {
    struct request *next;
    json_int_t id;
    char *op;
    vt_vz_reply_fn fn;
    void *user;
};

struct vt_vz_client {
    struct vt_vz_client_handler handler;
    struct vt_buf in;
    struct request *first, *last; /* under way */
    json_int_t next_id;
    bool greeted, broken;
    unsigned busy; /* depth of calls that call back */
    bool freed;    /* while busy: goes when they have returned */
};

struct vt_vz_client *vt_vz_client_new(const struct vt_vz_client_handler *handler)
{
    struct vt_vz_client *client = vt_calloc(1, sizeof *client);
    client->handler = *handler;
    return client;
}

static void free_request(struct request *r)
{
    vt_free(r->op);
    vt_free(r);
}

void vt_vz_client_free(struct vt_vz_client *client)
{
    if (!client)
        return;
    if (client->busy) {
        client->freed = client->broken = true;
        return;
    }
    for (struct request *r = client->first, *next; r; r = next) {
        next = r->next;
        free_request(r);
    }
    vt_buf_free(&client->in);
    vt_free(client);
}

static void leave(struct vt_vz_client *client)
{
    if (--client->busy == 0 && client->freed)
        vt_vz_client_free(client);
}

void vt_vz_client_request(struct vt_vz_client *client, const char *op, json_t *members,
                          vt_vz_reply_fn fn, void *user)
{
    struct request *r = vt_calloc(1, sizeof *r);
    r->id = client->next_id++;
    r->op = vt_strdup(op);
    r->fn = fn;
    r->user = user;
    if (client->last)
        client->last->next = r;
    else
        client->first = r;
    client->last = r;
    json_t *line = json_pack("{s:I, s:s}", "id", r->id, "op", op);
    if (members)
        json_object_update(line, members);
    json_decref(members);
    char *text = json_dumps(line, JSON_COMPACT);
    struct vt_buf out = VT_BUF_INIT;
    vt_buf_printf(&out, "%s\n", text);
    client->handler.write(out.data, out.len, client->handler.user);
    vt_buf_free(&out);
    free(text);
    json_decref(line);
}

void vt_vz_client_forget(struct vt_vz_client *client, const void *user)
{
    for (struct request *r = client->first; r; r = r->next)
        if (r->user == user)
            r->fn = NULL;
}

static struct request *take(struct vt_vz_client *client, json_int_t id)
{
    struct request *before = NULL, *r = client->first;
    while (r && r->id != id) {
        before = r;
        r = r->next;
    }
    if (!r)
        return NULL;
    if (before)
        before->next = r->next;
    else
        client->first = r->next;
    if (client->last == r)
        client->last = before;
    return r;
}

void vt_vz_client_fail(struct vt_vz_client *client, const struct vt_error *why)
{
    struct request *r;
    client->busy++;
    while (!client->freed && (r = client->first)) {
        take(client, r->id);
        if (r->fn)
            r->fn(NULL, why, r->user);
        free_request(r);
    }
    leave(client);
}

static void break_off(struct vt_vz_client *client, const struct vt_error *why)
{
    client->broken = true;
    vt_buf_free(&client->in);
    vt_vz_client_fail(client, why);
    if (!client->freed)
        client->handler.broken(why, client->handler.user);
}

static void broken(struct vt_vz_client *client, const char *what, const char *line)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EPROTO, OP, "vmtest-vz broke its protocol: %s%s%.200s", what,
            *line ? ": " : "", line);
    break_off(client, &why);
}

static void on_hello(struct vt_vz_client *client, const json_t *message)
{
    const json_t *protocol = json_object_get(message, "protocol");
    struct vt_error why = VT_ERROR_INIT;
    if (strcmp(vt_json_str(message, "event", ""), "hello") != 0 || !json_is_integer(protocol)) {
        broken(client, "no greeting", "");
        return;
    }
    if (json_integer_value(protocol) == VT_VZ_PROTOCOL) {
        client->greeted = true;
        client->handler.hello(message, client->handler.user);
        return;
    }
    vt_fail(&why, VT_EPROTO, OP,
            "vmtest-vz %.40s speaks version %lld of its protocol; this vmtest speaks version %d",
            vt_json_str(message, "version", "(of no version)"),
            (long long)json_integer_value(protocol), VT_VZ_PROTOCOL);
    vt_hint(&why,
            "install vmtest-vz of the same release as vmtest; VMTEST_VZ names the one to use");
    break_off(client, &why);
}

static void on_reply(struct vt_vz_client *client, const json_t *message)
{
    const json_t *id = json_object_get(message, "id"), *ok = json_object_get(message, "ok");
    const json_t *error = json_object_get(message, "error");
    struct request *r = json_is_integer(id) ? take(client, json_integer_value(id)) : NULL;
    struct vt_error why = VT_ERROR_INIT;
    if (!r || !json_is_boolean(ok)) {
        if (r)
            free_request(r);
        broken(client, "a reply to no request", vt_json_str(error, "message", ""));
        return;
    }
    if (!json_is_true(ok))
        vt_vz_fault(error, r->op, &why);
    if (r->fn)
        r->fn(why.code ? NULL : message, why.code ? &why : NULL, r->user);
    free_request(r);
}

static void on_line(struct vt_vz_client *client, const char *line, size_t n)
{
    json_t *message = NULL;
    struct vt_error why = VT_ERROR_INIT;
    if (vt_json_parse(line, n, "vmtest-vz", &message, &why)) {
        broken(client, "not JSON", why.message);
        return;
    }
    const char *event = vt_json_str(message, "event", NULL);
    if (!client->greeted)
        on_hello(client, message);
    else if (event)
        client->handler.event(event, message, client->handler.user);
    else if (json_object_get(message, "id"))
        on_reply(client, message);
    else
        broken(client, "neither a reply nor an event", "");
    json_decref(message);
}

static void feed(struct vt_vz_client *client, const char *data, size_t n)
{
    while (n && !client->broken) {
        const char *end = memchr(data, '\n', n);
        size_t take_n = end ? (size_t)(end - data) : n;
        if (client->in.len + take_n > VT_VZ_LINE_MAX) {
            broken(client, "a line is too long", "");
            return;
        }
        vt_buf_add(&client->in, data, take_n);
        data += take_n + (end != NULL);
        n -= take_n + (end != NULL);
        if (!end)
            return;
        /* the callbacks below may bring new requests, but never new bytes */
        struct vt_buf line = client->in;
        client->in = (struct vt_buf)VT_BUF_INIT;
        on_line(client, vt_buf_str(&line), line.len);
        vt_buf_free(&line);
    }
}

void vt_vz_client_feed(struct vt_vz_client *client, const char *data, size_t n)
{
    client->busy++;
    feed(client, data, n);
    leave(client);
}
