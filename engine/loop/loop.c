#include "vmtest/loop.h"

#include <math.h>

#include "core/mem.h"
#include "core/sys.h"
#include "loop/internal.h"

static void on_clock(uv_timer_t *timer)
{
    vt__loop_run_timers(timer->data);
}

/* Runs while completions wait or a virtual clock may jump. */
static void on_spin(uv_idle_t *idle)
{
    struct vt_loop *loop = idle->data;
    if (loop->done_head) {
        vt__loop_run_completions(loop);
    } else if (loop->is_virtual && !loop->held && loop->timers) {
        if (loop->timers->due > loop->virtual_now)
            loop->virtual_now = loop->timers->due;
        vt__loop_run_timers(loop);
    }
    vt__loop_arm(loop);
}

/* Makes libuv wake when there is something to do, and only then. */
void vt__loop_arm(struct vt_loop *loop)
{
    bool spin = loop->done_head || (loop->is_virtual && !loop->held && loop->timers);
    if (spin)
        uv_idle_start(&loop->spin, on_spin);
    else
        uv_idle_stop(&loop->spin);
    if (loop->timers && !loop->is_virtual) {
        double wait = loop->timers->due - vt_monotonic();
        uv_update_time(&loop->uv);
        uv_timer_start(&loop->clock, on_clock, wait > 0 ? (uint64_t)ceil(wait * 1000) : 0, 0);
    } else {
        uv_timer_stop(&loop->clock);
    }
}

/* That libuv woke is all there is to it. */
static void on_wake(uv_async_t *wake)
{
    (void)wake;
}

struct vt_loop *vt_loop_new(struct vt_error *err)
{
    struct vt_loop *loop = vt_calloc(1, sizeof *loop);
    int rc = uv_loop_init(&loop->uv);
    if (!rc) {
        rc = uv_async_init(&loop->uv, &loop->wake, on_wake);
        if (rc)
            uv_loop_close(&loop->uv);
    }
    if (rc) {
        vt_fail(err, VT_EIO, "loop", "cannot make an event loop: %s", uv_strerror(rc));
        vt_free(loop);
        return NULL;
    }
    uv_unref((uv_handle_t *)&loop->wake);
    uv_timer_init(&loop->uv, &loop->clock);
    uv_idle_init(&loop->uv, &loop->spin);
    loop->clock.data = loop->spin.data = loop;
    return loop;
}

void vt_loop_free(struct vt_loop *loop)
{
    if (!loop)
        return;
    for (struct vt_op *op = loop->ops; op; op = op->next)
        vt_op_cancel(op);
    while (loop->active)
        vt_loop_run_once(loop, true);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->clock, NULL);
    uv_close((uv_handle_t *)&loop->spin, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    vt_free(loop);
}

void vt_loop_run_once(struct vt_loop *loop, bool wait)
{
    uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void vt_loop_wake(struct vt_loop *loop)
{
    uv_async_send(&loop->wake);
}

double vt_loop_now(struct vt_loop *loop)
{
    return loop->is_virtual ? loop->virtual_now : vt_monotonic();
}

enum vt_code vt_loop_set_virtual(struct vt_loop *loop, struct vt_error *err)
{
    if (loop->is_virtual)
        return VT_OK;
    if (loop->held)
        return vt_fail(err, VT_ESTATE, "clock",
                       "the clock cannot become virtual while a real VM or process runs");
    loop->virtual_now = vt_monotonic();
    loop->is_virtual = true;
    vt__loop_arm(loop);
    return VT_OK;
}

bool vt_loop_is_virtual(const struct vt_loop *loop)
{
    return loop->is_virtual;
}

unsigned vt_loop_active(const struct vt_loop *loop)
{
    return loop->active;
}

void vt_loop_hold(struct vt_loop *loop)
{
    loop->held++;
    vt__loop_arm(loop);
}

void vt_loop_release(struct vt_loop *loop)
{
    loop->held--;
    vt__loop_arm(loop);
}

struct uv_loop_s *vt_loop_uv(struct vt_loop *loop)
{
    return &loop->uv;
}
