#include "mdm/polled.h"

#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "loop/op.h"

#define FIRST_S 0.5
#define GROWTH 1.3
#define LONGEST_S 15
#define ASK_S 30 /* one look; what hangs is asked anew */
#define MOST 20000
#define PAGES_MAX 500

void vt__polled_init(struct vt_polled *s)
{
    s->commands = json_object();
}

void vt__polled_clear(struct vt_polled *s)
{
    vt__remote_clear(&s->remote);
    json_decref(s->commands);
}

/* --- errands --- */

static struct vt_polled *server(const struct vt_errand *e)
{
    return (struct vt_polled *)e->r->mdm;
}

static bool waits(const struct vt_errand *e)
{
    return e->r->verb == VT_MDM_DO_WAIT_DEVICE || e->r->verb == VT_MDM_DO_WAIT_ANSWER;
}

static struct vt_mdm_request *let_go(struct vt_errand *e)
{
    struct vt_mdm_request *r = e->r;
    vt_timer_clear(&e->timer);
    if (e->op)
        vt_op_forget(e->op);
    json_decref(e->notes);
    vt_free(e);
    vt__remote_ended(r);
    return r;
}

void vt__errand_begin(struct vt_mdm_request *r, vt_errand_step step)
{
    struct vt_errand *e = vt_calloc(1, sizeof *e);
    e->r = r;
    e->pause = FIRST_S;
    e->notes = json_object();
    r->work = e;
    r->busy = true;
    vt__errand_next(e, step);
}

void vt__errand_next(struct vt_errand *e, vt_errand_step step)
{
    e->step = step;
    step(e);
}

void vt__errand_succeed(struct vt_errand *e, json_t *result)
{
    vt__mdm_succeed(let_go(e), result);
}

void vt__errand_fail(struct vt_errand *e, const struct vt_error *why)
{
    struct vt_error copy = *why; /* it may be the errand's own */
    vt__mdm_fail(let_go(e), &copy);
}

void vt__errand_refused(struct vt_errand *e, const struct vt_http_answer *a, enum vt_code code,
                        const char *hint)
{
    struct vt_error err = VT_ERROR_INIT;
    vt__remote_refused(&server(e)->remote, a, code, e->r->op.cls->name, &err);
    if (hint)
        vt_hint(&err, "%s", hint);
    vt__errand_fail(e, &err);
}

json_t *vt__errand_json(struct vt_errand *e, const struct vt_http_answer *a)
{
    struct vt_error err = VT_ERROR_INIT;
    json_t *said = vt__remote_json(&server(e)->remote, a, e->r->op.cls->name, &err);
    if (!said)
        vt__errand_fail(e, &err);
    return said;
}

static void on_timer(struct vt_timer *timer)
{
    struct vt_errand *e = timer->user;
    e->step(e);
}

void vt__errand_again(struct vt_errand *e)
{
    vt_timer_set(&e->timer, e->r->mdm->loop, e->pause, on_timer, e);
    e->pause = e->pause * GROWTH < LONGEST_S ? e->pause * GROWTH : LONGEST_S;
}

/* What a moment may mend. */
static bool passing(const struct vt_error *err, const struct vt_http_answer *a)
{
    if (!a)
        return err->code == VT_EIO || err->code == VT_ETIMEDOUT;
    return a->status == 429 || a->status >= 500;
}

static void on_answer(struct vt_op *op, void *user)
{
    struct vt_errand *e = user;
    struct vt_polled *s = server(e);
    const char *what = e->r->op.cls->name;
    struct vt_error err = VT_ERROR_INIT;
    const struct vt_http_answer *a = vt__remote_answer(&s->remote, op, what, &err);
    e->op = NULL;
    if (err.code == VT_EAUTH && s->renew && !e->renewed) {
        s->renew(e);
        return;
    }
    e->renewed = false;
    e->trouble = err;
    if (e->forgiving) {
        e->forgiving = false;
        e->take(e, a);
    } else if (waits(e) && passing(&err, a)) {
        if (a)
            vt__remote_refused(&s->remote, a, VT_EIO, what, &err);
        e->trouble = err;
        vt__errand_again(e);
    } else if (!a) {
        vt__errand_fail(e, &err);
    } else if (a->status == 403) {
        vt__errand_refused(e, a, VT_EAUTH, "give the credentials' owner the right to do this");
    } else {
        e->take(e, a);
    }
}

void vt__errand_send(struct vt_errand *e, const struct vt_remote_call *call, vt_errand_take take)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_remote_call own = *call;
    if (waits(e) && !(own.timeout > 0))
        own.timeout = ASK_S;
    e->take = take;
    e->op = vt__remote_send(&server(e)->remote, &own, on_answer, e, &err);
    if (!e->op)
        vt__errand_fail(e, &err);
}

