/* The interface vmtest/mdm.h as a program: one JSON object a line on standard input, {"do", …};
 * one a line on standard output, {"ok": …} or {"error": {code, message, hint}}, in order. Events
 * come between, as {"event": …}. Ends with its input. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "core/buf.h"
#include "core/json.h"
#include "loop/timer.h"
#include "vmtest/mdm.h"

static struct vt_loop *loop;
static struct vt_mdm *mdm;
static bool busy, over;
static char what[32]; /* is under way */
static struct vt_buf input;

static void say(const char *key, json_t *value)
{
    json_t *line = json_pack("{s:o}", key, value);
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

static void say_error(const struct vt_error *e)
{
    say("error", json_pack("{s:s, s:s, s:s, s:s}", "code", vt_code_name(e->code), "message",
                           e->message, "hint", e->hint, "op", e->op));
}

static json_t *describe(const struct vt_mdm_device *d)
{
    return json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:i, s:f}", "udid", d->udid, "state",
                     vt_mdm_state_name(d->state), "reason", d->reason, "serial", d->serial, "name",
                     d->name, "queued", (int)d->queued, "last_seen", d->last_seen);
}

static json_t *result_of(void *result)
{
    if (!strcmp(what, "devices")) {
        struct vt_mdm_devices *all = result;
        json_t *list = json_array();
        for (size_t i = 0; i < all->n; i++)
            json_array_append_new(list, describe(&all->v[i]));
        return list;
    }
    if (!strcmp(what, "wait_device"))
        return describe(result);
    if (!strcmp(what, "enqueue")) {
        struct vt_mdm_queued *q = result;
        return json_pack("{s:s, s:b, s:s*}", "uuid", q->uuid, "pushed", q->pushed, "push_problem",
                         q->push_problem);
    }
    if (!strcmp(what, "wait_answer")) {
        struct vt_mdm_answer *a = result;
        return json_pack("{s:s, s:s*, s:s, s:s, s:O, s:i}", "uuid", a->uuid, "request_type",
                         a->request_type, "status", vt_mdm_status_name(a->status), "errors",
                         a->errors, "reply", a->reply, "not_now", (int)a->not_now);
    }
    if (!strcmp(what, "enroll")) {
        struct vt_mdm_enrollment *e = result;
        return json_pack("{s:s}", "profile", e->profile);
    }
    return json_true();
}

static void on_event(const json_t *event, void *user)
{
    (void)user;
    say("event", json_deep_copy(event));
}

static void on_done(struct vt_op *op, void *user)
{
    (void)user;
    busy = false;
    if (vt_op_error(op)) {
        say_error(vt_op_error(op));
        return;
    }
    if (!strcmp(what, "open")) {
        mdm = vt_op_result(op);
        vt_mdm_on_event(mdm, on_event, NULL);
    }
    say("ok", result_of(vt_op_result(op)));
}

static struct vt_op *begin(const json_t *j, struct vt_error *err)
{
    const char *udid = vt_json_str(j, "udid", NULL);
    snprintf(what, sizeof what, "%s", vt_json_str(j, "do", ""));
    double timeout = vt_json_num(j, "timeout", 20);
    if (!strcmp(what, "open")) {
        struct vt_mdm_opts opts = {
            .kind = vt_json_str(j, "kind", NULL),
            .url = vt_json_str(j, "url", NULL),
            .credentials = vt_json_str(j, "credentials", NULL),
            .ca_file = vt_json_str(j, "ca_file", NULL),
            .webhook_listen = vt_json_str(j, "webhook", NULL),
            .extra = json_object_get(j, "extra"),
            .timeout = timeout,
        };
        return vt_mdm_open(loop, &opts, on_done, NULL, err);
    }
    if (!strcmp(what, "enroll")) {
        struct vt_mdm_enrollment_opts o = {
            .method = VT_MDM_SCEP, .address = vt_json_str(j, "address", NULL), .timeout = timeout};
        if (!strcmp(vt_json_str(j, "method", ""), "pkcs12"))
            o.method = VT_MDM_PKCS12;
        return vt_mdm_enroll(mdm, &o, on_done, NULL, err);
    }
    if (!strcmp(what, "devices"))
        return vt_mdm_devices(mdm, timeout, on_done, NULL, err);
    if (!strcmp(what, "push"))
        return vt_mdm_push(mdm, udid, timeout, on_done, NULL, err);
    if (!strcmp(what, "withdraw"))
        return vt_mdm_withdraw(mdm, udid, "x", timeout, on_done, NULL, err);
    if (!strcmp(what, "enqueue")) {
        struct vt_mdm_command c = {.udid = udid,
                                   .command = json_object_get(j, "command"),
                                   .uuid = vt_json_str(j, "uuid", NULL),
                                   .no_push = vt_json_bool(j, "no_push", false),
                                   .timeout = timeout};
        return vt_mdm_enqueue(mdm, &c, on_done, NULL, err);
    }
    if (!strcmp(what, "wait_answer")) {
        struct vt_mdm_answer_opts o = {.udid = udid,
                                       .uuid = vt_json_str(j, "uuid", NULL),
                                       .stop_at_not_now = vt_json_bool(j, "stop", false),
                                       .timeout = timeout};
        return vt_mdm_wait_answer(mdm, &o, on_done, NULL, err);
    }
    struct vt_mdm_wait_opts o = {.udid = udid,
                                 .serial = vt_json_str(j, "serial", NULL),
                                 .state = VT_MDM_ENROLLED,
                                 .seen = vt_json_bool(j, "seen", false),
                                 .timeout = timeout};
    if (!strcmp(vt_json_str(j, "state", ""), "not_enrolled"))
        o.state = VT_MDM_NOT_ENROLLED;
    return vt_mdm_wait_device(mdm, &o, on_done, NULL, err);
}

static void next_line(void)
{
    char *end;
    while (!busy && input.len && (end = memchr(input.data, '\n', input.len))) {
        struct vt_error err = VT_ERROR_INIT;
        json_t *j = json_loadb(input.data, (size_t)(end - input.data), 0, NULL);
        vt_buf_consume(&input, (size_t)(end - input.data) + 1);
        busy = true;
        if (!begin(j, &err)) {
            busy = false;
            say_error(&err);
        }
        json_decref(j);
    }
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    char piece[65536];
    (void)status;
    (void)events;
    ssize_t n = read(0, piece, sizeof piece);
    if (n <= 0) {
        over = true;
        uv_close((uv_handle_t *)poll, NULL);
    } else {
        vt_buf_add(&input, piece, (size_t)n);
    }
}

int main(void)
{
    struct vt_error err = VT_ERROR_INIT;
    uv_poll_t poll;
    loop = vt_loop_new(&err);
    if (!loop)
        return 1;
    uv_poll_init(vt_loop_uv(loop), &poll, 0);
    uv_poll_start(&poll, UV_READABLE | UV_DISCONNECT, on_input);
    while (!over) {
        vt_loop_run_once(loop, true);
        next_line();
    }
    vt_mdm_close(mdm);
    vt_loop_free(loop);
    vt_buf_free(&input);
    return 0;
}
