#include "loop/timer.h"

#include <math.h>

#include "loop/internal.h"

void vt_timer_set(struct vt_timer *timer, struct vt_loop *loop, double seconds,
                  void (*fire)(struct vt_timer *), void *user)
{
    vt_timer_clear(timer);
    timer->loop = loop;
    timer->due = vt_loop_now(loop) + (seconds > 0 ? seconds : 0);
    timer->fire = fire;
    timer->user = user;
    struct vt_timer **at = &loop->timers, *prev = NULL;
    while (*at && (*at)->due <= timer->due) {
        prev = *at;
        at = &(*at)->next;
    }
    timer->next = *at;
    timer->prev = prev;
    if (*at)
        (*at)->prev = timer;
    *at = timer;
    if (!prev)
        vt__loop_arm(loop);
}

void vt_timer_clear(struct vt_timer *timer)
{
    struct vt_loop *loop = timer->loop;
    if (!loop)
        return;
    if (timer->prev)
        timer->prev->next = timer->next;
    else
        loop->timers = timer->next;
    if (timer->next)
        timer->next->prev = timer->prev;
    timer->next = timer->prev = NULL;
    timer->loop = NULL;
    if (!loop->timers)
        vt__loop_arm(loop);
}

bool vt_timer_is_set(const struct vt_timer *timer)
{
    return timer->loop != NULL;
}

/* Fires what is due now; a timer set meanwhile waits for the next round. */
void vt__loop_run_timers(struct vt_loop *loop)
{
    double now = vt_loop_now(loop);
    while (loop->timers && loop->timers->due <= now) {
        struct vt_timer *timer = loop->timers;
        vt_timer_clear(timer);
        timer->fire(timer);
    }
    vt__loop_arm(loop);
}