void vt__polled_drop(struct vt_mdm *mdm, struct vt_mdm_request *r, struct vt_error *why)
{
    const struct vt_remote *s = (const struct vt_remote *)mdm;
    struct vt_errand *e = r->work;
    if (!e)
        return;
    const char *state = vt_json_str(e->notes, "state", NULL);
    const char *status = vt_json_str(e->notes, "status", NULL);
    int not_now = (int)vt_json_int(e->notes, "not_now", 0);
    if (state)
        vt_error_append(why, ": it is %s: %s", state, vt_json_str(e->notes, "reason", ""));
    if (not_now)
        vt_error_append(why, ": the device said NotNow %d times", not_now);
    else if (status)
        vt_error_append(why, ": %s has the command as %s", s->product, status);
    if (e->trouble.code)
        vt_error_append(why, ": %s", e->trouble.message);
    let_go(e);
}

/* --- pages --- */

void vt__errand_page(struct vt_errand *e, const json_t *items, vt_errand_describe describe,
                     vt_errand_step ask)
{
    json_t *list = json_object_get(e->notes, "devices"), *device;
    const json_t *item;
    size_t i;
    if (!list) {
        list = json_array();
        json_object_set_new(e->notes, "devices", list);
    }
    json_array_foreach(items, i, item) if ((device = describe(e, item)))
        json_array_append_new(list, device);
    int64_t page = vt_json_int(e->notes, "page", 0) + 1;
    json_object_set_new(e->notes, "page", json_integer(page));
    if (json_array_size(items) == VT_ERRAND_PAGE && page < PAGES_MAX)
        vt__errand_next(e, ask);
    else
        vt__errand_succeed(e, json_pack("{s:O}", "devices", list));
}

/* --- commands --- */

json_t *vt__polled_command(struct vt_polled *s, const char *udid, const char *uuid,
                           const char *type)
{
    struct vt_buf key = VT_BUF_INIT;
    vt_buf_printf(&key, "%s %s", udid, uuid);
    json_t *command = json_object_get(s->commands, key.data);
    if (!command && type && json_object_size(s->commands) < MOST) {
        command = json_pack("{s:s}", "request_type", type);
        json_object_set_new(s->commands, key.data, command);
    }
    vt_buf_free(&key);
    return command;
}

unsigned vt__polled_pending(const struct vt_polled *s, const char *udid)
{
    const char *key;
    json_t *command;
    unsigned count = 0;
    size_t n = strlen(udid);
    json_object_foreach(s->commands, key, command) count +=
        !strncmp(key, udid, n) && key[n] == ' ' && !json_object_get(command, "answered");
    return count;
}

void vt__errand_device(struct vt_errand *e, json_t *device)
{
    double seen = vt_json_num(device, "last_seen", 0);
    const json_t *first = json_object_get(e->notes, "first");
    const char *state = vt_json_str(device, "state", "");
    bool fresh = !vt_json_bool(e->r->args, "seen", false) ||
                 (first && vt_json_num(e->notes, "first", 0) < seen);
    if (!first)
        json_object_set_new(e->notes, "first", json_real(seen));
    json_object_set_new(e->notes, "state", json_string(state));
    json_object_set(e->notes, "reason", json_object_get(device, "reason"));
    if (fresh && !strcmp(state, vt__errand_arg(e, "state"))) {
        vt__errand_succeed(e, device);
        return;
    }
    json_decref(device);
    vt__errand_again(e);
}

void vt__errand_status(struct vt_errand *e, const char *status, const char *type, const char *raw,
                       const char *stamp)
{
    bool not_now = !strcmp(status, "NotNow");
    bool stop = not_now && vt_json_bool(e->r->args, "stop_at_not_now", false);
    bool final = !strcmp(status, "Acknowledged") || !strcmp(status, "Error") ||
                 !strcmp(status, "CommandFormatError");
    const char *udid = vt__errand_arg(e, "udid"), *uuid = vt__errand_arg(e, "uuid");
    if (not_now && strcmp(vt_json_str(e->notes, "stamp", ""), stamp) != 0) {
        json_object_set_new(e->notes, "stamp", json_string(stamp));
        json_object_set_new(e->notes, "not_now",
                            json_integer(vt_json_int(e->notes, "not_now", 0) + 1));
    }
    json_object_set_new(e->notes, "status", json_string(status));
    if (!final && !stop) {
        vt__errand_again(e);
        return;
    }
    json_t *command = vt__polled_command(server(e), udid, uuid, NULL);
    if (command && final)
        json_object_set_new(command, "answered", json_true());
    vt__errand_succeed(e, json_pack("{s:s, s:s*, s:s, s:I, s:{s:s}}", "uuid", uuid, "request_type",
                                    vt_json_str(command, "request_type", type), "status", status,
                                    "not_now", (json_int_t)vt_json_int(e->notes, "not_now", 0),
                                    "raw", "$data", raw));
}
