#include "channel_test.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"

static void note_error(struct outcome *o, const struct vt_op *op)
{
    const struct vt_error *why = vt_op_error(op);
    o->calls++;
    o->code = why ? why->code : VT_OK;
    if (why)
        o->error = *why;
}

static char *copy(const char *data, size_t n)
{
    char *out = vt_calloc(1, n + 1);
    if (n)
        memcpy(out, data, n);
    return out;
}

void on_connect(struct vt_op *op, void *user)
{
    note_error(user, op);
}

void on_exec(struct vt_op *op, void *user)
{
    struct outcome *o = user;
    note_error(o, op);
    const struct vt_exec_result *r = vt_op_result(op);
    if (!r)
        return;
    o->has_result = true;
    o->status = r->status;
    snprintf(o->signal, sizeof o->signal, "%s", r->signal ? r->signal : "");
    o->out = copy(r->out, r->out_size);
    o->err = copy(r->err, r->err_size);
    o->out_size = r->out_size;
    o->err_size = r->err_size;
    o->truncated = r->truncated;
    o->duration = r->duration;
}

void on_transfer(struct vt_op *op, void *user)
{
    struct outcome *o = user;
    note_error(o, op);
    const struct vt_transfer_result *r = vt_op_result(op);
    if (!r)
        return;
    o->has_result = true;
    o->transfer = *r;
    if (r->data) {
        assert_int_equal(r->data[r->size], 0);
        o->data = copy(r->data, r->size);
    }
}

void outcome_free(struct outcome *o)
{
    vt_free(o->out);
    vt_free(o->err);
    vt_free(o->data);
    *o = (struct outcome){.calls = 0};
}

void run_until(struct vt_loop *loop, const int *calls, int n)
{
    while (*calls < n) {
        assert_true(vt_loop_active(loop) > 0);
        vt_loop_run_once(loop, true);
    }
}

struct outcome connect_now(struct vt_loop *loop, struct vt_channel *ch, double timeout)
{
    struct outcome o = {.calls = 0};
    if (!ch->cls->connect(ch, timeout, on_connect, &o, &o.error)) {
        o.code = o.error.code;
        return o;
    }
    assert_int_equal(o.calls, 0); /* never inside the starting call */
    run_until(loop, &o.calls, 1);
    return o;
}

struct outcome exec_now(struct vt_loop *loop, struct vt_channel *ch,
                        const struct vt_exec_opts *opts)
{
    struct outcome o = {.calls = 0};
    if (!ch->cls->exec(ch, opts, on_exec, &o, &o.error)) {
        o.code = o.error.code;
        return o;
    }
    assert_int_equal(o.calls, 0);
    run_until(loop, &o.calls, 1);
    return o;
}

struct outcome transfer_now(struct vt_loop *loop, struct vt_channel *ch,
                            const struct vt_transfer_opts *opts)
{
    struct outcome o = {.calls = 0};
    if (!ch->cls->transfer(ch, opts, on_transfer, &o, &o.error)) {
        o.code = o.error.code;
        return o;
    }
    assert_int_equal(o.calls, 0);
    run_until(loop, &o.calls, 1);
    return o;
}

struct outcome sh(struct vt_loop *loop, struct vt_channel *ch, const char *line)
{
    struct outcome o = exec_now(loop, ch, &(struct vt_exec_opts){.command = line, .timeout = 60});
    if (o.code || o.status)
        print_error("%s: %s status %d stderr %s\n", line, o.error.message, o.status,
                    o.err ? o.err : "");
    assert_int_equal(o.code, VT_OK);
    assert_int_equal(o.status, 0);
    return o;
}

char *pattern(size_t n)
{
    char *data = vt_malloc(n ? n : 1);
    uint32_t x = 12345;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        data[i] = (char)(x >> 24);
    }
    return data;
}
