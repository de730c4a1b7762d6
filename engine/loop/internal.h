/* What the files of this folder share. */
#ifndef VT_LOOP_INTERNAL_H
#define VT_LOOP_INTERNAL_H

#include <uv.h>

#include "loop/op.h"
#include "loop/timer.h"

struct vt_loop {
    uv_loop_t uv;
    uv_timer_t clock;        /* fires at the head of `timers` */
    uv_async_t wake;         /* vt_loop_wake() */
    uv_idle_t spin;          /* active while completions wait, so that the loop does not sleep */
    struct vt_timer *timers; /* sorted by due time */
    struct vt_op *ops;       /* every operation that was started and not freed */
    struct vt_op *done_head, *done_tail;
    unsigned active;
    unsigned held; /* vt_loop_hold() count */
    bool is_virtual;
    double virtual_now;
};

void vt__loop_run_timers(struct vt_loop *loop);
void vt__loop_run_completions(struct vt_loop *loop);
void vt__loop_arm(struct vt_loop *loop);

#endif
